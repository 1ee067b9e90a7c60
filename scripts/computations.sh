#!/bin/sh
# The tests that call skiptest.Computation, which are run without the race detector, in
# one of two forms for `go test`:
#
#   computations.sh names FOLDER...      a regular expression for -run
#   computations.sh packages FOLDER...   the packages that they are in
#
# Says nothing where there are none.
set -eu

form=$1
shift
files=$(grep -rl --include='*_test.go' 'skiptest\.Computation(t)' "$@" | sort)
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086 # no file of ours has a space in its name
case $form in
names)
	awk '/^func Test/ { split($2, part, "("); name = part[1] } /skiptest\.Computation\(t\)/ { print name }' $files |
		sort -u | paste -s -d'|' | sed 's/.*/^(&)$/'
	;;
packages) printf './%s\n' $files | sed 's,/[^/]*$,,' | sort -u ;;
*) echo "computations.sh: names or packages, not $form" >&2 && exit 2 ;;
esac
