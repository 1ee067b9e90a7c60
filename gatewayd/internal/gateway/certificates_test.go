package gateway

import (
	"testing"
	"time"
)

func TestCertificatesAreJudgedByTheLatestThatIsCertain(t *testing.T) {
	var none time.Time
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	for name, tc := range map[string]struct{ wall, notBefore, build, want time.Time }{
		"a clock that is right":       {day(23), day(20), day(1), day(23)},
		"1970, and a time before":     {time.Unix(0, 0), day(20), day(1), day(20)},
		"1970, and never had a time":  {time.Unix(0, 0), none, day(1), day(1)},
		"a binary newer than the two": {day(2), day(3), day(4), day(4)},
		"nothing known":               {time.Unix(0, 0), none, none, time.Unix(0, 0)},
	} {
		if got := certTime(tc.wall, tc.notBefore, tc.build); !got.Equal(tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
