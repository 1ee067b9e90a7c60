package journal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

const day = 24 * time.Hour

// oldest is the position of the oldest event.
func oldest(t *testing.T, j *journal.Journal) uint64 {
	t.Helper()
	first, enough := uint64(0), errors.New("enough")
	err := j.Scan(t.Context(), func(e presence.Entry) error {
		first = e.Pos
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return first
}

func TestDeliveredEventsAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for d := range 40 {
		for i := range 25 {
			enqueue(t, j, tag(c, i))
		}
		flushed(t, j)
		j.Ack(j.End())
		if d == 38 {
			break
		}
		c.pass(day)
	}
	// 38 days have passed. Events of day 3 are as old as Keep, and stay.
	appended(t, j, badge(c, 1))
	appended(t, j, badge(c, 1))
	if got := oldest(t, j); got != 3*25+2 {
		t.Errorf("the oldest event is %d, want %d", got, 3*25+2)
	}
	if _, ok := j.Find(j.Stream(), 10); ok {
		t.Error("an event that went is still found")
	}
	if s := j.Stats(); s.Events != 36*25+2 || s.Pending != 2 {
		t.Errorf("%d events, %d of them wait", s.Events, s.Pending)
	}
	closed(t, j)
	whole(t, o.Path)
}

func TestUndeliveredEventsAreKeptForEver(t *testing.T) {
	t.Parallel()
	c := newClock()
	j := open(t, options(newPath(t), c))
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	c.pass(365 * day)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	if got := oldest(t, j); got != 1 {
		t.Errorf("the oldest event is %d", got)
	}
}

// TestAgeIsNotGuessed: without a clock that is right nobody knows how old the
// events of another boot are.
func TestAgeIsNotGuessed(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	j.Ack(j.End())
	closed(t, j)
	c.reboot()
	c.at.State = presence.ClockUnsynced
	c.at.Wall += int64(1000 * day)
	j = open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	if got := oldest(t, j); got != 1 {
		t.Errorf("the oldest event is %d", got)
	}
}

func TestStreamsGoWithTheirEvents(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	var first presence.ID
	for range 5 {
		j := open(t, o)
		if first.IsZero() {
			first = j.Stream()
		}
		for i := range 20 {
			appended(t, j, badge(c, i))
		}
		j.Ack(j.End())
		closed(t, j)
		c.pass(10 * day)
	}
	j := open(t, o)
	appended(t, j, badge(c, 1))
	if got := oldest(t, j); got != 2*21+1 {
		t.Errorf("the oldest event is %d, want the third stream's first", got)
	}
	if _, ok := j.Find(first, 1); ok {
		t.Error("the first stream is still known")
	}
	closed(t, j)
	if r := whole(t, o.Path); r.Streams != 4 {
		t.Errorf("%d streams", r.Streams)
	}
}

// TestPromise3FullIsNamed: when the journal is full of waiting events, tags go
// before taps, everything that went is named by a gap, no tap that was green is
// missing, and after delivery all goes on as before.
func TestPromise3FullIsNamed(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	green := make(map[uint64]string)
	refused := 0
	for i := range 6_000 { // several times what fits
		enqueue(t, j, tag(c, i))
		if i%50 != 0 {
			continue
		}
		c.pass(time.Second)
		e, err := j.Append(t.Context(), badge(c, i))
		var why *journal.Error
		switch {
		case err == nil:
			green[e.Seq] = e.Badge.Badge
		case errors.As(err, &why) && why.Reason() == "journal-full":
			refused++
		default:
			t.Fatal(err)
		}
	}
	flushed(t, j)
	if refused > 0 {
		t.Errorf("%d taps were refused though tags could have gone", refused)
	}
	if s := j.Stats(); s.Bytes > o.MaxBytes {
		t.Errorf("the file has grown to %d bytes of %d", s.Bytes, o.MaxBytes)
	}
	left, lost, named := make(map[string]int), 0, 0
	seqs := make(map[uint64]bool)
	for _, e := range all(t, j, 0) {
		left[e.Kind.String()]++
		seqs[e.Seq] = true
		if e.Badge != nil && green[e.Seq] == e.Badge.Badge {
			delete(green, e.Seq)
		}
		if e.Gap != nil {
			lost += e.Gap.Kinds["tag"]
			for _, r := range e.Gap.Ranges {
				named += int(r.To - r.From + 1)
				if r.Stream != j.Stream() {
					t.Errorf("a gap names stream %s", r.Stream)
				}
			}
		}
	}
	if len(green) > 0 {
		t.Errorf("%d green taps are missing", len(green))
	}
	if lost == 0 || lost != named || left["tag"]+lost != 6_000 {
		t.Errorf("%d tags are left, %d counted as lost, %d of them by number, of 6000", left["tag"], lost, named)
	}
	t.Logf("left: %v, lost: %d", left, lost)
	if s := j.Stats(); s.Pending != int64(len(seqs)) || s.Events != int64(len(seqs)) {
		t.Errorf("%d wait of %d events, want %d", s.Pending, s.Events, len(seqs))
	}
	closed(t, j)
	j = open(t, o)
	if s := j.Stats(); s.Pending != int64(len(seqs))+1 || s.Events != int64(len(seqs))+1 {
		t.Errorf("after a restart %d wait of %d events, want %d", s.Pending, s.Events, len(seqs)+1)
	}
	j.Ack(j.End())
	for i := range 600 {
		appended(t, j, badge(c, i))
		j.Ack(j.End())
	}
	closed(t, j)
	whole(t, o.Path)
	if s := open(t, o).Stats(); s.Pending != 1 {
		t.Errorf("%d events wait after a restart", s.Pending)
	}
}

// TestAJournalFullOfTapsRefuses: taps that were green are never given up for
// new ones; the new ones are red, and counted.
func TestAJournalFullOfTapsRefuses(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	green := 0
	large := badge(c, 1)
	large.Badge.Card = strings.Repeat("x", 1500) // so that it is soon full
	for ; ; green++ {
		if _, err := j.Append(t.Context(), large); err != nil {
			if !errors.Is(err, journal.ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	for i := range 10 {
		if _, err := j.Append(t.Context(), badge(c, i)); !errors.Is(err, journal.ErrFull) {
			t.Fatal(err)
		}
	}
	if !j.Stats().Full {
		t.Error("Stats does not say that it is full")
	}
	for i := range 5_000 { // never blocks for good: the oldest give way
		enqueue(t, j, tag(c, i))
	}
	if green < 300 {
		t.Errorf("only %d taps of 1.6 kB fit into a MiB", green)
	}
	j.Ack(j.End() - 10)
	e := appended(t, j, badge(c, 1))
	if e.Seq <= uint64(green) {
		t.Errorf("the next tap has seq %d after %d", e.Seq, green)
	}
	flushed(t, j)
	got := make(map[string]int)
	for _, e := range all(t, j, j.Cursor()) {
		got[e.Kind.String()]++
		if e.Gap != nil {
			for kind, n := range e.Gap.Kinds {
				got["lost "+kind] += n
			}
		}
	}
	if got["lost badge"] != 11 || got["tag"]+got["lost tag"] != 5_000 || got["badge"] != 11 {
		t.Errorf("the ledger does not add up: %v", got)
	}
	closed(t, j)
	whole(t, o.Path)
}

func ExampleError() {
	fmt.Println(journal.ErrFull.Reason())
	// Output: journal-full
}
