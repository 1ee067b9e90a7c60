package recap

import (
	"presence/gatewayd/internal/presence"
)

// Language is the language of a sheet for people.
type Language string

// The languages.
const (
	Indonesian Language = "id"
	English    Language = "en"
)

// texts are the words of the sheet for people.
type texts struct {
	Lang       Language
	Title      string
	Begins     string // from when on a gateway has data
	MonthTitle string
	Month      string
	Gateway    string
	Dinas      string
	Day        string
	Simulated  string
	Damaged    string
	Badges     string
	NoBadges   string
	Badge      string
	First      string
	Last       string
	Taps       string
	Reader     string
	Uncertain  string
	Outages    string
	NoOutages  string
	What       string
	From       string
	To         string
	Conflicts  string
	Tag        string
	Gaps       string
	NoGaps     string

	ConflictsMean string
	Lost          string
	Between       string
	GoesOn        string
	Flapping      string
	Unknown       string
	Legend        string
	Signature     string
	Date          string
	Event         string
	qualities     map[presence.Quality]string
	reasons       map[presence.GapReason]string
	thisDay       string // of what the sheet is, within a sentence
	thisMonth     string
	months        [12]string
}

var indonesian = texts{
	Lang: Indonesian, Title: "Rekap kehadiran harian", MonthTitle: "Rekap kehadiran bulanan", Begins: "Gateway %s tidak menyimpan data dari sebelum %s: tentang hari-hari sebelumnya lembar ini tidak mengatakan apa-apa.", Month: "Bulan", thisDay: "hari ini", thisMonth: "bulan ini", Gateway: "Gateway", Dinas: "Dinas", Day: "Hari",
	Simulated: "Sebagian data berasal dari perangkat simulasi: lembar ini bukan bukti.",
	Damaged:   "Penyimpanan data rusak dan tidak seluruhnya dapat dibaca: lembar ini tidak lengkap. Tap yang tidak ada di sini mungkin tetap terjadi.",
	Badges:    "Tap kartu", NoBadges: "Tidak ada tap pada %s.",
	Badge: "Kartu", First: "Tap pertama", Last: "Tap terakhir", Taps: "Jumlah", Reader: "Pembaca",
	Uncertain: "Tap yang waktunya belum pasti (mungkin pada %s)",
	Outages:   "Gangguan perangkat", NoOutages: "Tidak ada gangguan yang tercatat pada %s.",
	What: "Gangguan", From: "Mulai", To: "Selesai",
	Conflicts: "Tag yang disalin", Tag: "Tag",
	ConflictsMean: "Tag ini terdengar bergantian di dua tempat yang tidak mungkin dicapai satu orang: ada pemancar lain yang memakai nomornya. Apa yang dikatakannya bukan bukti, untuk atau terhadap siapa pun.",
	Gaps:          "Data yang hilang", NoGaps: "Tidak ada data yang hilang.", Lost: "Hilang",
	Between: "antara %s dan %s", GoesOn: "masih berlangsung", Flapping: "putus-sambung %d kali, seluruhnya %s", Unknown: "tidak diketahui",
	Legend:    "Waktu setempat, seperti yang terakhir disampaikan ke kota. Tanda ± menyatakan ketelitian waktu; waktu yang dihitung kemudian ditandai \"dikoreksi\". \"Mulai\" pada perangkat mati adalah tanda hidup terakhir yang tercatat, jadi gangguan tidak lebih lama daripada yang tertulis.",
	Signature: "Mengetahui", Date: "Tanggal", Event: "Nomor data",
	qualities: map[presence.Quality]string{
		presence.QualityCorrected: "dikoreksi", presence.QualityBounded: "perkiraan", presence.QualityTrusted: "jam sistem",
	},
	reasons: map[presence.GapReason]string{
		presence.GapJournalFull: "penyimpanan penuh", presence.GapJournalDamaged: "berkas data rusak", presence.GapWriteFailed: "gagal menulis",
		presence.GapForgotten:  "dihapus atas permintaan",
		presence.GapRolledBack: "salinan data lama telah dipasang kembali (harus diperiksa)",
		presence.GapForked:     "data berbeda dari yang sudah diterima kota (harus diperiksa)",
	},
	months: [...]string{
		"Januari", "Februari", "Maret", "April", "Mei", "Juni",
		"Juli", "Agustus", "September", "Oktober", "November", "Desember",
	},
}

var english = texts{
	Lang: English, Title: "Attendance recap of one day", MonthTitle: "Attendance recap of one month", Begins: "Gateway %s holds no data from before %s: of the days before that the sheet says nothing.", Month: "Month", thisDay: "this day", thisMonth: "this month", Gateway: "Gateway", Dinas: "Department", Day: "Day",
	Simulated: "Some of this comes from simulated hardware: this sheet proves nothing.",
	Damaged:   "The stored data is damaged and not all of it can be read: this sheet is not complete. A tap that is not on it may have happened all the same.",
	Badges:    "Badge taps", NoBadges: "No taps on %s.",
	Badge: "Badge", First: "First tap", Last: "Last tap", Taps: "Taps", Reader: "Reader",
	Uncertain: "Taps whose time is not certain (they may belong to %s)",
	Outages:   "Device failures", NoOutages: "No failure was noted on %s.",
	What: "Failure", From: "From", To: "To",
	Conflicts: "Copied tags", Tag: "Tag",
	ConflictsMean: "These tags were heard in turn at two places that one person cannot both be at: another transmitter uses their id. What they say is no evidence, for or against anybody.",
	Gaps:          "Lost data", NoGaps: "Nothing was lost.", Lost: "Lost",
	Between: "between %s and %s", GoesOn: "goes on", Flapping: "on and off %d times, altogether %s", Unknown: "unknown",
	Legend:    "Local time, as the city was told last. ± says how exactly a time is known; a time that was worked out afterwards is marked \"corrected\". \"From\" of a device that was off is its last recorded sign of life, so the failure was no longer than it says.",
	Signature: "Confirmed by", Date: "Date", Event: "Event",
	qualities: map[presence.Quality]string{
		presence.QualityCorrected: "corrected", presence.QualityBounded: "estimated", presence.QualityTrusted: "system clock",
	},
	reasons: map[presence.GapReason]string{
		presence.GapJournalFull: "storage full", presence.GapJournalDamaged: "data file damaged", presence.GapWriteFailed: "write failed",
		presence.GapForgotten:  "removed on request",
		presence.GapRolledBack: "an old copy of the data was put back (to be examined)",
		presence.GapForked:     "the data differs from what the city has received (to be examined)",
	},
	months: [...]string{
		"January", "February", "March", "April", "May", "June",
		"July", "August", "September", "October", "November", "December",
	},
}

func (t *texts) reason(r presence.GapReason) string {
	if s, ok := t.reasons[r]; ok {
		return s
	}
	return string(r)
}
