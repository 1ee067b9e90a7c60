#!/usr/bin/env bash
# Runs the binaries for the Pis under user emulation: the demo on a Pi's 64-bit
# processor, and on that of the first Pi and the Zero (ARMv6). Fails unless
# everything was delivered.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v qemu-aarch64-static >/dev/null || ! command -v qemu-arm-static >/dev/null; then
	if [ "$(id -u)" != 0 ]; then
		echo "qemu-demo: qemu-user-static is not installed; run as root: apt-get install qemu-user-static" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static
fi

demo() {
	local name=$1 out last
	shift
	out=$(timeout 120 "$@" demo --for 10s)
	last=${out##*$'\n'}
	echo "$name: $last"
	case $last in
	"demo: "*" lost=0 "*) ;;
	*) return 1 ;;
	esac
}
demo arm64 qemu-aarch64-static -cpu cortex-a53 bin/gatewayd-linux-arm64
demo armv6 qemu-arm-static -cpu arm1176 bin/gatewayd-linux-armv6
