package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// TestPromise1NothingIsReadThatIsNotDurable: between the write of its meta page
// and the sync, a commit shows in bbolt's map. Nobody may read it then.
func TestPromise1NothingIsReadThatIsNotDurable(t *testing.T) {
	at := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	// A commit that is not synced yet: in the map, and not in j.end.
	it, err := j.codec.encode(presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door"}})
	if err != nil {
		t.Fatal(err)
	}
	err = j.db.Update(func(tx *bolt.Tx) error {
		key := posKey(2)
		return tx.Bucket([]byte(bucketTail)).Put(key[:], pack(nil, 2, j.stream, 2, 1, it.payload))
	})
	if err != nil {
		t.Fatal(err)
	}
	if es, err := j.Next(t.Context(), 0, 10); err != nil || len(es) != 1 {
		t.Errorf("Next returns %d events: %v", len(es), err)
	}
	n := 0
	if err := j.Tail(func(presence.Entry) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("Tail passes %d events: %v", n, err)
	}
	n = 0
	if err := j.Scan(t.Context(), func(presence.Entry) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("Scan passes %d events: %v", n, err)
	}
	if _, ok := j.Find(j.stream, 2); ok {
		t.Error("Find finds it")
	}
	if s := j.Stats(); s.Events != 1 || s.Pending != 1 {
		t.Errorf("Stats counts it: %+v", s)
	}
	j.Ack(2)
	if j.Cursor() != 1 {
		t.Error("it can be acknowledged")
	}
}

// listedPages is how many free pages are listed in a file; -1: there is no list.
func listedPages(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := boltfile.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if !f.HasFreelist() {
		return -1
	}
	free, err := f.FreePages()
	if err != nil {
		t.Fatal(err)
	}
	return len(free)
}

// TestALongListOfFreePagesIsNotWritten: when most of a large file is free again,
// a tap still costs little, and the file still opens after a crash.
func TestALongListOfFreePagesIsNotWritten(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 64 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	tap := func(card string) {
		t.Helper()
		d := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door", Card: card}}
		if _, err := j.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for range 1200 {
		tap(strings.Repeat("x", 7000)) // two pages
	}
	if n := listedPages(t, o.Path); n < 0 || n > maxFreelist {
		t.Errorf("%d free pages are listed before", n)
	}
	j.Ack(j.End())
	now.Boottime += 2 * time.Hour
	for range 10 {
		tap("")
	}
	if n := listedPages(t, o.Path); n != -1 {
		t.Errorf("%d free pages are listed", n)
	}
	crashed, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	end := j.End()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := listedPages(t, o.Path); n <= maxFreelist {
		t.Errorf("%d free pages are listed after the end", n)
	}
	o.Path = filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(o.Path, crashed, 0o640); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(o); err != nil {
		t.Fatal(err)
	}
	if j.Damage() != nil || j.End() != end+1 {
		t.Errorf("after a crash: end %d, damage %+v", j.End(), j.Damage())
	}
	tap("")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), o.Path, nil)
	if err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}

// FuzzRecord reads arbitrary bytes as a record: an error or a record that reads
// the same when written again, never a panic.
func FuzzRecord(f *testing.F) {
	c := newCodec()
	lat := 1.5
	for i, d := range []presence.Draft{
		{Kind: presence.KindBadge, At: presence.Reading{Boot: presence.ID{1}, Boottime: 5}, Badge: &presence.Badge{Reader: "door", Badge: "h:00", Card: "c", Assurance: "uid"}},
		{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "r", Tag: "\xff", Lat: &lat}},
		{Kind: presence.KindStart, Start: &presence.Start{Previous: &presence.Previous{Seq: 7}}},
		{Kind: presence.KindGap, Gap: &presence.Gap{Kinds: map[string]int{"tag": 1}, Ranges: []presence.Range{{From: 1, To: 2}}}},
	} {
		it, err := c.encode(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(i), pack(nil, uint64(i), presence.ID{3}, 9, 4, it.payload), true)
		f.Add(uint64(i), it.payload, false)
	}
	f.Fuzz(func(t *testing.T, pos uint64, b []byte, raw bool) {
		value := b
		if !raw { // past the checksum, to the payload
			if len(b) > maxPayload {
				return
			}
			value = pack(nil, pos, presence.ID{3}, 9, 4, b)
		}
		key := posKey(pos)
		var e presence.Entry
		if err := c.decode(key[:], value, &e); err != nil {
			return
		}
		if e.Pos != pos {
			t.Fatalf("position %d became %d", pos, e.Pos)
		}
		it, err := c.encode(e.Draft)
		if err != nil {
			return // of a kind that only a later version writes
		}
		var again presence.Entry
		if err := c.decode(key[:], pack(nil, pos, e.Stream, e.Seq, 1, it.payload), &again); err != nil {
			t.Fatalf("does not read again: %v", err)
		}
	})
}

// An idle gateway says every ten minutes that it runs, with a small write.
func TestAnIdleJournalSaysThatItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		now := func() presence.Reading {
			return presence.Reading{Boot: presence.ID{1}, Boottime: time.Since(begin), Wall: time.Now().UnixNano(), State: presence.ClockSynced}
		}
		j, err := Open(Options{
			Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 16 << 20,
			CommitInterval: time.Second, Now: now, Version: "test", Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		before := j.Stats()
		for time.Since(begin) < 24*time.Hour-time.Second {
			j.Alive()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		commits, bytes := j.Stats().Commits-before.Commits, j.Stats().Written-before.Written
		t.Logf("an idle day: %d commits, %d bytes", commits, bytes)
		if alive := j.snapshot().state.Alive; time.Since(begin)-alive.Boottime > aliveEvery {
			t.Errorf("after %v it was last alive at %v", time.Since(begin), alive.Boottime)
		}
		if commits > 144 || commits < 140 || bytes > 2_000_000 {
			t.Errorf("an idle day is %d commits, %d bytes", commits, bytes)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
