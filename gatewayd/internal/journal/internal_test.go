package journal

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

func TestSpansAreASet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		model := make(map[uint64]bool)
		for range rapid.IntRange(0, 20).Draw(t, "adds") {
			from := rapid.Uint64Range(1, 60).Draw(t, "from")
			to := from + rapid.Uint64Range(0, 8).Draw(t, "more")
			s = s.add(span{from, to})
			for p := from; p <= to; p++ {
				model[p] = true
			}
		}
		a, b := rapid.Uint64Range(0, 70).Draw(t, "a"), rapid.Uint64Range(0, 70).Draw(t, "b")
		want := uint64(0)
		for p := a; p <= b; p++ {
			if model[p] {
				want++
			}
		}
		if got := s.count(a, b); got != want {
			t.Fatalf("%v: %d in %d..%d, want %d", s, got, a, b, want)
		}
		out := s.outside(a, b)
		if n := out.count(a, b); n+want != max(b+1, a)-a {
			t.Fatalf("%v: outside in %d..%d is %v", s, a, b, out)
		}
		for i := 1; i < len(s); i++ {
			if s[i-1].to+1 >= s[i].from {
				t.Fatalf("%v: overlap or touch", s)
			}
		}
		for _, h := range s {
			if !s.has(h) || s.has(span{h.from, h.to + 1}) {
				t.Fatalf("%v: has is wrong about %v", s, h)
			}
		}
		before := slices.Clone(s)
		more := spans(nil).add(span{a, a + 3}).add(span{b, b + 3})
		for _, h := range s.union(more) {
			for p := h.from; p <= h.to; p++ {
				if !model[p] && more.count(p, p) == 0 {
					t.Fatalf("%v and %v: there is %d in the union", s, more, p)
				}
			}
		}
		if n := s.union(more).count(0, 100); n != uint64(len(model))+more.count(0, 100)-overlap(s, more) || !slices.Equal(s, before) {
			t.Fatalf("%v and %v: the union has %d, and there is now %v", before, more, n, s)
		}
	})
}

// overlap counts what is in both.
func overlap(a, b spans) (n uint64) {
	for _, h := range a {
		n += b.count(h.from, h.to)
	}
	return n
}

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
		return tx.Bucket([]byte(bucketTail)).Put(key[:], seal(nil, 2, j.stream, 2, 1, it.payload))
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
	listed := func() int {
		t.Helper()
		f, err := os.Open(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		im, err := boltfile.Open(f, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		if !im.HasFreelist() {
			return -1
		}
		free, err := im.FreePages()
		if err != nil {
			t.Fatal(err)
		}
		return len(free)
	}
	if n := listed(); n < 0 || n > maxFreelist {
		t.Errorf("%d free pages are listed before", n)
	}
	j.Ack(j.End())
	now.Boottime += 2 * time.Hour
	for range 10 {
		tap("")
	}
	if n := listed(); n != -1 {
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
	if n := listed(); n <= maxFreelist {
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
	r, err := Verify(t.Context(), o.Path)
	if err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}

func TestQuantiles(t *testing.T) {
	var l latencies
	if a, b := l.quantiles(); a != 0 || b != 0 {
		t.Errorf("nothing has quantiles %v, %v", a, b)
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(100) {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	if a, b := l.quantiles(); a != 50*time.Millisecond || b != 99*time.Millisecond {
		t.Errorf("quantiles of 1..100 ms: %v, %v", a, b)
	}
	for range 512 {
		l.add(time.Second)
	}
	if a, b := l.quantiles(); a != time.Second || b != time.Second {
		t.Errorf("the oldest were not forgotten: %v, %v", a, b)
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
		f.Add(uint64(i), seal(nil, uint64(i), presence.ID{3}, 9, 4, it.payload), true)
		f.Add(uint64(i), it.payload, false)
	}
	f.Fuzz(func(t *testing.T, pos uint64, b []byte, raw bool) {
		value := b
		if !raw { // past the checksum, to the payload
			if len(b) > maxPayload {
				return
			}
			value = seal(nil, pos, presence.ID{3}, 9, 4, b)
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
		if err := c.decode(key[:], seal(nil, pos, e.Stream, e.Seq, 1, it.payload), &again); err != nil {
			t.Fatalf("does not read again: %v", err)
		}
	})
}

// FuzzSalvage looks for records in arbitrary files: never a panic, and nothing
// comes out that has no right checksum, or twice, or out of order.
func FuzzSalvage(f *testing.F) {
	at := presence.Reading{Boot: presence.ID{1}}
	path := filepath.Join(f.TempDir(), "journal.db")
	j, err := Open(Options{
		Path: path, Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 60 {
		d := presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door"}}
		if i%20 == 19 {
			d = presence.Draft{Kind: presence.KindGap, At: at, Gap: &presence.Gap{Ranges: []presence.Range{{Stream: j.stream, From: 3, To: 4}}}}
		}
		if _, err := j.Append(f.Context(), d); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	sound = bytes.TrimRight(sound, "\x00")
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Add([]byte("garbage"), uint32(5000), uint32(0))
	f.Add([]byte{0xff, 0xff}, uint32(8), uint32(0))         // the type of the first page
	f.Add([]byte{0xff, 0xff}, uint32(3*4096+10), uint32(0)) // the count of another
	f.Add(sound[:4096], uint32(4096), uint32(0))            // the same meta page twice
	f.Add([]byte{}, uint32(0), uint32(9000))
	f.Fuzz(func(t *testing.T, patch []byte, off, cut uint32) {
		file := bytes.Clone(sound)
		if cut > 0 {
			file = file[:min(int(cut), len(file))]
		}
		if int(off) < len(file) {
			copy(file[off:], patch)
		} else {
			file = append(file, patch...)
		}
		c := newCodec()
		s := salvage(bytes.NewReader(file), int64(len(file)), c, func(int64) {})
		last := uint64(0)
		for _, p := range s.records {
			if p.pos <= last {
				t.Fatalf("position %d after %d", p.pos, last)
			}
			last = p.pos
			key, value, err := p.read(bytes.NewReader(file), make([]byte, maxPiece))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unseal(key, value); err != nil {
				t.Fatalf("position %d: %v", p.pos, err)
			}
		}
		for _, m := range s.missing {
			if m.From > m.To {
				t.Fatalf("%+v is missing", m)
			}
		}
		look := survey{codec: c, problem: func(error) {}}
		look.all(bytes.NewReader(file), int64(len(file)))
	})
}

// TestSalvageChoosesWhatWasDurable: where a commit that did not get through and
// the one after it used the same place, the record counts that was durable.
func TestSalvageChoosesWhatWasDurable(t *testing.T) {
	before, later := presence.ID{1}, presence.ID{2}
	for name, c := range map[string]struct{ durable, other piece }{
		"the tree knows it": {
			piece{pos: 5, seq: 5, stream: before, attempt: 3, linked: true},
			piece{pos: 5, seq: 5, stream: before, attempt: 4},
		},
		"the later attempt": {
			piece{pos: 5, seq: 5, stream: before, attempt: 4},
			piece{pos: 5, seq: 5, stream: before, attempt: 3},
		},
		"the process that came later": {
			piece{pos: 5, seq: 1, stream: later, attempt: 1},
			piece{pos: 5, seq: 5, stream: before, attempt: 9},
		},
	} {
		first := piece{pos: 4, seq: 4, stream: before, attempt: 2, linked: true}
		for _, pieces := range [][]piece{{first, c.durable, c.other}, {c.other, c.durable, first}} {
			if got, want := choose(pieces), []piece{first, c.durable}; !slices.Equal(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
	}
	// What a process left behind where the next one began was never durable.
	start := piece{pos: 5, seq: 1, stream: later, linked: true}
	stray := piece{pos: 6, seq: 6, stream: before}
	if got := choose([]piece{stray, start}); !slices.Equal(got, []piece{start}) {
		t.Errorf("got %+v", got)
	}
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

// TestAFileBeyondItsSizeTakesWhatHasRoomInIt: a file never shrinks. One that is too
// large, here because max_mb was lowered, refuses nothing as soon as what was in it
// is delivered.
func TestAFileBeyondItsSizeTakesWhatHasRoomInIt(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	tap := func(j *Journal) error {
		d := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 7000)}}
		_, err := j.Append(t.Context(), d)
		return err
	}
	fill := func(j *Journal) {
		t.Helper()
		for range 10_000 {
			if err := tap(j); errors.Is(err, ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("it never was full")
	}
	accepts := func(j *Journal) {
		t.Helper()
		if size := mustStat(t, o.Path); size <= o.MaxBytes {
			t.Fatalf("the file has only %d bytes", size)
		}
		j.Ack(j.End())
		if err := tap(j); err != nil {
			t.Errorf("all is delivered, and a tap has no place: %v", err)
		}
		fill(j)
	}
	reopen := func(j *Journal) *Journal {
		t.Helper()
		if j != nil {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}

	o.MaxBytes = 4 << 20
	j := reopen(nil)
	fill(j)
	o.MaxBytes = 1 << 20
	j = reopen(j)
	accepts(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestANoteIsNoRoom: what is noted while a journal is full lives off its reserve, and
// nobody may take it for room that is there again.
func TestANoteIsNoRoom(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	tap := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 7000)}}
	for err == nil {
		_, err = j.Append(t.Context(), tap)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	// Once the writer has tried again, which it does every second, it is as full as
	// before; nothing that large has room, but a tap of the usual size may.
	tap.Badge.Card = "x"
	for err = nil; err == nil; {
		_, err = j.Append(t.Context(), tap)
	}
	if err := j.Save("note", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); !s.Refusing || !s.Full || s.FreeBytes != 0 {
		t.Errorf("after a note: refusing %v, full %v, %d bytes free", s.Refusing, s.Full, s.FreeBytes)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRevisionsMakeNoFileGrow: a full journal whose events are all delivered at once,
// each with a time that was computed, has no room for all those revisions together.
func TestRevisionsMakeNoFileGrow(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Millisecond,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; !j.Stats().Full; i++ {
		tag := presence.Draft{Kind: presence.KindTag, At: now, Tag: &presence.Tag{Tag: "kenwood:" + strconv.Itoa(i)}}
		if err := j.Enqueue(t.Context(), tag); err != nil {
			t.Fatal(err)
		}
	}
	// All of it while the writer is busy with one commit.
	j.mu.Lock()
	revised := j.end
	for pos := uint64(1); pos <= revised; pos++ {
		j.unsaved[pos] = presence.Revision{Pos: pos, Timing: presence.Timing{
			Quality: presence.QualityCorrected, Time: time.Unix(int64(pos), 0), Error: time.Second, Rev: 1,
		}}
	}
	j.cursor, j.acked = j.end, time.Now()
	j.wakeWriter()
	j.mu.Unlock()
	tap := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door"}}
	if _, err := j.Append(t.Context(), tap); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if size := mustStat(t, o.Path); size > o.MaxBytes {
		t.Errorf("%d revisions: the file has %d bytes, and may have %d", revised, size, o.MaxBytes)
	}
	if r, err := Verify(t.Context(), o.Path); err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}

// TestReadersMakeNoFileGrow: what commits free while somebody reads cannot be used
// again before that reader has ended. A full file must not grow for it.
func TestReadersMakeNoFileGrow(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = j.Append(t.Context(), presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Card: strings.Repeat("x", 7000)}})
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	for range 10 {
		begun, saved := make(chan struct{}), make(chan struct{})
		read := make(chan error, 1)
		go func() {
			read <- j.view(func(*bolt.Tx) error {
				close(begun)
				select {
				case <-saved: // no commit needed this reader's pages
				case <-time.After(100 * time.Millisecond):
				}
				return nil
			})
		}()
		<-begun
		for range 100 {
			if err := j.Save("note", make([]byte, 4000)); err != nil {
				t.Fatal(err)
			}
		}
		close(saved)
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if size := mustStat(t, o.Path); size > o.MaxBytes {
		t.Errorf("the file has %d bytes, and may have %d", size, o.MaxBytes)
	}
}

func mustStat(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestADayOfWriting: what is counted is what was written within a day, from the
// first minute on.
func TestADayOfWriting(t *testing.T) {
	var d dailyCount
	now := time.Now()
	const perHour = 1000
	for hour := range 100 {
		want := int64(min(hour, 24) * perHour)
		for minute := range 60 {
			got := d.lastDay(now, int64(hour*perHour+minute*perHour/60))
			if got < want || got > want+2*perHour {
				t.Fatalf("after %d:%02d hours: %d, want %d", hour, minute, got, want)
			}
			now = now.Add(time.Minute)
		}
		if n := len(d.samples); n > 24*6+2 {
			t.Fatalf("%d samples are kept", n)
		}
	}
}

// TestFreeBytesAreWhatIsTaken: what free_bytes promises is taken, and not much
// more; it falls by what is taken; and at the first refusal it is 0.
func TestFreeBytesAreWhatIsTaken(t *testing.T) {
	t.Parallel()
	at := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(inMemory(t), "journal.db"), Keep: time.Hour, MaxBytes: 2 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	d := presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 300)}}
	it, err := j.codec.encode(d)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(elementSize(make([]byte, 8), make([]byte, recordHeader+len(it.payload))))
	promised, taken := j.Stats().FreeBytes, int64(0)
	for {
		if _, err := j.Append(t.Context(), d); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		taken += size
		if free := j.Stats().FreeBytes; free < promised-taken*21/20-64<<10 || free > promised-taken*17/20+64<<10 {
			t.Fatalf("%d of %d bytes are taken, and %d are said to be free", taken, promised, free)
		}
	}
	if taken < promised || taken > promised*23/20 {
		t.Errorf("%d bytes were taken of %d that were said to be free", taken, promised)
	}
	if s := j.Stats(); s.FreeBytes != 0 || !s.Refusing {
		t.Errorf("after a tap was refused: %+v", s)
	}
	t.Logf("%d taps of %d bytes, %d bytes of %d", taken/size, size, taken, promised)
}

// inMemory is a directory whose syncs take no time, where there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
