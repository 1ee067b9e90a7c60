package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestWhatGoesForWantOfRoomIsSealed: whatever waiting event a gap says is gone, a seal
// before that gap or directly behind it covers it.
func TestWhatGoesForWantOfRoomIsSealed(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := sealed(options(newPath(t), c))
	o.MaxBytes = 1 << 20
	o.Seals.Every = time.Hour
	j := open(t, o)
	for i := range 3000 {
		if i%2 == 0 {
			enqueue(t, j, tag(c, i)) // of a tag that comes again, which is thinned
		} else {
			enqueue(t, j, lone(c, i)) // which only goes for a tap
		}
	}
	for i := range 2500 {
		if _, err := j.Append(t.Context(), badge(c, i)); err != nil {
			break
		}
	}
	upto, removed := uint64(0), 0
	events := all(t, j, 0)
	checkSeals(t, events, newTestKey(1).public())
	for i, e := range events {
		if e.Seal != nil {
			upto = e.Seal.Upto
		}
		if e.Gap == nil {
			continue
		}
		if i+1 < len(events) && events[i+1].Seal != nil {
			upto = events[i+1].Seal.Upto
		}
		for _, r := range e.Gap.Ranges {
			removed += int(r.To - r.From + 1)
			if r.To > upto {
				t.Errorf("%d to %d went, and all up to %d was sealed", r.From, r.To, upto)
			}
		}
	}
	if removed < 1000 {
		t.Errorf("only %d events went", removed)
	}
}

// TestASealNeverTakesATapsRoom: a journal without room for a seal says so, and takes what
// it has room for; it starts without a seal; and is sealed as soon as there is room.
func TestASealNeverTakesATapsRoom(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := sealed(options(newPath(t), c))
	o.MaxBytes = 1 << 20
	o.Seals.Every = time.Hour
	j := open(t, o)
	fillUp(t, j, c)
	seals, unsealed := checkSeals(t, all(t, j, 0), newTestKey(1).public())
	if seals != 1 || unsealed < 300 {
		t.Fatalf("%d seals, %d events behind the last", seals, unsealed)
	}
	if err := j.Seal(t.Context()); !errors.Is(err, journal.ErrFull) {
		t.Errorf("a full journal is sealed: %v", err)
	}
	closed(t, j)
	j = open(t, o)
	if got := kinds(t, j); got[len(got)-1] != "start" {
		t.Errorf("it starts with %v", got[len(got)-3:])
	}
	if err := j.Seal(t.Context()); !errors.Is(err, journal.ErrFull) {
		t.Errorf("a full journal is sealed: %v", err)
	}
	j.Ack(j.End())
	if err := j.Seal(t.Context()); err != nil {
		t.Errorf("delivered events do not give way to a seal: %v", err)
	}
	appended(t, j, badge(c, 1))
	closed(t, j)
	j = open(t, o)
	if _, unsealed := checkSeals(t, all(t, j, 0), newTestKey(1).public()); unsealed != 0 {
		t.Errorf("%d events are not sealed", unsealed)
	}
}

// TestForgettingIsSealed: the gap that says what was forgotten is sealed with what is left.
func TestForgettingIsSealed(t *testing.T) {
	t.Parallel()
	c := newClock()
	j := open(t, sealed(options(newPath(t), c)))
	for i := range 10 {
		appended(t, j, badge(c, i))
	}
	_, err := j.Forget(t.Context(), func(r *presence.Record) bool {
		if r.Seal != nil {
			t.Error("whether a seal is to be forgotten was asked")
		}
		return r.Seq == 5
	})
	if err != nil {
		t.Fatal(err)
	}
	appended(t, j, badge(c, 11))
	want := []string{"start", "seal", "badge", "badge", "badge", "badge", "badge", "badge", "badge", "badge", "badge", "gap", "seal", "badge"}
	if got := kinds(t, j); !slices.Equal(got, want) {
		t.Error(got)
	}
	checkSeals(t, all(t, j, 0), newTestKey(1).public())
}

// TestSalvageIsSealed: the start behind a damaged journal is sealed with its gaps.
func TestSalvageIsSealed(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := sealed(options(newPath(t), c))
	j := open(t, o)
	for i := range 200 {
		appended(t, j, badge(c, i))
	}
	end := j.End()
	closed(t, j)
	file := read(t, o.Path)
	at := bytes.LastIndex(file, fmt.Appendf(nil, "h:%032x", 50)) // in the tree of events
	clear(file[at/pageSize*pageSize:][:pageSize])
	if err := os.WriteFile(o.Path, file, 0o640); err != nil {
		t.Fatal(err)
	}
	j = open(t, o)
	if j.Damage() == nil || j.Damage().Lost == 0 {
		t.Fatalf("nothing was lost: %+v", j.Damage())
	}
	got := all(t, j, end+1) // behind the seal of the end
	first, last := got[0], got[len(got)-1]
	if first.Start == nil || last.Seal == nil || len(got) < 3 {
		t.Errorf("it starts with %d events, from %s to %s", len(got), first.Kind, last.Kind)
	}
}

// TestSealsHoldTheClocksAnchors: each those since the last, the newest 64 at most.
func TestSealsHoldTheClocksAnchors(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := sealed(options(newPath(t), c))
	var known []presence.Anchor // only the writer asks, while the test waits for it
	learn := func(n int) {
		for range n {
			known = append(known, presence.Anchor{Boottime: time.Duration(len(known)) * time.Minute, UTC: c.now().Wall, Error: time.Millisecond, Source: "system"})
		}
	}
	o.Seals.Anchors = func(after time.Duration) (since []presence.Anchor) {
		for _, a := range known {
			if a.Boottime > after {
				since = append(since, a)
			}
		}
		return since
	}
	learn(3)
	j := open(t, o)
	for _, n := range []int{0, 2, 100} {
		learn(n)
		appended(t, j, badge(c, n))
		if err := j.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var held []int
	newest := time.Duration(-1)
	for _, e := range all(t, j, 0) {
		if e.Seal == nil {
			continue
		}
		held = append(held, len(e.Seal.Anchors))
		for _, a := range e.Seal.Anchors {
			if a.Boottime <= newest {
				t.Errorf("the anchor at %s is sealed twice, or out of order", a.Boottime)
			}
			newest = a.Boottime
		}
	}
	if !slices.Equal(held, []int{3, 0, 2, 64}) || newest != known[len(known)-1].Boottime {
		t.Errorf("seals hold %v anchors, the newest of %s", held, newest)
	}
}

// broken is a key that cannot sign, as one in a chip that does not answer.
type broken struct{ testKey }

var errBroken = errors.New("the chip does not answer")

func (broken) Sign([]byte) ([]byte, error) { return nil, errBroken }

// TestAKeyThatCannotSignStopsNothing: taps are green, and whoever asks for a seal is told
// why there is none.
func TestAKeyThatCannotSignStopsNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Seals.Signer = func() journal.Signer { return broken{newTestKey(1)} }
	j := open(t, o)
	for i := range 3 {
		if e := appended(t, j, badge(c, i)); e.Seq != uint64(i+2) {
			t.Errorf("tap %d has number %d", i, e.Seq)
		}
	}
	if err := j.Seal(t.Context()); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	closed(t, j)
	j = open(t, options(o.Path, c))
	if got := kinds(t, j); !slices.Equal(got, []string{"start", "badge", "badge", "badge", "start"}) {
		t.Error(got)
	}
	if j.Sealing().Former != (presence.KeyID{}) {
		t.Error("a key that never signed counts as one that has")
	}
	closed(t, j)
	whole(t, o.Path)
}

// TestWhoOnlyDeliversSealsNothing (Options.NoStream).
func TestWhoOnlyDeliversSealsNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := sealed(options(newPath(t), c))
	j := open(t, o)
	appended(t, j, badge(c, 1))
	o = killed(t, o)
	o.NoStream = true
	j = open(t, o)
	end := j.End()
	j.Ack(end)
	if err := j.Seal(t.Context()); err == nil {
		t.Error("it seals when asked to")
	}
	closed(t, j)
	o.NoStream = false
	j = open(t, o)
	if got := kinds(t, j); !slices.Equal(got, []string{"start", "seal", "badge", "start", "seal"}) {
		t.Error(got)
	}
}
