#!/usr/bin/env bash
# Makes the Debian that `make city-kit-test` begins with: a minimal one, with neither
# mosquitto nor openssl, which it has only as packages that apt-get has fetched already,
# for the machines of the test have no way out. It is made once, outside this repository,
# and kept. Prints its folder.
set -euo pipefail

suite=bookworm
cache=${CITY_TREE_CACHE:-/var/tmp/gatewayd-city-tree}
dir=$cache/$suite-$(sha256sum <"$0" | cut -c1-16)

if [ -d "$dir" ]; then
	echo "$dir"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "city-tree: making a Debian needs root: run once as root, or set CITY_TREE_CACHE to where it was made" >&2
	exit 1
fi
if ! command -v debootstrap >/dev/null; then
	apt-get update -qq >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >&2
fi
mkdir -p "$cache"
work=$(mktemp -d "$cache/.$suite.XXXXXX")
trap 'rm -rf "$work"' EXIT
# The mirror that this machine uses itself.
# shellcheck disable=SC2016 # apt fills it in
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}
# What a Debian server has at least.
debootstrap --variant=minbase --include=sudo,ca-certificates,procps "$suite" "$work" "$mirror" >&2
chmod 755 "$work"
cp /etc/resolv.conf "$work/etc/resolv.conf"
chroot "$work" apt-get install -y -qq --download-only mosquitto mosquitto-clients openssl >&2
rm -f "$work/etc/resolv.conf"
mv "$work" "$dir"
trap - EXIT
echo "$dir"
