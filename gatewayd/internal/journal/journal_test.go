package journal_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// clock is a clock that a test moves. The journal reads it whenever it writes.
type clock struct {
	mu sync.Mutex
	at presence.Reading
}

func newClock() *clock {
	return &clock{at: presence.Reading{
		Boot: presence.ID{1}, Boottime: time.Hour,
		Wall: time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC).UnixNano(), State: presence.ClockSynced, MaxError: time.Millisecond,
	}}
}

func (c *clock) now() presence.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Boottime += d
	c.at.Wall += int64(d)
}

// reboot starts another boot.
func (c *clock) reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Boot[0]++
	c.at.Boottime = time.Minute
}

func options(path string, c *clock) journal.Options {
	return journal.Options{
		Path: path, Keep: 35 * 24 * time.Hour, MaxBytes: 64 << 20, CommitInterval: 20 * time.Millisecond,
		Origin: whose, Now: c.now, Version: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// newPath is a place for a journal in memory where there is such a place: syncs
// of a busy disk would only make the tests slow. Which syncs there are is the
// matter of TestEveryCut.
func newPath(t testing.TB) string { return filepath.Join(fastDir(t), "journal.db") }

func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func open(t testing.TB, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if !t.Failed() && j.Err() == nil {
			wholeInTheEnd(t, o.Path)
		}
	})
	return j
}

func closed(t testing.TB, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func badge(c *clock, n int) presence.Draft {
	return presence.Draft{
		Kind: presence.KindBadge, At: c.now(),
		Badge: &presence.Badge{Reader: "door", Badge: fmt.Sprintf("h:%032x", n), Card: "mifare-classic-1k", Assurance: "uid"},
	}
}

func tag(c *clock, n int) presence.Draft {
	lat, lon, acc, rssi, snr := -7.9778+float64(n)*1e-5, 112.634, 8.5, -87, 9.25
	return presence.Draft{
		Kind: presence.KindTag, At: c.now(),
		Tag: &presence.Tag{
			Receiver: "yard", Tag: fmt.Sprintf("kenwood:100-%d", 1000+n%40), Lat: &lat, Lon: &lon, Accuracy: &acc,
			FixTime: 1795417200000, Fix: presence.FreshnessLive, Zone: presence.ZoneInside, RSSI: &rssi, SNR: &snr,
		},
	}
}

func appended(t testing.TB, j *journal.Journal, d presence.Draft) presence.Entry {
	t.Helper()
	e, err := j.Append(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func enqueue(t testing.TB, j *journal.Journal, d presence.Draft) {
	t.Helper()
	if err := j.Enqueue(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func flushed(t testing.TB, j *journal.Journal) {
	t.Helper()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// all reads everything behind a position that is durable now.
func all(t testing.TB, j *journal.Journal, after uint64) []presence.Entry {
	t.Helper()
	var got []presence.Entry
	for after < j.End() {
		es, err := j.Next(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, es...)
		after = es[len(es)-1].Pos
	}
	return got
}

func TestEventsComeBackAsTheyWent(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	want := []presence.Draft{badge(c, 1), tag(c, 2), badge(c, 3), {
		Kind: presence.KindGap, At: c.now(), Simulated: true,
		Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: map[string]int{"tag": 120, "badge": 1},
			First: &presence.Reading{Boot: presence.ID{9}}, Last: &presence.Reading{Wall: 7},
			Ranges: []presence.Range{{Stream: presence.ID{4}, From: 2, To: 9}}, Comment: "words",
		},
	}, {
		Kind: presence.KindTag, At: presence.Reading{},
		Tag: &presence.Tag{Receiver: "r", Tag: "waypoint:\xff\x00=1+1"}, // names come from the radio
	}}
	returned := make([]presence.Entry, len(want))
	for i, d := range want {
		returned[i] = appended(t, j, d)
		if diff := cmp.Diff(d, returned[i].Draft); diff != "" {
			t.Errorf("Append returned another draft:\n%s", diff)
		}
	}
	got := all(t, j, 0)
	if len(got) != len(want)+1 || got[0].Kind != presence.KindStart {
		t.Fatalf("got %d entries, the first %v", len(got), got[0].Kind)
	}
	for i, e := range got[1:] {
		place := presence.Entry{Pos: uint64(i) + 2, Record: presence.Record{Stream: j.Stream(), Seq: uint64(i) + 2, Draft: want[i]}}
		var err error
		if place.Chain, err = whose.Chain(&place.Record, got[i].Chain.Link); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(place, e); diff != "" {
			t.Errorf("entry %d:\n%s", i, diff)
		}
		if diff := cmp.Diff(place, returned[i]); diff != "" {
			t.Errorf("Append returned another entry %d:\n%s", i, diff)
		}
	}
}

func TestDraftsThatAreNoneAreRefused(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	huge := badge(c, 1)
	huge.Badge.Badge = string(make([]byte, 9000))
	for name, d := range map[string]presence.Draft{
		"nothing":       {},
		"no body":       {Kind: presence.KindBadge},
		"another body":  {Kind: presence.KindBadge, Tag: tag(c, 1).Tag},
		"two bodies":    {Kind: presence.KindBadge, Badge: badge(c, 1).Badge, Tag: tag(c, 1).Tag},
		"unknown kind":  {Kind: 77, Badge: badge(c, 1).Badge},
		"no end to it":  huge,
		"kind of later": {Kind: presence.KindPresence, Badge: badge(c, 1).Badge},
	} {
		if _, err := j.Append(t.Context(), d); err == nil {
			t.Errorf("%s: appended", name)
		}
		if err := j.Enqueue(t.Context(), d); err == nil {
			t.Errorf("%s: enqueued", name)
		}
	}
	if got := appended(t, j, badge(c, 1)); got.Seq != 2 {
		t.Errorf("a refused draft has consumed a number: seq %d", got.Seq)
	}
}
