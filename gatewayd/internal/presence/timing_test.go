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
