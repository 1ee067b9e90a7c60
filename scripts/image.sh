#!/bin/bash
# Makes the SD card of an office at the city's desk: installs and provisions gatewayd in
# a copy of a Raspberry Pi OS image, so that the Pi comes up as this gateway. Only its
# certificate is still to come: the request is there at once, and the gateway fetches
# the certificate itself once the city has signed. One visit is enough where the office
# has a line.
#
#   image.sh IMAGE OFFICE [OUT.img]     (or: make image IMG=IMAGE OFFICE=OFFICE)
#
# Run it as root in the authority's folder (or name that in $CA_DIR), after offices.sh
# has made the office. OUT.img is offices/OFFICE/card.img unless it is named. It holds
# the gateway's key and badge key, as the card will: write it to a card and remove it
# (shred -u). IMAGE itself is not changed, nothing of it is run with rights, and nothing
# of this machine is started or stopped.
#
# For a card that is in this machine already: gatewayd-provision --root, see its manual.
set -euo pipefail
umask 077

dir=${CA_DIR:-.}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
	echo "image: $*" >&2
	exit 1
}

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
	exit 2
fi
image=$1 id=$2
out=${3:-$dir/offices/$id/card.img}
made=$dir/offices/$id
[[ $id =~ ^[a-z0-9-]{1,32}$ ]] || fail "\"$id\" is no id of an office"
[ "$(id -u)" = 0 ] || fail "mounting an image takes root: sudo make image ..."
[ -f "$image" ] || fail "there is no image $image"
[ -f "$made/stick/manifest" ] || fail "there is no $made/stick: first let offices.sh make the office"
[ ! -e "$out" ] || fail "$out is there already: a second card with another key would not be $id. Remove it first"

# In a view of the file systems of its own: whatever ends this, nothing stays mounted.
if [ -z "${IMAGE_ALONE:-}" ]; then
	IMAGE_ALONE=yes exec unshare --mount --propagation private -- bash "$0" "$@"
fi

root=$(mktemp -d)
done=
leave() {
	umount -R "$root" 2>/dev/null || true
	rmdir "$root"
	[ -n "$done" ] || rm -f "$out"
}
trap leave EXIT

# part NUMBER... prints where the first partition of one of these types begins and how
# long it is, in bytes (types of the MBR, and of GPT where the firmware reads that).
part() {
	local start sectors type wanted
	while read -r start sectors type; do
		for wanted in "$@"; do
			if [ "$type" = "$wanted" ]; then
				echo "$((start * 512)) $((sectors * 512))"
				return
			fi
		done
	done < <(partx --noheadings --raw --output START,SECTORS,TYPE "$out")
	return 1
}

# put_at FOLDER OFFSET SIZE mounts a part of the image.
put_at() {
	mount -o "loop,offset=$2,sizelimit=$3,nosuid,nodev" "$out" "$1" ||
		fail "the partition at $2 of $image cannot be mounted (does this kernel know its file system?)"
}

cp --reflink=auto --sparse=always "$image" "$out"
chmod 600 "$out"
at=$(part 0x83 0fc63daf-8483-4772-8e79-3d69d8477de4) || fail "$image has no partition for Linux: is it unpacked (unxz)?"
# shellcheck disable=SC2086 # two words
put_at "$root" $at
[ -s "$root/var/lib/dpkg/status" ] || fail "$image is no Raspberry Pi OS"
boot=$root/boot/firmware
[ -d "$boot" ] || boot=$root/boot
if [ -L "$root/boot" ] || [ -L "$boot" ] || [ ! -d "$boot" ]; then fail "$image has no folder for its firmware"; fi
if at=$(part 0xc 0xb 0xe 0x6 0xef c12a7328-f81f-11d2-ba4b-00a0c93ec93b ebd0a0a2-b9e5-4433-87c0-68b6b72699c7); then
	# shellcheck disable=SC2086
	put_at "$boot" $at
fi
[ -f "$boot/config.txt" ] || fail "$image has no config.txt: it is not for a Pi"

# Each card gets its own identity at its first boot, as Raspberry Pi OS does it. An image
# that was started before would give one to all.
for key in "$root"/etc/ssh/ssh_host_*_key; do
	[ ! -e "$key" ] || fail "$image was started before, it holds ${key#"$root"}: take it as it was downloaded"
done
[ ! -e "$root/var/lib/gatewayd/journal.db" ] || fail "$image is of a gateway that was at work"
if [ -L "$root/etc" ] || [ -L "$root/etc/machine-id" ]; then fail "etc/machine-id of $image is a link"; fi
echo uninitialized >"$root/etc/machine-id"
chmod 444 "$root/etc/machine-id"

bash "$here/install.sh" --root "$root" "$made/stick/"
CITY_FINGERPRINT=$(bash "$here/city/ca.sh" fingerprint) BADGE_PASSPHRASE=$(cat "$made/passphrase") \
	bash "$here/provision.sh" --root "$root" usb "$made/stick" "$id" "$(sed -n 's/^row\t[^\t]*\t\([^\t]*\).*/\1/p' "$made/made-of")"

# The city compares what it signs with what was made here.
openssl req -in "$made/stick/requests/$id.csr" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r |
	cut -c 1-20 | tr a-f A-F | sed 's/..../&-/g; s/-$//' >"$made/fingerprint"
umount -R "$root"
chown --reference="$made/stick" "$out" "$made/fingerprint" "$made/stick/requests" "$made/stick/requests/$id.csr"
done=yes
echo "image: office=$id card=$out request=$made/stick/requests/$id.csr seconds=$SECONDS"
echo "Now: offices.sh OFFICES.csv, which signs the request; write $out to a card (Raspberry Pi Imager, or dd), then: shred -u $out"
