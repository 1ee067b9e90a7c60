package presence_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestATimingOnlyEverNarrows(t *testing.T) {
	at := noon
	known := func(d, e time.Duration) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: at.Add(d), Error: e}
	}
	for name, tc := range map[string]struct {
		old, now presence.Timing
		want     bool
	}{
		"known at last":    {presence.Timing{Quality: presence.QualityUnsynced}, known(0, time.Hour), true},
		"forgotten":        {known(0, time.Hour), presence.Timing{Quality: presence.QualityUnsynced}, false},
		"narrower":         {known(0, time.Minute), known(time.Second, time.Second), true},
		"wider":            {known(0, time.Minute), known(0, time.Hour), false},
		"narrower outside": {known(0, time.Minute), known(2*time.Minute, time.Second), false},
		"poking out":       {known(0, time.Minute), known(59*time.Second, 2*time.Second), false},
		"hardly narrower":  {known(0, time.Minute), known(0, 59*time.Second), false},
		"below care":       {known(0, 100*time.Millisecond), known(0, time.Millisecond), false},
		"same":             {known(0, time.Minute), known(0, time.Minute), false},
	} {
		if got := tc.now.Improves(tc.old); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWithin(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for _, tc := range []struct {
		timing presence.Timing
		want   bool
	}{
		{presence.Timing{Quality: presence.QualityUnsynced}, false},
		{presence.Timing{Quality: presence.QualitySynced, Time: at}, true},
		{presence.Timing{Quality: presence.QualityBounded, Time: at, Error: time.Second, Min: at.Add(-time.Second), Max: at.Add(time.Second)}, true},
		{presence.Timing{Quality: presence.QualityBounded, Time: at, Error: time.Hour, Min: at.Add(-time.Hour), Max: at.Add(time.Hour)}, false},
	} {
		if got := tc.timing.Within(presence.Roughly); got != tc.want {
			t.Errorf("%+v: %v", tc.timing, got)
		}
	}
}

// TestTheIntervalBetweenTwoClocksIsCorrected: while two clocks that are a day apart
// contradict each other, an event may have happened anywhere between them. Once it
// is known which is right, a correction is sent however the new interval lies to the
// wide one before. The two rest on different anchors, so the new one may reach out
// of the old one a little.
func TestTheIntervalBetweenTwoClocksIsCorrected(t *testing.T) {
	const half = 13 * time.Hour
	old := presence.Timing{Quality: presence.QualityBounded, Time: noon, Error: half, Min: noon.Add(-half), Max: noon.Add(half), Rev: 1}
	for _, outside := range []time.Duration{-time.Hour, -1, 0, 1, 2, 3, 30, 1e6, 249e6, 250e6 - 1, 250e6, 250e6 + 1, 1e9, time.Hour} {
		for _, side := range []time.Duration{-1, 1} {
			const sharp = 27 * time.Millisecond
			now := presence.Timing{Quality: presence.QualityCorrected, Time: noon.Add(side * (half - sharp + outside)), Error: sharp, Disputed: true}
			if got := presence.Revise(old, now); got.Rev != 2 || !got.SameAs(now) {
				t.Errorf("%v outside of what was published, on side %d: %+v", outside, side, got)
			}
		}
	}
	// The noise of a clock is worth no correction, even then.
	published := presence.Timing{Quality: presence.QualityCorrected, Time: noon, Error: 100 * time.Millisecond}
	now := presence.Timing{Quality: presence.QualityCorrected, Time: noon.Add(150 * time.Millisecond), Error: time.Millisecond, Disputed: true}
	if got := presence.Revise(published, now); !got.SameAs(published) {
		t.Errorf("noise is published: %+v", got)
	}
}
