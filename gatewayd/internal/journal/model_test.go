package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// modelled is what a journal must be, kept in memory.
type modelled struct {
	events []presence.Entry // in the journal and not forgotten
	cursor uint64
	end    uint64
}

// twin is a journal and its model, to which the same happens. Its exported methods
// are what can happen (rapid.StateMachineActions).
type twin struct {
	t       *testing.T
	c       *clock
	o       journal.Options
	j       *journal.Journal
	m       modelled
	disk    modelled // what a crash leaves
	waiting []presence.Draft
	number  int
}

// TestJournalAgainstAModel lets a journal and a simple model live through the
// same random life, restarts and crashes among it.
func TestJournalAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
		if err != nil {
			rt.Skip("no place in memory")
		}
		defer os.RemoveAll(dir)
		w := &twin{t: t, c: newClock()}
		w.o = options(filepath.Join(dir, "journal.db"), w.c)
		w.o.CommitInterval = time.Hour // nothing happens by itself
		w.o.Keep = day
		w.reopen(rt)
		defer func() { w.j.Close() }()
		rt.Repeat(rapid.StateMachineActions(w))
	})
}

// commit is what a commit brings to the disk.
func (w *twin) commit() {
	w.prune()
	w.disk = w.m
}

func (w *twin) record(e presence.Entry) {
	w.m.events = append(w.m.events, e)
	w.m.end = e.Pos
}

// last is the newest event.
func (w *twin) last() presence.Entry { return w.m.events[len(w.m.events)-1] }

// store records all that waits.
func (w *twin) store() {
	for _, d := range w.waiting {
		last := w.last()
		w.record(presence.Entry{Pos: w.m.end + 1, Record: presence.Record{Stream: last.Stream, Seq: last.Seq + 1, Draft: d}})
	}
	w.waiting = nil
}

// prune is what one commit may remove.
func (w *twin) prune() {
	for range 256 {
		if len(w.m.events) == 1 {
			return
		}
		e := w.m.events[0]
		if age, known := w.c.now().Since(e.At); e.Pos > w.m.cursor || !known || age <= w.o.Keep {
			return
		}
		w.m.events = w.m.events[1:]
	}
}

// reopen opens the journal, which begins a stream.
func (w *twin) reopen(rt *rapid.T) {
	j, err := journal.Open(w.o)
	if err != nil {
		rt.Fatal(err)
	}
	w.j = j
	w.record(presence.Entry{Pos: w.m.end + 1, Record: presence.Record{
		Stream: j.Stream(), Seq: 1, Draft: presence.Draft{Kind: presence.KindStart, At: w.o.Now()},
	}})
	w.commit()
}

func (w *twin) Tap(rt *rapid.T) {
	w.number++
	e, err := w.j.Append(w.t.Context(), badge(w.c, w.number))
	if err != nil {
		rt.Fatal(err)
	}
	if e.Pos != w.m.end+1 || e.Stream != w.j.Stream() || e.Seq != w.last().Seq+1 {
		rt.Fatalf("the tap is at %d, seq %d; the model ends at %d", e.Pos, e.Seq, w.m.end)
	}
	w.record(e)
	w.store()
	w.commit()
}

func (w *twin) Tag(rt *rapid.T) {
	if len(w.waiting) > 200 {
		return
	}
	w.number++
	d := tag(w.c, w.number)
	if err := w.j.Enqueue(w.t.Context(), d); err != nil {
		rt.Fatal(err)
	}
	w.waiting = append(w.waiting, d)
}

func (w *twin) Flush(rt *rapid.T) {
	if len(w.waiting) == 0 {
		return
	}
	if err := w.j.Flush(w.t.Context()); err != nil {
		rt.Fatal(err)
	}
	w.store()
	w.commit()
}

func (w *twin) Ack(rt *rapid.T) {
	pos := rapid.Uint64Range(0, w.m.end+3).Draw(rt, "pos")
	w.j.Ack(pos)
	w.m.cursor = max(w.m.cursor, min(pos, w.m.end))
}

func (w *twin) Time(rt *rapid.T) {
	w.c.pass(time.Duration(rapid.IntRange(1, 20).Draw(rt, "hours")) * time.Hour)
}

func (w *twin) Read(rt *rapid.T) {
	after := rapid.Uint64Range(0, w.m.end).Draw(rt, "after")
	want := w.m.events
	for len(want) > 0 && want[0].Pos <= after {
		want = want[1:]
	}
	for len(want) > 0 {
		es, err := w.j.Next(w.t.Context(), after, rapid.IntRange(1, 700).Draw(rt, "max"))
		if err != nil {
			rt.Fatal(err)
		}
		for _, e := range es {
			if !same(e, want[0]) {
				rt.Fatalf("read %+v, want %+v", e, want[0])
			}
			want = want[1:]
			after = e.Pos
		}
	}
}

func (w *twin) Restart(rt *rapid.T) {
	if err := w.j.Close(); err != nil {
		rt.Fatal(err)
	}
	if _, err := checkWhole(w.o.Path); err != nil {
		rt.Fatal(err)
	}
	if len(w.waiting) > 0 {
		w.store()
		w.prune()
	}
	w.prune() // by the commit that ends the stream
	w.reopen(rt)
}

// Crash goes on with the file as it is now, which is what a crash leaves.
func (w *twin) Crash(rt *rapid.T) {
	b, err := os.ReadFile(w.o.Path)
	if err != nil {
		rt.Fatal(err)
	}
	if err := w.j.Close(); err != nil {
		rt.Fatal(err)
	}
	if err := os.WriteFile(w.o.Path, b, 0o640); err != nil {
		rt.Fatal(err)
	}
	if _, err := checkWhole(w.o.Path); err != nil {
		rt.Fatal(err)
	}
	w.waiting = nil
	w.m = w.disk
	w.m.events = append([]presence.Entry(nil), w.disk.events...)
	w.reopen(rt)
}

// Check compares the two after each step.
func (w *twin) Check(rt *rapid.T) {
	s := w.j.Stats()
	pending := 0
	for _, e := range w.m.events {
		if e.Pos > w.m.cursor {
			pending++
		}
	}
	if w.j.Cursor() != w.m.cursor || w.j.End() != w.m.end || s.Events != int64(len(w.m.events)) || s.Pending != int64(pending) {
		rt.Fatalf("cursor %d, end %d, %d events, %d wait; the model has %d, %d, %d, %d",
			w.j.Cursor(), w.j.End(), s.Events, s.Pending, w.m.cursor, w.m.end, len(w.m.events), pending)
	}
	e := w.m.events[rapid.IntRange(0, len(w.m.events)-1).Draw(rt, "find")]
	if pos, ok := w.j.Find(e.Stream, e.Seq); !ok || pos != e.Pos {
		rt.Fatalf("seq %d is at %d, found %t at %d", e.Seq, e.Pos, ok, pos)
	}
}

// same compares all but what a start says.
func same(a, b presence.Entry) bool {
	return a.Pos == b.Pos && a.Stream == b.Stream && a.Seq == b.Seq && a.Kind == b.Kind && numberOf(a) == numberOf(b) &&
		fmt.Sprint(a.At) == fmt.Sprint(b.At)
}
