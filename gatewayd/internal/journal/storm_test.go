package journal_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// noPosition is none that an event has.
const noPosition = ^uint64(0)

// storm is a journal of which every commit's file is looked at.
type storm struct {
	*testing.T
	c *clock
	o journal.Options
	j *journal.Journal
}

func newStorm(t *testing.T, maxBytes int64) *storm {
	c := newClock()
	s := &storm{T: t, c: c, o: sealed(options(newPath(t), c))}
	s.o.MaxBytes = maxBytes
	s.j = open(t, s.o)
	return s
}

// bounded checks the file's size.
func (s *storm) bounded(when string) {
	s.Helper()
	info, err := os.Stat(s.o.Path)
	if err != nil {
		s.Fatal(err)
	}
	if info.Size() > s.o.MaxBytes {
		s.Fatalf("%s: the file has %d bytes, and may have %d", when, info.Size(), s.o.MaxBytes)
	}
}

// tap appends a tap and tells whether it was taken.
func (s *storm) tap(n int) bool {
	s.Helper()
	_, err := s.j.Append(s.Context(), badge(s.c, n))
	if err != nil && !errors.Is(err, journal.ErrFull) {
		s.Fatal(err)
	}
	s.bounded("taps")
	return err == nil
}

func (s *storm) pass(d time.Duration) {
	time.Sleep(d)
	s.c.pass(d)
}

// revise saves a revision of every event in the journal, some at a time, until there
// is no room for more. It tells how many.
func (s *storm) revise(rev int) (saved int) {
	for from := s.j.Oldest(); from <= s.j.End(); from += 200 {
		var positions []uint64
		for pos := from; pos < min(from+200, s.j.End()+1); pos++ {
			positions = append(positions, pos)
		}
		err := s.j.SaveRevisions(s.Context(), revisionsOf(rev, true, positions...))
		s.bounded("revisions")
		if errors.Is(err, journal.ErrFull) {
			return saved
		} else if err != nil {
			s.Fatal(err)
		}
		saved += len(positions)
	}
	return saved
}

// deliver delivers everything, each event with a revision of its own before it, as
// the line to the city does.
func (s *storm) deliver(rev int) {
	s.Helper()
	for last := noPosition; s.j.Cursor() < s.j.End(); {
		if last == s.j.Cursor() {
			s.Fatalf("nothing is delivered behind %d of %d", last, s.j.End())
		}
		last = s.j.Cursor()
		var positions []uint64
		for pos := last + 1; pos <= min(last+256, s.j.End()); pos++ {
			positions = append(positions, pos)
		}
		if err := s.j.SaveRevisions(s.Context(), revisionsOf(rev, true, positions...)); err != nil {
			s.Fatalf("behind %d of %d: %v", last, s.j.End(), err)
		}
		s.bounded("revisions ahead of delivery")
		s.j.QueueRevisions(revisionsOf(rev, false, positions...))
		s.j.Ack(positions[len(positions)-1])
		s.pass(time.Second)
		s.bounded("delivery")
	}
	s.pass(2 * time.Minute)
	s.bounded("after delivery")
}

// TestTheFileNeverOutgrowsItsBound: whatever a storm of tags and taps, the removal of
// what waits, revisions and acknowledgements do to a full journal, at no moment is
// its file larger than max_mb, and the journal goes on from there: it is delivered
// and takes taps again.
//
// With EVERY_FAULT=1 the storms are larger and there are more of them.
func TestTheFileNeverOutgrowsItsBound(t *testing.T) {
	t.Parallel()
	again := func(c *clock, n int) presence.Draft { return lone(c, n%300) }
	cases := []blow{
		{"tags that come once, pages apart", lone, 29, false},
		{"tags that come again, revised while they wait", again, 0, true},
	}
	maxBytes, events := int64(1<<20), 4000
	if everyFault() {
		maxBytes, events = 2<<20, 9000
		for _, between := range []int{0, 1, 9, 29} {
			cases = append(cases,
				blow{fmt.Sprintf("tags that come once, after %d taps each", between), lone, between, false},
				blow{fmt.Sprintf("tags that come again, after %d taps each, revised", between), again, between, true})
		}
	}
	for _, b := range cases {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newStorm(t, maxBytes).blows(b, events) })
		})
	}
}

// blow is what a storm is made of.
type blow struct {
	name    string
	tags    func(*clock, int) presence.Draft
	between int  // taps between two tags
	revised bool // the times of all events are revised before the journal is full
}

func (s *storm) blows(b blow, events int) {
	refused, taps, heard := 0, 0, 0
	tap := func() {
		if taps++; !s.tap(taps) {
			refused++
		}
	}
	for i := 0; i < events && refused < 20; i += 1 + b.between {
		enqueue(s, s.j, b.tags(s.c, i))
		heard++
		for range b.between {
			tap()
		}
		if i%50 == 0 {
			s.pass(time.Second)
			s.bounded("tags")
		}
	}
	if b.revised {
		s.Log(s.revise(1), "revisions while events wait")
	}
	for i := 0; refused < 20; i++ {
		if tap(); i%100 == 0 {
			s.pass(time.Second)
		}
	}
	s.pass(time.Minute)
	s.Log(taps, "taps,", s.revise(2), "revisions of a full journal")
	l := ledgerOf(s.T, s.j)
	l.accountsFor(s.T, "tag", heard-s.j.Stats().Waiting)
	l.accountsFor(s.T, "badge", taps)
	if n := l.there["tag"]; n > 0 && b.between <= 1 {
		s.Errorf("taps were refused while there were %d tags", n)
	}
	s.Logf("there are %v, and named as lost %v", l.there, l.lost)
	before := refused
	s.deliver(3)
	for range 300 {
		tap()
	}
	if refused > before {
		s.Errorf("%d taps were refused after all was delivered", refused-before)
	}
	closed(s, s.j)
	s.bounded("close")
	whole(s, s.o.Path)
}

// TestAFileWrittenAnewIsBounded: neither the journal that replaces a damaged one nor the
// one from which a person is forgotten is larger than the one before may be.
func TestAFileWrittenAnewIsBounded(t *testing.T) {
	t.Parallel()
	for name, anew := range map[string]func(*storm){
		"damaged": func(s *storm) {
			closed(s, s.j)
			if err := os.WriteFile(s.o.Path, withoutNewestMeta(read(s, s.o.Path)), 0o640); err != nil {
				s.Fatal(err)
			}
			s.j = open(s, s.o)
			if s.j.Damage() == nil {
				s.Error("there was no damage")
			}
		},
		"forgotten": func(s *storm) {
			n := 0
			_, err := s.j.Forget(s.Context(), func(*presence.Record) bool { n++; return n == 7 })
			if err != nil {
				s.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStorm(t, 3<<20) // bbolt would take a file of a power of two
				large := badge(s.c, 0)
				large.Badge.Card = strings.Repeat("x", 2000)
				for s.j.Stats().FreeBytes > 4<<10 {
					appended(s, s.j, large)
				}
				s.bounded("before")
				anew(s)
				s.bounded(name)
				s.deliver(2)
				if !s.tap(1) {
					s.Error("all is delivered, and a tap has no room")
				}
				closed(s, s.j)
				s.bounded("close")
				whole(s, s.o.Path)
			})
		})
	}
}
