package health_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// TestAReaderWithoutCardsIsSaid after two working days, if there were cards
// before; a card ends it, and nights and weekends do not count.
func TestAReaderWithoutCardsIsSaid(t *testing.T) {
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	office := func(t time.Time) bool {
		return t.Weekday() != time.Sunday && t.Weekday() != time.Saturday && t.Hour() >= 8 && t.Hour() < 16
	}
	reading := func(at time.Time) presence.Reading {
		return presence.Reading{Boot: presence.ID{1}, Boottime: at.Sub(monday), Wall: at.UnixNano(), State: presence.ClockSynced}
	}
	for name, tc := range map[string]struct {
		last   time.Time // the last card before the process began; zero: none
		known  bool      // the time
		told   bool      // only the city was told when the last card was: the clock forgot its boot
		always bool
		card   time.Duration // after monday midnight; 0: none comes
		state  string
		until  time.Duration // it is looked at so long
		from   time.Duration // the alert stands from here on; 0: never
		to     time.Duration
	}{
		"nobody ever came":           {known: true, state: "ok", until: 14 * 24 * time.Hour},
		"two working days":           {last: monday.Add(-time.Hour), known: true, state: "ok", until: 4 * 24 * time.Hour, from: 40 * time.Hour},
		"of a forgotten boot":        {last: monday.Add(-72*time.Hour + 15*time.Hour), told: true, known: true, state: "ok", until: 39 * time.Hour, from: 39 * time.Hour},
		"the weekend does not count": {last: monday.Add(-72*time.Hour + 15*time.Hour), known: true, state: "ok", until: 39 * time.Hour, from: 39 * time.Hour},
		"a card on the first day":    {last: monday.Add(-time.Hour), known: true, card: 12 * time.Hour, state: "ok", until: 59*time.Hour + 59*time.Minute},
		"a card ends it":             {last: monday.Add(-time.Hour), known: true, card: 50 * time.Hour, state: "ok", until: 60 * time.Hour, from: 40 * time.Hour, to: 50 * time.Hour},
		"a card of this process":     {known: true, card: 9 * time.Hour, state: "ok", until: 58 * time.Hour, from: 57 * time.Hour},
		"it is deaf anyway":          {last: monday.Add(-time.Hour), known: true, state: "deaf", until: 7 * 24 * time.Hour},
		"the time is not known":      {last: monday.Add(-time.Hour), state: "ok", until: 7 * 24 * time.Hour},
		"no working hours":           {last: monday, known: true, always: true, state: "ok", until: 8 * 24 * time.Hour, from: 160 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			timing := func(r presence.Reading) presence.Timing {
				if !tc.known {
					return presence.Timing{Quality: presence.QualityUnsynced}
				}
				if tc.told && r.Boottime < 0 {
					return presence.Timing{Quality: presence.QualityUnsynced}
				}
				return presence.Raw(r)
			}
			open := office
			if tc.always {
				open = func(time.Time) bool { return true }
			}
			s := health.NewSilence(health.SilenceOptions{Open: open, Always: func() bool { return tc.always }, Timing: timing})
			if !tc.last.IsZero() {
				s.Recall("door", reading(tc.last), presence.Raw(reading(tc.last)))
			}
			h := presence.ReaderHealth{Name: "door", State: tc.state}
			for at := time.Duration(0); at <= tc.until; at += 20 * time.Second {
				if tc.card > 0 && at == tc.card {
					h.Seen++
				}
				as := s.Alerts(reading(monday.Add(at)), []presence.ReaderHealth{h})
				want := tc.from > 0 && at >= tc.from && (tc.to == 0 || at < tc.to)
				if got := len(as) > 0; got != want {
					t.Fatalf("at %v it stands: %v", at, got)
				}
				if len(as) > 0 && (as[0].Code() != "reader-silent-door" || as[0].About()[0] != "door") {
					t.Fatalf("it is %s about %v", as[0].Code(), as[0].About())
				}
			}
		})
	}
}
