#!/bin/bash
# A small certificate authority for a city that has none. It needs bash and openssl.
#
#   ca.sh init CITY             makes the authority in this folder (or $CA_DIR)
#   ca.sh broker NAME...        key and certificate for the broker; NAME: host names
#                               and IP addresses by which gateways call it
#   ca.sh client NAME...        keys and certificates for programs of the city, such
#                               as recorder or monitor: see gatewayd.acl
#   ca.sh retire ID [HOST[:PORT]]   revokes a gateway that is no more and, where the
#                               broker is named, clears what that keeps of it, with
#                               the certificate of "admin" and mosquitto_pub
#   ca.sh fingerprint           what a technician types once on each Pi, from paper, so
#                               that it takes no other city's stick
#   ca.sh sign REQUEST.csr...   certificates for gateways, for 90 days; on a stick they
#                               go beside the request. One for the key with which the
#                               gateway seals its journal, where the request has one
#   ca.sh seal REQUEST.csr...   only that one, and only for a gateway whose own key has
#                               a certificate: of a request that came over the broker
#   ca.sh renew                 new certificates for all gateways whose own ends
#                               within 45 days or has ended, and for the broker and
#                               the city's programs within 90 days; their keys stay
#   ca.sh revoke NAME           takes all certificates of a gateway back (stolen Pi),
#                               or of a program of the city
#   ca.sh bundle FOLDER [BADGE.KEY [ID...]]   what a technician carries on a USB
#                               stick, with a manifest that the authority signs: with
#                               ids, the badge keys of these gateways; without, the
#                               city's, from which any gateway's is made; without
#                               BADGE.KEY, those that are on it stay. Of this folder
#                               it takes the templates (*.toml), the city's public key
#                               (city.pem), renew-url and offices.csv (where each
#                               office is); and install.sh and the packages, from here
#                               or from the source tree that ca.sh is in. It says what
#                               the stick lacks
#
# For badges that prove themselves (BADGES.md), under an authority of their own:
#   ca.sh badge-init [CITY]     makes it: badge-ca.key and badge-ca.pem
#   ca.sh badge KEY.pem [--uid UID | --guid GUID] [--days N]   a certificate for the public
#                               key that a card has made, or for its certificate request:
#                               without a name. The card's GUID is made of its UID, or is
#                               the one that is given, or a random one. It says what goes
#                               on the card and into the roster
#   ca.sh badge-revoke [--since TIME] [--why WORD] WHAT...   a badge that was lost: a GUID,
#                               the serial number of a certificate, or the UID of any
#                               card; into badge-revoked.json, which sign.sh signs. What
#                               the badge showed before TIME (now) stays what it is
#
# It asks for the authority's passphrase once. index.txt and certificates/ are the
# record of all that was ever issued, badge-index.txt and badge-certificates/ that of all
# badges: back them up with the keys. Without a badge's certificate nobody can check later
# what it has proven. seal-keys/ID.pem has every key with which a gateway has sealed its
# journal, the newest last: whoever checks records later needs them (audit -keys seal-keys).
#
# Keep the folder on a machine that is not on the network, or at least not on the
# broker: who has ca.key can be any gateway. issued/ holds nothing secret: put it
# on a web server, and gateways renew themselves from there.
#
# A city that has step-ca (https://smallstep.com/docs/step-ca) does not need this:
# gateways renew with "step ca renew", see gatewayd-provision.
set -euo pipefail
umask 077

dir=${CA_DIR:-.}
days=90        # of a gateway's certificate
within=45      # days before its end in which it is renewed
broker_days=825
own_within=90  # gateways warn 60 days before the broker's end
ca_days=7300

indonesian() {
	case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
	id | id_* | id.*) return 0 ;;
	esac
	return 1
}

# say ENGLISH INDONESIAN
say() { if indonesian; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }

fail() {
	printf '%s: %s\n' ca "$(say "$1" "${2:-$1}")" >&2
	exit 1
}

# unlock asks for the passphrase, once for all that a command signs. openssl takes
# it from the environment, which only the same user and root can look into.
unlock() { # SAY-IT-AGAIN
	local again
	[ -z "${CA_PASSPHRASE+is set}" ] || return 0
	IFS= read -rs -p "$(say "Passphrase of the authority: " "Kata sandi otoritas: ")" CA_PASSPHRASE || fail "there is no passphrase" "tidak ada kata sandi"
	echo >&2
	if [ -n "${1:-}" ]; then
		IFS= read -rs -p "$(say "Once more: " "Sekali lagi: ")" again && echo >&2
		[ "$again" = "$CA_PASSPHRASE" ] || fail "the two differ" "keduanya berbeda"
	fi
	export CA_PASSPHRASE
}

need_ca() {
	[ -f "$dir/ca.key" ] || fail "there is no authority in $dir: run: ca.sh init \"NAME OF THE CITY\"" "belum ada otoritas di $dir: jalankan: ca.sh init \"NAMA KOTA\""
	unlock
	# Two that write the index at the same time would lose what one of them wrote.
	lock
	check_index
}

lock() {
	if command -v flock >/dev/null; then
		exec 9>"$dir/lock"
		flock 9
	fi
}

# check_index: without the record of all certificates none can be taken back, so an
# index that was lost, or is an old one, is not gone on with.
check_index() {
	local lost
	[ -f "$dir/index.txt" ] || fail "$dir/index.txt is lost, the record of all certificates: restore it from the backup" "$dir/index.txt hilang, padahal itu catatan semua sertifikat: pulihkan dari cadangan"
	if [ ! -d "$dir/certificates" ]; then
		adopt
		return 0
	fi
	lost=$(find "$dir/certificates" -name '*.pem' | sed 's:.*/::; s/\.pem$//' |
		grep -vxF -f <(cut -f 4 "$dir/index.txt" && echo -) | head -n 1) || true
	[ -z "$lost" ] || fail "$dir/index.txt does not know the certificate $lost: restore it from the backup. If ca.sh was interrupted just now, remove $dir/certificates/$lost.pem, which nobody has" "$dir/index.txt tidak memuat sertifikat $lost: pulihkan dari cadangan. Jika ca.sh baru saja terputus, hapus $dir/certificates/$lost.pem, yang tidak dipegang siapa pun"
	lost=$(openssl crl -in "$dir/crl.pem" -noout -text | sed -n 's/^ *Serial Number: *//p' |
		grep -vxF -f <(awk -F'\t' '$1 == "R" { print $4 } END { print "-" }' "$dir/index.txt") | head -n 1) || true
	[ -z "$lost" ] || fail "$dir/index.txt does not know that $lost was revoked: restore it from the backup" "$dir/index.txt tidak mencatat bahwa $lost sudah dicabut: pulihkan dari cadangan"
}

# adopt records what an earlier version issued, as far as it is still there.
adopt() {
	local cert serial
	mkdir -p "$dir/certificates.new"
	for cert in "$dir"/issued/*.pem "$dir"/own/*.pem; do
		[ -e "$cert" ] || continue
		serial=$(openssl x509 -in "$cert" -noout -serial)
		cp "$cert" "$dir/certificates.new/${serial#serial=}.pem"
		cut -f 4 "$dir/index.txt" | grep -qxF "${serial#serial=}" ||
			openssl ca -valid "$cert" -config <(authority_config) -passin env:CA_PASSPHRASE 2>/dev/null ||
			fail "openssl cannot record $cert: is the passphrase right?" "openssl tidak dapat mencatat $cert: apakah kata sandinya benar?"
	done
	mv "$dir/certificates.new" "$dir/certificates"
}

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

# Names of the city's own programs in gatewayd.acl: no gateway gets them.
programs="recorder clock admin city monitor telegraf-health telegraf-parts telegraf-status telegraf-alerts"

# of_the_city NAME: whether no gateway may have it.
of_the_city() {
	case " $programs broker " in
	*" $1 "*) return 0 ;;
	esac
	[[ $1 = telegraf-* ]]
}

# verified REQUEST: whether whoever made it has the key. openssl 3.0 says by its exit
# status only whether it could read the request, and not whether the signature is right.
verified() { [[ $(openssl req -in "$1" -noout -verify 2>&1) = *'verify OK'* ]]; }

# common_name FILE KIND prints the name that a request or certificate is for.
common_name() {
	openssl "$2" -in "$1" -noout -subject -nameopt multiline |
		sed -n 's/^ *commonName *= //p'
}

# issue REQUEST SUBJECT UNTIL EXTENSIONS OUT signs, and records it in index.txt and
# certificates/; of the request only the key counts. UNTIL is as openssl ca has it, such as
# "-days 90".
issue() {
	local until
	# shellcheck disable=SC2086 # UNTIL is two words
	openssl ca -batch -notext -config <(authority_config) -passin env:CA_PASSPHRASE -in "$1" -subj "$2" \
		$3 -extfile <(printf '%s\n' "$4") -out "$5.new" 2>/dev/null ||
		fail "openssl cannot sign $1: is the passphrase right?" "openssl tidak dapat menandatangani $1: apakah kata sandinya benar?"
	chmod 644 "$5.new"
	mv -f "$5.new" "$5"
	until=$(openssl x509 -in "$5" -noout -enddate | cut -d= -f2)
	say "${2##*/CN=}: $5, until $until" "${2##*/CN=}: $5, berlaku sampai $until"
}

# groups shows a digest as people read it to each other: 5 groups of 4 hex digits.
groups() { cut -c 1-20 | tr a-f A-F | sed 's/..../&-/g; s/-$//'; }

city_fingerprint() { openssl x509 -in "$dir/ca.pem" -outform DER | openssl dgst -sha256 -r | groups; }

# request_fingerprint REQUEST: of its key, as gatewayd-provision shows it on the Pi.
request_fingerprint() {
	openssl req -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | groups
}

client_extensions='basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth'

make_authority() {
	local name=${1:?ca.sh init: the name of the city is missing}
	[ ! -e "$dir/ca.key" ] || fail "$dir/ca.key is there already: an authority is made once" "$dir/ca.key sudah ada: otoritas dibuat sekali saja"
	mkdir -p "$dir/requests" "$dir/issued" "$dir/own" "$dir/certificates"
	chmod 755 "$dir/issued"
	unlock again
	[ -n "$CA_PASSPHRASE" ] || fail "an empty passphrase would let everybody be any gateway" "dengan kata sandi kosong, siapa pun dapat menyamar sebagai gateway"
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc \
		-pass env:CA_PASSPHRASE -out "$dir/ca.key"
	openssl req -x509 -new -key "$dir/ca.key" -passin env:CA_PASSPHRASE -sha256 -days $ca_days \
		-subj "/O=$name/CN=$name gatewayd CA" -addext 'basicConstraints = critical, CA:TRUE, pathlen:0' \
		-addext 'keyUsage = critical, keyCertSign, cRLSign' -out "$dir/ca.pem"
	chmod 644 "$dir/ca.pem"
	: >"$dir/index.txt"
	revocation_list
	say "the authority is in $dir; keep ca.key and its passphrase apart, and a copy of both in a safe" "otoritas ada di $dir; simpan ca.key dan kata sandinya terpisah, dan salinan keduanya di brankas"
	say "its fingerprint, for the technician's paper: $(city_fingerprint)" "sidik jarinya, untuk kertas teknisi: $(city_fingerprint)"
}

# revocation_list writes crl.pem. mosquitto refuses everybody when its list has
# ended, so it lasts as long as the authority.
revocation_list() {
	openssl ca -gencrl -config <(authority_config) -passin env:CA_PASSPHRASE -out "$dir/crl.pem" 2>/dev/null ||
		fail "openssl cannot write the revocation list: is the passphrase right?" "openssl tidak dapat menulis daftar pencabutan: apakah kata sandinya benar?"
	chmod 644 "$dir/crl.pem"
}

authority_config() {
	printf '%s\n' '[ca]' 'default_ca = city' '[city]' "database = $dir/index.txt" "private_key = $dir/ca.key" \
		"certificate = $dir/ca.pem" 'default_md = sha256' "default_crl_days = $ca_days" 'unique_subject = no' \
		"new_certs_dir = $dir/certificates" 'rand_serial = yes' 'policy = name' '[name]' 'organizationalUnitName = optional' 'commonName = supplied'
}

make_own() { # NAME DAYS EXTENSIONS: with a key made here
	local name=$1 key=$dir/own/$1.key
	[ -f "$key" ] || new_key "$key"
	openssl req -new -key "$key" -subj "/CN=$name" -out "$dir/own/$name.csr"
	issue "$dir/own/$name.csr" "/CN=$name" "-days $2" "$3" "$dir/own/$name.pem"
	say "$name: $key goes with it, and to nobody else" "$name: $key menyertainya, dan tidak boleh sampai ke orang lain"
}

server_extensions() { # NAMES, such as DNS:mqtt.example.go.id,IP:192.0.2.1
	# clientAuth as well: the nodes of a NATS cluster show it to each other. No broker gives
	# a client of this name any right.
	printf '%s\n' 'basicConstraints = critical, CA:FALSE' 'keyUsage = critical, digitalSignature' \
		'extendedKeyUsage = serverAuth, clientAuth' "subjectAltName = $1"
}

make_broker() {
	local names='' name
	[ $# -gt 0 ] || fail "ca.sh broker: a host name is missing, such as mqtt.example.go.id" "ca.sh broker: nama host belum disebut, misalnya mqtt.example.go.id"
	for name in "$@"; do
		case $name in
		*[!0-9.:a-fA-F]*) names="$names,DNS:$name" ;;
		*[.:]*) names="$names,IP:$name" ;;
		*) names="$names,DNS:$name" ;;
		esac
	done
	make_own broker $broker_days "$(server_extensions "${names#,}")"
}

make_client() {
	local name
	[ $# -gt 0 ] || fail "ca.sh client: a name is missing: $programs" "ca.sh client: nama belum disebut: $programs"
	for name in "$@"; do
		case " $programs " in
		*" $name "*) make_own "$name" $broker_days "$client_extensions" ;;
		*) fail "\"$name\" is not one of the city's programs in gatewayd.acl: $programs" "\"$name\" bukan program kota di gatewayd.acl: $programs" ;;
		esac
	done
}

key_of() { openssl req -in "$1" -noout -pubkey; }

# fresh_key REQUEST refuses a key that was on a stolen Pi.
fresh_key() {
	local serial key
	key=$(key_of "$1")
	while read -r serial; do
		[ ! -f "$dir/certificates/$serial.pem" ] || [ "$(openssl x509 -in "$dir/certificates/$serial.pem" -noout -pubkey)" != "$key" ] ||
			fail "$1 is for a key whose certificate was revoked. On the Pi, make another: gatewayd-provision --new-key request ID" "$1 memakai kunci yang sertifikatnya sudah dicabut. Di Pi, buat yang baru: gatewayd-provision --new-key request ID"
	done < <(awk -F'\t' '$1 == "R" { print $4 }' "$dir/index.txt")
}

# agreed asks whether a request comes from the technician: whoever gets a certificate
# for an id is that gateway, and a stick can be swapped.
agreed() { # REQUEST NAME
	local answer
	[ ! -f "$dir/requests/$2.csr" ] || [ "$(key_of "$1")" != "$(key_of "$dir/requests/$2.csr")" ] || return 0
	say "$2: the fingerprint of the request is $(request_fingerprint "$1")" "$2: sidik jari permintaannya $(request_fingerprint "$1")"
	[ -t 0 ] || return 0
	IFS= read -r -p "$(say "Does the technician's paper say the same? [y/N] " "Apakah kertas teknisi sama? [y/N] ")" answer
	[ "$answer" = y ] || fail "$1 is not signed" "$1 tidak ditandatangani"
}

sign() {
	local request name stick
	[ $# -gt 0 ] || fail "ca.sh sign: a request is missing (gatewayd-provision request makes it on the Pi)" "ca.sh sign: permintaan belum disebut (dibuat di Pi dengan gatewayd-provision request)"
	for request in "$@"; do
		verified "$request" || fail "$request is no certificate request, or was changed on its way" "$request bukan permintaan sertifikat, atau berubah di perjalanan"
		name=$(common_name "$request" req)
		[[ $name =~ ^[a-z0-9-]{1,32}$ ]] || fail "$request is for \"$name\": a gateway's id has 1 to 32 of a-z, 0-9 and -" "$request untuk \"$name\": ID gateway terdiri dari 1 sampai 32 huruf a-z, angka 0-9 dan -"
		! of_the_city "$name" || fail "$request is for \"$name\", which is a name of the city itself" "$request untuk \"$name\", yaitu nama milik kota sendiri"
		fresh_key "$request"
		find_seal "$request" "$name"
		[ -z "$seal_wrong" ] || fail "$request $seal_wrong" "$request $seal_wrong"
		fresh_seal "$request"
		if [ -f "$dir/requests/$name.csr" ] && [ "$(key_of "$request")" != "$(key_of "$dir/requests/$name.csr")" ]; then
			[ "${REPLACE:-}" = "$name" ] ||
				fail "$name has a certificate for another key. If its Pi was replaced, run: REPLACE=$name ca.sh sign $request, which revokes those of the old one" "$name sudah bersertifikat untuk kunci lain. Bila Pi-nya diganti, jalankan: REPLACE=$name ca.sh sign $request, yang mencabut sertifikat lama"
			take_back "$name"
		fi
		agreed "$request" "$name"
		agreed_seal "$request" "$name"
		[ "$request" -ef "$dir/requests/$name.csr" ] || cp "$request" "$dir/requests/$name.csr"
		issue "$request" "/CN=$name" "-days $days" "$client_extensions" "$dir/issued/$name.pem"
		certify_seal "$name"
		hand_out "$request" "$name"
	done
}

# hand_out REQUEST NAME puts the certificates beside a request that lies on a stick.
hand_out() {
	local cert stick
	stick=$(dirname "$1")/../issued
	[ "$(basename "$(dirname "$1")")" = requests ] && [ -d "$stick" ] && [ ! -L "$stick" ] && [ ! "$stick" -ef "$dir/issued" ] || return 0
	for cert in "$2.pem" "$2.seal.pem"; do
		if [ -f "$dir/issued/$cert" ] && ! cmp -s "$dir/issued/$cert" "$stick/$cert"; then
			cp --remove-destination "$dir/issued/$cert" "$stick/$cert" # and through no link
		fi
	done
}

# certified REQUEST: whether all that it asks for is issued and lasts for a while. It goes
# beside the request then, since this stick may not have it yet. For gatewayd-city and
# offices.sh; it needs no passphrase.
certified() {
	local name
	name=$(common_name "${1:?ca.sh certified: a request is missing}" req) 2>/dev/null
	[[ $name =~ ^[a-z0-9-]{1,32}$ ]] && [ -f "$dir/issued/$name.pem" ] &&
		[ "$(openssl x509 -in "$dir/issued/$name.pem" -noout -pubkey)" = "$(key_of "$1")" ] && fresh "$dir/issued/$name.pem" $within || return 1
	find_seal "$1" "$name"
	[ -z "$seal_wrong" ] || return 1
	[ -z "$seal_key" ] || sealed_by "$name" || return 1
	hand_out "$1" "$name"
}

# --- The keys with which gateways seal their journals --------------------------
#
# gatewayd-provision makes a request of two blocks. The first is for the key with which the
# gateway calls the broker: it names the second key by its SHA-256, in a comment, and is
# signed with the first key, whose fingerprint is on the technician's paper. The second is for
# the seal key. So whoever agrees to the first has agreed to the second, and a second block
# that was swapped shows.
#
# The certificate of a seal key is for signatures on documents (RFC 9336) and nothing else: no
# broker lets it in. It is valid as long as the authority, for what was sealed stays sealed.

seal_unit='gatewayd seal'
seal_extensions='basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, nonRepudiation
extendedKeyUsage = critical, 1.3.6.1.5.5.7.3.36'

# find_seal REQUEST NAME looks for the seal key's request in a request that verified holds
# right: seal_key is that key in PEM, "" where it has none, and seal_request the file with the
# request. seal_wrong is what is wrong with it, in words, "" for nothing.
find_seal() {
	local blocks names
	seal_key='' seal_wrong='' seal_request=$dir/seal.csr.new
	blocks=$(grep -cE '^-----BEGIN (NEW )?CERTIFICATE REQUEST-----' "$1") || true
	names=$(openssl req -in "$1" -noout -text | sed -n 's/^ *gatewayd seal key \([0-9a-f]\{64\}\) *$/\1/p')
	[ "$blocks" != 1 ] || [ -n "$names" ] || return 0
	seal_wrong=$(say "was changed on its way: the seal key in it is not the one that it names" "berubah di perjalanan: kunci segel di dalamnya bukan yang disebutnya")
	[ "$blocks" = 2 ] || return 0
	awk '/^-----BEGIN (NEW )?CERTIFICATE REQUEST-----/ { n++ } n == 2' "$1" >"$seal_request"
	verified "$seal_request" || return 0
	[ "$(key_of "$seal_request" | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1)" = "$names" ] || return 0
	if [ "$(common_name "$seal_request" req)" != "$2" ]; then
		seal_wrong=$(say "has a seal key for another gateway than $2" "memuat kunci segel untuk gateway lain daripada $2")
	elif [[ $(key_of "$seal_request" | openssl pkey -pubin -noout -text) != *ED25519* ]]; then
		seal_wrong=$(say "has a seal key of another kind than Ed25519" "memuat kunci segel yang bukan Ed25519")
	else
		seal_wrong='' seal_key=$(key_of "$seal_request")
	fi
}

# seal_id KEY prints what seals call a public key: the first 16 hex digits of the SHA-256 of
# its 32 bytes.
seal_id() { openssl pkey -pubin -outform DER <<<"$1" | tail -c 32 | openssl dgst -sha256 -r | cut -c 1-16; }

# newest_seal NAME prints the seal key of a gateway that was certified last.
newest_seal() {
	[ ! -f "$dir/seal-keys/$1.pem" ] ||
		awk '/^-----BEGIN/ { block = "" } { block = block $0 "\n" } /^-----END/ { last = block } END { printf "%s", last }' "$dir/seal-keys/$1.pem"
}

# sealed_by NAME: whether the seal key has its certificate, of this authority.
sealed_by() {
	local cert=$dir/issued/$1.seal.pem
	[ -f "$cert" ] && [ "$(openssl x509 -in "$cert" -noout -pubkey)" = "$seal_key" ] && fresh "$cert" 0 &&
		openssl verify -CAfile "$dir/ca.pem" "$cert" >/dev/null 2>&1
}

# fresh_seal REQUEST refuses a seal key that was on a stolen Pi: all its certificates were
# revoked.
fresh_seal() {
	local state serial revoked=
	[ -n "$seal_key" ] || return 0
	while read -r state serial; do
		if [ -f "$dir/certificates/$serial.pem" ] && [ "$(openssl x509 -in "$dir/certificates/$serial.pem" -noout -pubkey)" = "$seal_key" ]; then
			[ "$state" = R ] || return 0
			revoked=yes
		fi
	done < <(awk -F'\t' -v unit="/OU=$seal_unit/" 'index($6, unit) == 1 { print $1, $4 }' "$dir/index.txt")
	[ -z "$revoked" ] || fail "$1 has a seal key that was revoked. On the Pi, make another: gatewayd-provision --new-key request ID" "$1 memakai kunci segel yang sudah dicabut. Di Pi, buat yang baru: gatewayd-provision --new-key request ID"
}

# agreed_seal asks where a gateway that has sealed with one key comes with another: from
# then on its records are held by the new one, so whoever has that one has written them.
agreed_seal() { # REQUEST NAME
	local answer before
	before=$(newest_seal "$2")
	[ -n "$seal_key" ] && [ -n "$before" ] && [ "$before" != "$seal_key" ] || return 0
	say "$2: this is ANOTHER seal key, $(seal_id "$seal_key"), than the one before, $(seal_id "$before"): a new statement. What was sealed before stays verifiable: both are in $dir/seal-keys/$2.pem" "$2: kunci segel ini LAIN, $(seal_id "$seal_key"), dari yang sebelumnya, $(seal_id "$before"): pernyataan baru. Yang sudah disegel tetap dapat diperiksa: keduanya ada di $dir/seal-keys/$2.pem"
	# Of a Pi that is replaced, or was taken back, nothing else is to be expected.
	if [ "${REPLACE:-}" = "$2" ] || [ "${NEW_SEAL_KEY:-}" = "$2" ] || [[ $(tail -n 1 "$dir/seal-keys/$2.pem") = '# revoked '* ]]; then
		return 0
	fi
	[ -t 0 ] || fail "$1 is not signed: nobody can be asked whether $2 has lost its seal key. If it has: NEW_SEAL_KEY=$2 ca.sh sign $1" "$1 tidak ditandatangani: tidak ada yang dapat ditanya apakah kunci segel $2 hilang. Jika ya: NEW_SEAL_KEY=$2 ca.sh sign $1"
	IFS= read -r -p "$(say "Has this gateway lost its seal key? [y/N] " "Apakah kunci segel gateway ini hilang? [y/N] ")" answer
	[ "$answer" = y ] || fail "$1 is not signed" "$1 tidak ditandatangani"
}

# certify_seal NAME certifies the seal key that find_seal found, and enters it in seal-keys.
certify_seal() {
	local file=$dir/seal-keys/$1.pem now serial
	[ -n "$seal_key" ] || return 0
	sealed_by "$1" || issue "$seal_request" "/OU=$seal_unit/CN=$1" "-enddate $(date -u -d "$(openssl x509 -in "$dir/ca.pem" -noout -enddate | cut -d= -f2)" +%Y%m%d%H%M%SZ)" \
		"$seal_extensions" "$dir/issued/$1.seal.pem"
	rm -f "$seal_request"
	serial=$(openssl x509 -in "$dir/issued/$1.seal.pem" -noout -serial)
	! grep -qsF "certificate ${serial#serial=}" "$file" || return 0
	now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	mkdir -p "$dir/seal-keys"
	chmod 755 "$dir/seal-keys"
	{
		[ ! -f "$file" ] || cat "$file"
		echo "# $1 seals with the key $(seal_id "$seal_key"), certified $now: certificate ${serial#serial=}"
		[ "$(newest_seal "$1")" = "$seal_key" ] || printf '%s\n' "$seal_key"
	} >"$file.new"
	chmod 644 "$file.new"
	mv -f "$file.new" "$file"
}

# seal certifies the seal keys of gateways that were at work before there were seals: their
# requests came over the broker, where nobody compares fingerprints. So the request has to be
# signed with the key that the gateway has a certificate for, and no other seal key may be
# replaced.
seal() {
	local request name before
	[ $# -gt 0 ] || fail "ca.sh seal: a request is missing" "ca.sh seal: permintaan belum disebut"
	for request in "$@"; do
		verified "$request" || fail "$request is no certificate request, or was changed on its way" "$request bukan permintaan sertifikat, atau berubah di perjalanan"
		name=$(common_name "$request" req)
		if [[ ! $name =~ ^[a-z0-9-]{1,32}$ ]] || [ ! -f "$dir/requests/$name.csr" ] || [ "$(key_of "$request")" != "$(key_of "$dir/requests/$name.csr")" ]; then
			fail "$request is not signed by the key of a gateway with a certificate: ca.sh sign $request" "$request tidak ditandatangani dengan kunci gateway yang bersertifikat: ca.sh sign $request"
		fi
		find_seal "$request" "$name"
		[ -z "$seal_wrong" ] || fail "$request $seal_wrong" "$request $seal_wrong"
		[ -n "$seal_key" ] || fail "$request has no seal key" "$request tidak memuat kunci segel"
		fresh_seal "$request"
		before=$(newest_seal "$name")
		[ -z "$before" ] || [ "$before" = "$seal_key" ] || fail "$name has another seal key by now. If the one before is lost: ca.sh sign $request" "$name kini memakai kunci segel lain. Bila yang sebelumnya hilang: ca.sh sign $request"
		[ "$request" -ef "$dir/requests/$name.csr" ] || cp "$request" "$dir/requests/$name.csr"
		certify_seal "$name"
	done
}

# fresh FILE DAYS: whether a certificate lasts for so many days. One that has ended
# is renewed as well, also long after: an office may have been closed.
fresh() { openssl x509 -in "$1" -noout -checkend $(($2 * 86400)) >/dev/null 2>&1; }

renew() {
	local request name cert found=
	for request in "$dir"/requests/*.csr; do
		[ -e "$request" ] || continue
		found=yes
		name=$(common_name "$request" req)
		cert=$dir/issued/$name.pem
		fresh "$cert" $within || issue "$request" "/CN=$name" "-days $days" "$client_extensions" "$cert"
		renew_seal "$request" "$name"
	done
	for request in "$dir"/own/*.csr; do
		[ -e "$request" ] || continue
		found=yes
		renew_own "$(basename "$request" .csr)"
	done
	[ -n "$found" ] || fail "nobody has a certificate yet" "belum ada yang bersertifikat"
}

# renew_seal REQUEST NAME certifies a seal key that has no certificate of this authority, as
# where an earlier version signed the request.
renew_seal() {
	local before
	find_seal "$1" "$2"
	before=$(newest_seal "$2")
	if [ -n "$seal_key" ] && [ -n "$before" ] && [ "$before" != "$seal_key" ]; then
		seal_wrong=$(say "has another seal key than the one before: ca.sh sign $1" "memuat kunci segel lain dari yang sebelumnya: ca.sh sign $1")
	fi
	if [ -n "$seal_wrong" ]; then
		say "$1 $seal_wrong" "$1 $seal_wrong" >&2
	elif [ -n "$seal_key" ]; then
		certify_seal "$2"
	fi
}

# renew_own NAME: the broker's and the programs' certificates are put in place by
# hand, so it is said where.
renew_own() {
	local name=$1 cert=$dir/own/$1.pem names extensions=$client_extensions
	! fresh "$cert" $own_within || return 0
	if [ "$name" = broker ]; then
		names=$(openssl x509 -in "$cert" -noout -ext subjectAltName 2>/dev/null | sed -n 's/IP Address:/IP:/g; s/^ *\(\(DNS\|IP\):.*\)/\1/p' | tr -d ' ')
		[ -n "$names" ] || fail "$cert does not say by which names gateways call the broker: ca.sh broker NAME..." "$cert tidak menyebut nama broker yang dipakai gateway: ca.sh broker NAMA..."
		extensions=$(server_extensions "$names")
	fi
	issue "$dir/own/$name.csr" "/CN=$name" "-days $broker_days" "$extensions" "$cert"
	if [ "$name" = broker ]; then
		say "copy $cert to the broker now, and there: sudo systemctl reload mosquitto" "salin $cert ke broker sekarang, lalu di sana: sudo systemctl reload mosquitto"
	else
		say "copy $cert to where $name runs, and restart that" "salin $cert ke tempat $name berjalan, lalu mulai ulang"
	fi
}

# take_back NAME revokes all certificates of a name: those before the newest work
# until their own end, too.
take_back() {
	local name=$1 count
	count=$(awk -F'\t' -v name="/CN=$name" '$6 == name { n++ } END { print n + 0 }' "$dir/index.txt")
	[ "$count" -gt 0 ] || fail "$name has no certificate that could be revoked" "$name tidak punya sertifikat yang dapat dicabut"
	awk -F'\t' -v OFS='\t' -v name="/CN=$name" -v seal="/OU=$seal_unit/CN=$name" -v now="$(date -u +%y%m%d%H%M%SZ)" \
		'$1 == "V" && ($6 == name || $6 == seal) { $1 = "R"; $3 = now } { print }' "$dir/index.txt" >"$dir/index.txt.new"
	mv -f "$dir/index.txt.new" "$dir/index.txt"
	revocation_list
	# What it has sealed until now stays verifiable, so the key itself stays.
	[ ! -f "$dir/seal-keys/$name.pem" ] || echo "# revoked $(date -u +%Y-%m-%dT%H:%M:%SZ): the certificates of $name" >>"$dir/seal-keys/$name.pem"
	rm -f "$dir/issued/$name.pem" "$dir/issued/$name.seal.pem" "$dir/requests/$name.csr"
	# The key of a program was where its certificate was: the next one gets another.
	rm -f "$dir/own/$name.pem" "$dir/own/$name.csr" "$dir/own/$name.key"
	say "$name: revoked, with all $count certificates that it ever had: copy crl.pem to the broker and restart it (crlfile in mosquitto.conf)" "$name: dicabut, dengan semua $count sertifikat yang pernah dimilikinya: salin crl.pem ke broker dan mulai ulang (crlfile di mosquitto.conf)"
}

revoke() {
	local name=${1:?ca.sh revoke: a name is missing}
	take_back "$name"
	[ "$name" != broker ] || say "Gateways read no list: give the broker another certificate now: ca.sh broker NAME..." "Gateway tidak membaca daftar pencabutan: beri broker sertifikat lain sekarang: ca.sh broker NAMA..."
}

# retire ends a gateway: what the broker retains of it would be shown for ever.
retire() {
	local id=${1:-} broker=${2:-} port=8883 topics topic
	[[ $id =~ ^[a-z0-9-]{1,32}$ ]] || fail "ca.sh retire: \"$id\" is no gateway's id" "ca.sh retire: \"$id\" bukan ID gateway"
	! of_the_city "$id" || fail "$id is a program of the city: ca.sh revoke $id" "$id adalah program kota: ca.sh revoke $id"
	take_back "$id"
	if [ -z "$broker" ]; then
		say "then clear what the broker keeps of it: ca.sh retire $id BROKER" "lalu hapus yang disimpan broker tentangnya: ca.sh retire $id BROKER"
		return 0
	fi
	if [[ $broker =~ ^(.*):([0-9]+)$ ]]; then
		broker=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
	fi
	if ! command -v mosquitto_sub >/dev/null || ! command -v mosquitto_pub >/dev/null; then
		fail "mosquitto_pub is missing: sudo apt-get install mosquitto-clients" "mosquitto_pub tidak ada: sudo apt-get install mosquitto-clients"
	fi
	[ -f "$dir/own/admin.pem" ] || fail "there is no certificate of admin: ca.sh client admin" "sertifikat admin belum ada: ca.sh client admin"
	set -- -h "$broker" -p "$port" --cafile "$dir/ca.pem" --cert "$dir/own/admin.pem" --key "$dir/own/admin.key"
	# It says 27 when nothing more comes.
	topics=$(mosquitto_sub "$@" -q 1 --retained-only -W 3 -F %t -t "presence/v1/+/$id/status" -t "presence/v1/+/$id/info" \
		-t "presence/v1/+/$id/health" -t "presence/v1/+/$id/alert/+" 2> >(grep -v '^Timed out$' >&2)) ||
		[ $? -eq 27 ] || fail "the broker $broker:$port cannot be reached" "broker $broker:$port tidak dapat dihubungi"
	# What admin may not read is cleared wherever the gateway was.
	topics=$(for topic in $topics; do
		echo "$topic"
		topic=${topic#presence/v1/}
		printf "presence/v1/${topic%%/*}/$id/%s\n" roster policy/hours badge-keys badge-revoked receipt
	done | sort -u)
	for topic in $topics; do
		mosquitto_pub "$@" -q 1 -r -n -t "$topic" || fail "$topic cannot be cleared" "$topic tidak dapat dihapus"
	done
	say "$id: $(wc -w <<<"$topics") topics cleared at $broker" "$id: $(wc -w <<<"$topics") topik dihapus di $broker"
}

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

# badge_keys CITYKEY [ID...] prints what a stick carries.
badge_keys() {
	local city=$1 id
	shift
	[ $# -gt 0 ] || printf '%s\n' "$city"
	for id in "$@"; do
		printf '%s %s\n' "$id" "$(printf 'gatewayd badge key v1\0%s' "$id" | hmac "$city")"
	done
}

# passphrase makes six words that can be read over a telephone: each is one of 4,900,
# so there are some 10^22.
passphrase() {
	local consonants=bdfghjklmnprst vowels=aeiou words='' number
	while [ "$(wc -w <<<"$words")" -lt 6 ]; do
		number=$((16#$(openssl rand -hex 2)))
		[ $number -lt 63700 ] || continue # 13 times 4,900: each word is as likely
		number=$((number % 4900))
		words="$words ${consonants:number % 14:1}${vowels:number / 14 % 5:1}${consonants:number / 70 % 14:1}${vowels:number / 980:1}"
	done
	printf '%s\n' "${words# }"
}

bundle() {
	local to=${1:?ca.sh bundle: a folder is missing} key=${2:-} template id made list
	mkdir -p "$to/requests" "$to/issued"
	if [ -n "$key" ]; then
		shift 2
		key=$(tr -d '[:space:]' <"$key")
		[[ $key =~ ^[0-9A-Fa-f]{64}$ ]] ||
			fail "the file does not hold 64 hex digits; a new badge key for a new city: openssl rand -hex 32" "berkas tidak berisi 64 digit hex; kunci kartu baru untuk kota baru: openssl rand -hex 32"
		for id in "$@"; do
			[[ $id =~ ^[a-z0-9-]{1,32}$ ]] || fail "\"$id\" is no gateway's id" "\"$id\" bukan ID gateway"
		done
		# A stick has no permissions, so badge keys go on it only under a passphrase,
		# which the technician knows and the stick does not.
		made=${BADGE_PASSPHRASE-$(passphrase)}
		[ -n "$made" ] || fail "an empty passphrase would give the badge key to whoever finds the stick" "dengan kata sandi kosong, siapa pun yang menemukan stik mendapat kunci kartu"
		badge_keys "$key" "$@" | BADGE_PASSPHRASE=$made openssl enc -aes-256-cbc -pbkdf2 -iter 600000 -salt -a \
			-pass env:BADGE_PASSPHRASE -out "$to/badge.key.enc"
		[ -n "${BADGE_PASSPHRASE+is set}" ] || say "the passphrase of the badge key, for the technician and not for the stick: $made" "kata sandi kunci kartu, untuk teknisi dan bukan untuk stik: $made"
	fi
	cp "$dir/ca.pem" "$to/city-ca.pem"
	cp "$dir"/issued/*.pem "$to/issued/" 2>/dev/null || true
	for template in "$dir"/*.toml; do
		[ ! -e "$template" ] || cp "$template" "$to/"
	done
	[ ! -f "$dir/renew-url" ] || cp "$dir/renew-url" "$to/"
	list=${OFFICES_CSV:-$dir/offices.csv} # offices.sh gives each office its own line only
	[ ! -f "$list" ] || cp "$list" "$to/offices.csv"
	city_key "$to"
	[ ! -f "$dir/badge-ca.pem" ] || cp "$dir/badge-ca.pem" "$to/badge-ca.pem"
	programs_for "$to"
	lacks "$to"
	manifest "$to"
	say "$to is ready; the fingerprint of the city, for the technician's paper: $(city_fingerprint)" "$to siap; sidik jari kota, untuk kertas teknisi: $(city_fingerprint)"
}

# city_key STICK puts the city's public key on a stick, as city-key.pem. Only that: the
# other half signs in the city's name.
city_key() {
	local key=$dir/city.pem template
	if [ -f "$key" ]; then
		! grep -q PRIVATE "$key" || fail "$key holds the city's private key: openssl pkey -in city.key -pubout -out city.pem" "$key memuat kunci rahasia kota: openssl pkey -in city.key -pubout -out city.pem"
		openssl pkey -pubin -in "$key" -noout -text 2>/dev/null | grep -q ED25519 ||
			fail "$key is no public key of the kind Ed25519: openssl genpkey -algorithm ed25519 -out city.key, then: openssl pkey -in city.key -pubout -out city.pem" "$key bukan kunci publik jenis Ed25519: openssl genpkey -algorithm ed25519 -out city.key, lalu: openssl pkey -in city.key -pubout -out city.pem"
		cp "$key" "$1/city-key.pem"
	fi
	[ ! -f "$1/city-key.pem" ] || return 0
	for template in "$1"/*.toml; do
		[ -e "$template" ] || continue
		! grep -q '^[^#]*city-key\.pem' "$template" ||
			fail "$(basename "$template") names the city's public key, and there is no $key: openssl pkey -in city.key -pubout -out $key (see sign.sh), or take [city] out of it" "$(basename "$template") menyebut kunci publik kota, tetapi $key tidak ada: openssl pkey -in city.key -pubout -out $key (lihat sign.sh), atau hapus [city] darinya"
	done
}

# programs_for STICK puts install.sh and the newest package for each processor on a
# stick, unless newer ones are there.
programs_for() {
	local here from arch file newest
	local -a folders
	here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
	for from in "$here/.." "$here" "$dir"; do
		[ ! -f "$from/install.sh" ] || cp "$from/install.sh" "$1/install.sh"
	done
	folders=("$1" "$dir" "$here" "$here/../../dist")
	for arch in arm64 armhf amd64; do
		newest=
		for from in "${folders[@]}"; do
			for file in "$from"/gatewayd_*_"$arch".deb; do
				if [ -e "$file" ] && { [ -z "$newest" ] || [ "$file" -nt "$newest" ]; }; then newest=$file; fi
			done
		done
		if [ -n "$newest" ] && [ ! "$(dirname "$newest")" -ef "$1" ]; then
			rm -f "$1"/gatewayd_*_"$arch".deb # of a version before
			# A hundred sticks that are made in folders here share one file.
			cp -pl "$newest" "$1/" 2>/dev/null || cp -p "$newest" "$1/"
		fi
	done
}

# lacks STICK says what a technician will miss at the office.
lacks() {
	compgen -G "$1/*.toml" >/dev/null || say "the stick lacks a template: put one for each department into $dir (from dinas.toml)" "stik belum memuat templat: taruh satu untuk setiap dinas di $dir (dari dinas.toml)"
	compgen -G "$1/gatewayd_*.deb" >/dev/null || say "the stick lacks a package: put gatewayd_*.deb into $dir" "stik belum memuat paket: taruh gatewayd_*.deb di $dir"
	[ -f "$1/install.sh" ] || say "the stick lacks install.sh: put it into $dir" "stik belum memuat install.sh: taruh di $dir"
	[ -f "$1/badge.key.enc" ] || say "the stick lacks badge keys: ca.sh bundle $1 BADGE.KEY ID..." "stik belum memuat kunci kartu: ca.sh bundle $1 BADGE.KEY ID..."
	[ -f "$1/renew-url" ] || say "the stick lacks renew-url, and nothing will renew certificates: write the address of issued/ into $dir/renew-url" "stik belum memuat renew-url, sehingga sertifikat tidak akan diperbarui: tulis alamat issued/ ke $dir/renew-url"
	[ -f "$1/city-key.pem" ] || say "the stick lacks the city's public key, so no roster and hours are taken from topics: put it into $dir/city.pem (see sign.sh)" "stik belum memuat kunci publik kota, sehingga roster dan jam kerja dari topik tidak dipakai: taruh di $dir/city.pem (lihat sign.sh)"
	[ -f "$1/offices.csv" ] || say "the stick lacks offices.csv, so no tag is said to be inside or outside: write id,dinas,lat,lon,radius_m of each office into $dir/offices.csv" "stik belum memuat offices.csv, sehingga tag tidak dapat dinyatakan di dalam atau di luar: tulis id,dinas,lat,lon,radius_m setiap kantor ke $dir/offices.csv"
}

# manifest FOLDER lists all that a stick brings, and signs that. requests/ comes from
# the gateways, and the certificates in issued/ are signed themselves.
manifest() {
	local file
	for file in "$1"/*; do
		[ -f "$file" ] || continue
		[[ $(basename "$file") =~ ^[A-Za-z0-9][A-Za-z0-9._+~-]*$ ]] || fail "\"$file\": only letters, digits and . _ + ~ - in names on the stick" "\"$file\": nama di stik hanya boleh huruf, angka dan . _ + ~ -"
	done
	{
		echo "gatewayd stick v1"
		(cd "$1" && find . -maxdepth 1 -type f ! -name '.*' ! -name manifest ! -name manifest.sig -printf '%f\n' | LC_ALL=C sort | xargs openssl dgst -sha256 -r)
	} | sed 's/ \*/ /' >"$1/manifest"
	openssl dgst -sha256 -sign "$dir/ca.key" -passin env:CA_PASSPHRASE -out "$1/manifest.sig" "$1/manifest" ||
		fail "openssl cannot sign the manifest: is the passphrase right?" "openssl tidak dapat menandatangani manifes: apakah kata sandinya benar?"
}

# --- Badges that prove themselves --------------------------------------------

badge_days=1095 # three years: gateways take no longer one

badge_extensions() { # GUID, as UUID text
	# The last is id-PIV-cardAuth of FIPS 201.
	printf '%s\n' 'basicConstraints = critical, CA:FALSE' 'keyUsage = critical, digitalSignature' \
		"subjectAltName = URI:urn:uuid:$1" 'extendedKeyUsage = critical, 2.16.840.1.101.3.6.8'
}

# need_badge_ca unlocks the authority of badges, and makes it where there is none yet.
need_badge_ca() {
	if [ ! -f "$dir/badge-ca.key" ]; then
		make_badge_authority
	else
		unlock
		lock
	fi
	if [ ! -f "$dir/badge-index.txt" ] || [ ! -d "$dir/badge-certificates" ]; then
		fail "$dir/badge-index.txt or $dir/badge-certificates is lost, the record of all badges: restore it from the backup" "$dir/badge-index.txt atau $dir/badge-certificates hilang, padahal itu catatan semua kartu: pulihkan dari cadangan"
	fi
}

# make_badge_authority makes the authority of badges, under the passphrase of the
# gateways' where there is one in this folder. It is another one: a badge must not be
# able to be a gateway, nor the other way round.
make_badge_authority() {
	local name=${1:-}
	[ ! -e "$dir/badge-ca.key" ] || fail "$dir/badge-ca.key is there already: an authority is made once" "$dir/badge-ca.key sudah ada: otoritas dibuat sekali saja"
	[ -n "$name" ] || [ ! -f "$dir/ca.pem" ] || name=$(openssl x509 -in "$dir/ca.pem" -noout -subject -nameopt multiline | sed -n 's/^ *organizationName *= //p')
	[ -n "$name" ] || fail "there is no authority of badges in $dir: run: ca.sh badge-init \"NAME OF THE CITY\"" "belum ada otoritas kartu di $dir: jalankan: ca.sh badge-init \"NAMA KOTA\""
	if [ -f "$dir/ca.key" ]; then
		unlock
		openssl pkey -in "$dir/ca.key" -passin env:CA_PASSPHRASE -noout 2>/dev/null || fail "the passphrase is wrong; nothing was done" "kata sandi salah; tidak ada yang dilakukan"
	else
		unlock again
		[ -n "$CA_PASSPHRASE" ] || fail "with an empty passphrase, everybody could make badges" "dengan kata sandi kosong, siapa pun dapat membuat kartu"
	fi
	mkdir -p "$dir"
	lock
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc \
		-pass env:CA_PASSPHRASE -out "$dir/badge-ca.key.new"
	openssl req -x509 -new -key "$dir/badge-ca.key.new" -passin env:CA_PASSPHRASE -sha256 -days $ca_days \
		-subj "/O=$name/CN=$name gatewayd badge CA" -addext 'basicConstraints = critical, CA:TRUE, pathlen:0' \
		-addext 'keyUsage = critical, keyCertSign, cRLSign' -out "$dir/badge-ca.pem"
	chmod 644 "$dir/badge-ca.pem"
	mkdir -p "$dir/badge-certificates"
	chmod 755 "$dir/badge-certificates"
	: >>"$dir/badge-index.txt"
	mv "$dir/badge-ca.key.new" "$dir/badge-ca.key"
	say "the authority of badges is in $dir: badge-ca.pem goes to the gateways (badges.ca_file), badge-ca.key stays here, with a copy in a safe" "otoritas kartu ada di $dir: badge-ca.pem untuk gateway (badges.ca_file), badge-ca.key tetap di sini, dengan salinan di brankas"
}

# plain_hex TEXT: hex digits without what people write between them, in small letters.
plain_hex() { tr -d ': -' <<<"$1" | tr A-F a-f; }

is_uid() { [[ $1 =~ ^([0-9a-f]{8}|[0-9a-f]{14}|[0-9a-f]{20})$ ]]; }

# bytes HEX writes the bytes.
bytes() {
	local i
	for ((i = 0; i < ${#1}; i += 2)); do printf '%b' "\\x${1:i:2}"; done
}

# uuid HEX VERSION makes a UUID of 32 hex digits: the bits by which RFC 9562 knows version
# and variant are set.
uuid() {
	local byte
	printf -v byte '%02x' $((16#${1:16:2} & 0x3f | 0x80))
	printf '%s-%s-%s%s-%s%s-%s\n' "${1:0:8}" "${1:8:4}" "$2" "${1:13:3}" "$byte" "${1:18:2}" "${1:20:12}"
}

# guid_of UID: the GUID of a badge with a fixed UID is made of it. So a gateway that sees
# the UID alone, of a copy, knows whose badge that claims to be.
guid_of() { uuid "$({ printf 'gatewayd badge guid v1\0' && bytes "$1"; } | openssl dgst -sha256 -r | cut -c 1-32)" 8; }

# as_uuid HEX: the UUID text of a GUID.
as_uuid() { printf '%s-%s-%s-%s-%s\n' "${1:0:8}" "${1:8:4}" "${1:12:4}" "${1:16:4}" "${1:20:12}"; }

# badge_key FILE prints the public key that is to be certified.
badge_key() {
	local key
	[ -r "$1" ] || fail "cannot read $1: name the file with the card's public key" "tidak dapat membaca $1: sebutkan berkas kunci publik kartu"
	if grep -q 'CERTIFICATE REQUEST' "$1" 2>/dev/null; then
		verified "$1" || fail "$1 is no certificate request, or was changed on its way" "$1 bukan permintaan sertifikat, atau berubah di perjalanan"
		key=$(openssl req -in "$1" -noout -pubkey)
	else
		key=$(openssl pkey -pubin -in "$1" 2>/dev/null) || fail "$1 is no public key in PEM, and no certificate request: the card makes its key itself, in slot 9E" "$1 bukan kunci publik PEM dan bukan permintaan sertifikat: kartu membuat kuncinya sendiri, di slot 9E"
	fi
	openssl pkey -pubin -noout -text <<<"$key" 2>/dev/null | grep -qE '^ASN1 OID: (prime256v1|secp384r1)$' ||
		fail "the key in $1 is of another kind than ECDSA P-256 or P-384" "kunci di $1 bukan ECDSA P-256 atau P-384"
	printf '%s\n' "$key"
}

# fresh_badge GUID KEY refuses a key that is on another card, and a second card with the
# GUID of one that was not revoked.
fresh_badge() {
	local state serial subject other
	! grep -qsF "{\"guid\":\"$1\"," "$dir/badge-revoked.json" ||
		fail "the badge $1 was revoked as a whole. If it was found again, take its line out of $dir/badge-revoked.json first" "kartu $1 sudah dicabut seluruhnya. Bila ditemukan lagi, hapus dulu barisnya dari $dir/badge-revoked.json"
	while IFS=$'\t' read -r state _ _ serial _ subject; do
		[ -f "$dir/badge-certificates/$serial.pem" ] || continue
		other=$(openssl x509 -in "$dir/badge-certificates/$serial.pem" -noout -pubkey)
		if [ "$other" = "$2" ]; then
			[ "$subject" = "/CN=$1" ] || fail "this key is that of the badge ${subject#/CN=}: no two cards have one key, unless it was copied. To renew that one: --guid ${subject#/CN=}" "kunci ini milik kartu ${subject#/CN=}: tidak ada dua kartu dengan satu kunci, kecuali disalin. Untuk memperbarui kartu itu: --guid ${subject#/CN=}"
			[ "$state" = V ] || fail "this key is that of a certificate that was revoked, $serial: have the card make another one" "kunci ini milik sertifikat yang sudah dicabut, $serial: buat kunci baru di kartu"
		elif [ "$subject" = "/CN=$1" ] && [ "$state" = V ]; then
			fail "the badge $1 has a certificate for another key. If the card has made a new one: ca.sh badge-revoke $serial" "kartu $1 sudah bersertifikat untuk kunci lain. Bila kartu membuat kunci baru: ca.sh badge-revoke $serial"
		fi
	done < <(sed 's/\t\t/\t-\t/' "$dir/badge-index.txt") # read takes two tabs for one
}

badge() {
	local file='' guid='' uid='' days=$badge_days key serial cert until object
	while [ $# -gt 0 ]; do
		case $1 in
		--uid | --guid) [ -n "${2:-}" ] || fail "ca.sh badge: the number behind $1 is missing; of a card with a random UID leave $1 out" "ca.sh badge: nomor di belakang $1 belum disebut; untuk kartu dengan UID acak, hilangkan $1" ;;&
		--uid) uid=$(plain_hex "${2:-}") && shift ;;
		--guid) guid=$(plain_hex "${2:-}") && shift ;;
		--days) days=${2:-} && shift ;;
		-*) fail "ca.sh badge: there is no $1" "ca.sh badge: tidak ada $1" ;;
		*) [ -z "$file" ] || fail "ca.sh badge: one key at a time, each is another card's" "ca.sh badge: satu kunci setiap kali, masing-masing untuk kartu lain" && file=$1 ;;
		esac
		shift || fail "ca.sh badge: a value is missing" "ca.sh badge: nilainya belum disebut"
	done
	[ -n "$file" ] || fail "ca.sh badge: the file with the card's public key is missing" "ca.sh badge: berkas kunci publik kartu belum disebut"
	if [[ ! $days =~ ^[1-9][0-9]{0,3}$ ]] || [ "$days" -gt $badge_days ]; then
		fail "--days $days: from 1 to $badge_days, which is three years" "--days $days: dari 1 sampai $badge_days, yaitu tiga tahun"
	fi
	[ -z "$uid" ] || [ -z "$guid" ] || fail "--uid or --guid, not both" "--uid atau --guid, bukan keduanya"
	if [ -n "$uid" ]; then
		is_uid "$uid" || fail "\"$uid\" is no UID: 8, 14 or 20 hex digits" "\"$uid\" bukan UID: 8, 14 atau 20 digit hex"
		[[ ! $uid =~ ^08.{6}$ ]] || fail "\"$uid\" is random, the card shows another one each time: leave --uid out" "\"$uid\" acak, kartu menunjukkan yang lain setiap kali: hilangkan --uid"
		guid=$(guid_of "$uid")
	elif [ -n "$guid" ]; then
		[[ $guid =~ ^[0-9a-f]{32}$ ]] || fail "\"$guid\" is no GUID: 32 hex digits" "\"$guid\" bukan GUID: 32 digit hex"
		guid=$(as_uuid "$guid")
	else
		guid=$(uuid "$(openssl rand -hex 16)" 4)
	fi
	key=$(badge_key "$file")
	fresh_badge "$guid" "$key"
	cert=$dir/badge.new
	openssl x509 -new -force_pubkey <(printf '%s\n' "$key") -subj "/CN=$guid" -CA "$dir/badge-ca.pem" -CAkey "$dir/badge-ca.key" \
		-passin env:CA_PASSPHRASE -sha256 -days "$days" -set_serial "0x$(openssl rand -hex 16)" \
		-extfile <(badge_extensions "$guid") -out "$cert" 2>/dev/null ||
		fail "openssl cannot sign $file: is the passphrase right?" "openssl tidak dapat menandatangani $file: apakah kata sandinya benar?"
	chmod 644 "$cert"
	serial=$(openssl x509 -in "$cert" -noout -serial)
	serial=${serial#serial=}
	until=$(openssl x509 -in "$cert" -noout -enddate | cut -d= -f2)
	# As openssl's own, and before the certificate is there for anybody to take.
	{
		cat "$dir/badge-index.txt"
		printf 'V\t%s\t\t%s\tunknown\t/CN=%s\n' "$(date -u -d "$until" +%y%m%d%H%M%SZ)" "$serial" "$guid"
	} >"$dir/badge-index.txt.new"
	mv -f "$dir/badge-index.txt.new" "$dir/badge-index.txt"
	mv -f "$cert" "$dir/badge-certificates/$serial.pem"
	cert=$dir/badge-certificates/$serial.pem object=$(chuid "$guid" "$until")
	say "$guid: $cert, until $until" "$guid: $cert, berlaku sampai $until"
	say "onto the card, object 5FC101 (certificate of slot 9E): $cert" "ke kartu, objek 5FC101 (sertifikat slot 9E): $cert"
	say "onto the card, object 5FC102 (CHUID), within tag 53: $object" "ke kartu, objek 5FC102 (CHUID), di dalam tag 53: $object"
	say "into the roster, column badge: $(plain_hex "$guid")" "ke roster, kolom badge: $(plain_hex "$guid")"
}

# chuid GUID UNTIL: the card holder unique identifier (NIST SP 800-73-4, appendix A) in hex:
# a FASC-N that says "no agency", the GUID, the day on which it ends, and no signature.
chuid() {
	printf '3019d4e739da739ced39ce739d836858210842108421c84210c3eb3410%s3508%s3e00fe00\n' "$(plain_hex "$1")" \
		"$(date -u -d "$2" +%Y%m%d | od -An -tx1 -N8 | tr -d ' \n')"
}

badge_revoke() {
	local since='' why='' what plain subject entries=()
	while [ $# -gt 0 ]; do
		case $1 in
		--since) since=$(date -u -d "${2:-no time}" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null) || fail "--since ${2:-}: that is no time; write 2026-12-01T07:30:00+07:00" "--since ${2:-}: bukan waktu; tulis 2026-12-01T07:30:00+07:00" ;;
		--why)
			why=${2:-}
			[[ $why =~ ^[a-z-]{1,32}$ ]] || fail "--why \"$why\": one word of a-z, such as lost" "--why \"$why\": satu kata a-z, misalnya hilang"
			;;
		*) break ;;
		esac
		shift 2
	done
	[ $# -gt 0 ] || fail "ca.sh badge-revoke: a GUID, a serial number or a UID is missing" "ca.sh badge-revoke: GUID, nomor seri atau UID belum disebut"
	since=${since:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}
	[ -d "$dir" ] || fail "there is no folder $dir" "tidak ada folder $dir"
	lock
	for what in "$@"; do
		plain=$(plain_hex "$what")
		# A serial number is whole bytes in the index; many programs leave a first 0 out.
		[ $((${#plain} % 2)) = 0 ] || plain=0$plain
		if issued 4 "${plain^^}"; then
			entries+=("\"serial\":\"${plain^^}\"")
			mark_revoked 4 "${plain^^}"
		elif [[ $plain =~ ^[0-9a-f]{32}$ ]]; then
			subject=$(as_uuid "$plain")
			issued 6 "/CN=$subject" || fail "no badge of here has the GUID $subject, and no certificate that serial number" "tidak ada kartu dari sini dengan GUID $subject, dan tidak ada sertifikat dengan nomor seri itu"
			entries+=("\"guid\":\"$subject\"")
			mark_revoked 6 "/CN=$subject"
		elif is_uid "$plain"; then
			entries+=("\"uid\":\"${plain^^}\"")
			subject=$(guid_of "$plain")
			if issued 6 "/CN=$subject"; then
				entries+=("\"guid\":\"$subject\"")
				mark_revoked 6 "/CN=$subject"
			fi
		else
			fail "\"$what\" is no GUID, no serial number of a badge's certificate and no UID" "\"$what\" bukan GUID, bukan nomor seri sertifikat kartu, dan bukan UID"
		fi
	done
	for what in "${entries[@]}"; do
		enter_revoked "$what" "$since" "$why"
	done
}

# issued COLUMN VALUE: whether a line of the index of badges has the value.
issued() { [ -f "$dir/badge-index.txt" ] && cut -f "$1" "$dir/badge-index.txt" | grep -qxF -- "$2"; }

# mark_revoked COLUMN VALUE marks certificates in the index.
mark_revoked() {
	awk -F'\t' -v OFS='\t' -v column="$1" -v value="$2" -v now="$(date -u +%y%m%d%H%M%SZ)" \
		'$1 == "V" && $column == value { $1 = "R"; $3 = now } { print }' "$dir/badge-index.txt" >"$dir/badge-index.txt.new"
	mv -f "$dir/badge-index.txt.new" "$dir/badge-index.txt"
}

# enter_revoked ENTRY SINCE WHY adds a line to the list, a JSON array with an entry a line.
enter_revoked() {
	local list=$dir/badge-revoked.json
	# Another program may have written it in another form, of which nothing must be lost.
	! grep -qsvE '^(\[|\]|\[\]|\{[^{}]*\},?)?$' "$list" || fail "$list has not an entry on each line, as it has to: {...}, between [ and ]" "$list harus memuat satu entri per baris: {...}, di antara [ dan ]"
	if [ -f "$list" ] && grep -qF "{$1," "$list"; then
		say "$1 is in $list already" "$1 sudah ada di $list"
		return 0
	fi
	{
		[ ! -f "$list" ] || sed -n 's/^\({.*}\),\{0,1\}$/\1/p' "$list"
		printf '{%s,"since":"%s"%s}\n' "$1" "$2" "${3:+,\"why\":\"$3\"}"
	} | sed '$!s/$/,/; 1s/^/[\n/; $s/$/\n]/' >"$list.new"
	mv -f "$list.new" "$list"
	say "$1: revoked since $2, in $list: sign it and publish it (gatewayd-city badge-revoked)" "$1: dicabut sejak $2, di $list: tanda tangani dan terbitkan (gatewayd-city badge-revoked)"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
init) make_authority "$@" ;;
fingerprint)
	[ -f "$dir/ca.pem" ] || fail "there is no authority in $dir" "belum ada otoritas di $dir"
	city_fingerprint
	;;
badge-init) make_badge_authority "$@" ;;
badge)
	need_badge_ca
	badge "$@"
	;;
badge-revoke) badge_revoke "$@" ;;
certified) certified "$@" ;; # for gatewayd-city and offices.sh
broker | client | sign | seal | renew | revoke | retire | bundle)
	need_ca
	case $command in
	broker) make_broker "$@" ;;
	client) make_client "$@" ;;
	*) "$command" "$@" ;;
	esac
	;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
