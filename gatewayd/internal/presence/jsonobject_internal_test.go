package presence

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Times in events are what package time makes of TimeLayout, whatever the year and the
// office's offset.
func TestInstantsAreWrittenAsTheirLayoutSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset")
		seconds := rapid.Int64Range(-1e12, 1e12).Draw(t, "seconds")
		at := time.Unix(seconds, rapid.Int64Range(0, math.MaxInt32).Draw(t, "nanoseconds")).In(time.FixedZone("", offset))
		if got, want := string(appendInstant([]byte("x"), at)), "x"+at.Format(TimeLayout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
	utc := time.Date(2026, 11, 29, 10, 0, 0, 7_999_999, time.UTC)
	if got := string(appendInstant(nil, utc)); got != "2026-11-29T10:00:00.007Z" {
		t.Error(got)
	}
}
