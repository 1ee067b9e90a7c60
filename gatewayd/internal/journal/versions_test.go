package journal_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// The files of testdata/versions are journals as gateways in offices have them:
// one for each form that a release has ever written. A release that changes what
// is on disk adds one, and keeps all that are there:
//
//	add its drafts to oldJournals, then
//	go test ./gatewayd/internal/journal -run TestJournalsOfAllVersionsStayReadable -write-journal v2
var writeJournal = flag.String("write-journal", "", "write the journal of this version instead of reading it")

// oldJournal is a journal and what was recorded in it.
type oldJournal struct {
	name   string
	drafts []presence.Draft
	// chained journals have links, and seals of newTestKey(1). One more stream, with a start
	// and a seal, is before the one with the drafts.
	chained bool
}

func oldJournals() []oldJournal {
	lat, lon, accuracy, rssi, snr := -7.9778, 112.634, 4.5, -97, 6.25
	boot := presence.ID{0xB0}
	at := func(s int64) presence.Reading {
		return presence.Reading{
			Boot: boot, Boottime: time.Duration(s) * time.Second, Wall: 1_795_400_000_000_000_000 + s*1_000_000_000,
			State: presence.ClockSynced, MaxError: 12 * time.Millisecond,
		}
	}
	first, last := at(1), at(2)
	// What the first gateways recorded.
	v1 := []presence.Draft{
		{Kind: presence.KindBadge, At: at(10), Badge: &presence.Badge{Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "mifare-classic-1k", Assurance: "uid"}},
		{Kind: presence.KindBadge, At: presence.Reading{Boot: boot, Boottime: 11 * time.Second, Wall: 5}, Simulated: true, Badge: &presence.Badge{Reader: "gate", Badge: "04A1B2C3D4E5F6", Card: "iso14443-4", Assurance: "random-uid"}},
		{Kind: presence.KindTag, At: at(12), Tag: &presence.Tag{
			Receiver: "yard", Tag: "mesh:1c2f13fc", Lat: &lat, Lon: &lon, Accuracy: &accuracy, FixTime: 1_795_400_011_000,
			Fix: presence.FreshnessLive, Zone: presence.ZoneInside, RSSI: &rssi, SNR: &snr,
		}},
		{Kind: presence.KindTag, At: at(13), Tag: &presence.Tag{Receiver: "yard", Tag: "waypoint:POS\xff"}},
		{Kind: presence.KindGap, At: at(14), Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: map[string]int{"tag": 120}, First: &first, Last: &last,
			Ranges: []presence.Range{{Stream: presence.ID{7}, From: 3, To: 122}}, Comment: "refused while there was no room",
		}},
	}
	distance, age := 31.5, 42*time.Second
	// Tag checks, persons and notes.
	v1b := append(slices.Clone(v1),
		presence.Draft{Kind: presence.KindBadge, At: at(20), Badge: &presence.Badge{
			Reader: "door", Badge: "h:ffeeddccbbaa99887766554433221100", Card: "unknown", Assurance: "uid",
			Check: &presence.TagCheck{Tag: "reyax:50", State: presence.TagFar, Distance: &distance, Age: &age},
		}},
		presence.Draft{Kind: presence.KindPresence, At: at(21), Person: &presence.Person{
			Badge: "h:ffeeddccbbaa99887766554433221100", Tag: "reyax:50", State: presence.Contradiction, Distance: &distance,
			Events: []presence.EventID{{Stream: presence.ID{7}, Seq: 3}},
		}},
	)
	// Cards that prove who they are.
	v1c := append(slices.Clone(v1b),
		presence.Draft{Kind: presence.KindBadge, At: at(22), Badge: &presence.Badge{
			Reader: "door", Badge: "h:0123456789abcdef0123456789abcdef", Card: "iso14443-4", Assurance: "authenticated-piv",
			Proof: &presence.Proof{Random: [16]byte{1, 15: 16}, Signature: []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02}, Certificate: [32]byte{0xCE, 31: 0x27}},
		}},
		presence.Draft{Kind: presence.KindBadge, At: at(23), Badge: &presence.Badge{
			Reader: "door", Badge: "h:ffeeddccbbaa99887766554433221100", Card: "iso14443-4", Assurance: "authenticated-desfire",
		}},
	)
	// Links, in records and gaps, and seals.
	v1d := append(slices.Clone(v1c),
		presence.Draft{Kind: presence.KindGap, At: at(24), Gap: &presence.Gap{
			Reason: presence.GapForgotten, Kinds: map[string]int{"badge": 2}, Comment: "removed on request",
			Ranges: []presence.Range{{Stream: presence.ID{7}, From: 3, To: 4, Before: presence.Link{0xBE, 15: 1}, Link: presence.Link{0x11, 15: 2}}},
		}},
	)
	return []oldJournal{{name: "v1", drafts: v1}, {name: "v1b", drafts: v1b}, {name: "v1c", drafts: v1c}, {"v1d", v1d, true}}
}

func (o oldJournal) file() string { return filepath.Join("testdata", "versions", o.name+".db.gz") }

// delivered is how many positions of each old journal are delivered: its start
// and the first event.
const delivered = 2

func TestJournalsOfAllVersionsStayReadable(t *testing.T) {
	for _, o := range oldJournals() {
		if *writeJournal == o.name {
			o.write(t)
		}
		t.Run(o.name, o.read)
	}
	files, err := filepath.Glob("testdata/versions/*")
	if err != nil || len(files) != len(oldJournals()) {
		t.Errorf("%d files for %d versions: %v", len(files), len(oldJournals()), err)
	}
}

// write makes the journal with the code as it is now.
func (o oldJournal) write(t *testing.T) {
	t.Helper()
	path, c := newPath(t), newClock()
	opt := options(path, c)
	if o.chained {
		opt = sealed(opt)
		closed(t, open(t, opt))
	}
	j, err := journal.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range o.drafts {
		if _, err := j.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	j.Ack(delivered)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(o.file()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.file(), packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read takes the journal over as an upgraded gateway does.
// put puts the file in place.
func (o oldJournal) put(t *testing.T, path string) {
	t.Helper()
	packed, err := os.Open(o.file())
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, plain, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (o oldJournal) read(t *testing.T) {
	path := newPath(t)
	o.put(t, path)
	report, err := journal.Verify(t.Context(), path, nil)
	if err != nil || !report.Whole() {
		t.Fatalf("verify: %v\n%s", err, report)
	}

	j, err := journal.Open(options(path, newClock()))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if w := j.Damage(); w != nil {
		t.Fatalf("taken for damaged: %+v", w)
	}
	if c := j.Cursor(); c != delivered {
		t.Errorf("delivered up to %d", c)
	}
	entries := all(t, j, 0)
	old, now := entries[:len(entries)-1], entries[len(entries)-1]
	o.compare(t, old)

	last := old[len(old)-1]
	previous := presence.Previous{Stream: last.Stream, Seq: last.Seq, Clean: true, Link: last.Chain.Link}
	if now.Kind != presence.KindStart || now.Start.Previous == nil || *now.Start.Previous != previous {
		t.Errorf("the new stream begins with %+v", now.Start)
	}
	// Behind a journal without links, the chain begins with this start.
	if now.Chain.IsZero() || now.Chain.Before != last.Chain.Link {
		t.Errorf("the new stream begins with %+v behind %+v", now.Chain, last.Chain)
	}
	closed(t, j)
	report = whole(t, path)
	if c := report.Chain; o.chained && (c.Earlier != 0 || c.Events != report.Events) || !o.chained && (c.Earlier != int64(len(old)) || c.Events != 1) || c.Interrupted != 0 {
		t.Errorf("%+v\n%s", c, report)
	}
}

// compare holds the events of an old journal against what was recorded in it.
func (o oldJournal) compare(t *testing.T, old []presence.Entry) {
	t.Helper()
	if o.chained {
		if seals, unsealed := checkSeals(t, old, newTestKey(1).public()); seals != 3 || unsealed != 0 {
			t.Errorf("%d seals, behind them %d events", seals, unsealed)
		}
		first := old[1]
		if first.Seal == nil || old[2].Start == nil || *old[2].Start.Previous != (presence.Previous{Stream: first.Stream, Seq: 2, Clean: true, Link: first.Chain.Link}) {
			t.Errorf("the second stream begins with %+v", old[2].Start)
		}
		old = slices.DeleteFunc(slices.Clone(old[2:]), func(e presence.Entry) bool { return e.Seal != nil })
	}
	if len(old) != 1+len(o.drafts) {
		t.Fatalf("%d events", len(old))
	}
	if start := old[0]; start.Kind != presence.KindStart || start.Seq != 1 || start.Start.Version != "test" || !o.chained && start.Start.Previous != nil {
		t.Errorf("the first event is %+v", start)
	}
	for i, want := range o.drafts {
		got := old[i+1]
		if got.Stream != old[0].Stream || got.Seq != old[1].Seq+uint64(i) || got.Chain.IsZero() == o.chained {
			t.Errorf("event %d is %s-%d with %+v", i, got.Stream, got.Seq, got.Chain)
		}
		if diff := cmp.Diff(want, got.Draft); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
	}
}
