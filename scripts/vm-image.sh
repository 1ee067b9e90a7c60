#!/usr/bin/env bash
# Makes the disk of the machine that `make vm-test` starts: a small Debian with
# systemd, a kernel, the user pi who may use sudo, and nothing that mounts a stick, as
# Raspberry Pi OS Lite has it. It lies outside this repository, is made once and kept.
# Prints the folder that holds kernel, initrd and root.img.
set -euo pipefail

suite=bookworm
cache=${VM_CACHE:-/var/tmp/gatewayd-vm}
stamp=$(sha256sum <"$0" | cut -c1-16)
dir=$cache/$suite-$stamp

PATH=$PATH:/usr/sbin:/sbin # where Debian puts mkfs.vfat and sfdisk
packages=()
[ -f "$dir/root.img" ] || command -v debootstrap >/dev/null || packages+=(debootstrap)
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
command -v mke2fs >/dev/null || packages+=(e2fsprogs)
command -v sfdisk >/dev/null || packages+=(fdisk)
command -v mkfs.vfat >/dev/null || packages+=(dosfstools)
command -v mcopy >/dev/null || packages+=(mtools)
if { [ ${#packages[@]} -gt 0 ] || [ ! -f "$dir/root.img" ]; } && [ "$(id -u)" != 0 ]; then
	echo "vm-image: making a Debian, and installing what is missing (${packages[*]}), needs root:" \
		"run once as root, or set VM_CACHE to where it was made" >&2
	exit 1
fi
if [ ${#packages[@]} -gt 0 ]; then
	apt-get update -qq >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
fi

if [ -f "$dir/root.img" ]; then
	echo "$dir"
	exit 0
fi

work=$(mktemp -d /var/tmp/gatewayd-vm.XXXXXX)
trap 'rm -rf "$work"' EXIT
root=$work/root
# The mirror that this machine uses itself.
# shellcheck disable=SC2016 # apt fills it in
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}
include=systemd,systemd-sysv,systemd-timesyncd,udev,dbus,kmod,iproute2,openssl,ca-certificates,procps,curl,sudo,linux-image-amd64
debootstrap --arch=amd64 --variant=minbase --include="$include" "$suite" "$root" "$mirror" >&2

# The console is root's, without a password: the machine has no other way in.
chroot "$root" passwd -d root >&2
chroot "$root" useradd --create-home --shell /bin/bash pi >&2
echo 'pi ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/010_pi-nopasswd"
mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d"
cat >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf" <<'UNIT'
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
chroot "$root" systemctl enable systemd-networkd >&2
echo '/dev/vda / ext4 errors=remount-ro,noatime 0 1' >"$root/etc/fstab"
echo vm-test >"$root/etc/hostname"
# The city's names: this machine, as seen from in there.
printf '127.0.1.1 vm-test\n10.0.2.2 mqtt.example.go.id\n' >>"$root/etc/hosts"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

mkdir -p "$work/done"
cp "$root"/boot/vmlinuz-* "$work/done/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/done/initrd.img"
truncate -s 2G "$work/done/root.img"
mke2fs -q -F -t ext4 -d "$root" "$work/done/root.img" >&2
mkdir -p "$cache"
mv "$work/done" "$dir"
echo "$dir"
