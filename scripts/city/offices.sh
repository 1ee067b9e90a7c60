#!/bin/bash
# Makes a hundred offices in a morning, from the city's list of offices. Run it in the
# authority's folder (or name that in $CA_DIR), as ca.sh; it asks for the authority's
# passphrase once.
#
#   offices.sh [OPTIONS] OFFICES.csv [STICK...]
#
# For each office of the list that was not made before it makes, in offices/ID/,
#   stick/       what ca.sh bundle puts on a technician's stick, with this office's badge
#                key and position only: copy it onto the stick, alone or as a folder ID
#                beside others
#   paper.txt    what the technician takes along on paper, with the passphrase of the
#                badge key: not for the stick
#   hours.json, roster.json    the signed documents, for the topics policy/hours and roster
# and it signs the requests for certificates that it finds on the STICKs and in
# offices/*/stick (of prepared cards), and puts the certificates beside them. What there
# is already stays as it is, so it may be run again, after each change of the list.
# Everything is read and checked first; what is wrong is told with its line, and then
# nothing is done.
#
#   -k CITY.KEY     the key that signs documents; otherwise city.key in this folder
#   -b BADGE.KEY    the city's badge key; otherwise badge.key in this folder
#   --again ID      makes an office anew ("all": all of them): its stick has another
#                   passphrase then
#   --publish HOST[:PORT]   publishes the documents that were made, retained, with the
#                   certificate of "admin" and mosquitto_pub
#
# The list has the columns id, dinas, and as far as is known place, contact, lat, lon,
# radius (metres), reader (its name; "-": none) and receivers (yard=kenwood, or
# yard=kenwood@/dev/..., with spaces between several). Commas or semicolons, as Excel
# writes it. Of each department there is a template DINAS.toml (see dinas.toml).
# hours/ID.json, hours/DINAS.json or hours.json, whichever is there first, are an
# office's hours; rosters/ID.csv is its roster (see sign.sh).
set -euo pipefail
umask 077

dir=${CA_DIR:-.}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
city_key=
badge_key=
publish=
again=()
known=(id dinas place contact lat lon radius reader receivers)
export CA_DIR=$dir

indonesian() {
	case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
	id | id_* | id.*) return 0 ;;
	esac
	return 1
}

# say ENGLISH INDONESIAN
say() { if indonesian; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }

fail() {
	printf '%s: %s\n' offices "$(say "$1" "${2:-$1}")" >&2
	exit 1
}

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
	exit 2
}

# complain tells what is wrong; nothing is done then, but the rest is looked at as well.
complain() {
	say "$1" "${2:-$1}" >&2
	wrong=$((wrong + 1))
}

# provision runs gatewayd-provision, which reads the list for each gateway as well.
provision() {
	local at
	for at in "$here/../provision.sh" "$here/provision.sh" /usr/sbin/gatewayd-provision; do
		if [ -f "$at" ]; then
			bash "$at" "$@"
			return
		fi
	done
	fail "gatewayd-provision is missing: put provision.sh beside offices.sh" "gatewayd-provision tidak ada: taruh provision.sh di samping offices.sh"
}

# groups shows a digest as people read it to each other: 5 groups of 4 hex digits.
groups() { cut -c 1-20 | tr a-f A-F | sed 's/..../&-/g; s/-$//'; }

# request_fingerprint REQUEST: of its key, as gatewayd-provision shows it on the Pi.
request_fingerprint() {
	openssl req -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | groups
}

# hours_of ID DINAS prints the file with an office's hours, nothing where there is none.
hours_of() {
	local file
	for file in "$dir/hours/$1.json" "$dir/hours/$2.json" "$dir/hours.json"; do
		if [ -f "$file" ]; then
			printf '%s' "$file"
			return
		fi
	done
}

# sources ID prints what an office was made of, so that a later run can tell whether any
# of it has changed since.
sources() {
	local file what
	printf 'row\t%s\n' "$(cut -f 1-9 <<<"${row[$1]}")"
	for what in template hours roster; do
		case $what in
		template) file=$dir/${dinas[$1]}.toml ;;
		hours) file=$(hours_of "$1" "${dinas[$1]}") ;;
		roster) file=$dir/rosters/$1.csv ;;
		esac
		printf '%s\t%s\n' "$what" "$([ ! -f "$file" ] || openssl dgst -sha256 -r <"$file" | cut -d' ' -f1)"
	done
}

read_list() {
	local rows line id
	rows=$(provision list-offices "$list") || fail "nothing was done: correct the list first" "tidak ada yang dilakukan: perbaiki daftarnya dulu"
	while IFS= read -r line; do
		id=${line%%$'\t'*}
		ids+=("$id")
		row[$id]=$line
		dinas[$id]=$(cut -f 2 <<<"$line")
	done <<<"$rows"
	for id in ${again[@]+"${again[@]}"}; do
		[ "$id" = all ] || [ -n "${row[$id]-}" ] || fail "--again $id: there is no such office in $list" "--again $id: tidak ada kantor itu di $list"
	done
}

# place_of ID prints where in the list an office is.
place_of() { printf '%s:%s' "$(basename "$list")" "$(cut -f 10 <<<"${row[$1]}")"; }

# sort_out decides which offices are made: new ones, and those that are to be made again.
sort_out() {
	local id now
	for id in "${ids[@]}"; do
		now=$(sources "$id")
		if [ ! -d "$dir/offices/$id" ]; then
			make+=("$id")
		elif [[ " ${again[*]-} " == *" all "* || " ${again[*]-} " == *" $id "* ]]; then
			make+=("$id")
		elif [ "$now" != "$(cat "$dir/offices/$id/made-of" 2>/dev/null)" ]; then
			changed+=("$id")
			which[$id]=$(diff <(cat "$dir/offices/$id/made-of" 2>/dev/null || true) - <<<"$now" | sed -n 's/^> \([a-z]*\).*/\1/p' | tr '\n' ' ' || true)
		else
			unchanged=$((unchanged + 1))
		fi
	done
}

# check_sources looks at all that the offices are made of, and signs their documents into
# the work folder: a roster or hours that are wrong show there.
check_sources() {
	local id file said
	for id in ${make[@]+"${make[@]}"}; do
		file=$dir/${dinas[$id]}.toml
		if [ ! -f "$file" ]; then
			complain "$(place_of "$id"): there is no template $file" "$(place_of "$id"): tidak ada templat $file"
			continue
		fi
		said=$(provision print-config "$file" "$id" "${dinas[$id]}" "$list" 2>&1 >/dev/null) || complain "$(place_of "$id"): $said"
		if grep -q '^[^#]*badge\.key' "$file" && [ ! -f "$badge_key" ]; then
			complain "$(place_of "$id"): $file names a badge key, and there is no $badge_key: openssl rand -hex 32 >badge.key" "$(place_of "$id"): $file menyebut kunci kartu, tetapi $badge_key tidak ada: openssl rand -hex 32 >badge.key"
		fi
		mkdir -p "$work/$id"
		file=$(hours_of "$id" "${dinas[$id]}")
		[ -z "$file" ] || document "$id" hours "$file"
		file=$dir/rosters/$id.csv
		[ ! -f "$file" ] || document "$id" roster "$file"
	done
	for file in "$dir"/rosters/*.csv "$dir"/hours/*.json; do
		[ -f "$file" ] || continue
		id=$(basename "${file%.*}")
		[ -n "${row[$id]-}" ] || { [[ $file == *.json ]] && [[ " ${dinas[*]} " == *" $id "* ]]; } ||
			complain "$file is for no office of $list" "$file bukan untuk kantor di $list"
	done
}

# document ID KIND FILE signs a document into the work folder.
document() {
	local said key=()
	if [ ! -f "$city_key" ]; then
		complain "$3 cannot be signed without $city_key: openssl genpkey -algorithm ed25519 -out city.key" "$3 tidak dapat ditandatangani tanpa $city_key: openssl genpkey -algorithm ed25519 -out city.key"
		return
	fi
	[ "$2" != roster ] || [ ! -f "$badge_key" ] || key=(-b "$badge_key")
	said=$(bash "$here/sign.sh" -k "$city_key" ${key[@]+"${key[@]}"} -d "${dinas[$1]}" -g "$1" "$2" "$3" 2>&1 >"$work/$1/$2.json") ||
		complain "$3: $said"
}

# find_requests looks at the requests on the sticks. One that cannot be signed is told at
# the end, and keeps nothing else from being done.
find_requests() {
	local file id stick
	for stick in ${sticks[@]+"${sticks[@]}"}; do
		[ -d "$stick" ] || fail "there is no folder $stick" "tidak ada folder $stick"
	done
	while IFS= read -r file; do
		id=$(basename "$file" .csr)
		if [[ $(openssl req -in "$file" -noout -verify 2>&1) != *'verify OK'* ]]; then
			refuse "$file" "is no certificate request, or was changed on its way" "bukan permintaan sertifikat, atau berubah di perjalanan"
		elif [ "$(openssl req -in "$file" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p')" != "$id" ]; then
			refuse "$file" "is not for $id" "bukan untuk $id"
		elif [ -z "${row[$id]-}" ]; then
			refuse "$file" "is for no office of the list" "bukan untuk kantor di daftar"
		elif [ -n "${request[$id]-}" ] && ! same_keys "$file" "${request[$id]}"; then
			refuse "$file" "is for another key than ${request[$id]}" "memakai kunci lain daripada ${request[$id]}"
		elif [ -n "${request[$id]-}" ]; then
			also[$id]="${also[$id]-}$file"$'\n'
		else
			request[$id]=$file
		fi
	done < <(for stick in ${sticks[@]+"${sticks[@]}"}; do
		find "$stick/requests" "$stick"/*/requests -maxdepth 1 -type f -name '*.csr' 2>/dev/null || true
	done | LC_ALL=C sort -u
	find "$dir"/offices/*/stick/requests -maxdepth 1 -type f -name '*.csr' 2>/dev/null | LC_ALL=C sort)
	for id in "${ids[@]}"; do
		[ -n "${request[$id]-}" ] || continue
		if bash "$here/ca.sh" certified "${request[$id]}"; then certified+=("$id"); else open+=("$id"); fi
	done
}

# refuse REQUEST ENGLISH INDONESIAN: why it is not signed.
refuse() { refused+=("$1 $(say "$2" "$3")"); }

# same_keys REQUEST OTHER: whether two requests are for the same keys, that for seals (in a
# second block) as well. The signature of each is another one.
same_keys() { cmp -s "$1" "$2" || [ "$(keys_in "$1")" = "$(keys_in "$2")" ]; }

keys_in() {
	openssl req -in "$1" -noout -pubkey
	awk '/^-----BEGIN/ { n++ } n > 1' "$1" | openssl req -noout -pubkey 2>/dev/null || true
}

# hand_out ID puts the certificates beside each request for them.
hand_out() {
	local file
	while IFS= read -r file; do
		[ -z "$file" ] || bash "$here/ca.sh" certified "$file" || true
	done <<<"${request[$1]}"$'\n'"${also[$1]-}"
}

# unlock asks for the passphrase of the authority, which openssl and ca.sh take from the
# environment, and makes sure that it is the right one.
unlock() {
	if [ -z "${CA_PASSPHRASE+is set}" ]; then
		IFS= read -rs -p "$(say "Passphrase of the authority: " "Kata sandi otoritas: ")" CA_PASSPHRASE || fail "there is no passphrase" "tidak ada kata sandi"
		echo >&2
	fi
	export CA_PASSPHRASE
	openssl pkey -in "$dir/ca.key" -passin env:CA_PASSPHRASE -noout 2>/dev/null || fail "the passphrase is wrong; nothing was done" "kata sandi salah; tidak ada yang dilakukan"
}

# agreed lets somebody compare the fingerprints: whoever gets a certificate for an id is
# that gateway. One question for all, and where nobody can be asked, none, as in ca.sh.
agreed() {
	local id answer said ask=
	[ ${#open[@]} -gt 0 ] || return 0
	say "Requests to sign, with their fingerprints:" "Permintaan yang akan ditandatangani, dengan sidik jarinya:"
	for id in "${open[@]}"; do
		said=$(request_fingerprint "${request[$id]}")
		# Of a card that was prepared at this desk, it was written down by image.sh.
		if [ "$said" = "$(cat "$dir/offices/$id/fingerprint" 2>/dev/null)" ]; then
			said="$said ($(say "the card was prepared here" "kartu ini disiapkan di sini"))"
		else
			ask=yes
		fi
		printf '  %-32s  %s\n' "$id" "$said"
	done
	[ -t 0 ] && [ -n "$ask" ] || return 0
	IFS= read -r -p "$(say "Do the technicians' papers say the same of all of them? [y/N, or the ids that differ] " "Apakah kertas teknisi sama untuk semuanya? [y/N, atau ID yang berbeda] ")" answer
	case $answer in
	y | Y) ;;
	'' | n | N)
		for id in "${open[@]}"; do refuse "${request[$id]}" "was not agreed to" "tidak disetujui"; done
		open=()
		;;
	*)
		local rest=()
		for id in $answer; do
			[[ " ${open[*]} " == *" $id "* ]] || fail "$id is none of them; nothing was done" "$id tidak termasuk; tidak ada yang dilakukan"
		done
		for id in "${open[@]}"; do
			if [[ " $answer " == *" $id "* ]]; then refuse "${request[$id]}" "does not agree with the paper" "tidak cocok dengan kertas"; else rest+=("$id"); fi
		done
		open=(${rest[@]+"${rest[@]}"})
		;;
	esac
}

# office_csv ID prints the list with this office only: a stick that gets lost tells
# nothing of the others.
office_csv() {
	local IFS=,
	echo "${known[*]}"
	cut -f 1-9 <<<"${row[$1]}" | sed 's/"/""/g; s/\t/","/g; s/^/"/; s/$/"/'
}

# build ID makes an office in the work folder.
build() {
	local id=$1 at=$work/$1 said keys=()
	office_csv "$id" >"$work/offices.csv"
	mkdir -p "$at/stick/requests"
	cp "$dir/offices/$id/stick/requests/"*.csr "$at/stick/requests/" 2>/dev/null || true
	[ ! -f "$badge_key" ] || keys=("$badge_key" "$id")
	said=$(OFFICES_CSV=$work/offices.csv bash "$here/ca.sh" bundle "$at/stick" ${keys[@]+"${keys[@]}"} 2>&1) ||
		fail "$id cannot be made, and nothing was: $said" "$id tidak dapat dibuat, dan tidak ada yang dibuat: $said"
	grep -E '^(the stick lacks|stik belum memuat)' <<<"$said" >>"$work/lacks" || true
	passphrase=$(sed -nE 's/^(the passphrase of the badge key|kata sandi kunci kartu), .*: //p' <<<"$said")
	[ -n "$passphrase" ] || passphrase=${BADGE_PASSPHRASE-}
	paper "$id" >"$at/paper.txt"
	printf '%s\n' "$passphrase" >"$at/passphrase"
	sources "$id" >"$at/made-of"
}

paper() {
	if indonesian; then
		cat <<PAPER
$1 ($(cut -f 2 <<<"${row[$1]}"))
  tempat:   $(cut -f 3 <<<"${row[$1]}")
  kontak:   $(cut -f 4 <<<"${row[$1]}")

Di kantor:
  sudo bash /media/pi/STICK/install.sh $1 ${dinas[$1]}
dan setelah kota menandatangani permintaan dan menaruh sertifikatnya di stik:
  sudo gatewayd-provision usb $1 ${dinas[$1]}

Sidik jari kota:               $fingerprint
Kata sandi kunci kartu:        $passphrase
Sidik jari permintaan yang ditampilkan Pi (catat, kota membandingkannya):
  ____-____-____-____-____
PAPER
	else
		cat <<PAPER
$1 ($(cut -f 2 <<<"${row[$1]}"))
  place:    $(cut -f 3 <<<"${row[$1]}")
  contact:  $(cut -f 4 <<<"${row[$1]}")

At the office:
  sudo bash /media/pi/STICK/install.sh $1 ${dinas[$1]}
and once the city has signed the request and put the certificate on the stick:
  sudo gatewayd-provision usb $1 ${dinas[$1]}

Fingerprint of the city:       $fingerprint
Passphrase of the badge key:   $passphrase
Fingerprint of the request that the Pi shows (write it down, the city compares it):
  ____-____-____-____-____
PAPER
	fi
}

# install_offices puts what was made in its place: so late, and so quickly, that all or
# nothing of it is there.
install_offices() {
	local id
	mkdir -p "$dir/offices"
	for id in ${make[@]+"${make[@]}"}; do
		[ ! -d "$dir/offices/$id" ] || mv "$dir/offices/$id" "$work/$id.before"
		mv "$work/$id" "$dir/offices/$id"
	done
}

sign_requests() {
	local id said
	for id in ${certified[@]+"${certified[@]}"}; do
		hand_out "$id" # this stick may not have it yet
	done
	for id in ${open[@]+"${open[@]}"}; do
		if said=$(bash "$here/ca.sh" sign "${request[$id]}" 2>&1 </dev/null); then
			signed+=("$id")
			hand_out "$id"
		else
			refuse "${request[$id]}" "is not signed: ${said##*ca: }" "tidak ditandatangani: ${said##*ca: }"
		fi
	done
}

publish_documents() {
	local id kind topic host=$publish port=8883
	if [[ $publish =~ ^(.*):([0-9]+)$ ]]; then
		host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
	fi
	for id in ${make[@]+"${make[@]}"}; do
		for kind in hours roster; do
			[ -f "$dir/offices/$id/$kind.json" ] || continue
			topic=$kind
			[ $kind = roster ] || topic=policy/hours
			mosquitto_pub -h "$host" -p "$port" --cafile "$dir/ca.pem" --cert "$dir/own/admin.pem" --key "$dir/own/admin.key" \
				-q 1 -r -t "presence/v1/${dinas[$id]}/$id/$topic" -f "$dir/offices/$id/$kind.json" ||
				fail "the $kind of $id cannot be published at $publish; all else is done: offices.sh --again $id --publish $publish $list" "$kind dari $id tidak dapat diterbitkan di $publish; yang lain sudah selesai: offices.sh --again $id --publish $publish $list"
			published=$((published + 1))
		done
	done
}

report() {
	local id path print missing=()
	[ ! -s "$work/lacks" ] || sort -u "$work/lacks" | sed 's/^the stick lacks/The sticks lack/; s/^stik belum/Stik-stik belum/'
	for id in ${signed[@]+"${signed[@]}"}; do
		print=$(request_fingerprint "${request[$id]}")
		say "signed: $id, fingerprint $print" "ditandatangani: $id, sidik jari $print"
	done
	for id in ${refused[@]+"${refused[@]}"}; do
		say "NOT SIGNED: $id" "TIDAK DITANDATANGANI: $id"
	done
	for id in ${changed[@]+"${changed[@]}"}; do
		say "changed since it was made, and left as it was: $id (${which[$id]% }); to make it anew: --again $id" "berubah sejak dibuat, dan dibiarkan: $id (${which[$id]% }); untuk membuat ulang: --again $id"
	done
	for path in "$dir"/offices/*/; do
		id=$(basename "$path")
		[ -n "${row[$id]-}" ] || [ "$id" = '*' ] || say "no longer in the list: $id; if it is gone for good: ca.sh retire $id, and remove $path" "tidak ada lagi di daftar: $id; bila memang sudah tidak ada: ca.sh retire $id, lalu hapus $path"
	done
	for id in "${ids[@]}"; do
		[ -f "$dir/issued/$id.pem" ] || missing+=("$id")
	done
	[ ${#missing[@]} = 0 ] || fold -s -w 100 <<<"$(say "still without a certificate:" "belum bersertifikat:") ${missing[*]}"
	[ ${#make[@]} = 0 ] || say "They are in $dir/offices; the city's fingerprint is $fingerprint." "Hasilnya di $dir/offices; sidik jari kota $fingerprint."
	echo "offices: made=${#make[@]} unchanged=$unchanged changed=${#changed[@]} signed=${#signed[@]} refused=${#refused[@]} missing=${#missing[@]} published=$published seconds=$SECONDS"
}

sticks=()
list=
while [ $# -gt 0 ]; do
	case $1 in
	-k) city_key=${2:?-k: a file is missing} && shift ;;
	-b) badge_key=${2:?-b: a file is missing} && shift ;;
	--again) again+=("${2:?--again: an id is missing}") && shift ;;
	--publish) publish=${2:?--publish: a host is missing} && shift ;;
	-*) usage ;;
	*) if [ -z "$list" ]; then list=$1; else sticks+=("$1"); fi ;;
	esac
	shift
done
[ -n "$list" ] || usage
[ -f "$list" ] || fail "there is no list of offices $list" "tidak ada daftar kantor $list"
[ -f "$dir/ca.key" ] || fail "there is no authority in $dir: see ca.sh" "belum ada otoritas di $dir: lihat ca.sh"
[ -z "${badge_key:-}" ] || [ -f "$badge_key" ] || fail "there is no $badge_key" "tidak ada $badge_key"
[ -z "${city_key:-}" ] || [ -f "$city_key" ] || fail "there is no $city_key" "tidak ada $city_key"
city_key=${city_key:-$dir/city.key}
badge_key=${badge_key:-$dir/badge.key}
if [ -n "$publish" ]; then
	command -v mosquitto_pub >/dev/null || fail "mosquitto_pub is missing: sudo apt-get install mosquitto-clients" "mosquitto_pub tidak ada: sudo apt-get install mosquitto-clients"
	[ -f "$dir/own/admin.pem" ] || fail "there is no certificate of admin: ca.sh client admin" "sertifikat admin belum ada: ca.sh client admin"
fi
if command -v flock >/dev/null; then # two at once would make the same offices
	exec 8>"$dir/offices.lock"
	flock -n 8 || fail "offices.sh runs already" "offices.sh sudah berjalan"
fi
# Beside where it goes, so that it need only be moved.
work=$(mktemp -d "$dir/.offices.XXXXXX")
trap 'rm -rf "$work"' EXIT

declare -A row=() dinas=() request=() also=() which=()
ids=() make=() changed=() open=() certified=() signed=() refused=()
wrong=0 unchanged=0 published=0 passphrase=
fingerprint=$(bash "$here/ca.sh" fingerprint)
read_list
sort_out
check_sources
[ $wrong = 0 ] || fail "nothing was done: $wrong mistakes, see above" "tidak ada yang dilakukan: $wrong kesalahan, lihat di atas"
find_requests
[ "${#make[@]}${#open[@]}" = 00 ] || unlock
agreed
for id in ${make[@]+"${make[@]}"}; do build "$id"; done
install_offices
sign_requests
[ -z "$publish" ] || publish_documents
report
[ ${#refused[@]} = 0 ]
