#!/usr/bin/env bash
# Makes the image of an SD card that `make image-test` prepares: a small Debian for a
# Pi's processor, laid out as Raspberry Pi OS is (a partition for the firmware, one for
# the rest), and its kernel for a machine under QEMU. It is made once and kept, outside
# this repository. Prints the folder that holds card.img, vmlinuz and initrd.img.
set -euo pipefail

suite=bookworm
cache=${IMAGE_CACHE:-/var/tmp/gatewayd-image}
stamp=$(sha256sum <"$0" | cut -c1-16)
dir=$cache/$suite-$stamp

if [ "$(id -u)" != 0 ]; then
	echo "pi-image: making a Debian needs root: run once as root, or set IMAGE_CACHE to where it was made" >&2
	exit 1
fi
packages=()
command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
command -v arch-test >/dev/null || packages+=(arch-test)
command -v sfdisk >/dev/null || packages+=(fdisk)
command -v mkfs.vfat >/dev/null || packages+=(dosfstools)
command -v mcopy >/dev/null || packages+=(mtools)
command -v mke2fs >/dev/null || packages+=(e2fsprogs)
command -v qemu-system-aarch64 >/dev/null || packages+=(qemu-system-arm)
command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
if [ ${#packages[@]} -gt 0 ]; then
	apt-get update -qq >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
fi

if [ -f "$dir/card.img" ]; then
	echo "$dir"
	exit 0
fi
work=$(mktemp -d /var/tmp/gatewayd-image.XXXXXX)
binfmt=/proc/sys/fs/binfmt_misc
mounted=''
registered=''
leave() {
	[ -z "$registered" ] || echo -1 >"$binfmt/qemu-aarch64"
	[ -z "$mounted" ] || umount "$binfmt"
	rm -rf --one-file-system "$work"
}
trap leave EXIT

# Debian's own scripts run on the Pi's processor: the kernel is told by what, and
# forgets it again at the end.
if [ ! -e "$binfmt/register" ]; then
	mount -t binfmt_misc binfmt_misc "$binfmt"
	mounted=yes
fi
if [ ! -e "$binfmt/qemu-aarch64" ]; then
	cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$binfmt/register"
	registered=yes
fi

root=$work/root
# The mirror that this machine uses itself.
# shellcheck disable=SC2016 # apt fills it in
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)}
include=systemd-sysv,udev,dbus,kmod,iproute2,openssl,ca-certificates,curl,procps,e2fsprogs,linux-image-cloud-arm64
mmdebstrap --quiet --mode=root --variant=minbase --architectures=arm64 --include="$include" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	"$suite" "$root" "$mirror" >&2

# As a card of Raspberry Pi OS that has never been started: no machine id, no keys.
echo uninitialized >"$root/etc/machine-id"
echo raspberrypi >"$root/etc/hostname"
echo '/dev/vda2 / ext4 defaults,noatime 0 1' >"$root/etc/fstab"
# The console is root's, without a password: the machine has no other way in.
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
mkdir -p "$root/etc/systemd/system/serial-getty@ttyAMA0.service.d" "$root/boot/firmware"
cat >"$root/etc/systemd/system/serial-getty@ttyAMA0.service.d/autologin.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear %I dumb
UNIT
cat >"$root/etc/systemd/network/10-wired.network" <<'NETWORK'
[Match]
Name=en*
[Network]
DHCP=ipv4
NETWORK
systemctl --root="$root" --quiet enable systemd-networkd
echo '10.0.2.2 mqtt.test' >>"$root/etc/hosts"

mkdir -p "$work/done" "$work/boot"
cp "$root"/boot/vmlinuz-* "$work/done/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/done/initrd.img"
rm -rf "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
printf '%s\n' '# For more options and information see' '#dtparam=spi=on' 'dtparam=audio=on' '[all]' >"$work/boot/config.txt"
echo 'console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait' >"$work/boot/cmdline.txt"

# The firmware reads FAT. A kernel that does not know it gets the same in ext2.
truncate -s 64M "$work/boot.img"
if grep -q vfat /proc/filesystems || modprobe vfat 2>/dev/null; then
	mkfs.vfat -F 32 "$work/boot.img" >&2
	mcopy -i "$work/boot.img" "$work"/boot/* ::
else
	echo "pi-image: this kernel knows no FAT: the firmware's partition is ext2" >&2
	mke2fs -q -F -t ext2 -d "$work/boot" "$work/boot.img" >&2
fi
truncate -s 1400M "$work/root.img"
mke2fs -q -F -t ext4 -d "$root" "$work/root.img" >&2
card=$work/done/card.img
truncate -s $((4 + 64 + 1400))M "$card"
sfdisk --quiet --label dos "$card" <<'TABLE' >&2
start=4MiB, size=64MiB, type=c
start=68MiB, size=1400MiB, type=83
TABLE
dd if="$work/boot.img" of="$card" bs=1M seek=4 conv=notrunc,sparse status=none
dd if="$work/root.img" of="$card" bs=1M seek=68 conv=notrunc,sparse status=none
mkdir -p "$cache"
mv "$work/done" "$dir"
echo "$dir"
