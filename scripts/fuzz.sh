#!/bin/sh
# Runs every fuzz target of the project for a while each: fuzz.sh [TIME]
set -eu
time=${1:-20s}
grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sort -u | while IFS=: read -r file func; do
	target=${func#func }
	echo "== $(dirname "$file") $target"
	go test "$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x
done
