package lastday

import (
	"testing"
	"time"
)

// TestTheRiseOfADay is what was counted within a day, from the first minute on.
func TestTheRiseOfADay(t *testing.T) {
	var c Count
	now := time.Now()
	const perHour = 1000
	for hour := range 100 {
		want := int64(min(hour, 24) * perHour)
		for minute := range 60 {
			got := c.Rise(now, int64(hour*perHour+minute*perHour/60))
			if got < want || got > want+2*perHour {
				t.Fatalf("after %d:%02d hours: %d, want %d", hour, minute, got, want)
			}
			now = now.Add(time.Minute)
		}
		if n := len(c.samples); n > 24*6+2 {
			t.Fatalf("%d samples are kept", n)
		}
	}
}
