package journal_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// wallClock is a clock that is right at first, as streams take the time of their ids from
// the system.
func wallClock() *clock {
	c := newClock()
	c.at.Wall = time.Now().UnixNano()
	return c
}

// folder is a journal's folder at one moment.
type folder struct{ file, mark []byte }

func folderOf(t *testing.T, o journal.Options) folder {
	t.Helper()
	return folder{read(t, o.Path), read(t, markOf(o))}
}

func markOf(o journal.Options) string { return strings.TrimSuffix(o.Path, ".db") + ".mark" }

// put puts a disk back.
func (d folder) put(t *testing.T, o journal.Options) {
	t.Helper()
	for path, content := range map[string][]byte{o.Path: d.file, markOf(o): d.mark} {
		if err := os.WriteFile(path, content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// headAt is the city's head after an event.
func headAt(e presence.Entry) presence.Head {
	return presence.Head{Stream: e.Stream, Seq: e.Seq, Link: e.Chain.Link}
}

// headsOf are heads at all events of a journal.
func headsOf(t *testing.T, j *journal.Journal) (heads []presence.Head) {
	t.Helper()
	for _, e := range all(t, j, 0) {
		heads = append(heads, headAt(e))
	}
	return heads
}

func checked(t *testing.T, j *journal.Journal, h presence.Head) (journal.Contradiction, bool) {
	t.Helper()
	c, found, err := j.CheckHead(h)
	if err != nil {
		t.Fatal(err)
	}
	return c, found
}

// accepts fails the test if a head is a contradiction.
func accepts(t *testing.T, what string, j *journal.Journal, heads ...presence.Head) {
	t.Helper()
	for _, h := range heads {
		if c, found := checked(t, j, h); found {
			t.Errorf("%s: %s accuses somebody: %+v", what, h, c)
		}
	}
}

// contradicted finds a contradiction and makes it durable.
func contradicted(t *testing.T, j *journal.Journal, h presence.Head) journal.Contradiction {
	t.Helper()
	c, found := checked(t, j, h)
	if !found {
		t.Fatalf("%s is no contradiction", h)
	}
	if err := j.NoteHead(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// headGaps are the gaps about heads in a journal, whose chain is checked on the way.
func headGaps(t *testing.T, j *journal.Journal) (gaps []*presence.Gap) {
	t.Helper()
	var last presence.Entry
	for _, e := range all(t, j, 0) {
		before := last.Chain.Link
		if e.Start != nil && e.Start.Previous != nil {
			if before != e.Start.Before().Link || e.Start.Before().Seq != last.Seq || e.Start.Before().Stream != last.Stream {
				t.Errorf("%s follows %+v, and says %+v", e.Stream, last, e.Start)
			}
			before = e.Start.Previous.Link
		}
		if ok, err := whose.Holds(&e.Record); !ok || err != nil || e.Chain.Before != before {
			t.Errorf("%s-%d (%v): its link is not right: %v %v", e.Stream, e.Seq, e.Kind, ok, err)
		}
		if e.Gap != nil && (e.Gap.Reason == presence.GapRolledBack || e.Gap.Reason == presence.GapForked) {
			gaps = append(gaps, e.Gap)
		}
		last = e
	}
	return gaps
}

// tapped opens a journal for one stream of some taps, and returns its heads.
func tapped(t *testing.T, o journal.Options, c *clock, n int) []presence.Head {
	t.Helper()
	j := open(t, o)
	for i := range n {
		appended(t, j, badge(c, i))
	}
	j.Ack(j.End())
	heads := headsOf(t, j)
	closed(t, j)
	return heads
}

// TestAnOlderJournalIsFoundOut: the journal ends before what the city has. The next stream
// names what is missing, once, and follows the city's chain.
func TestAnOlderJournalIsFoundOut(t *testing.T) {
	t.Parallel()
	c := wallClock()
	for _, tc := range []struct {
		name  string
		spoil func(o journal.Options) (city presence.Head, from uint64)
	}{
		{"the newest tap was cut off", func(o journal.Options) (presence.Head, uint64) {
			j := open(t, o)
			appended(t, j, badge(c, 1))
			d := folderOf(t, o)
			appended(t, j, badge(c, 2))
			heads := headsOf(t, j)
			closed(t, j)
			d.put(t, o)
			end := heads[len(heads)-1]
			return end, end.Seq
		}},
		{"an old copy was put back", func(o journal.Options) (presence.Head, uint64) {
			tapped(t, o, c, 2)
			d := folderOf(t, o)
			tapped(t, o, c, 2)
			heads := tapped(t, o, c, 4)
			d.put(t, o)
			return heads[len(heads)-1], 1
		}},
		{"the disk is new", func(o journal.Options) (presence.Head, uint64) {
			heads := tapped(t, o, c, 2)
			for _, path := range []string{o.Path, markOf(o)} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			return heads[len(heads)-1], 1
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(newPath(t), c)
			city, from := tc.spoil(o)
			j := open(t, o)
			own := appended(t, j, badge(c, 7))
			found := contradicted(t, j, city)
			if found.Reason != presence.GapRolledBack || found.From != from || found.Head != city {
				t.Errorf("found %+v, want from %d", found, from)
			}
			accepts(t, "once it is noted", j, city)
			if from == 1 {
				accepts(t, "once it is noted", j, presence.Head{Stream: city.Stream, Seq: city.Seq - 1, Link: presence.Link{5}})
			}
			killed := folderOf(t, o)
			closed(t, j)
			killed.put(t, o) // a power cut in between
			for range 3 {
				j = open(t, o)
				gaps := headGaps(t, j)
				if len(gaps) != 1 || len(gaps[0].Ranges) != 1 {
					t.Fatalf("gaps: %+v", gaps)
				}
				r, b := gaps[0].Ranges[0], gaps[0].Branch
				if r.Stream != city.Stream || r.From != from || r.To != city.Seq || r.Link != city.Link || r.Before.IsZero() != (from == 1) {
					t.Errorf("the gap names %+v", r)
				}
				if b == nil || b.Stream != own.Stream || b.Link.IsZero() {
					t.Errorf("the branch is %+v, want one of %s", b, own.Stream)
				}
				accepts(t, "once it is named", j, city)
				if cs := j.Contradictions(); len(cs) != 1 || cs[0].Head != city {
					t.Errorf("it remembers %+v", cs)
				}
				closed(t, j)
			}
		})
	}
}

// TestAnotherEventUnderOurNumberIsFoundOut, also of the present stream; the chain goes on
// from the journal's own last event.
func TestAnotherEventUnderOurNumberIsFoundOut(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	before := tapped(t, o, c, 3)[1]
	j := open(t, o)
	appended(t, j, badge(c, 1))
	now := headsOf(t, j)[5]
	for _, h := range []*presence.Head{&before, &now} {
		h.Link[3] ^= 1
		if got := contradicted(t, j, *h); got.Reason != presence.GapForked || got.From != h.Seq {
			t.Errorf("found %+v", got)
		}
		accepts(t, "once it is noted", j, *h)
	}
	closed(t, j)
	j = open(t, o)
	gaps := headGaps(t, j)
	if len(gaps) != 2 || gaps[0].Branch != nil || gaps[1].Ranges[0].Stream != now.Stream || gaps[1].Ranges[0].Link != now.Link {
		t.Errorf("gaps: %+v", gaps)
	}
	accepts(t, "once it is named", j, before, now)
}

// TestASecondHeadWaitsForItsHour: no new stream begins for it before, whatever restarts
// come in between; a stream that begins anyway names it.
func TestASecondHeadWaitsForItsHour(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	tapped(t, o, c, 3)
	heads := tapped(t, o, c, 9)
	other := func(n int) presence.Head {
		h := heads[n]
		h.Link[0] ^= 0x55
		return h
	}
	j := open(t, o)
	if _, waits := j.HeadDue(); waits {
		t.Error("a stream is due for nothing")
	}
	contradicted(t, j, other(1))
	c.pass(3 * time.Second)
	if in, waits := j.HeadDue(); !waits || in != 0 {
		t.Errorf("the first is due in %v, %v", in, waits)
	}
	closed(t, j)
	j = open(t, o)
	c.pass(time.Minute)
	contradicted(t, j, other(7))
	if in, waits := j.HeadDue(); !waits || in != 59*time.Minute {
		t.Errorf("the second is due in %v, %v", in, waits)
	}
	killed := folderOf(t, o)
	closed(t, j)
	killed.put(t, o)
	j = open(t, o)
	if got := headGaps(t, j); len(got) != 2 {
		t.Errorf("the start that came anyway names %+v", got)
	}
	if _, waits := j.HeadDue(); waits {
		t.Error("it waits although it is named")
	}
	closed(t, j)
	c.reboot()
	c.at.State = presence.ClockUnsynced // nobody knows for how long it was off
	j = open(t, o)
	if got := headGaps(t, j); len(got) != 2 {
		t.Errorf("named once more: %+v", got)
	}
	third := other(8)
	third.Stream = j.Stream()
	third.Seq = 1
	contradicted(t, j, third)
	c.pass(time.Minute)
	if in, waits := j.HeadDue(); !waits || in != 59*time.Minute {
		t.Errorf("after a reboot it is due in %v, %v", in, waits)
	}
}

// TestABrokerThatInventsHeadsFillsNothing: what waits is bounded, and so is what a stream
// begins with.
func TestABrokerThatInventsHeadsFillsNothing(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	heads := tapped(t, o, c, 200)
	j := open(t, o)
	crowded := 0
	for i := 0; i < len(heads); i += 2 {
		h := heads[i]
		h.Link[0] ^= 1
		cd, found := checked(t, j, h)
		if !found {
			continue
		}
		if err := j.NoteHead(cd); errors.Is(err, journal.ErrCrowded) {
			crowded++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	closed(t, j)
	j = open(t, o)
	if n := len(headGaps(t, j)); n == 0 || n > 8 || crowded == 0 {
		t.Errorf("%d gaps, %d left out", n, crowded)
	}
}
