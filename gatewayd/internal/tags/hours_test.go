package tags_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

func national() func(time.Time) bool { return nationalWeek().Open }

// nationalWeek is the working week of Perpres 21/2023.
func nationalWeek() hours.Calendar {
	start := 7*time.Hour + 30*time.Minute
	long, friday := []hours.Span{{Start: start, End: 16 * time.Hour}}, []hours.Span{{Start: start, End: 16*time.Hour + 30*time.Minute}}
	return hours.Calendar{Location: wib, Week: hours.Week{
		time.Monday: long, time.Tuesday: long, time.Wednesday: long, time.Thursday: long, time.Friday: friday,
	}}
}

// Promise 7: tag data outside working hours never reaches the disk.
func TestPromise7NothingOutsideHours(t *testing.T) {
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, wib) }
	for _, tc := range []struct {
		name  string
		heard time.Time
		fix   beacon.Fix
		want  string
	}{
		{"at work", day(24, 9, 0, 0), at(0, day(24, 8, 59, 58)), "recorded"},
		{"the first second", day(24, 7, 30, 0), at(0, day(24, 7, 30, 0)), "recorded"},
		{"a second early", day(24, 7, 29, 59), at(0, day(24, 7, 29, 59)), "hours"},
		{"taken a second early", day(24, 7, 30, 1), at(0, day(24, 7, 29, 59)), "hours"},
		{"the last second", day(24, 15, 59, 59), at(0, day(24, 15, 59, 59)), "recorded"},
		{"the end", day(24, 16, 0, 0), at(0, day(24, 15, 59, 59)), "hours"},
		{"friday is longer", day(27, 16, 15, 0), at(0, day(27, 16, 15, 0)), "recorded"},
		{"saturday", day(28, 9, 0, 0), at(0, day(28, 9, 0, 0)), "hours"},
		{"without a time, at work", day(24, 9, 0, 0), at(0, time.Time{}), "recorded"},
		{"without a time, at night", day(24, 22, 0, 0), at(0, time.Time{}), "hours"},
		{"sunday's position on monday", day(23, 9, 0, 0), at(0, day(22, 12, 0, 0)), "hours"},
		{"last night's position", day(24, 9, 0, 0), at(0, day(23, 22, 0, 0)), "hours"},
		{"last friday's position from work", day(23, 9, 0, 0), at(0, day(20, 12, 0, 0)), "recorded"},
		{"time of day before work", day(24, 7, 30, 10), ofDay(day(24, 7, 29, 50)), "hours"},
		{"time of day that could be any day's", day(24, 9, 0, 0), ofDay(day(23, 19, 24, 34)), "recorded"},
		{"a radio that lives in another year", day(24, 9, 0, 0), at(0, day(24, 18, 0, 0).AddDate(-3, 0, 0)), "recorded"},
		{"time of day at work", day(24, 7, 30, 10), ofDay(day(24, 7, 30, 5)), "recorded"},
		{"a future time of the weekend is nonsense, not a secret", day(24, 9, 0, 0), at(0, day(28, 9, 0, 0)), "recorded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := open(tc.heard, tags.Options{Open: national()})
			if got := y.hear(t, "yard", tc.fix); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestNothingOutsideHoursWhateverComes(t *testing.T) {
	isOpen := national()
	rapid.Check(t, func(t *rapid.T) {
		y := open(tuesday, tags.Options{Open: isOpen, MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
		y.state = presence.ClockState(rapid.IntRange(0, 2).Draw(t, "clock"))
		heard := map[time.Duration]time.Time{} // by boottime
		for range rapid.IntRange(1, 40).Draw(t, "fixes") {
			y.time = y.time.Add(time.Duration(rapid.Int64Range(0, int64(6*time.Hour)).Draw(t, "pause")))
			if rapid.IntRange(0, 4).Draw(t, "set") == 0 {
				y.state = presence.ClockState(rapid.IntRange(0, 2).Draw(t, "clock"))
			}
			claim := y.time.Add(-time.Duration(rapid.Int64Range(-int64(time.Hour), int64(100*time.Hour)).Draw(t, "age")))
			fix := at(rapid.Float64Range(-1000, 1000).Draw(t, "north"), claim)
			switch rapid.IntRange(0, 2).Draw(t, "form") {
			case 1:
				fix.Time = time.Time{}
			case 2:
				fix = ofDay(claim)
			}
			heard[y.now().Boottime] = y.time
			y.hear(t, "yard", fix)
		}
		for _, d := range y.drafts {
			if when := heard[d.At.Boottime]; !isOpen(when) {
				t.Fatalf("recorded what was heard at %v", when)
			}
			if ms := d.Tag.FixTime; ms != 0 && !isOpen(time.UnixMilli(ms)) {
				t.Fatalf("recorded a position of %v", time.UnixMilli(ms).In(wib))
			}
		}
	})
}

// What comes while nobody knows the time waits in memory until it is known
// whether it came in working hours.
func TestUnknownTimeHoldsFixesBack(t *testing.T) {
	y := open(tuesday.Add(-2*time.Hour), tags.Options{Open: national()}) // 07:00
	y.state = presence.ClockUnsynced
	for i := range 4 {
		y.time = tuesday.Add(-2*time.Hour + time.Duration(i)*20*time.Minute) // 07:00, 07:20, 07:40, 08:00
		if got := y.hear(t, "yard", at(float64(i), time.Time{})); got != "nothing" {
			t.Fatalf("%s while the time is unknown", got)
		}
	}
	y.time = tuesday
	y.state = presence.ClockSynced
	if got := y.hear(t, "roof", at(9, time.Time{})); got != "hours" { // of those held; this one is recorded
		t.Errorf("the held ones: %s", got)
	}
	if len(y.drafts) != 3 || y.counts()["hours"] != 2 {
		t.Fatalf("%d recorded, %v", len(y.drafts), y.counts())
	}
	for i, north := range []float64{2, 3, 9} {
		if got := *y.drafts[i].Tag.Lat; got != officeLat+north*metre {
			t.Errorf("record %d is of %v", i, got)
		}
	}
	if at := y.drafts[0].At; at.Known() || y.now().Boottime-at.Boottime != 80*time.Minute {
		t.Errorf("recorded with the reading %+v, want the raw one of when it came", at)
	}
}

// Where the clock's error reaches over the edge of the hours, privacy decides;
// a clock that may be off by more than a break waits for a better one.
func TestDoubtfulTimeErrsOnTheSideOfPrivacy(t *testing.T) {
	for _, tc := range []struct {
		clock  string
		within time.Duration
		want   string
	}{
		{"07:30:05", 4 * time.Second, "recorded"},
		{"07:30:05", 6 * time.Second, "hours"},
		{"07:29:55", 6 * time.Second, "hours"},
		{"15:59:55", 4 * time.Second, "recorded"},
		{"15:59:55", 6 * time.Second, "hours"},
		{"12:00:00", 10 * time.Minute, "recorded"},
		{"12:00:00", 11 * time.Minute, "nothing"},
	} {
		moment, err := time.ParseInLocation(time.DateTime, "2026-11-24 "+tc.clock, wib)
		if err != nil {
			t.Fatal(err)
		}
		y := open(moment, tags.Options{Open: national()})
		y.within = tc.within
		if got := y.hear(t, "yard", at(0, time.Time{})); got != tc.want {
			t.Errorf("%s within %v: %s, want %s", tc.clock, tc.within, got, tc.want)
		}
	}
}

func TestHeldFixesAreBounded(t *testing.T) {
	y := open(tuesday, tags.Options{Open: national()})
	y.state = presence.ClockUnsynced
	for i := range 2500 {
		y.time = y.time.Add(10 * time.Millisecond)
		y.hear(t, "yard", at(float64(i), y.time))
	}
	y.state = presence.ClockSynced
	y.hear(t, "yard", at(0, time.Time{}))
	if len(y.drafts) != 1001 || y.counts()["held-back"] != 1500 {
		t.Errorf("%d recorded, %v", len(y.drafts), y.counts())
	}
	if got := *y.drafts[0].Tag.Lat; got != officeLat+1500*metre {
		t.Error("the oldest should have given way")
	}
}

func TestAlwaysHoldsNothing(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.state = presence.ClockUnsynced
	if got := y.hear(t, "yard", at(0, tuesday.Add(1000*time.Hour))); got != "recorded" {
		t.Fatal(got)
	}
	if tag := y.last(); tag.Fix != presence.FreshnessUnknown {
		t.Errorf("fix %v, though nobody knows the time", tag.Fix)
	}
	if got := y.hear(t, "roof", at(0, tuesday.Add(1000*time.Hour))); got != "duplicate" {
		t.Error(got)
	}
	// A claimed time that could not be checked must not make later ones look old.
	y.state = presence.ClockSynced
	y.time = y.time.Add(time.Hour)
	if got := y.hear(t, "yard", at(0, y.time)); got != "recorded" || y.last().Fix != presence.FreshnessLive {
		t.Errorf("%s, fix %v", got, y.last().Fix)
	}
}
