package chain

import (
	"math"
	"slices"
	"testing"
)

// TestOnlyNearAnchorsExcuse: with the drift of a crystal, an anchor that is weeks away would
// agree with a time that is wrong by minutes.
func TestOnlyNearAnchorsExcuse(t *testing.T) {
	t.Parallel()
	const minute, day = 60_000.0, 24 * 3600_000.0
	var all []anchor // every ten minutes for thirty days
	for at := 0.0; at < 30*day; at += 10 * minute {
		all = append(all, anchor{bootMS: at})
	}
	for _, bootMS := range []float64{-5, 0, 7 * minute, 15 * day, 30*day - minute, 40 * day} {
		near := nearestTo(all, bootMS)
		if len(near) != 16 {
			t.Fatalf("%v: %d anchors", bootMS, len(near))
		}
		farthest := 0.0
		for _, a := range near {
			farthest = max(farthest, math.Abs(bootMS-a.bootMS))
		}
		for _, a := range all {
			if !slices.Contains(near, a) && math.Abs(bootMS-a.bootMS) < farthest {
				t.Errorf("%v: the anchor at %v is nearer than one that counts", bootMS, a.bootMS)
			}
		}
	}
	if got := nearestTo(all[:3], 5); len(got) != 3 {
		t.Errorf("of three anchors %d count", len(got))
	}
	if got := nearestTo(nil, 5); len(got) != 0 {
		t.Errorf("of none %d count", len(got))
	}
}
