package presence_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestAnAnswerOnlyEverNarrows(t *testing.T) {
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
