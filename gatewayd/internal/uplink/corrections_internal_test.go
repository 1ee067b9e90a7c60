package uplink

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// TestLatePUBACKClosesNoBetterCorrection: two corrections of an event are on
// their way, and the PUBACK of the first comes.
func TestLatePUBACKClosesNoBetterCorrection(t *testing.T) {
	n := &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool { return false }}
	times := &knowledge{within: make(map[presence.ID]time.Duration), wrong: make(map[presence.ID]bool), changed: make(chan struct{})}
	event := presence.Entry{Pos: 1, Record: presence.Record{Draft: presence.Draft{At: presence.Reading{Boot: presence.ID{1}}}}}
	a := newRevisions(n, times)
	correct := func(within time.Duration) presence.Revision {
		t.Helper()
		times.within[presence.ID{1}] = within
		all, err := a.revise(t.Context(), []presence.Entry{event}, allPositions, bestKnown)
		if err != nil || !all[0].Open {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0]
	}
	first := correct(time.Hour)
	second := correct(time.Second)
	a.acknowledge([]presence.Revision{first})
	if s := n.now.revisions[1]; s != second {
		t.Errorf("the journal has %+v", s)
	}
	if again, _, err := a.openCorrections(0, 1); err != nil || len(again) != 1 {
		t.Errorf("to be sent again: %v, %v", again, err)
	}
	a.acknowledge([]presence.Revision{second})
	if again, _, err := a.openCorrections(0, 1); err != nil || len(again) != 0 || n.now.revisions[1].Open {
		t.Errorf("after all: %v, %v, %+v", again, err, n.now.revisions[1])
	}
}

// TestWhatWasPublishedOutlivesTheMemoryOfTheClock: an event was published as lying
// between two clocks that contradict each other. When the clock has forgotten that
// boot, all that is left is what one of them said, and that proves nothing.
func TestWhatWasPublishedOutlivesTheMemoryOfTheClock(t *testing.T) {
	n := &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool { return false }}
	boot := presence.ID{1}
	times := &knowledge{lied: map[presence.ID]lied{boot: disputed}, forgot: make(map[presence.ID]bool), changed: make(chan struct{})}
	ahead := presence.Reading{Boot: boot, Wall: origin.Add(aDay - time.Hour).UnixNano(), State: presence.ClockSynced}
	event := presence.Entry{Pos: 1, Record: presence.Record{Draft: presence.Draft{At: ahead}}}
	r := newRevisions(n, times)
	revise := func(which choice) presence.Revision {
		t.Helper()
		all, err := r.revise(t.Context(), []presence.Entry{event}, allPositions, which)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	published := revise(bestKnown)
	if published.Timing.Quality != presence.QualityBounded {
		t.Fatalf("published as %+v", published)
	}
	times.forgot[boot] = true
	for _, which := range []choice{bestKnown, bestKnownOutOfTurn, lastPublished} {
		if again := revise(which); again != published {
			t.Errorf("it is now said to be %+v, and was published as %+v", again, published)
		}
	}
}
