package terminal

import "presence/gatewayd/internal/language"

// words are all texts of this package. A test asks that each is there in both languages,
// with the same arguments.
type words struct {
	// One line for each thing that happens.
	Accepted, Repeat, Refused, Tag, Gap, Badge language.Text
	InMS, AlreadyAs, NoPosition, Away          language.Text
	Staff, Journal, Start, Sealed              language.Text

	// The line about the hardware and the connection.
	Reader, Receiver, Connected, NotConnected, Waiting language.Text

	// The health document: what each line is about, and what it says.
	Gateway, Simulated, GatewaySays                           language.Text
	Alert, Since                                              language.Text
	ReaderSays, ReceiverSays, HeardNothing, LastHeard         language.Text
	Roster, RosterSays, Hours, Serial, FromFile, FromCity     language.Text
	OpenNow, ClosedNow, OpenUnknown                           language.Text
	LineCosts, LineCarried, LineMonth                         language.Text
	Line, LineSays, LineUp, LineDown                          language.Text
	Clock, Within, UnsyncedFor                                language.Text
	JournalSays, OldestFor                                    language.Text
	Seals, SealedBy, NotSealed, Unsealed                      language.Text
	Board, Degrees, PowerWeak, CardErrors, DiskFree, DiskFull language.Text
}

func inWords() words {
	return words{
		Accepted:   language.Text{EN: "accepted", ID: "diterima"},
		Repeat:     language.Text{EN: "repeat", ID: "ulangan"},
		Refused:    language.Text{EN: "refused", ID: "ditolak"},
		Tag:        language.Text{EN: "tag", ID: "tag"},
		Gap:        language.Text{EN: "gap", ID: "data hilang"},
		Badge:      language.Text{EN: "badge", ID: "kartu"},
		InMS:       language.Text{EN: "#%d in %.0f ms", ID: "#%d dalam %.0f ms"},
		AlreadyAs:  language.Text{EN: "already recorded as #%d", ID: "sudah tercatat sebagai #%d"},
		NoPosition: language.Text{EN: "no position sent", ID: "posisi tidak dikirim"},
		Away:       language.Text{EN: "%.0f m away", ID: "berjarak %.0f m"},
		Staff:      language.Text{EN: "staff", ID: "pegawai"},
		Journal:    language.Text{EN: "journal", ID: "jurnal"},
		Start:      language.Text{EN: "start", ID: "mulai"},
		Sealed:     language.Text{EN: "sealed up to #%d", ID: "disegel sampai #%d"},

		Reader:       language.Text{EN: "reader %s", ID: "pembaca %s"},
		Receiver:     language.Text{EN: "receiver %s", ID: "penerima %s"},
		Connected:    language.Text{EN: "connected to the city", ID: "tersambung ke kota"},
		NotConnected: language.Text{EN: "not connected to the city", ID: "tidak tersambung ke kota"},
		Waiting:      language.Text{EN: "%d to deliver", ID: "%d belum terkirim"},

		Gateway:   language.Text{EN: "gateway", ID: "gateway"},
		Simulated: language.Text{EN: " (simulated hardware)", ID: " (perangkat simulasi)"},
		GatewaySays: language.Text{
			EN: "%s; up for %s, boot %d, %d of them after a power cut",
			ID: "%s; menyala selama %s, nyala ke-%d, %d di antaranya setelah listrik padam",
		},
		Alert: language.Text{EN: "alert %s", ID: "peringatan %s"},
		Since: language.Text{EN: " (since %s)", ID: " (sejak %s)"},
		ReaderSays: language.Text{
			EN: "%s, chip %s, %d taps, %d repeats, %d refused, %d errors",
			ID: "%s, cip %s, %d tap, %d ulangan, %d ditolak, %d galat",
		},
		ReceiverSays: language.Text{
			EN: "%s, %s, %d frames, %s bad, %d duplicates, %d outside hours",
			ID: "%s, %s, %d paket data, %s rusak, %d ganda, %d di luar jam kerja",
		},
		HeardNothing: language.Text{EN: "nothing heard yet", ID: "belum menerima apa pun"},
		LastHeard:    language.Text{EN: "last heard %s ago", ID: "terakhir menerima %s yang lalu"},
		Roster:       language.Text{EN: "roster", ID: "roster"},
		RosterSays:   language.Text{EN: "%d badges, %s%s", ID: "%d kartu, %s%s"},
		Hours:        language.Text{EN: "hours", ID: "jam kerja"},
		Serial:       language.Text{EN: " (serial %d)", ID: " (nomor %d)"},
		FromFile:     language.Text{EN: "from the file", ID: "dari berkas"},
		FromCity:     language.Text{EN: "from the city", ID: "dari kota"},
		OpenNow:      language.Text{EN: "open, tags are recorded", ID: "buka, tag dicatat"},
		ClosedNow:    language.Text{EN: "closed, no tag is recorded", ID: "tutup, tag tidak dicatat"},
		OpenUnknown:  language.Text{EN: "not known while the time is not", ID: "tidak diketahui selama waktu tidak diketahui"},
		Line:         language.Text{EN: "line", ID: "sambungan"},
		LineSays: language.Text{
			EN: "%s, %d sent, %d confirmed, %d reconnects",
			ID: "%s, %d terkirim, %d dikonfirmasi, %d kali menyambung ulang",
		},
		LineUp:      language.Text{EN: "connected", ID: "tersambung"},
		LineDown:    language.Text{EN: "not connected for %s", ID: "tidak tersambung selama %s"},
		LineCosts:   language.Text{EN: "data used", ID: "pemakaian data"},
		LineCarried: language.Text{EN: "%s MB over the last %s", ID: "%s MB selama %s terakhir"},
		LineMonth:   language.Text{EN: ", which is %s MB a month", ID: ", setara %s MB sebulan"},
		Clock:       language.Text{EN: "clock", ID: "jam"},
		Within:      language.Text{EN: ", within %s ms", ID: ", dalam batas %s ms"},
		UnsyncedFor: language.Text{EN: " for %s: events carry no time", ID: " selama %s: data tidak memuat waktu"},
		JournalSays: language.Text{
			EN: "%s, %d events kept, %s MB, room for %s MB more, commit %s ms (p50) %s ms (p99)",
			ID: "%s, %d data disimpan, %s MB, masih muat %s MB, penulisan %s ms (p50) %s ms (p99)",
		},
		Seals:      language.Text{EN: "seals", ID: "segel"},
		SealedBy:   language.Text{EN: "sealed by the key %s", ID: "disegel dengan kunci %s"},
		NotSealed:  language.Text{EN: "not sealed, since there is no usable key", ID: "tidak disegel, karena tidak ada kunci yang dapat dipakai"},
		Unsealed:   language.Text{EN: ", %d events since the last seal", ID: ", %d data sejak segel terakhir"},
		OldestFor:  language.Text{EN: " (the oldest for %s)", ID: " (yang tertua menunggu %s)"},
		Board:      language.Text{EN: "board", ID: "papan"},
		Degrees:    language.Text{EN: "%.0f degrees", ID: "%.0f derajat"},
		PowerWeak:  language.Text{EN: "power too weak %d times", ID: "daya terlalu lemah %d kali"},
		CardErrors: language.Text{EN: "%d SD card errors", ID: "%d galat kartu SD"},
		DiskFree:   language.Text{EN: "%.0f MB of disk free", ID: "%.0f MB disk kosong"},
		DiskFull:   language.Text{EN: "full in %.0f days", ID: "penuh dalam %.0f hari"},
	}
}
