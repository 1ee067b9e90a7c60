#!/bin/bash
# Makes a gateway of a Pi that has the package: its key, its certificate, its
# configuration. Installed as gatewayd-provision. Each step may be done again.
#
#   gatewayd-provision usb [FOLDER] ID DINAS  all of it, from the city's stick, as
#                                             far as it can; says what comes next.
#                                             Without FOLDER the stick is looked for,
#                                             and mounted read-only if nobody has. With
#                                             the city's certificate it ends in start
# or step by step:
#   gatewayd-provision request ID [FOLDER]    makes the keys (one for the broker, one that
#                                             seals the journal), and a request for the
#                                             city in FOLDER; --new-key: new ones
#   gatewayd-provision badge-key ID [FILE]    this gateway's badge key, derived from
#                                             the city's; without FILE that is typed,
#                                             and not shown
#   gatewayd-provision config TEMPLATE ID DINAS
#   gatewayd-provision accept CERTIFICATE [CITY-CA]   ID.pem, and ID.seal.pem beside it
#   gatewayd-provision renew-url URL          where renewed certificates will be:
#                                             https://.../issued, or a step-ca with
#                                             step:https://...
#   gatewayd-provision start                  checks, and starts the gateway
# and later:
#   gatewayd-provision rename [FOLDER] ID DINAS   gives a gateway at its office another
#                                             id, in two visits as usb does, or another
#                                             department; it works meanwhile
#   gatewayd-provision seal-key               gives a gateway that has none a key that
#                                             seals its journal, and leaves a request that
#                                             the city fetches; an upgrade does it by itself
#   gatewayd-provision retire                 takes keys, certificates and badge key off.
#                                             The Pi can be another gateway after that,
#                                             at another office: gatewayd-provision usb
# Both put the journal aside, in /var/lib/gatewayd/former/ID.
# for the city, which makes the sticks (offices.sh); neither changes anything:
#   gatewayd-provision list-offices OFFICES.csv   checks the list of offices
#   gatewayd-provision print-config TEMPLATE ID DINAS [OFFICES.csv]
# Rename and retire deliver what waits, under the old id, and refuse where they cannot;
# --force goes on all the same. After a rename, what is left can be delivered later:
# gatewayd deliver --state /var/lib/gatewayd/former/ID.
#
# The first time that a Pi meets a city it asks for the fingerprint of the city's
# authority, which is on the technician's paper (ca.sh fingerprint) and not on the
# stick. After that it takes nothing that this city has not signed.
#
# --root DIR works in a root elsewhere, for an SD card in a laptop: it runs and starts
# nothing of this machine. "start" then lets the card start its gateway by itself.
set -euo pipefail
umask 077

root=
renew_key= # yes: another key; next: the one that was made last
force=
patience=60 # seconds that a program may take which runs as the gateway's user
aside=      # where the journal of a name that ended is, below the gateway's folder
later=      # yes: another authority takes its place only with what is issued by it

indonesian() {
	case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
	id | id_* | id.*) return 0 ;;
	esac
	return 1
}

# say ENGLISH INDONESIAN
say() { if indonesian; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }

fail() {
	printf 'gatewayd-provision: %s\n' "$(say "$1" "${2:-$1}")" >&2
	exit 1
}

# place FILE OWNER MODE <content: whole or not at all, and never with more rights
# than it will have. The folder has to be one that only root may write.
place() {
	rm -f "$1.new"
	(set -o noclobber && cat >"$1.new")
	chown -h "$(id_of passwd "${2%:*}"):$(id_of group "${2#*:}")" "$1.new"
	chmod "$3" "$1.new"
	sync "$1.new"
	mv -f "$1.new" "$1"
	sync "$(dirname "$1")"
}

# as_gateway PROGRAM...: with the rights of the gateway's user, in its state folder.
# Root opens nothing below that folder: whoever has taken the gateway over could put
# a link there, and swap it at any moment. No path above is needed: a card that is
# mounted in somebody's own folder works too.
as_gateway() {
	local user group
	user=$(id_of passwd gatewayd)
	group=$(id_of group gatewayd)
	(cd "$root/var/lib/gatewayd" && exec setpriv --reuid="$user" --regid="$group" --clear-groups --inh-caps=-all -- timeout "$patience" "$@")
}

# keep FILE MODE <content: place in the gateway's own folder.
keep() {
	# shellcheck disable=SC2016 # the inner shell expands these
	as_gateway sh -c 'umask 077 && rm -f "$1.new" && set -C && cat >"$1.new" && chmod "$2" "$1.new" &&
		sync "$1.new" && mv -f "$1.new" "$1" && sync tls' sh "$1" "$2" ||
		fail "the gateway's user cannot write $root/var/lib/gatewayd/$1" "pengguna gatewayd tidak dapat menulis $root/var/lib/gatewayd/$1"
}

# own FILE: whether the gateway has a file of its own there, and no link to another's.
# shellcheck disable=SC2016 # the inner shell expands these
own() { as_gateway sh -c 'test ! -L tls && test -f "$1" && test ! -L "$1"' sh "$1"; }

# no_links fails if a path of the root elsewhere, as far as root opens it, leads through
# a link: that would lead to files of this machine. What is below the gateway's own
# folder is opened with the rights of its user (as_gateway).
no_links() {
	local path part at
	[ -d "$root" ] || fail "there is no folder \"$root\"" "folder \"$root\" tidak ada"
	for path in etc/passwd etc/group etc/gatewayd etc/systemd/system/multi-user.target.wants etc/systemd/system/timers.target.wants \
		usr/share/doc/gatewayd/gatewayd.toml usr/lib/systemd/system usr/bin/gatewayd var/lib/gatewayd \
		boot/firmware/config.txt boot/firmware/cmdline.txt; do
		at=$root
		for part in ${path//\// }; do
			at=$at/$part
			[ ! -L "$at" ] || fail "$at is a link: this card has been changed, so nothing is done with it" \
				"$at adalah tautan: kartu ini telah diubah, jadi tidak dikerjakan"
		done
	done
	path=$(find "$etc" -maxdepth 1 ! -type f ! -type d -print 2>/dev/null | head -n 1)
	[ -z "$path" ] || fail "$path is no ordinary file: this card has been changed, so nothing is done with it" \
		"$path bukan berkas biasa: kartu ini telah diubah, jadi tidak dikerjakan"
}

id_of() {
	local id
	if [ "$2" = root ]; then
		echo 0
		return
	fi
	id=$(awk -F: -v name="$2" '$1 == name { print $3; exit }' "$root/etc/$1")
	[ -n "$id" ] || fail "there is no $2 in $root/etc/$1: install the package first" "$2 tidak ada di $root/etc/$1: pasang paket dahulu"
	echo "$id"
}

check_id() {
	[[ ${1:-} =~ ^[a-z0-9-]{1,32}$ ]] ||
		fail "\"${1:-}\" is no $2: 1 to 32 of a-z, 0-9 and - (such as dinkes-01)" "\"${1:-}\" bukan $2: 1 sampai 32 dari a-z, 0-9 dan - (misalnya dinkes-01)"
}

# own_id prints who this gateway is by its configuration, nothing before it has one
# of its own.
own_id() { own_name id; }

# own_name KEY prints what the configuration says of the gateway's id or dinas.
own_name() {
	[ -f "$etc/gatewayd.toml" ] && ! cmp -s "$etc/gatewayd.toml" "$root/usr/share/doc/gatewayd/gatewayd.toml" || return 0
	awk -F'"' -v key="$1" '/^[ \t]*\[/ { here = ($0 ~ /^[ \t]*\[gateway\]/) } here && $0 ~ "^[ \t]*" key "[ \t]*=" { print $2; exit }' "$etc/gatewayd.toml"
}

# same_id ID fails if this gateway is another one: with the certificate of one and
# the configuration of the other, the broker would hang up on it for ever.
same_id() {
	local own
	own=$(own_id)
	[ -z "$own" ] || [ "$own" = "$1" ] ||
		fail "this gateway is $own, not $1. To give it another id: gatewayd-provision rename $1 DINAS" \
			"gateway ini $own, bukan $1. Untuk mengganti id: gatewayd-provision rename $1 DINAS"
}

# name_in FILE prints the name in a certificate.
name_in() { openssl x509 -in "$1" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p'; }

need() { command -v "$1" >/dev/null || fail "$1 is missing: sudo apt-get install $1" "$1 tidak ada: sudo apt-get install $1"; }

request() {
	local id=${1:-} to=${2:-$PWD} next='' fingerprint
	check_id "$id" ID
	[ "$renew_key" = next ] || same_id "$id"
	need openssl
	as_gateway sh -c 'test -d tls && test ! -L tls' || fail "$root/var/lib/gatewayd/tls is not there: install the package first" \
		"$root/var/lib/gatewayd/tls tidak ada: pasang paket dahulu"
	if [ -n "$renew_key" ]; then
		next=.next # they take their places with their certificates
		[ "$renew_key" = next ] || as_gateway rm -f tls/gateway.key.next tls/seal.key.next
	fi
	own "tls/gateway.key$next" ||
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | keep "tls/gateway.key$next" 600
	make_seal_key "$next"
	print_request "$id" "$next" >"$work/request"
	[ ! -L "$to" ] || fail "$to is a link" "$to adalah tautan"
	mkdir -p "$to"
	rm -f "$to/$id.csr" # and no link in its place is written through
	(set -o noclobber && umask 022 && cat "$work/request" >"$to/$id.csr")
	sync "$to/$id.csr"
	# Where the stick was mounted for this is of no use to anybody.
	[ -z "$mounted" ] || to=STICK/requests
	say "The request is $to/$id.csr. Bring it to the city: ca.sh sign $id.csr. The keys stay here." \
		"Permintaan sertifikat: $to/$id.csr. Bawa ke kota: ca.sh sign $id.csr. Kunci tetap di sini."
	fingerprint=$(openssl req -in "$work/request" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | groups)
	say "Write down its fingerprint, and let the city compare it: $fingerprint" \
		"Catat sidik jarinya, dan minta kota membandingkannya: $fingerprint"
}

# make_seal_key NEXT makes the key with which the gateway seals its journal, if there is
# none yet: once, for what it has sealed can be checked with this key only.
make_seal_key() {
	local key=tls/seal.key$1 mode
	own "$key" || openssl genpkey -algorithm ed25519 | keep "$key" 600
	mode=$(as_gateway stat -c %a "$key")
	if [ "$mode" != 600 ]; then
		as_gateway chmod 600 "$key" 2>/dev/null || fail "$root/var/lib/gatewayd/$key is not the gateway's own: sudo chown gatewayd:gatewayd $root/var/lib/gatewayd/$key" \
			"$root/var/lib/gatewayd/$key bukan milik gateway: sudo chown gatewayd:gatewayd $root/var/lib/gatewayd/$key"
		say "The mode of $root/var/lib/gatewayd/$key was $mode; now it is 600, as a key has to be." \
			"Mode $root/var/lib/gatewayd/$key tadinya $mode; kini 600, sebagaimana mestinya untuk kunci."
	fi
}

# print_request ID NEXT prints the request for both keys: a block for the one with which the
# gateway calls the broker, and one for the seal key. The first names the second key by its
# SHA-256. So the fingerprint of the first, on the technician's paper, stands for both, and
# nobody can put another second block in.
print_request() {
	local public digest
	public=$(as_gateway openssl pkey -in "tls/seal.key$2" -pubout 2>/dev/null) || public=
	[[ $(openssl pkey -pubin -noout -text <<<"$public" 2>/dev/null) = *ED25519* ]] ||
		fail "$root/var/lib/gatewayd/tls/seal.key$2 is no Ed25519 key that the gateway can read. Remove it, and another one is made, to which the city has to agree" \
			"$root/var/lib/gatewayd/tls/seal.key$2 bukan kunci Ed25519 yang dapat dibaca gateway. Hapus, lalu kunci lain dibuat, yang harus disetujui kota"
	digest=$(openssl pkey -pubin -outform DER <<<"$public" | openssl dgst -sha256 -r | cut -d' ' -f1)
	as_gateway openssl req -new -key "tls/gateway.key$2" -subj "/CN=$1" -addext "nsComment=gatewayd seal key $digest" ||
		fail "the key $root/var/lib/gatewayd/tls/gateway.key$2 cannot be used" "kunci $root/var/lib/gatewayd/tls/gateway.key$2 tidak dapat dipakai"
	as_gateway openssl req -new -key "tls/seal.key$2" -subj "/OU=gatewayd seal/CN=$1"
}

# seal_key gives a gateway that is at work, and has none, a seal key. Nobody carries its
# request anywhere: the gateway shows it in its info, the city fetches it from the broker,
# and the certificate comes as a renewed one does (gatewayd-renew).
seal_key() {
	local id
	id=$(own_id)
	if [ -z "$id" ] || ! own tls/gateway.key; then
		say "This gateway has no key for the broker yet: gatewayd-provision usb, or request, makes both." \
			"Gateway ini belum mempunyai kunci untuk broker: gatewayd-provision usb, atau request, membuat keduanya."
		return 0
	fi
	need openssl
	make_seal_key ""
	! sealed "$id" || return 0
	print_request "$id" "" >"$work/request"
	keep tls/seal.csr 644 <"$work/request"
	say "The seal key of $id is there; the city certifies it when it next renews certificates." \
		"Kunci segel $id tersedia; kota menyertifikasinya saat berikutnya memperbarui sertifikat."
}

# sealed ID: whether the seal key has a certificate for this gateway.
sealed() {
	own tls/seal.pem && as_gateway cat tls/seal.pem | head -c 1048576 >"$work/sealed" && certificate_for "$work/sealed" seal.key &&
		[ "$(name_in "$work/sealed" 2>/dev/null)" = "$1" ]
}

# certificate_for FILE KEY: whether the certificate is for the gateway's key.
certificate_for() {
	local public
	own "tls/$2" || return 1
	public=$(as_gateway openssl pkey -in "tls/$2" -pubout 2>/dev/null) &&
		[ "$(openssl x509 -in "$1" -noout -pubkey 2>/dev/null)" = "$public" ]
}

# loadable: of a certificate from standard input, what the gateway can load. What
# openssl reads (DER, a trusted certificate) need not be that.
loadable() {
	if [ -z "$root" ] && command -v gatewayd >/dev/null; then
		gatewayd certificate --pem /dev/stdin 2>/dev/null
	else # the card's program may be for another processor
		openssl crl2pkcs7 -nocrl -certfile /dev/stdin 2>/dev/null | openssl pkcs7 -print_certs 2>/dev/null |
			sed -n '/^-----BEGIN/,/^-----END/p'
	fi
}

# take FILE NAME copies a file from elsewhere into root's own folder, so that what
# is checked is what is put in place. None of ours is larger than a megabyte.
take() { head -c 1048576 "$1" >"$work/$2" 2>/dev/null; }

# groups shows a digest as people read it to each other: 5 groups of 4 hex digits.
groups() { cut -c 1-20 | tr a-f A-F | sed 's/..../&-/g; s/-$//'; }

# trust CA lets an authority be this gateway's, once somebody has typed its
# fingerprint, which does not come from where the file comes from.
trust() {
	local typed digest
	[ ! -f "$etc/city-ca.pem" ] || [ "$(openssl x509 -in "$1" -outform DER | openssl dgst -sha256 -r)" != "$(openssl x509 -in "$etc/city-ca.pem" -outform DER 2>/dev/null | openssl dgst -sha256 -r)" ] || return 0
	[ ! -f "$etc/city-ca.pem" ] || say "This is another authority than the one that this gateway knows." \
		"Ini otoritas yang lain dari yang dikenal gateway ini." >&2
	typed=${CITY_FINGERPRINT-}
	if [ -z "${CITY_FINGERPRINT+is set}" ]; then
		say "The fingerprint of the city's authority, from your paper (5 groups of 4):" \
			"Sidik jari otoritas kota, dari kertas Anda (5 kelompok, masing-masing 4):" >&2
		IFS= read -r typed || true
	fi
	# More of it does no harm: step-ca shows all 64 digits.
	typed=$(tr -d '[:space:]:-' <<<"$typed" | tr A-F a-f)
	digest=$(openssl x509 -in "$1" -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1)
	[[ ${#typed} -ge 20 && $digest = "$typed"* ]] ||
		fail "the fingerprint is not that of this authority: is the stick from another city?" \
			"sidik jari tidak cocok dengan otoritas ini: apakah stik dari kota lain?"
	# What else the file holds, nobody has compared.
	openssl x509 -in "$1" >"$work/authority"
	[ -n "$later" ] || place "$etc/city-ca.pem" root:gatewayd 644 <"$work/authority"
}

accept() {
	local cert=$work/certificate ca=$work/city-ca.pem name
	need openssl
	if ! take "${1:-}" given || ! loadable <"$work/given" >"$cert" || ! openssl x509 -in "$cert" -noout 2>/dev/null; then
		fail "\"${1:-}\" is no certificate" "\"${1:-}\" bukan sertifikat"
	fi
	if ! take "${2:-$etc/city-ca.pem}" city-ca.pem || ! openssl x509 -in "$ca" -noout 2>/dev/null; then
		fail "\"${2:-$etc/city-ca.pem}\" is no certificate of a CA" "\"${2:-$etc/city-ca.pem}\" bukan sertifikat CA"
	fi
	# Its dates are left to doctor: the Pi's clock may not be set yet.
	openssl verify -no_check_time -purpose sslclient -CAfile "$ca" -untrusted "$cert" "$cert" >/dev/null 2>&1 ||
		fail "$1 was not issued by ${2:-$etc/city-ca.pem}: is it from another city?" \
			"$1 tidak diterbitkan oleh ${2:-$etc/city-ca.pem}: apakah dari kota lain?"
	certificate_for "$cert" gateway.key || certificate_for "$cert" gateway.key.next ||
		fail "$1 is for another key: make a request here (gatewayd-provision request) and have that signed" \
			"$1 untuk kunci lain: buat permintaan di sini (gatewayd-provision request) lalu minta ditandatangani"
	name=$(name_in "$cert")
	[ "$renew_key" = next ] || same_id "$name"
	[ -z "${2:-}" ] || trust "$ca"
	if ! certificate_for "$cert" gateway.key; then
		as_gateway mv -f tls/gateway.key.next tls/gateway.key
	fi
	keep tls/gateway.pem 644 <"$cert"
	say "The certificate of $name is in place, until $(end_of "$cert")." \
		"Sertifikat $name terpasang, berlaku sampai $(end_of "$cert")."
	[ ! -e "${1%.pem}.seal.pem" ] || accept_seal "${1%.pem}.seal.pem" "$name" "$ca"
}

# accept_seal FILE ID CITY-CA takes the certificate of the seal key. One that is not for it
# is left alone: a gateway works without, and says so to the city (alert/seal-key).
accept_seal() {
	local cert=$work/seal
	if ! take "$1" given || ! loadable <"$work/given" >"$cert" || ! openssl verify -no_check_time -CAfile "$3" "$cert" >/dev/null 2>&1 ||
		[ "$(name_in "$cert")" != "$2" ] || { ! certificate_for "$cert" seal.key && ! certificate_for "$cert" seal.key.next; }; then
		say "Note: $1 is not for the seal key of $2, so it is not taken." "Catatan: $1 bukan untuk kunci segel $2, jadi tidak dipakai."
		return 0
	fi
	certificate_for "$cert" seal.key || as_gateway mv -f tls/seal.key.next tls/seal.key
	keep tls/seal.pem 644 <"$cert"
	as_gateway rm -f tls/seal.csr
	say "So is that of its seal key." "Begitu pula sertifikat kunci segelnya."
}

end_of() { openssl x509 -in "$1" -noout -enddate | cut -d= -f2; }

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

# decrypted FILE PASSPHRASE
decrypted() {
	BADGE_PASSPHRASE=$2 openssl enc -d -aes-256-cbc -pbkdf2 -iter 600000 -a -pass env:BADGE_PASSPHRASE -in "$1" 2>/dev/null | tr -d '\0'
}

badge_key() {
	local id=${1:-} file=${2:-} key typed
	check_id "$id" ID
	[ "$renew_key" = next ] || same_id "$id"
	need openssl
	case $file in
	'')
		say "The city's badge key (64 hex digits, not shown):" "Kunci kartu kota (64 digit heksadesimal, tidak ditampilkan):" >&2
		IFS= read -rs key
		;;
	*.enc)
		if [ -z "${BADGE_PASSPHRASE+is set}" ]; then
			say "Passphrase of the badge key:" "Frasa sandi kunci kartu:" >&2
			IFS= read -r BADGE_PASSPHRASE || true
		fi
		# However its words are spelt; or any other, of an older stick.
		for typed in "$(tr 'A-Z-' 'a-z ' <<<"$BADGE_PASSPHRASE" | tr -s ' ' | sed 's/^ //; s/ $//')" "$BADGE_PASSPHRASE"; do
			! key=$(decrypted "$file" "$typed") || [[ ! $key =~ ^([a-z0-9-]{1,32}\ )?[0-9A-Fa-f]{64} ]] || break
			key=
		done
		[ -n "$key" ] || fail "the passphrase is wrong" "frasa sandi salah"
		;;
	*) key=$(cat "$file") ;;
	esac
	# The city's key, of which each gateway gets its own; or lines with a gateway's id
	# and its own key. Neither is ever shown, nor given to a program on its command
	# line, and the city's does not stay here.
	if [[ $key =~ ^[[:space:]]*([0-9A-Fa-f]{64})[[:space:]]*$ ]]; then
		key=$(printf 'gatewayd badge key v1\0%s' "$id" | hmac "${BASH_REMATCH[1]}")
	elif [[ $'\n'$key$'\n' =~ $'\n'"$id "([0-9a-f]{64})$'\n' ]]; then
		key=${BASH_REMATCH[1]}
	elif [[ $key =~ ^[a-z0-9-]{1,32}\ [0-9a-f]{64} ]]; then
		fail "the stick has badge keys, but none for $id: ca.sh bundle FOLDER BADGE.KEY $id" \
			"stik memuat kunci kartu, tetapi tidak untuk $id: ca.sh bundle FOLDER BADGE.KEY $id"
	else
		fail "that is no badge key: 64 hex digits are needed" "itu bukan kunci kartu: perlu 64 digit heksadesimal"
	fi
	place "$etc/badge.key" gatewayd:gatewayd 600 <<<"$key"
	say "The badge key of $id is in place; only the gateway reads it." "Kunci kartu $id terpasang; hanya gateway yang dapat membacanya."
}

configure() {
	local template=${1:-} id=${2:-} dinas=${3:-} file=$etc/gatewayd.toml name='' list=$work/stick/offices.csv
	check_id "$id" ID
	check_id "$dinas" dinas
	if own tls/gateway.pem; then
		as_gateway cat tls/gateway.pem | head -c 1048576 >"$work/own" || true
		name=$(name_in "$work/own" 2>/dev/null) || true
	fi
	[ -z "$name" ] || [ "$name" = "$id" ] ||
		fail "this gateway has the certificate of $name, not of $id: gatewayd-provision rename $id $dinas" \
			"gateway ini memegang sertifikat $name, bukan $id: gatewayd-provision rename $id $dinas"
	[ -f "$list" ] || list=
	print_config "$template" "$id" "$dinas" "$list" >"$work/config"
	if [ -f "$file" ] && ! cmp -s "$file" "$root/usr/share/doc/gatewayd/gatewayd.toml"; then
		place "$file.before" root:gatewayd 640 <"$file"
	fi
	place "$file" root:gatewayd 644 <"$work/config"
	say "The configuration is $file." "Konfigurasi: $file."
	if grep -q '^#@OFFICE@' "$template" && ! grep -q '^\[office\]' "$work/config"; then
		say "Where this office is was not on the stick: no tag is said to be inside or outside until [office] is in it." \
			"Letak kantor ini tidak ada di stik: tag tidak dinyatakan di dalam atau di luar sampai [office] ditulis di sana."
	fi
}

# print_config TEMPLATE ID DINAS [OFFICES.csv] prints a template, filled in for a
# gateway with who it is and with what the city's list of offices says of it. In a
# template
#   @ID@, @DINAS@, @PLACE@ and @CONTACT@ stand for what they say;
#   @READER@ is the reader's name, "door" unless the list says another; where the list
#            says "-" there is no reader, and the whole section is left out;
#   the lines #@RECEIVERS@ and #@OFFICE@ become [[receiver]] and [office].
print_config() {
	local template=${1:-} id=${2:-} dinas=${3:-} list=${4:-} row='' of
	check_id "$id" ID
	check_id "$dinas" dinas
	[ -f "$template" ] || fail "there is no template \"$template\"" "templat \"$template\" tidak ada"
	if [ -n "$list" ]; then
		row=$(list_offices "$list" "$id") ||
			fail "the list of offices is wrong, see above: let the city correct it" \
				"daftar kantor salah, lihat di atas: minta kota memperbaikinya"
		of=$(cut -f 2 <<<"$row")
		[ -z "$of" ] || [ "$of" = "$dinas" ] ||
			fail "in the list of offices $id is of $of, not of $dinas" "dalam daftar kantor, $id milik $of, bukan $dinas"
	fi
	# The row is handed over in the environment: of -v awk would read backslashes.
	OFFICE=$row LC_ALL=C awk -v id="$id" -v dinas="$dinas" '
		BEGIN {
			split(ENVIRON["OFFICE"], cell, "\t")
			value["@ID@"] = id
			value["@DINAS@"] = dinas
			value["@PLACE@"] = text(cell[3])
			value["@CONTACT@"] = text(cell[4])
			value["@READER@"] = cell[8] == "" ? "door" : cell[8]
		}
		# text is a value as it stands between quotes in TOML.
		function text(value,   i, c, out) {
			for (i = 1; i <= length(value); i++) {
				c = substr(value, i, 1)
				out = out (c == "\"" || c == "\\" ? "\\" : "") c
			}
			return out
		}
		# filled puts values in the place of their marks, and looks at none of them again.
		function filled(rest,   out, mark) {
			while (match(rest, /@(ID|DINAS|PLACE|CONTACT|READER)@/)) {
				mark = substr(rest, RSTART, RLENGTH)
				if (mark == "@READER@") named = 1
				out = out substr(rest, 1, RSTART - 1) value[mark]
				rest = substr(rest, RSTART + RLENGTH)
			}
			return out rest
		}
		function receiver(word,   at, protocol, port) {
			at = index(word, "=")
			protocol = substr(word, at + 1)
			port = "/dev/gatewayd/header"
			word = substr(word, 1, at - 1)
			if (at = index(protocol, "@")) {
				port = substr(protocol, at + 1)
				protocol = substr(protocol, 1, at - 1)
			}
			return "[[receiver]]\nname = \"" word "\"\nprotocol = \"" protocol "\"\nport = \"" port "\"\n"
		}
		# end prints what has been gathered of a section.
		function end(   out) {
			out = filled(section)
			if (!(cell[8] == "-" && section ~ /@READER@/)) printf "%s", out
			section = ""
		}
		function wrong(what) { print what >"/dev/stderr"; failed = 1 }
		/^[ \t]*\[/ { end() }
		/^#@RECEIVERS@/ {
			end()
			received = 1
			n = split(cell[9], word, " ")
			for (i = 1; i <= n; i++) printf "%s%s", (i == 1 ? "" : "\n"), receiver(word[i])
			next
		}
		/^#@OFFICE@/ {
			end()
			if (cell[5] != "") printf "[office]\nlat = %s\nlon = %s\nradius_m = %s\n", cell[5], cell[6], cell[7]
			next
		}
		{ section = section $0 "\n" }
		END {
			end()
			if (cell[8] != "" && !named) wrong("the list of offices names a reader, and the template has no @READER@")
			if (cell[9] != "" && !received) wrong("the list of offices names receivers, and the template has no line #@RECEIVERS@")
			exit failed
		}' "$template" || fail "the template \"$template\" cannot be filled in, see above" "templat \"$template\" tidak dapat diisi, lihat di atas"
}

# list_offices FILE [ID] reads the city's list of offices, and prints of each office a
# line with tabs between: id, dinas, place, contact, lat, lon, radius, reader, receivers,
# and the line in the file. Everything that is wrong with the list is reported with its
# line, and then nothing is printed. With an ID only that office is read, and columns
# that are not known are passed over: the list on a stick was checked by who made it, or
# was made by hand.
list_offices() {
	local wrong
	[ -r "$1" ] || fail "there is no list of offices \"$1\"" "daftar kantor \"$1\" tidak ada"
	case $(od -An -tx1 -N2 "$1") in
	' ff fe' | ' fe ff')
		echo "$(basename "$1"):1: is UTF-16: save the list as \"CSV UTF-8\"" >&2
		return 1
		;;
	esac
	wrong=$(LC_ALL=C.UTF-8 grep -naxv '.*' "$1" | head -n 1 | cut -d: -f1) || true
	if [ -n "$wrong" ] && [ $# = 1 ]; then
		printf '%s:%s: %s\n' "$(basename "$1")" "$wrong" "is not UTF-8: save the list as \"CSV UTF-8\"" >&2
		return 1
	fi
	LC_ALL=C awk -v only="${2:-}" -v file="$(basename "$1")" '
		function wrong(what) { printf "%s:%d: %s\n", file, NR, what >"/dev/stderr"; failed = 1 }
		# cells takes a line apart (RFC 4180, without line breaks in a cell).
		function cells(line,   n, i, c, quoted) {
			split("", cell)
			n = 1
			for (i = 1; i <= length(line); i++) {
				c = substr(line, i, 1)
				if (c == "\"") {
					if (quoted && substr(line, i + 1, 1) == c) cell[n] = cell[n] c
					quoted = !quoted
				} else if (c == separator && !quoted) n++
				else cell[n] = cell[n] c
			}
			if (quoted) wrong("a quote is not closed: a cell has to be on one line")
			for (i = 1; i <= n; i++) gsub(/^[ \t]+|[ \t]+$/, "", cell[i])
			# Spreadsheets add empty ones at the end.
			for (filled = n; filled > 0 && cell[filled] == ""; filled--);
			return n
		}
		function of(name) { return name in column ? cell[column[name]] : "" }
		function header(n,   i, name) {
			for (i = 1; i <= filled; i++) {
				name = tolower(cell[i])
				if (name == "radius_m") name = "radius"
				if (!(name in known)) {
					if (only == "") wrong("\"" cell[i] "\" is no column of the list: there are id, dinas, place, contact, lat, lon, radius, reader, receivers")
				} else if (name in column) wrong("the column " name " is there twice")
				else column[name] = i
			}
			for (i = 1; i in needed; i++) if (!(needed[i] in column)) wrong("there is no column " needed[i])
			columns = n
		}
		function degrees(value) { return value ~ /^-?[0-9]+(\.[0-9]+)?$/ }
		# number returns the value of a column as TOML writes it.
		function number(name, least, most, advice,   value) {
			value = of(name)
			if (separator != ",") sub(/,/, ".", value)
			if (!degrees(value) || value + 0 < least || value + 0 > most) {
				wrong(name " is \"" of(name) "\": " advice)
				return ""
			}
			return value ~ /\./ || name == "radius" ? value : value ".0"
		}
		function position(   lat, lon) {
			lat = of("lat"); lon = of("lon")
			if (lat == "" && lon == "" && of("radius") == "") return "\t\t"
			if (separator != ",") { sub(/,/, ".", lat); sub(/,/, ".", lon) }
			if (only != "") return number("lat", -90, 90, "degrees, such as -7.9778") "\t" number("lon", -180, 180, "degrees, such as 112.634") "\t" number("radius", 1, 100000, "metres, 1 to 100000")
			if (degrees(lat) && degrees(lon) && lat + 0 >= 94 && lat + 0 <= 142 && lon + 0 >= -12 && lon + 0 <= 7) {
				wrong("lat and lon are swapped: lat is " lon ", lon is " lat)
				return "\t\t"
			}
			return number("lat", -11.5, 6.5, "degrees within Indonesia, -11.5 to 6.5, such as -7.9778") "\t" number("lon", 94.5, 141.5, "degrees within Indonesia, 94.5 to 141.5, such as 112.634") "\t" number("radius", 1, 100000, "metres, 1 to 100000")
		}
		function isname(value) { return value ~ /^[a-z0-9-]+$/ && length(value) <= 32 }
		function words(name,   value) {
			value = of(name)
			if (value ~ /[\001-\037\177]/) wrong(name " has a control character")
			if (length(value) > 200) wrong(name " has more than 200 bytes")
			return value
		}
		function receivers(   n, i, word, parts, at, names, ports, port, all) {
			split("", names); split("", ports)
			n = split(of("receivers"), word, /[ \t]+/)
			for (i = 1; i <= n; i++) {
				at = index(word[i], "@")
				port = at ? substr(word[i], at + 1) : "/dev/gatewayd/header"
				if (split(at ? substr(word[i], 1, at - 1) : word[i], parts, "=") != 2 || !isname(parts[1]))
					wrong("the receiver \"" word[i] "\" is not NAME=PROTOCOL or NAME=PROTOCOL@PORT, with a name of 1 to 32 of a-z, 0-9 and -")
				else if (!(parts[2] in protocols)) wrong("\"" parts[2] "\" of the receiver " parts[1] " is no protocol: idas, kenwood, meshtastic, reyax or waypoint")
				else if (port !~ /^\/dev\/[A-Za-z0-9._:+\/-]+$/ || port ~ /\.\./) wrong("\"" port "\" of the receiver " parts[1] " is no port: it begins with /dev/")
				else if (parts[1] in names) wrong("two receivers are called " parts[1])
				else if (port in ports) wrong("two receivers are at " port)
				names[parts[1]]; ports[port]
				all = all (i > 1 ? " " : "") word[i]
			}
			return all
		}
		function office(   id, dinas, reader) {
			id = of("id"); dinas = of("dinas"); reader = of("reader")
			if (!isname(id)) wrong("\"" id "\" is no id: 1 to 32 of a-z, 0-9 and - (such as dinkes-01)")
			else if (id in lines) wrong("the id " id " is that of line " lines[id] " as well")
			else if (of_the_city(id)) wrong("\"" id "\" is a name of the city itself")
			lines[id] = NR
			if ((only == "" || dinas != "") && !isname(dinas)) wrong("\"" dinas "\" is no dinas: 1 to 32 of a-z, 0-9 and - (such as dinkes)")
			if (reader != "" && reader != "-" && !isname(reader)) wrong("\"" reader "\" is no name of a reader: 1 to 32 of a-z, 0-9 and -, or only - for none")
			all = all id "\t" dinas "\t" words("place") "\t" words("contact") "\t" position() "\t" reader "\t" receivers() "\t" NR "\n"
		}
		# These are the names of the programs in ca.sh, which no gateway can have.
		function of_the_city(id) { return id ~ /^(recorder|clock|admin|city|monitor|broker|telegraf-.*)$/ }
		BEGIN {
			split("id dinas place contact lat lon radius reader receivers", needed, " ")
			for (i in needed) known[needed[i]]
			split(only == "" ? "id dinas lat lon radius" : "id lat lon radius", needed, " ")
			split("idas kenwood meshtastic reyax waypoint", word, " ")
			for (i in word) protocols[word[i]]
		}
		{ sub(/\r$/, "") }
		NR == 1 { sub(/^\357\273\277/, "") }
		!separator && tolower($0) ~ /^sep=.$/ { separator = substr($0, 5); next }
		!columns {
			if (!separator) separator = /;/ ? ";" : /\t/ ? "\t" : ","
			header(cells($0))
			if (failed) exit
			next
		}
		{ n = cells($0) }
		filled == 0 { next }
		only != "" && of("id") != only { next }
		n > columns && only == "" { wrong("there are " n " cells, and the heading has " columns (separator == "," ? ": numbers have a point, not a comma, and a text with a comma stands in quotes" : "")); next }
		{ office() }
		END {
			if (!columns && !failed) wrong("is empty")
			if (columns && !failed && only == "" && all == "") wrong("there is no office in it")
			if (!failed) printf "%s", all
			exit failed
		}' "$1"
}

renew_url() {
	local url=${1:-}
	case $url in
	https://* | file:/* | step:https://*) ;;
	*) fail "\"$url\": it begins with https://, or step:https:// for a step-ca" "\"$url\": harus diawali https://, atau step:https:// untuk step-ca" ;;
	esac
	case $url in
	*[!A-Za-z0-9:/._~%-]*) fail "\"$url\" has characters that no address has" "\"$url\" memuat karakter yang tidak ada dalam alamat" ;;
	esac
	place "$etc/renew.conf" root:gatewayd 644 <<<"$url"
	say "Each day a renewed certificate is looked for at $url." "Setiap hari sertifikat baru dicari di $url."
}

# right_config fails if the configuration is wrong. That there is no certificate yet is
# no mistake as long as there is somebody to fetch it from: the gateway records taps, and
# connects as soon as it is there.
right_config() {
	local said
	if said=$(check_config 2>&1); then
		[ -z "$said" ] || printf '%s\n' "$said"
	elif ! own tls/gateway.pem && own tls/gateway.key && [ -f "$etc/renew.conf" ] && ! grep -v ': mqtt\.cert_file: ' <<<"$said" >/dev/null; then
		say "There is no certificate yet: it is fetched from $(cat "$etc/renew.conf") once the city has signed the request." \
			"Belum ada sertifikat: akan diambil dari $(cat "$etc/renew.conf") setelah kota menandatangani permintaan."
	else
		printf '%s\n' "$said" >&2
		fail "the configuration is wrong, see above" "konfigurasi salah, lihat di atas"
	fi
}

# check_config has the gateway itself read the configuration: on a card its own program,
# shut in there with the rights of its user, and with the processor of a Pi emulated
# where this machine has another.
check_config() {
	local user group machine emulator=''
	if [ -z "$root" ]; then
		as_gateway gatewayd check
		return
	fi
	# Of an ELF file, the byte that names the processor.
	case $(od -An -tu1 -j18 -N1 "$root/usr/bin/gatewayd" | tr -d ' ') in
	183) machine=aarch64 ;;
	40) machine=arm ;;
	62) machine=x86_64 ;;
	*) machine=none ;;
	esac
	if [ "$machine" != "$(uname -m)" ]; then
		emulator=$(command -v "qemu-$machine-static") || {
			say "The configuration was not checked: on this machine that takes qemu-user-static." \
				"Konfigurasi tidak diperiksa: di mesin ini diperlukan qemu-user-static."
			return 0
		}
	fi
	if ! unshare --mount --net --ipc -- true 2>/dev/null; then
		say "The configuration was not checked: this machine does not let its root shut a program in." \
			"Konfigurasi tidak diperiksa: mesin ini tidak mengizinkan root mengurung program."
		return 0
	fi
	user=$(id_of passwd gatewayd)
	group=$(id_of group gatewayd)
	# The emulator lies on the card only as long as the program runs, in memory.
	# shellcheck disable=SC2016 # the inner shell expands these
	timeout 60 unshare --mount --net --ipc -- sh -c '
		root=$1 user=$2 group=$3 emulator=$4
		set -- /usr/bin/gatewayd check
		mount -t tmpfs -o mode=755 none "$root/run" || exit
		if [ -n "$emulator" ]; then
			install -m 755 "$emulator" "$root/run/emulator" && set -- /run/emulator "$@" || exit
		fi
		exec setpriv --no-new-privs -- chroot --userspec="$user:$group" --groups= "$root" "$@"
	' sh "$root" "$user" "$group" "$emulator"
}

# firmware FILE prints where a file of the firmware's partition is: since Bookworm in
# /boot/firmware, and the old place holds a note that says so.
firmware() {
	local file
	for file in "$root/boot/firmware/$1" "$root/boot/$1"; do
		[ -z "$root" ] || [ ! -L "$file" ] || continue
		if [ -f "$file" ] && ! grep -q 'DO NOT EDIT THIS FILE' "$file"; then
			printf '%s' "$file"
			return
		fi
	done
}

# rewrite FILE <content: FAT has no owners, so it keeps those that it has.
rewrite() {
	cat >"$1.new"
	sync "$1.new"
	mv -f "$1.new" "$1"
	sync "$(dirname "$1")"
}

# header_port gives a receiver on the header's pins its serial port: switched on, and
# without the console that talks into it.
header_port() {
	local config cmdline
	grep -Eq '^[[:space:]]*port[[:space:]]*=[[:space:]]*"/dev/(gatewayd/header|serial0|ttyAMA0|ttyS0)"' "$etc/gatewayd.toml" || return 0
	config=$(firmware config.txt)
	if [ -z "$config" ]; then
		say "Note: there is no config.txt in $root/boot/firmware, so the serial port of the header was not switched on." \
			"Catatan: config.txt tidak ada di $root/boot/firmware, jadi port serial pada header tidak diaktifkan."
		return 0
	fi
	if ! awk '
		{ sub(/\r$/, ""); sub(/#.*/, ""); gsub(/[ \t]/, "") }
		/^\[/ { of = $0; next }
		(of == "" || of == "[all]") && /^enable_uart=/ { on = ($0 == "enable_uart=1") }
		(of == "" || of == "[all]" || of == "[pi5]") && /^dtparam=(.*,)?uart0(=on)?(,|$)/ { pi5 = 1 }
		END { exit !(on && pi5) }' "$config"; then
		{
			cat "$config"
			printf '\n[all]\n# The receiver of gatewayd on the pins of the header.\nenable_uart=1\n[pi5]\ndtparam=uart0=on\n[all]\n'
		} >"$work/config.txt"
		rewrite "$config" <"$work/config.txt"
		say "The serial port of the header is now on in $config, from the next boot on." \
			"Port serial pada header kini diaktifkan di $config, mulai boot berikutnya."
	fi
	cmdline=$(firmware cmdline.txt)
	if [ -n "$cmdline" ] && grep -Eq '(^| )console=(serial0|ttyAMA0|ttyS0)' "$cmdline"; then
		sed -E 's/(^| )console=(serial0|ttyAMA0|ttyS0)[^ ]*//g; s/^ +//' "$cmdline" >"$work/cmdline.txt"
		rewrite "$cmdline" <"$work/cmdline.txt"
		say "The console no longer talks into the serial port of the header ($cmdline)." \
			"Konsol tidak lagi memakai port serial pada header ($cmdline)."
	fi
}

start() {
	local units="gatewayd.service gatewayd-renew.timer gatewayd-first-certificate.timer"
	right_config
	header_port
	if [ -z "$root" ]; then
		# shellcheck disable=SC2086 # the units are words
		systemctl enable $units
		systemctl start gatewayd-renew.timer gatewayd-first-certificate.timer
		systemctl restart gatewayd ||
			fail "the gateway does not start: journalctl -u gatewayd" "gateway tidak dapat dijalankan: journalctl -u gatewayd"
	else
		# shellcheck disable=SC2086
		systemctl --root="$root" --quiet enable $units
	fi
	[ -f "$etc/renew.conf" ] || say "Note: nothing renews the certificate of this gateway. Name where the city puts renewed ones: sudo gatewayd-provision renew-url https://..." \
		"Catatan: tidak ada yang memperbarui sertifikat gateway ini. Sebutkan tempat kota menaruh yang baru: sudo gatewayd-provision renew-url https://..."
	if [ -n "$root" ]; then
		say "The card is ready: $(own_id) starts with it." "Kartu siap: $(own_id) berjalan bersamanya."
	else
		gatewayd doctor || say "It runs. What is named above remains to be mended." "Gateway berjalan. Yang disebut di atas masih perlu diperbaiki."
	fi
}

# check_stick FOLDER copies what the city has put on a stick to $work/stick, and fails
# unless the city signed all of it. A stick goes through many hands.
check_stick() {
	local stick=$1 digest name found
	for name in manifest manifest.sig city-ca.pem; do
		take "$stick/$name" "$name" || fail "$stick has no $name: ca.sh bundle puts it there" "$stick tidak memuat $name: dibuat dengan ca.sh bundle"
	done
	openssl x509 -in "$work/city-ca.pem" -noout 2>/dev/null ||
		fail "$stick/city-ca.pem is no certificate of a CA" "$stick/city-ca.pem bukan sertifikat CA"
	if ! openssl x509 -in "$work/city-ca.pem" -noout -pubkey >"$work/public" ||
		! openssl dgst -sha256 -verify "$work/public" -signature "$work/manifest.sig" "$work/manifest" >/dev/null 2>&1 ||
		[ "$(head -n 1 "$work/manifest")" != "gatewayd stick v1" ]; then
		fail "the manifest of $stick is not signed by its authority: let the city make the stick anew" \
			"manifes $stick tidak ditandatangani otoritasnya: minta kota membuat stik lagi"
	fi
	mkdir -p "$work/stick"
	while read -r digest name; do
		[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._+~-]*$ ]] || continue
		case $name in
		*.toml | *.pem | *.enc | *.csv | renew-url)
			take "$stick/$name" "stick/$name" || true
			found=$work/stick/$name
			;;
		*) found=$stick/$name ;; # a package: as large as it is, and not used here
		esac
		[ "$(openssl dgst -sha256 -r <"$found" 2>/dev/null | cut -d' ' -f1)" = "$digest" ] ||
			fail "$stick/$name is not what the city put there: let the city make the stick anew" \
				"$stick/$name bukan yang ditaruh kota di sana: minta kota membuat stik lagi"
	done < <(tail -n +2 "$work/manifest")
	trust "$work/city-ca.pem"
}

leave() {
	if [ -n "$mounted" ]; then
		umount "$mounted" && rmdir "$mounted" && say "The stick can be taken out." "Stik boleh dicabut."
	fi
	rm -rf --one-file-system "$work"
}

# of_office FOLDER prints where on a stick the city's files for this gateway are: a stick
# for several offices has a folder for each.
of_office() {
	local at
	for at in "$1/$id" "$1"; do
		if is_stick "$at"; then
			printf '%s' "$at"
			return
		fi
	done
	return 1
}

is_stick() { [ -f "$1/manifest" ] && [ "$(head -c 17 "$1/manifest" 2>/dev/null)" = "gatewayd stick v1" ]; }

# find_stick sets stick to where the city's stick is. Raspberry Pi OS without a
# desktop mounts none by itself.
find_stick() {
	local name removable at try found=()
	need lsblk
	try=$(mktemp -d)
	while read -r name removable at; do
		[ "$removable" = 1 ] || continue
		at=$(printf '%b' "$at") # lsblk writes spaces as \x20
		if [ -n "$at" ]; then
			! of_office "$at" >/dev/null || found+=("$at")
		elif mount -o ro,nosuid,nodev,noexec "$name" "$try" 2>/dev/null; then
			! of_office "$try" >/dev/null || found+=("$name")
			umount "$try"
		fi
	done < <(lsblk -nrpo NAME,HOTPLUG,MOUNTPOINT)
	case ${#found[@]} in
	1) ;;
	0)
		rmdir "$try"
		fail "no stick of the city is in this machine: put it in, or name its folder" \
			"tidak ada stik kota di mesin ini: pasang, atau sebutkan foldernya"
		;;
	*)
		rmdir "$try"
		fail "there are ${#found[@]} sticks: ${found[*]}; take one out" "ada ${#found[@]} stik: ${found[*]}; cabut salah satu"
		;;
	esac
	stick=${found[0]}
	if [ -d "$stick" ]; then
		rmdir "$try"
		stick=$(of_office "$stick")
		say "The stick is at $stick." "Stik ada di $stick."
		return 0
	fi
	mount -o ro,nosuid,nodev,noexec "$stick" "$try"
	mounted=$try
	say "The stick $stick was not mounted: it is now, read-only, until this is done." \
		"Stik $stick belum terpasang: kini dipasang, hanya-baca, sampai selesai."
	stick=$(of_office "$try")
}

# request_to asks for a certificate on the stick: for that alone it is written to, also
# where somebody has mounted it read-only.
request_to() { # STICK ID
	local readonly='' at=$1
	if [ ! -w "$1" ]; then
		readonly=yes
		at=$(findmnt -nlo TARGET -T "$1") || at=$1 # it may be one folder of several on the stick
		mount -o remount,rw "$at" || fail "the stick at $at cannot be written: mount it anew, and see whether it has a switch" \
			"stik di $at tidak dapat ditulisi: pasang lagi, dan periksa apakah ada sakelarnya"
	fi
	request "$2" "$1/requests"
	[ -z "$readonly" ] || mount -o remount,ro "$at"
}

# start_or_say: a card on which the package is not installed cannot be made to start.
start_or_say() {
	if [ -z "$root" ] || [ -f "$root/usr/lib/systemd/system/gatewayd.service" ]; then
		start
	else
		say "In its own machine: sudo gatewayd-provision start" "Di mesinnya sendiri: sudo gatewayd-provision start"
	fi
}

usb() {
	local stick=${1:-} id=${2:-} dinas=${3:-} from=$work/stick
	if [ $# = 2 ]; then
		id=$1 dinas=$2
		check_id "$id" ID
		check_id "$dinas" dinas
		find_stick
	fi
	[ -d "$stick" ] || fail "there is no folder \"$stick\": is the stick in?" "folder \"$stick\" tidak ada: apakah stik sudah terpasang?"
	check_id "$id" ID
	check_id "$dinas" dinas
	need openssl
	same_id "$id"
	! is_stick "$stick/$id" || stick=$stick/$id
	check_stick "$stick"
	[ -f "$from/$dinas.toml" ] || fail "$stick has no template $dinas.toml" "$stick tidak memuat templat $dinas.toml"
	# What the office changed in its configuration stays.
	if [ ! -f "$etc/gatewayd.toml" ] || cmp -s "$etc/gatewayd.toml" "$root/usr/share/doc/gatewayd/gatewayd.toml"; then
		configure "$from/$dinas.toml" "$id" "$dinas"
	fi
	[ -f "$etc/badge.key" ] || [ ! -f "$from/badge.key.enc" ] || badge_key "$id" "$from/badge.key.enc"
	of_city "$from"
	if [ -f "$stick/issued/$id.pem" ] && { certificate_for "$stick/issued/$id.pem" gateway.key ||
		certificate_for "$stick/issued/$id.pem" gateway.key.next; }; then
		accept "$stick/issued/$id.pem"
		if ! sealed "$id"; then
			request_to "$stick" "$id"
			say "The gateway works. Only its seal key has no certificate yet: the city signs this request as well, and this is run once more." \
				"Gateway berfungsi. Hanya kunci segelnya belum bersertifikat: kota menandatangani permintaan ini juga, lalu perintah ini dijalankan sekali lagi."
		fi
		start_or_say
		return 0
	fi
	request_to "$stick" "$id"
	if [ -n "$root" ] && [ -f "$etc/renew.conf" ] && [ -f "$root/usr/lib/systemd/system/gatewayd.service" ]; then
		start
		return 0
	fi
	say "Now: take the stick to the city, have the request signed, and run this again." \
		"Selanjutnya: bawa stik ke kota, minta tanda tangan, lalu jalankan perintah ini lagi."
	[ ! -f "$etc/renew.conf" ] || say "Or, where this office has a line: sudo gatewayd-provision start. It records taps at once, and fetches the certificate when the city has signed." \
		"Atau, jika kantor ini memiliki jaringan: sudo gatewayd-provision start. Tap langsung dicatat, dan sertifikat diambil setelah kota menandatangani."
}

# hand_over stops the gateway, once everything is delivered that it recorded under
# its old name: the topics say which gateway speaks, and another name is another office.
hand_over() {
	local pending try
	if [ -n "$root" ]; then
		say "Note: whether this card holds events that the city does not have yet cannot be told here." \
			"Catatan: apakah kartu ini memuat data yang belum ada di kota tidak dapat diketahui di sini."
		return 0
	fi
	if [ -z "$force" ]; then
		for try in {1..10}; do # what came in just now is on its way
			pending=$(gatewayd status --json 2>/dev/null | sed -n 's/.*"pending": *\([0-9]*\).*/\1/p' | head -n 1) || true
			if [ "${pending:-0}" = 0 ] || [ "$try" = 10 ]; then break; fi
			sleep 1
		done
		case $pending in
		'' | 0) ;;
		*) fail "$pending events wait to be delivered to the city: wait until gatewayd status shows none; or --force" \
			"$pending data menunggu dikirim ke kota: tunggu sampai gatewayd status tidak menunjukkannya; atau --force" ;;
		esac
	fi
	systemctl stop gatewayd
	own journal.db || return 0
	# What came in a moment ago, or waits in a gateway that did not run.
	! patience=600 as_gateway gatewayd deliver || return 0
	if [ -z "$force" ]; then
		systemctl start gatewayd || true
		fail "what waits cannot be delivered to the city, see above; --force goes on all the same" \
			"data yang menunggu tidak dapat dikirim ke kota, lihat di atas; --force tetap melanjutkan"
	fi
	say "What waits is left." "Data yang menunggu tertinggal."
}

# set_aside OLD [keys] puts the journal of a name that ends into former/OLD, and what the
# city had signed for that name. With its keys, what waits there can be delivered later.
set_aside() {
	# shellcheck disable=SC2016 # the inner shell expands these
	aside=$(as_gateway sh -ec 'umask 077
		to=former/$1 n=1
		while [ -e journal.db ] && [ -e "$to/journal.db" ]; do n=$((n + 1)) to=former/$1-$n; done
		[ ! -L former ] && mkdir -p "$to/tls" && [ ! -L tls ]
		for file in ${2:+gateway.pem gateway.key}; do
			[ ! -f "tls/$file" ] || [ -e "$to/tls/$file" ] || cp -P "tls/$file" "$to/tls/$file"
		done
		for file in journal.* roster.json hours.json; do
			[ ! -e "$file" ] || mv -f "$file" "$to/"
		done
		sync "$to" former .
		echo "$to"' sh "$@") ||
		fail "the journal of $1 cannot be put aside in $root/var/lib/gatewayd/former" "jurnal $1 tidak dapat disisihkan di $root/var/lib/gatewayd/former"
}

rename() {
	local stick=${1:-} id=${2:-} dinas=${3:-} from=$work/stick old old_dinas
	if [ $# = 2 ]; then
		id=$1 dinas=$2
	fi
	check_id "$id" ID
	check_id "$dinas" dinas
	need openssl
	old=$(own_id) old_dinas=$(own_name dinas)
	[ -n "$old" ] || fail "this gateway has no id yet: gatewayd-provision usb" "gateway ini belum mempunyai id: gatewayd-provision usb"
	[ "$old" != "$id" ] || [ "$old_dinas" != "$dinas" ] || fail "this gateway is $id already" "gateway ini sudah $id"
	[ $# != 2 ] || find_stick
	[ -d "$stick" ] || fail "there is no folder \"$stick\": is the stick in?" "folder \"$stick\" tidak ada: apakah stik sudah terpasang?"
	! is_stick "$stick/$id" || stick=$stick/$id
	later=yes # until then the gateway needs the authority that it knows
	check_stick "$stick"
	if [ "$old" = "$id" ]; then
		to_department "$stick" "$dinas"
		return 0
	fi
	renew_key=next
	if [ ! -f "$stick/issued/$id.pem" ] || { ! certificate_for "$stick/issued/$id.pem" gateway.key.next &&
		! certificate_for "$stick/issued/$id.pem" gateway.key; }; then
		request_to "$stick" "$id"
		say "Now: take the stick to the city, have the request signed, and run this again. The gateway goes on as $old." \
			"Selanjutnya: bawa stik ke kota, minta tanda tangan, lalu jalankan perintah ini lagi. Gateway tetap berjalan sebagai $old."
		return 0
	fi
	[ ! -f "$etc/badge.key" ] || [ -f "$from/badge.key.enc" ] ||
		fail "$stick has no badge key for $id: ca.sh bundle FOLDER BADGE.KEY $id" "$stick tidak memuat kunci kartu untuk $id: ca.sh bundle FOLDER BADGE.KEY $id"
	hand_over
	set_aside "$old" keys
	# The configuration last: what was interrupted before is done again.
	of_city "$from"
	[ ! -f "$etc/badge.key" ] || badge_key "$id" "$from/badge.key.enc"
	accept "$stick/issued/$id.pem"
	write_name "$id" "$dinas"
	say "$old is $id now. In the city: ca.sh retire $old BROKER; and its roster has to be signed anew." \
		"$old kini menjadi $id. Di kota: ca.sh retire $old BROKER; dan roster harus ditandatangani lagi."
	say "The journal of $old is in /var/lib/gatewayd/$aside. Place, contact and [office] in $etc/gatewayd.toml stay as they are." \
		"Jurnal $old ada di /var/lib/gatewayd/$aside. Tempat, kontak dan [office] di $etc/gatewayd.toml tetap seperti semula."
	say_left
	[ -n "$root" ] || start
}

# to_department STICK DINAS gives a gateway another department: its certificate and its
# badge key are for its id, which stays.
to_department() {
	local old old_dinas
	old=$(own_id) old_dinas=$(own_name dinas)
	hand_over
	set_aside "$old"
	of_city "$work/stick"
	write_name "$old" "$2"
	say "$old is of $2 now. In the city: its roster has to be signed anew, and what the broker keeps below presence/v1/$old_dinas/$old is to be cleared." \
		"$old kini milik $2. Di kota: roster harus ditandatangani lagi, dan yang disimpan broker di bawah presence/v1/$old_dinas/$old harus dihapus."
	say_left
	[ -n "$root" ] || start
}

# say_left says how what could not be delivered reaches the city later.
say_left() {
	[ -n "$force$root" ] || return 0
	say "If it holds events that the city does not have: sudo gatewayd deliver --state /var/lib/gatewayd/$aside" \
		"Bila memuat data yang belum ada di kota: sudo gatewayd deliver --state /var/lib/gatewayd/$aside"
}

# of_city FOLDER takes what a stick brings of the city beside certificates: an authority
# whose fingerprint was typed, the city's public key, and where certificates are renewed.
of_city() {
	[ ! -f "$work/authority" ] || place "$etc/city-ca.pem" root:gatewayd 644 <"$work/authority"
	[ ! -f "$1/city-key.pem" ] || place "$etc/city-key.pem" root:gatewayd 644 <"$1/city-key.pem"
	[ ! -f "$1/badge-ca.pem" ] || place "$etc/badge-ca.pem" root:gatewayd 644 <"$1/badge-ca.pem"
	[ ! -f "$1/renew-url" ] || renew_url "$(cat "$1/renew-url")"
}

# write_name ID DINAS changes who the gateway is in its configuration, and nothing else.
write_name() {
	place "$etc/gatewayd.toml.before" root:gatewayd 640 <"$etc/gatewayd.toml"
	awk -v id="$1" -v dinas="$2" '
		/^[ \t]*\[/ { here = ($0 ~ /^[ \t]*\[gateway\]/) }
		here && /^[ \t]*id[ \t]*=/ { sub(/"[^"]*"/, "\"" id "\"") }
		here && /^[ \t]*dinas[ \t]*=/ { sub(/"[^"]*"/, "\"" dinas "\"") }
		{ print }' "$etc/gatewayd.toml.before" | place "$etc/gatewayd.toml" root:gatewayd 644
}

retire() {
	local old
	old=$(own_id)
	[ -n "$old" ] || fail "this gateway has no id" "gateway ini tidak mempunyai id"
	hand_over
	[ -n "$root" ] || systemctl disable --now gatewayd gatewayd-renew.timer gatewayd-first-certificate.timer
	set_aside "$old"
	as_gateway rm -f tls/gateway.key tls/gateway.key.next tls/gateway.pem tls/seal.key tls/seal.key.next tls/seal.pem tls/seal.csr
	place "$etc/gatewayd.toml.before" root:gatewayd 640 <"$etc/gatewayd.toml"
	place "$etc/gatewayd.toml" root:gatewayd 644 <"$root/usr/share/doc/gatewayd/gatewayd.toml"
	rm -f "$etc/badge.key" "$etc/renew.conf" "$etc/city-ca.pem" "$etc/city-key.pem" "$etc/badge-ca.pem"
	say "This Pi is $old no more. In the city: ca.sh retire $old BROKER. Its journal is in /var/lib/gatewayd/$aside until the package is purged." \
		"Pi ini bukan lagi $old. Di kota: ca.sh retire $old BROKER. Jurnalnya ada di /var/lib/gatewayd/$aside sampai paket di-purge."
}

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
	exit 2
}

arguments=()
while [ $# -gt 0 ]; do
	case $1 in
	--root) root=${2:?--root: a folder is missing} && shift ;;
	--new-key) renew_key=yes ;;
	--force) force=yes ;;
	-h | --help) usage ;;
	-*) fail "unknown option $1" ;;
	*) arguments+=("$1") ;;
	esac
	shift
done
[ ${#arguments[@]} -gt 0 ] || usage
root=${root%/}
if [ -n "$root" ]; then
	root=$(realpath -m "$root") # a link to the card is no link on the card
	root=${root%/}
fi
etc=$root/etc/gatewayd
set -- "${arguments[@]}"
command=$1
shift
case $command in # what anybody may ask for: it only reads and prints
list-offices)
	[ $# = 1 ] || usage
	list_offices "$1"
	exit
	;;
print-config)
	print_config "$@"
	exit
	;;
esac
[ "$(id -u)" = 0 ] || fail "run this with sudo" "jalankan dengan sudo"
[ -z "$root" ] || no_links
work=$(mktemp -d) # root's own
mounted=          # where a stick is mounted that was not
trap 'leave' EXIT
case $command in
request | accept | start | usb | rename | retire) "$command" "$@" ;;
badge-key) badge_key "$@" ;;
seal-key) seal_key "$@" ;;
config) configure "$@" ;;
renew-url) renew_url "$@" ;;
*) usage ;;
esac
