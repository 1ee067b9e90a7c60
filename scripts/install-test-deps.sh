#!/bin/sh
# Installs what the tests and `make lint` need beside Go, where it is missing:
#
#   mosquitto          the broker that the tests talk to
#   mosquitto-clients  mosquitto_sub and mosquitto_pub, as the documents use them
#   zstd               what shows batches of events as text
#   gcc libc6-dev      a C compiler, for Go's race detector
#   openssl            to sign as the city does, and to check seals
#   python3            runs the shorter one of the two checkers of seals
#   qemu-user-static   an emulator of a Pi's processor
#   systemd            systemd-analyze, which judges the unit (not as the init system)
#   groff-base         what reads the manual pages
#   lint: shellcheck   what `make lint` needs for scripts
#   make git curl      what builds the package, and installs and renews with it
#
# With the argument `postgresql` also what `make city-test` and `make telegraf-test` need:
#
#   postgresql         the city's database
#
# With the argument `city-demo` only what that runs beside Go: mosquitto and postgresql.
#
# Does nothing where all are there. It takes apt-get, and asks for sudo only where it
# has to install something and is not root.
set -eu

PATH=$PATH:/usr/sbin # where Debian puts mosquitto
missing=
command -v mosquitto >/dev/null || missing="$missing mosquitto"
command -v mosquitto_sub >/dev/null || missing="$missing mosquitto-clients"
command -v zstd >/dev/null || missing="$missing zstd"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
command -v make >/dev/null || missing="$missing make"
command -v git >/dev/null || missing="$missing git"
command -v curl >/dev/null || missing="$missing curl"
command -v groff >/dev/null || missing="$missing groff-base"
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
command -v openssl >/dev/null || missing="$missing openssl"
command -v python3 >/dev/null || missing="$missing python3"
command -v shellcheck >/dev/null || missing="$missing shellcheck"
command -v qemu-arm-static >/dev/null || missing="$missing qemu-user-static"
if [ "${1:-}" = city-demo ]; then
	missing=
	command -v mosquitto >/dev/null || missing=" mosquitto"
	set -- postgresql
fi
if [ "${1:-}" = postgresql ]; then
	set -- "${POSTGRESQL:-/usr/lib/postgresql}"/*/bin/postgres
	[ -x "$1" ] || missing="$missing postgresql"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "install-test-deps: please install:$missing (there is no apt-get here to do it)" >&2
	exit 1
fi

# An array would be nicer, but this is sh: run words through "$@".
set --
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install-test-deps: as root, run: apt-get install$missing" >&2
		exit 1
	fi
	set -- sudo
fi

echo "install-test-deps: installing$missing with ${1:+$1 }apt-get (for the tests only)"
# shellcheck disable=SC2086 # the packages are words
install_them() {
	"$@" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends $missing >/dev/null
}
if ! install_them "$@" 2>/dev/null; then
	"$@" apt-get update -q >/dev/null
	install_them "$@"
fi

# Debian starts the broker and the database that it installs; the tests start their own.
for service in mosquitto postgresql; do
	case $missing in *" $service"*) ;; *) continue ;; esac
	if command -v systemctl >/dev/null && systemctl is-active --quiet "$service" 2>/dev/null; then
		echo "install-test-deps: note: Debian has started $service as a service; the tests do not need it:"
		echo "    sudo systemctl disable --now $service"
	fi
done
echo "install-test-deps: done"
