package terminal_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
)

func TestLinesOfWhatHappens(t *testing.T) {
	en, id := terminal.Screen{}, terminal.Screen{Language: language.Indonesian}
	at := "2026-11-23T07:12:03.250+07:00"
	badge := "h:0123456789abcdef0123456789abcdef"
	accepted := presence.Answer{Outcome: presence.Accepted, Reader: "door", Badge: badge, Card: "ntag21x", Seq: 7}
	repeat := presence.Answer{Outcome: presence.Repeat, Reader: "door", Badge: badge, Card: "ntag21x", Seq: 7}
	refused := presence.Answer{Outcome: presence.Refused, Reader: "door", Badge: badge, Card: "ntag21x", Reason: "journal-full"}
	inside := []byte(`{"kind":"tag","seq":9,"receiver":"yard","tag":"kenwood:100-1001","lat":-7.9778,"lon":112.634,"fix":"live","zone":"inside"}`)
	nowhere := []byte(`{"kind":"tag","seq":9,"receiver":"yard","tag":"kenwood:100-1001","fix":"none"}`)
	staff := []byte(`{"kind":"presence","seq":9,"badge":"` + badge + `","tag":"reyax:50","state":"badge_only","distance_m":400.4}`)
	gap := []byte(`{"kind":"gap","seq":9,"reason":"journal-full"}`)
	rolledBack := []byte(`{"kind":"gap","seq":9,"reason":"journal-rolled-back"}`)
	seal := []byte(`{"kind":"seal","seq":9,"upto":8,"link":"00112233445566778899aabbccddeeff","anchors":[],"key":"0011223344556677","sig":"AA=="}`)
	arrived := []byte(`{"kind":"badge","seq":9,"badge":"` + badge + `","card":"ntag21x"}`)
	for want, got := range map[string]string{
		"07:12:03  text\n": en.Line(&at, "text"),
		"--:--:--  text\n": en.Line(nil, "text"),
		"door  accepted  h:01234567 ntag21x  #7 in 12 ms":                                        en.Tap(accepted, 12.3),
		"door  diterima  h:01234567 ntag21x  #7 dalam 12 ms":                                     id.Tap(accepted, 12.3),
		"door  repeat    h:01234567 ntag21x  already recorded as #7":                             en.Tap(repeat, 12.3),
		"door  ulangan   h:01234567 ntag21x  sudah tercatat sebagai #7":                          id.Tap(repeat, 12.3),
		"door  refused   h:01234567 ntag21x  the journal is full":                                en.Tap(refused, 12.3),
		"door  ditolak   h:01234567 ntag21x  jurnal penuh":                                       id.Tap(refused, 12.3),
		"yard  tag       kenwood:100-1001  -7.97780 112.63400 inside  live  #9":                  en.Event(inside),
		"yard  tag       kenwood:100-1001  -7.97780 112.63400 di dalam  langsung  #9":            id.Event(inside),
		"yard  tag       kenwood:100-1001  no position sent  none  #9":                           en.Event(nowhere),
		"yard  tag       kenwood:100-1001  posisi tidak dikirim  none  #9":                       id.Event(nowhere),
		"staff    badge only  h:01234567  reyax:50  400 m away  #9":                              en.Event(staff),
		"pegawai  hanya kartu  h:01234567  reyax:50  berjarak 400 m  #9":                         id.Event(staff),
		"journal  gap  the journal was full  #9":                                                 en.Event(gap),
		"jurnal  data hilang  jurnal penuh  #9":                                                  id.Event(gap),
		"journal  gap  an old copy of the journal was put back  #9":                              en.Event(rolledBack),
		"jurnal  data hilang  salinan jurnal lama telah dipasang kembali  #9":                    id.Event(rolledBack),
		"journal  sealed up to #8  #9":                                                           en.Event(seal),
		"jurnal  disegel sampai #8  #9":                                                          id.Event(seal),
		"":                                                                                       en.Event(arrived),
		"badge h:01234567 ntag21x  #9":                                                           en.Arrived(arrived),
		"kartu h:01234567 ntag21x  #9":                                                           id.Arrived(arrived),
		"reader door does not answer: MISO; not connected to the city: refused; 3 to deliver":    en.Health(broken()),
		"pembaca door tidak menjawab: MISO; tidak tersambung ke kota: refused; 3 belum terkirim": id.Health(broken()),
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// broken is the health of a gateway with a dead reader and no line.
func broken() presence.Health {
	within := 12.25
	return presence.Health{
		Level: presence.LevelFault, UptimeS: 90061, Boots: 3, Unclean: 1,
		Readers: []presence.ReaderHealth{{Name: "door", State: "bus-dead", Error: "MISO"}},
		MQTT:    presence.MQTTHealth{LastError: "refused", DisconnectedS: 600, BytesSent: 200, BytesReceived: 100, BytesDay: 20_000_000},
		Journal: presence.JournalHealth{Pending: 3, OldestPendingS: 120, Bytes: 1_500_000, CommitMSP50: 1.5},
		Clock:   presence.ClockHealth{State: "synced", ErrorMS: &within},
		Roster:  presence.RosterHealth{Source: "topic", Entries: 40, Serial: 7},
		Hours:   presence.HoursHealth{Source: "file"},
		Alerts:  []string{"reader-door"},
		AlertTexts: []presence.Alert{{
			Code: "reader-door", Level: presence.LevelFault, Since: "2026-12-24T23:30:05.250Z", EN: "The reader is dead.", ID: "Pembaca mati.",
		}},
	}
}

// TestColourIsForTerminals: what goes into a file holds no escape sequence, also
// where the writer hides that it is one.
func TestColourIsForTerminals(t *testing.T) {
	var file bytes.Buffer
	if terminal.PaletteFor(&file) || terminal.PaletteFor(wrapped{&file}) {
		t.Error("a buffer is taken for a terminal")
	}
	if got := terminal.Palette(true).Green("ok"); got != "\x1b[32mok\x1b[0m" {
		t.Errorf("green is %q", got)
	}
	if got := terminal.Palette(false).Green("ok"); got != "ok" {
		t.Errorf("plain is %q", got)
	}
}

// wrapped hides what it writes to, but tells who asks.
type wrapped struct{ *bytes.Buffer }

// Unwrap is what it writes to.
func (w wrapped) Unwrap() io.Writer { return w.Buffer }

// TestHealthSpeaksBothLanguages, with the times of the office, and in words.
func TestHealthSpeaksBothLanguages(t *testing.T) {
	wib, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	for l, want := range map[language.Language]string{
		language.English: `gateway            something of it does not work; up for 1 day 1 h, boot 3, 1 of them after a power cut
alert reader-door  fault: The reader is dead. (since 2026-12-25 06:30:05 WIB)
reader door        does not answer, chip -, 0 taps, 0 repeats, 0 refused, 0 errors: MISO
roster             40 badges, from the city (serial 7)
hours              not known while the time is not, from the file
line               not connected for 10 min, 0 sent, 0 confirmed, 0 reconnects: refused
data used          20.0 MB over the last 1 day, which is 600 MB a month
clock              reported in sync, within 12.2 ms
journal            3 to deliver (the oldest for 2 min), 0 events kept, 1.5 MB, room for 0.0 MB more, commit 1.5 ms (p50) 0.0 ms (p99)
board              -
`,
		language.Indonesian: `gateway                 ada yang tidak berfungsi; menyala selama 1 hari 1 jam, nyala ke-3, 1 di antaranya setelah listrik padam
peringatan reader-door  gangguan: Pembaca mati. (sejak 2026-12-25 06:30:05 WIB)
pembaca door            tidak menjawab, cip -, 0 tap, 0 ulangan, 0 ditolak, 0 galat: MISO
roster                  40 kartu, dari kota (nomor 7)
jam kerja               tidak diketahui selama waktu tidak diketahui, dari berkas
sambungan               tidak tersambung selama 10 menit, 0 terkirim, 0 dikonfirmasi, 0 kali menyambung ulang: refused
pemakaian data          20,0 MB selama 1 hari terakhir, setara 600 MB sebulan
jam                     dilaporkan sinkron, dalam batas 12,2 ms
jurnal                  3 belum terkirim (yang tertua menunggu 2 menit), 0 data disimpan, 1,5 MB, masih muat 0,0 MB, penulisan 1,5 ms (p50) 0,0 ms (p99)
papan                   -
`,
	} {
		var out strings.Builder
		if err := (terminal.Screen{Language: l}).PrintHealth(&out, broken(), wib); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	}
}

// TestHealthSaysHowTheJournalIsSealed, where a key is configured.
func TestHealthSaysHowTheJournalIsSealed(t *testing.T) {
	unsealed := int64(3)
	for want, journal := range map[string]presence.JournalHealth{
		"sealed by the key 0123456789abcdef, 3 events since the last seal":         {SealKey: "0123456789abcdef", Unsealed: &unsealed},
		"not sealed, since there is no usable key, 3 events since the last seal\n": {Unsealed: &unsealed},
		"board": {},
	} {
		var out strings.Builder
		h := broken()
		h.Journal = journal
		if err := (terminal.Screen{Language: language.English}).PrintHealth(&out, h, time.UTC); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "seals ") != (journal.Unsealed != nil) {
			t.Errorf("got\n%s\nwant %s", out.String(), want)
		}
	}
}
