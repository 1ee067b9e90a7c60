package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// phrase is a part of a problem in both languages. It is an error where it describes all
// that is wrong with a file.
type phrase struct {
	en, id string
	cause  error // nil where there is none
}

// Error is the phrase in English.
func (p phrase) Error() string { return p.en }

// Unwrap is the error that the phrase is about.
func (p phrase) Unwrap() error { return p.cause }

// say makes a phrase of a format in English, which indonesian translates. Arguments that
// are phrases are inserted in the same language.
func say(format string, args ...any) phrase {
	var p phrase
	inID := slices.Clone(args)
	for i, arg := range args {
		err, ok := arg.(error)
		if !ok {
			continue
		}
		if w, ok := err.(phrase); ok { //nolint:errorlint // one within another error would lose the words around it
			inID[i] = w.id
			if w.cause != nil {
				p.cause = w.cause
			}
			continue
		}
		p.cause = err
		switch {
		case errors.Is(err, fs.ErrNotExist):
			inID[i] = "berkas atau folder tidak ada"
		case errors.Is(err, fs.ErrPermission):
			inID[i] = "izin ditolak"
		}
	}
	p.en, p.id = fmt.Sprintf(format, args...), fmt.Sprintf(indonesian(format), inID...)
	return p
}

// indonesian is the Indonesian form of a format, with the same verbs in the same
// order; the format itself where it holds no words, or none is known.
func indonesian(format string) string { //nolint:funlen // a table of texts
	switch format {
	// The file as a whole.
	case "cannot be read: %v":
		return "tidak dapat dibaca: %v"
	case "cannot find its folder: %v":
		return "foldernya tidak ditemukan: %v"
	case "is larger than %d bytes: this is not a configuration file of gatewayd":
		return "lebih besar dari %d bita: ini bukan berkas konfigurasi gatewayd"
	case "is larger than %d bytes":
		return "lebih besar dari %d bita"
	case "is not UTF-8 text: save the file as UTF-8":
		return "bukan teks UTF-8: simpan berkas sebagai UTF-8"
	case "has more than %d keys: this is not a configuration file of gatewayd":
		return "mempunyai lebih dari %d kunci: ini bukan berkas konfigurasi gatewayd"
	case "is not valid TOML":
		return "bukan TOML yang benar"
	case "is not valid TOML: %s":
		return "bukan TOML yang benar: %s"
	case "is there twice (first in line %d): keep one":
		return "ada dua kali (pertama di baris %d): pertahankan satu"
	case "is no JSON object with the keys of [hours]: %s":
		return "bukan objek JSON dengan kunci-kunci [hours]: %s"

	// Any key.
	case "is %s: write %s":
		return "adalah %s: tulis %s"
	case "holds %s: write %s":
		return "memuat %s: tulis %s"
	case "holds %s twice: once will do":
		return "memuat %s dua kali: sekali cukup"
	case "a list of some of %s, such as [%q]":
		return "daftar berisi sebagian dari %s, misalnya [%q]"
	case "names %s, for which no pin is set: set %s, or take it out":
		return "menyebut %s, padahal pinnya tidak ditulis: tulis %s, atau hapus dari daftar"
	case "text":
		return "teks"
	case "the whole number %s":
		return "bilangan bulat %s"
	case "the number %s":
		return "bilangan %s"
	case "the date %s":
		return "tanggal %s"
	case "the time of day %s":
		return "jam %s"
	case "a list":
		return "daftar"
	case "a list of tables":
		return "daftar tabel"
	case "a table":
		return "tabel"
	case "something else":
		return "sesuatu yang lain"
	case "text in double quotes":
		return "teks di antara tanda kutip ganda"
	case "true or false, without quotes":
		return "true atau false, tanpa tanda kutip"
	case "a whole number from %d to %d, without quotes":
		return "bilangan bulat dari %d sampai %d, tanpa tanda kutip"
	case "one of the numbers %s, without quotes":
		return "salah satu bilangan %s, tanpa tanda kutip"
	case "a number from %v to %v, without quotes":
		return "bilangan dari %v sampai %v, tanpa tanda kutip"
	case "a length of time in quotes, such as %q":
		return "lama waktu di antara tanda kutip, misalnya %q"
	case "a table, headed [%s]":
		return "tabel dengan judul [%s]"
	case "a table for each, headed [[%s]]":
		return "satu tabel untuk masing-masing, dengan judul [[%s]]"
	case "a list of dates, such as [2026-12-25, 2027-01-01]":
		return "daftar tanggal, misalnya [2026-12-25, 2027-01-01]"
	case "a date, such as 2027-02-08":
		return "tanggal, misalnya 2027-02-08"
	case "has a line break or another control character: write it on one line":
		return "mengandung ganti baris atau karakter kendali lain: tulis dalam satu baris"
	case "is missing: write %s = %q":
		return "tidak ada: tulis %s = %q"
	case "is empty: write %s = %q":
		return "kosong: tulis %s = %q"
	case "%s does not fit: use 1 to 32 small letters, digits and hyphens, such as %q":
		return "%s tidak cocok: pakai 1 sampai 32 huruf kecil, angka dan tanda hubung, misalnya %q"
	case "%s is not one of %s%s":
		return "%s bukan salah satu dari %s%s"
	case "; did you mean %q?":
		return "; maksud Anda %q?"
	case "%s is out of range: write a whole number from %d to %d":
		return "%s di luar jangkauan: tulis bilangan bulat dari %d sampai %d"
	case "%s is not possible: write one of %s":
		return "%s tidak bisa: tulis salah satu dari %s"
	case "%s is out of range: write a number from %v to %v":
		return "%s di luar jangkauan: tulis bilangan dari %v sampai %v"
	case "%s is no length of time: write one such as %q (units ms, s, m, h, d)":
		return "%s bukan lama waktu: tulis misalnya %q (satuan ms, s, m, h, d)"
	case "%s is no length of time: write one such as 90s, 12h or 1d12h (units ms, s, m, h, d)":
		return "%s bukan lama waktu: tulis misalnya 90s, 12h atau 1d12h (satuan ms, s, m, h, d)"
	case "%s is out of range: write %s to %s":
		return "%s di luar jangkauan: tulis %s sampai %s"
	case "is there as a list of tables: write [%[1]s] once, not [[%[1]s]]":
		return "ada sebagai daftar tabel: tulis [%[1]s] sekali, bukan [[%[1]s]]"
	case "is there as a single table: write [[%[1]s]], not [%[1]s]":
		return "ada sebagai satu tabel: tulis [[%[1]s]], bukan [%[1]s]"
	case "is not known%s":
		return "tidak dikenal%s"
	case ": did you mean %s?":
		return ": maksud Anda %s?"
	case ": it belongs to [%s]":
		return ": tempatnya di [%s]"
	case ": delete it, or see the reference for what may stand here":
		return ": hapus, atau lihat rujukan (gatewayd config) tentang apa yang boleh ditulis di sini"

	// Things that only one may use.
	case "%s is used already in line %d: %s":
		return "%s sudah dipakai di baris %d: %s"
	case "each reader has a bus of its own":
		return "setiap pembaca mempunyai bus sendiri"
	case "each reader has a name of its own":
		return "setiap pembaca mempunyai nama sendiri"
	case "each pin has one use":
		return "setiap pin hanya untuk satu kegunaan"
	case "each receiver has a name of its own":
		return "setiap penerima mempunyai nama sendiri"
	case "each receiver has a port of its own":
		return "setiap penerima mempunyai porta sendiri"

	// [gateway], [[reader]], [[receiver]], [feedback].
	case "is missing, and so is receiver: write at least one [[reader]] or [[receiver]]":
		return "tidak ada, begitu juga receiver: tulis paling sedikit satu [[reader]] atau [[receiver]]"
	case "is empty: write the folder for the journal, or leave the key out":
		return "kosong: tulis folder untuk jurnal, atau hapus kunci ini"
	case "has %d bytes, and %d are the most: shorten it":
		return "memuat %d byte, paling banyak %d: persingkat"
	case "is too long: with control.sock behind it it has %d bytes, and a socket's path at most %d":
		return "terlalu panjang: dengan control.sock di belakangnya menjadi %d bita, padahal jalur soket paling banyak %d"
	case "%s is no folder: write another, or move away what is there":
		return "%s bukan folder: tulis yang lain, atau pindahkan yang ada di sana"
	case "%s has something else for its %s: move it away":
		return "%s memuat sesuatu yang lain sebagai %s: pindahkan"
	case "%s cannot be used (%v): write another folder":
		return "%s tidak dapat dipakai (%v): tulis folder lain"
	case "%s cannot be made: %s is a link to nothing":
		return "%s tidak dapat dibuat: %s adalah tautan yang tidak menunjuk ke mana pun"
	case "%s cannot be made: %s is no folder":
		return "%s tidak dapat dibuat: %s bukan folder"
	case "%s cannot be made in %s (%v): write another folder":
		return "%s tidak dapat dibuat di %s (%v): tulis folder lain"
	case "%s is no time zone: write Asia/Jakarta (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT) or another name of the IANA list":
		return "%s bukan zona waktu: tulis Asia/Jakarta (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT) atau nama lain dari daftar IANA"
	case "is for chip mfrc522 only: delete it":
		return "hanya untuk cip mfrc522: hapus"
	case "is for protocol reyax only: delete it":
		return "hanya untuk protokol reyax: hapus"
	case "%s is no pin: write its GPIO number, such as %q (not the number on the header)":
		return "%s bukan pin: tulis nomor GPIO-nya, misalnya %q (bukan nomor pada header)"
	case "%s is on no header of a Raspberry Pi: write GPIO0 to GPIO%d":
		return "%s tidak ada di header Raspberry Pi: tulis GPIO0 sampai GPIO%d"
	case "%s is a wire of %s: use another pin":
		return "%s adalah kabel dari %s: pakai pin lain"
	case "%s is no device: write its whole path, such as %q":
		return "%s bukan perangkat: tulis jalur lengkapnya, misalnya %q"
	case "%s is %s: write the path of %s":
		return "%s adalah %s: tulis jalur dari %s"
	case "a folder":
		return "folder"
	case "an ordinary file":
		return "berkas biasa"
	case "no device of that kind":
		return "bukan perangkat jenis itu"
	case "an SPI device, such as /dev/spidev0.0":
		return "perangkat SPI, misalnya /dev/spidev0.0"
	case "a serial port, such as /dev/serial/by-id/usb-...":
		return "porta serial, misalnya /dev/serial/by-id/usb-..."
	case "%s is the same device as %s in line %d: each has one of its own":
		return "%s adalah perangkat yang sama dengan %s di baris %d: masing-masing mempunyai satu sendiri"

	// [badges], [tags], [office], [clock].
	case "is true although key_file is set: keep one of the two":
		return "bernilai true padahal key_file ditulis: pertahankan salah satu"
	case "is missing: write the file of this gateway's badge key, or plain_uid = true to send UIDs as they are":
		return "tidak ada: tulis berkas kunci kartu gateway ini, atau plain_uid = true untuk mengirim UID apa adanya"
	case "would refuse every badge: write ca_file for PIV badges, or key_file below [city], whose signed badge-keys are for the others":
		return "akan menolak setiap kartu: tulis ca_file untuk kartu PIV, atau key_file di bawah [city], yang badge-keys-nya bertanda tangan dipakai untuk kartu lain"
	case "is the certificate of a key that is not named: write key_file below [seal] too":
		return "adalah sertifikat dari kunci yang tidak disebut: tulis juga key_file di bawah [seal]"
	case "needs to know what badges are called: write badges.key_file, or badges.plain_uid = true":
		return "perlu mengetahui nama kartu: tulis badges.key_file, atau badges.plain_uid = true"
	case "has moved: write it as key_file below [city]; receipts and the time have to be signed with that key too":
		return "pindah: tulis sebagai key_file di bawah [city]; resi dan waktu juga harus ditandatangani dengan kunci itu"
	case "stands beside fence_file: keep lat, lon and radius_m, or fence_file":
		return "ada di samping fence_file: pertahankan lat, lon dan radius_m, atau fence_file"
	case "and lon look like metres (UTM): write degrees (WGS 84), such as -7.9778 and 112.634":
		return "dan lon tampaknya dalam meter (UTM): tulis derajat (WGS 84), misalnya -7.9778 dan 112.634"
	case "and lon look swapped: exchange the two":
		return "dan lon tampaknya tertukar: tukarkan keduanya"
	case "is missing: write lat, lon and radius_m, or fence_file, or delete [office]":
		return "tidak ada: tulis lat, lon dan radius_m, atau fence_file, atau hapus [office]"
	case "is shorter than health.interval, %s: write a longer one, or 0s":
		return "lebih pendek daripada health.interval, %s: tulis yang lebih panjang, atau 0s"
	case "is sim, but no reader has bus = \"sim\": real events would carry invented times; write kernel":
		return "adalah sim, tetapi tidak ada pembaca dengan bus = \"sim\": data sungguhan akan memuat waktu rekaan; tulis kernel"

	// [hours].
	case `has no day, so nothing of the tags would be recorded: write mon = "07:30-16:00" and so on, or delete [hours] for the national week, or write always = true`:
		return `tidak mempunyai hari, sehingga tidak ada tag yang tercatat: tulis mon = "07:30-16:00" dan seterusnya, atau hapus [hours] untuk minggu kerja nasional, atau tulis always = true`
	case `is closed on every day, so nothing of the tags would be recorded: write mon = "07:30-16:00" and so on, or always = true`:
		return `tutup setiap hari, sehingga tidak ada tag yang tercatat: tulis mon = "07:30-16:00" dan seterusnya, atau always = true`
	case `%s is no span of hours: write it such as "07:30-16:00" (24:00 is the end of the day, "" is none)`:
		return `%s bukan rentang jam: tulis misalnya "07:30-16:00" (24:00 adalah akhir hari, "" berarti tidak ada)`
	case "%s ends before it begins: the end must be later on the same day":
		return "%s berakhir sebelum mulai: akhirnya harus lebih lambat pada hari yang sama"
	case "%s is not within the hours of that day: correct one of the two, or delete it":
		return "%s tidak berada dalam jam hari itu: perbaiki salah satunya, atau hapus"
	case "%s is not within the hours of any day: correct one of them, or delete it":
		return "%s tidak berada dalam jam hari mana pun: perbaiki salah satunya, atau hapus"
	case "%s is no date: write it such as 2026-12-25":
		return "%s bukan tanggal: tulis misalnya 2026-12-25"
	case "%s is no date: write it such as 2027-02-08":
		return "%s bukan tanggal: tulis misalnya 2027-02-08"
	case "is missing: write %s = 2027-02-08":
		return "tidak ada: tulis %s = 2027-02-08"
	case `has no day: write mon = "08:00-15:00" and so on; for closed days use holidays`:
		return `tidak mempunyai hari: tulis mon = "08:00-15:00" dan seterusnya; untuk hari tutup pakai holidays`
	case "%v is before from = %v: exchange the two":
		return "%v lebih awal dari from = %v: tukarkan keduanya"
	case "overlaps with the period of line %d (%v to %v): a day belongs to one period":
		return "tumpang tindih dengan periode di baris %d (%v sampai %v): satu hari hanya milik satu periode"

	// [mqtt].
	case "goes over the network without encryption: write tls://, or insecure = true if you accept that anybody on the way can read and change everything":
		return "melewati jaringan tanpa enkripsi: tulis tls://, atau insecure = true bila Anda menerima bahwa siapa pun di jalan dapat membaca dan mengubah semuanya"
	case "has no key_file beside it: write both or none":
		return "tidak disertai key_file: tulis keduanya atau tidak sama sekali"
	case "has no cert_file beside it: write both or none":
		return "tidak disertai cert_file: tulis keduanya atau tidak sama sekali"
	case "has no username beside it: write both or none":
		return "tidak disertai username: tulis keduanya atau tidak sama sekali"
	case "has no password_file beside it: write both or none":
		return "tidak disertai password_file: tulis keduanya atau tidak sama sekali"
	case "goes over the network without encryption: write wss://, or insecure = true if you accept that anybody on the way can read and change everything":
		return "melewati jaringan tanpa enkripsi: tulis wss://, atau insecure = true bila Anda menerima bahwa siapa pun di jalan dapat membaca dan mengubah semuanya"
	case "has no scheme: write tls://host:port, such as %q":
		return "tidak mempunyai skema: tulis tls://host:porta, misalnya %q"
	case "has no scheme: write http://host:port, such as %q":
		return "tidak mempunyai skema: tulis http://host:porta, misalnya %q"
	case "has the scheme %s: write tls:// instead":
		return "memakai skema %s: tulis tls://"
	case "has the scheme %s: write wss:// for MQTT over WebSocket":
		return "memakai skema %s: tulis wss:// untuk MQTT melalui WebSocket"
	case "has the scheme %s: write tls:// (or tcp:// for a broker on this machine)":
		return "memakai skema %s: tulis tls:// (atau tcp:// untuk broker di mesin ini)"
	case "has the scheme %s: only tls://, wss://, tcp:// and ws:// are possible":
		return "memakai skema %s: hanya tls://, wss://, tcp:// dan ws:// yang bisa"
	case "has the scheme %s: only http:// is possible, for a proxy that knows CONNECT":
		return "memakai skema %s: hanya http:// yang bisa, untuk proksi yang mengenal CONNECT"
	case "holds a user name: write it under username, and the password into password_file":
		return "memuat nama pengguna: tulis di username, dan kata sandinya di password_file"
	case "holds a user name: gatewayd gives none to a proxy; write http://host:port, and have the proxy let this gateway through by its address":
		return "memuat nama pengguna: gatewayd tidak memberikannya kepada proksi; tulis http://host:porta, dan minta proksi meloloskan gateway ini menurut alamatnya"
	case "has a path with characters that cannot stand there: write letters, digits and - . _ ~ / only, such as %q":
		return "memuat jalur dengan karakter yang tidak boleh ada: tulis hanya huruf, angka dan - . _ ~ /, misalnya %q"
	case "has something behind host and port: write no more than those, such as %q":
		return "memuat sesuatu di belakang host dan porta: tulis keduanya saja, misalnya %q"
	case "has no port from 1 to 65535 behind its host, such as %q":
		return "tidak mempunyai porta dari 1 sampai 65535 di belakang host, misalnya %q"
	case "has an IPv6 address without brackets: write it such as %q":
		return "memuat alamat IPv6 tanpa kurung siku: tulis misalnya %q"
	case "has no IPv6 address between its brackets, such as %q":
		return "tidak memuat alamat IPv6 di antara kurung sikunya, misalnya %q"
	case "has no valid host name, such as %q":
		return "tidak memuat nama host yang benar, misalnya %q"

	// Files.
	case "%s cannot be read (%v): %s":
		return "%s tidak dapat dibaca (%v): %s"
	case "%s cannot be read (%v): let the gateway's user read it":
		return "%s tidak dapat dibaca (%v): izinkan pengguna gateway membacanya"
	case "%s cannot be read: %v":
		return "%s tidak dapat dibaca: %v"
	case "%s is no ordinary file: %s":
		return "%s bukan berkas biasa: %s"
	case "%s is larger than %d bytes: %s":
		return "%s lebih besar dari %d bita: %s"
	case "put the file there, or correct the path":
		return "letakkan berkas di sana, atau perbaiki jalurnya"
	case "%s holds no certificate%s: put the certificate of the city's CA there, in PEM form":
		return "%s tidak memuat sertifikat%s: letakkan sertifikat CA kota di sana, dalam bentuk PEM"
	case "%s holds no certificate%s: put this gateway's certificate there, in PEM form":
		return "%s tidak memuat sertifikat%s: letakkan sertifikat gateway ini di sana, dalam bentuk PEM"
	case "%s holds no private key%s: put the key of this gateway's certificate there, in PEM form and without a passphrase":
		return "%s tidak memuat kunci privat%s: letakkan kunci dari sertifikat gateway ini di sana, dalam bentuk PEM dan tanpa frasa sandi"
	case " that can be read, as it %s":
		return " yang dapat dibaca, karena %s"
	case " but a %s":
		return " melainkan %s"
	case "begins with a byte order mark: save it as UTF-8 without BOM":
		return "diawali tanda urutan bita (BOM): simpan sebagai UTF-8 tanpa BOM"
	case "is UTF-16: save it as UTF-8 without BOM":
		return "berbentuk UTF-16: simpan sebagai UTF-8 tanpa BOM"
	case "does not go with key_file: %s":
		return "tidak cocok dengan key_file: %s"
	case "%s is the certificate of %s (CN), and gateway.id is %s: ask the city for one of that name, or correct gateway.id":
		return "%s adalah sertifikat untuk %s (CN), padahal gateway.id adalah %s: minta yang bernama itu dari kota, atau perbaiki gateway.id"
	case "has %d characters: the badge key is 64 hex digits on one line":
		return "mempunyai %d karakter: kunci kartu adalah 64 digit heksadesimal dalam satu baris"
	case "has characters that are no hex digits: the badge key is 64 hex digits on one line":
		return "memuat karakter yang bukan digit heksadesimal: kunci kartu adalah 64 digit heksadesimal dalam satu baris"
	case "holds a PRIVATE key, which must not leave the city: put the certificate alone there":
		return "berisi kunci PRIVAT, yang tidak boleh keluar dari kota: letakkan sertifikatnya saja di sana"
	case "holds a certificate that cannot be read: %s":
		return "berisi sertifikat yang tidak dapat dibaca: %s"
	case "holds no certificate%s: put the certificate of the badges' CA there, in PEM form":
		return "tidak berisi sertifikat%s: letakkan sertifikat CA kartu di sana, dalam bentuk PEM"
	case "is no public key: %s":
		return "bukan kunci publik: %s"
	case "is the PRIVATE key, which must not leave the city: delete it here and %s":
		return "adalah kunci PRIVAT, yang tidak boleh keluar dari kota: hapus di sini dan %s"
	case "put the city's public key there (openssl pkey -in city.key -pubout)":
		return "letakkan kunci publik kota di sana (openssl pkey -in city.key -pubout)"
	case "is a key of another kind than Ed25519: make the city's key with openssl genpkey -algorithm ed25519":
		return "adalah kunci jenis lain, bukan Ed25519: buat kunci kota dengan openssl genpkey -algorithm ed25519"
	case "%s is empty: put the broker's password there":
		return "%s kosong: letakkan kata sandi broker di sana"
	case "%s has more than one line: put the broker's password there, alone":
		return "%s lebih dari satu baris: letakkan hanya kata sandi broker di sana"
	case "%s is longer than 65535 bytes: put the broker's password there, alone":
		return "%s lebih panjang dari 65535 bita: letakkan hanya kata sandi broker di sana"
	case "is no GeoJSON (there is a JSON %s where none belongs): export the office's outline as GeoJSON":
		return "bukan GeoJSON (ada JSON %s di tempat yang salah): ekspor garis batas kantor sebagai GeoJSON"
	case "is no GeoJSON (%s): export the office's outline as GeoJSON":
		return "bukan GeoJSON (%s): ekspor garis batas kantor sebagai GeoJSON"
	case "is GeoJSON of type %s: a fence is a Polygon or a MultiPolygon":
		return "adalah GeoJSON berjenis %s: pagar adalah Polygon atau MultiPolygon"
	}
	return format
}
