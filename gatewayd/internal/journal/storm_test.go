package journal_test

import (
	"errors"
	"os"
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
	s := &storm{T: t, c: c, o: options(newPath(t), c)}
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
func TestTheFileNeverOutgrowsItsBound(t *testing.T) {
	for name, tags := range map[string]func(*clock, int) presence.Draft{
		"tags that come again": func(c *clock, n int) presence.Draft { return lone(c, n%300) },
		"tags that come once":  lone,
	} {
		for _, between := range []int{0, 1, 9, 29} { // taps between two tags
			t.Run(name+"/"+string(rune('a'+between)), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newStorm(t, 2<<20)
					refused, taps, heard := 0, 0, 0
					tap := func() {
						if taps++; !s.tap(taps) {
							refused++
						}
					}
					for i := 0; i < 9_000 && refused < 20; i += 1 + between {
						enqueue(t, s.j, tags(s.c, i))
						heard++
						for range between {
							tap()
						}
						if i%50 == 0 {
							s.pass(time.Second)
							s.bounded("tags")
						}
					}
					if name == "tags that come again" {
						t.Log(s.revise(1), "revisions while events wait")
					}
					for i := 0; refused < 20; i++ {
						if tap(); i%100 == 0 {
							s.pass(time.Second)
						}
					}
					s.pass(time.Minute)
					t.Log(taps, "taps,", s.revise(2), "revisions of a full journal")
					l := ledgerOf(t, s.j)
					l.accountsFor(t, "tag", heard-s.j.Stats().Waiting)
					l.accountsFor(t, "badge", taps)
					refusedBefore := refused
					s.deliver(3)
					for range 1000 {
						tap()
					}
					if refused > refusedBefore {
						t.Errorf("%d taps were refused after all was delivered", refused-refusedBefore)
					}
					closed(t, s.j)
					s.bounded("close")
					whole(t, s.o.Path)
				})
			})
		}
	}
}
