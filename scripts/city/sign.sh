#!/bin/bash
# Signs a roster, working hours, revoked badges, badge keys or a receipt for the gateways
# and prints the message that is to be published, retained. It needs openssl 3, bash,
# gatewayd and, for badges, badgedocs: the package gatewayd-city has them, a source tree
# after "make build city".
#
# Once, in the city, where nobody else can read it:
#   openssl genpkey -algorithm ed25519 -out city.key
# For the gateways (city.key_file):
#   openssl pkey -in city.key -pubout -out city.pem
# Then, for one gateway, for all of a department (-g '*') or of the city
# (-d '*' -g '*'):
#   sign.sh -k city.key -b badge.key -d dinkes -g dinkes-01 roster roster.csv >roster.json
#   sign.sh -k city.key -d dinkes -g '*' hours hours.json >policy.json
#   mosquitto_pub ... -r -q 1 -t presence/v1/dinkes/dinkes-01/roster -f roster.json
# Badges that were lost, as ca.sh badge-revoke lists them, and the keys of an office's
# DESFire badges as "badgedocs keys" seals them (BADGES.md):
#   sign.sh -k city.key -b badge.key -d dinkes -g dinkes-01 badge-revoked badge-revoked.json >revoked.json
#   sign.sh -k city.key -d dinkes -g dinkes-01 badge-keys keys.json >badge-keys.json
# And that the city's database has all events of a stream up to one:
#   sign.sh -k city.key -d dinkes -g dinkes-01 receipt 019ab2c3-... 123 >receipt.json
#
# roster.csv has lines "badge,tag" or "badge,tag,assurance" as for tags.roster_file, under the same rules
# (uid_format in the heading too): gatewayd reads it, and what a gateway would refuse
# is not signed. With -b, the file with the city's badge key, card numbers in it become
# the identities that this gateway gives them, so that nobody reads them on the topic.
# hours.json is a JSON object with the keys of [hours]:
#   {"mon":"07:30-16:00","fri":"07:30-16:30","break":"12:00-13:00",
#    "holidays":["2026-12-25"],
#    "period":[{"from":"2027-02-08","to":"2027-03-09","mon":"08:00-15:00"}]}
set -eu

usage() {
	echo "usage: sign.sh -k KEY -d DINAS -g GATEWAY [-s SERIAL] [-b BADGE.KEY] roster FILE.csv | hours FILE.json | badge-revoked FILE.json | badge-keys FILE.json | receipt STREAM UPTO" >&2
	exit 2
}
fail() {
	echo "sign.sh: $*" >&2
	exit 1
}

key='' dinas='' gateway='' serial='' badges=''
while getopts k:d:g:s:b: option; do
	case $option in
	k) key=$OPTARG ;;
	d) dinas=$OPTARG ;;
	g) gateway=$OPTARG ;;
	s) serial=$OPTARG ;;
	b) badges=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
case ${1-} in
receipt) [ $# = 3 ] || usage ;;
*) [ $# = 2 ] || usage ;;
esac
if [ -z "$key" ] || [ -z "$dinas" ] || [ -z "$gateway" ]; then
	usage
fi
kind=$1 file=$2 upto=${3-}
[ "$kind" = receipt ] || [ -r "$file" ] || fail "cannot read $file"
[ -r "$key" ] || fail "cannot read the key $key"

for name in "$dinas" "$gateway"; do
	case $name in
	'*') ;;
	*[!a-z0-9-]*) fail "\"$name\" is no department and no gateway: small letters, digits and hyphens, or '*' for all" ;;
	esac
done
[ "$dinas" != '*' ] || [ "$gateway" = '*' ] || fail "-d '*' goes with -g '*' only"

# The serial has to rise: the seconds since 1970 do.
given=$serial
serial=${serial:-$(date +%s)}
case $serial in
0* | *[!0-9]*) fail "the serial \"$serial\" is no number from 1" ;;
esac

# hmac KEY: HMAC-SHA256 in hex of standard input, by RFC 2104, under a key of 64 hex
# digits. openssl would take a key only on its command line, where others see it.
hmac() {
	local i byte inner='' outer=''
	for ((i = 0; i < 64; i++)); do
		byte=0
		[ $i -ge 32 ] || byte=$((16#${1:2*i:2}))
		printf -v inner '%s\\x%02x' "$inner" $((byte ^ 0x36))
		printf -v outer '%s\\x%02x' "$outer" $((byte ^ 0x5c))
	done
	{
		printf '%b' "$outer"
		printf '%b' "$({ printf '%b' "$inner" && cat; } | openssl dgst -sha256 -r | sed 's/ .*//; s/../\\x&/g')"
	} | openssl dgst -sha256 -r | cut -d' ' -f1
}

# gateway_key prints the badge key of the gateway, made from the city's.
gateway_key() {
	local city
	[ "$gateway" != '*' ] || fail "each gateway has a badge key of its own: with -b, a roster is for one gateway"
	city=$(tr -d '[:space:]' <"$badges") || fail "cannot read the badge key $badges"
	[[ $city =~ ^[0-9A-Fa-f]{64}$ ]] || fail "$badges does not hold 64 hex digits"
	printf 'gatewayd badge key v1\0%s' "$gateway" | hmac "$city"
}

# gatewayd finds the gateway's own program: what signs a document refuses what a
# gateway would refuse, because it is read by the same code.
gatewayd() {
	local here program
	here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
	for program in ${GATEWAYD:+"$GATEWAYD"} "$here/gatewayd" "$(command -v -p gatewayd || type -P gatewayd)" "$here/../../bin/gatewayd"; do
		if [ -f "$program" ] && [ -x "$program" ]; then
			"$program" "$@"
			return
		fi
	done
	fail "the program gatewayd is missing, which reads this as a gateway would: install the package gatewayd-city, or name it in GATEWAYD"
}

# badgedocs finds the program that knows lists of badges.
badgedocs() {
	local here program
	here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
	for program in ${BADGEDOCS:+"$BADGEDOCS"} "$here/badgedocs" "$here/../../bin/city/badgedocs"; do
		if [ -f "$program" ] && [ -x "$program" ]; then
			"$program" "$@"
			return
		fi
	done
	fail "the program badgedocs is missing: install the package gatewayd-city, or in a source tree: make city"
}

# The entries of a roster as JSON.
entries() {
	local raw
	set -- check --entries --roster "$1"
	if [ -n "$badges" ]; then
		gateway_key >"$dir/badge.key" || exit 1
		set -- "$@" --badge-key "$dir/badge.key"
	fi
	gatewayd "$@" >"$dir/body" || exit 1
	raw=$(grep -o '"badge":"[^h]' "$dir/body" | wc -l) || true
	[ "$raw" -eq 0 ] ||
		echo "sign.sh: note: $raw raw card numbers; whoever may read the topic can read them. With -b badge.key they become identities." >&2
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# signature signs a file.
signature() {
	openssl pkeyutl -sign -rawin -inkey "$key" -in "$1" -out "$dir/signature"
	[ "$(wc -c <"$dir/signature")" -eq 64 ] || fail "$key is no Ed25519 key"
	openssl base64 -A -in "$dir/signature"
}

# A receipt is signed as text, a line for each part, without a line feed at the end.
if [ "$kind" = receipt ]; then
	stream=$file
	case $dinas$gateway in
	*'*'*) fail "a receipt is for one gateway" ;;
	esac
	case $stream in
	*[!0-9a-f-]* | '') fail "\"$stream\" is no stream: it stands in each event" ;;
	esac
	case $upto in
	0* | *[!0-9]* | '') fail "\"$upto\" is no number of an event" ;;
	esac
	printf 'gatewayd receipt v1\n%s\n%s\n%s\n%s' "$dinas" "$gateway" "$stream" "$upto" >"$dir/payload"
	sig=$(signature "$dir/payload")
	printf '{"stream":"%s","upto":%s,"sig":"%s"}\n' "$stream" "$upto" "$sig"
	exit
fi
case $kind in
roster)
	entries "$file"
	body="\"entries\":$(cat "$dir/body")"
	;;
hours)
	gatewayd check --hours "$file" >/dev/null || exit 1
	body="\"hours\":$(cat "$file")"
	;;
badge-revoked)
	set -- revoked
	[ -z "$badges" ] || set -- "$@" -key "$badges" -gateway "$gateway"
	badgedocs "$@" "$file" >"$dir/body" || exit 1
	body="\"revoked\":$(cat "$dir/body")"
	;;
badge-keys)
	# What is sealed is bound to the gateway and to the serial of the document.
	[[ $(cat "$file") =~ ^\{\"dinas\":\"([a-z0-9-]+)\",\"gateway\":\"([a-z0-9-]+)\",\"serial\":([1-9][0-9]*),(\"sealed\":\{[^{}]*\})\}$ ]] ||
		fail "$file is not what badgedocs keys prints"
	[ "${BASH_REMATCH[1]}/${BASH_REMATCH[2]}" = "$dinas/$gateway" ] || fail "$file is for ${BASH_REMATCH[1]}/${BASH_REMATCH[2]}, and nobody else can open it"
	[ -z "$given" ] || [ "$given" = "${BASH_REMATCH[3]}" ] || fail "$file is for the serial ${BASH_REMATCH[3]}, and could not be opened under another"
	serial=${BASH_REMATCH[3]} body=${BASH_REMATCH[4]}
	;;
*) usage ;;
esac
printf '{"kind":"%s","dinas":"%s","gateway":"%s","serial":%s,"issued":"%s",%s}' \
	"$kind" "$dinas" "$gateway" "$serial" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$body" >"$dir/payload"

sig=$(signature "$dir/payload")
printf '{"v":1,"payload":"%s","signature":"%s"}\n' \
	"$(openssl base64 -A -in "$dir/payload")" "$sig" >"$dir/message"
[ "$(wc -c <"$dir/message")" -le 500000 ] || fail "$file is too large: a gateway takes 500,000 bytes"
cat "$dir/message"
