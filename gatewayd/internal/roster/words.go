package roster

import (
	"fmt"
	"strings"

	"presence/drivers/cardlist"
)

// Indonesian is what is wrong and what to do in Indonesian, without the line; the
// English text where none is known.
func (p Problem) Indonesian() string { return Indonesian(p.Text) }

// Indonesian is the Indonesian form of an error of this package, as Problem.Text
// or an error from ReadFile has it in English.
func Indonesian(text string) string {
	for _, w := range translations() {
		if w.en == text {
			return w.id
		}
		if before, ok := strings.CutSuffix(w.en, "%s"); ok {
			if rest, ok := strings.CutPrefix(text, before); ok {
				return fmt.Sprintf(w.id, rest)
			}
		}
		var n int
		if _, err := fmt.Sscanf(text, w.en, &n); err == nil && strings.Contains(w.en, "%d") && fmt.Sprintf(w.en, n) == text {
			return fmt.Sprintf(w.id, n)
		}
	}
	return text
}

// translation is a text with at most one number, or with something behind it.
type translation struct{ en, id string }

func translations() []translation {
	return []translation{
		{cardlist.NoText, `bukan teks UTF-8: simpan sebagai "CSV UTF-8"`},
		{"has the badge of line %d again: keep one of the two", "memuat kartu dari baris %d lagi: pertahankan salah satu"},
		{"has more than %d lines: this is no roster of an office", "lebih dari %d baris: ini bukan roster sebuah kantor"},
		{nothing, "kosong: tulis hanya judul kolom, kartu,tag, untuk menyatakan bahwa roster tidak memuat siapa pun"},
		{noPair, "tidak memuat pasangan: tulis satu baris kartu,tag untuk setiap kartu, atau hapus roster_file"},
		{"has %d columns: write badge,tag or badge,tag,assurance and nothing else, no names", "mempunyai %d kolom: tulis kartu,tag atau kartu,tag,jaminan saja, tanpa nama"},
		{errAssurance.Error(), "memuat jaminan yang tidak ada: tulis uid, authenticated-piv atau authenticated-desfire, tanpa nama"},
		{"is no CSV: %s", "bukan CSV: %s"},
		{"cannot be read: %s", "tidak dapat dibaca: %s"},
		{"is no ordinary file", "bukan berkas biasa"},
		{"is larger than %d bytes: this is no roster of an office", "lebih besar dari %d bita: ini bukan roster sebuah kantor"},
		{"it changes while it is read", "berubah saat dibaca"},
		{"has a hashed badge, but this gateway uses plain UIDs (plain_uid): write the UID", "memuat kartu yang di-hash, padahal gateway ini memakai UID apa adanya (plain_uid): tulis UID-nya"},
		{cardlist.ErrNoUID.Error(), `tidak memuat kartu: tulis "h:" dan 32 digit heksadesimal, UID sebagai 8, 14 atau 20 digit heksadesimal, atau GUID kartu PIV sebagai 32 (lembar kerja menghapus nol di depan kecuali kolomnya teks)`},
		{cardlist.ErrRandom.Error(), "memuat UID kartu yang berganti setiap kali (4 bita, diawali 08): kartu seperti itu tidak dapat masuk roster"},
		{cardlist.ErrShortened.Error(), "memuat angka yang disingkat lembar kerja, misalnya 1,23E+11: UID-nya hilang; jadikan kolomnya teks, lalu masukkan lagi"},
		{cardlist.ErrMultiplied.Error(), `memuat angka yang mungkin dibuat lembar kerja dari UID lain, seperti 12345600 dari 123456E2: jadikan kolomnya teks, lalu masukkan UID lagi; bila sudah benar, tulis dalam tanda kutip, "12345600", atau sebagai 12:34:56:00`},
		{cardlist.ErrRounded.Error(), "memuat angka yang digitnya setelah yang ke-15 mungkin dipotong lembar kerja: jadikan kolomnya teks, lalu masukkan lagi; bila sudah benar, tulis dalam tanda kutip"},
		{cardlist.ErrNoDecimal.Error(), "tidak memuat kartu: menurut judul kolom, UID ditulis sebagai angka desimal, dari 4, 7 atau 10 bita"},
		{cardlist.NoHeading, "menyebut uid_format, tetapi tidak diawali judul kolom: tulis kartu,tag,uid_format=dec"},
		{cardlist.NoSuchFormat, "menyebut uid_format yang tidak ada: tulis hex, dec, hex-reversed atau dec-reversed"},
		{cardlist.FormatInComment, "menyebut uid_format dalam komentar, yang tidak berlaku: tulis di judul kolom, kartu,tag,uid_format=dec"},
		{cardlist.NoSeparator, "menyebut pemisah yang bukan pemisah: tulis sep=; atau hapus baris itu"},
		{wrongTag(), "tidak memuat tag: tulis seperti pada data, misalnya " + TagForms()},
	}
}
