package uplink

import (
	"testing"
	"time"
)

// TestWhereNobodyAnswersNobodyIsAskedOften: the city needs no program that tells the time,
// and a question each minute for ever would cost half a megabyte a day. While the clock is
// wrong it is asked as often as where it answers.
func TestWhereNobodyAnswersNobodyIsAskedOften(t *testing.T) {
	l := Limits{}.withDefaults()
	for _, tc := range []struct {
		unanswered  int
		disciplined bool
		want        time.Duration
	}{
		{0, false, 10 * time.Minute},
		{0, true, time.Hour},
		{1, true, time.Minute},
		{2, true, 2 * time.Minute},
		{3, false, 4 * time.Minute},
		{5, false, 10 * time.Minute},
		{5, true, 16 * time.Minute},
		{7, true, time.Hour},
		{100_000, true, time.Hour},
		{100_000, false, 10 * time.Minute},
	} {
		if got := l.untilNextRound(tc.unanswered, tc.disciplined); got != tc.want {
			t.Errorf("after %d rounds without an answer, disciplined %v: %v, want %v", tc.unanswered, tc.disciplined, got, tc.want)
		}
	}
}
