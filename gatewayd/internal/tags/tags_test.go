package tags_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// wib is the office's time zone.
var wib = time.FixedZone("WIB", 7*60*60)

// tuesday is a moment in working hours.
var tuesday = time.Date(2026, 11, 24, 9, 0, 0, 0, wib)

const (
	officeLat = -7.9778
	officeLon = 112.6340

	// A metre north, in degrees.
	metre = 1.0 / 111_195
)

// yard is tags with a journal in memory and a clock that a test moves.
type yard struct {
	*tags.Tags
	opt    tags.Options
	time   time.Time // what it really is
	boot   presence.ID
	state  presence.ClockState
	within time.Duration // the clock is right
	drafts []presence.Draft
	refuse error

	block   chan struct{} // until it is closed, the journal takes nothing
	blocked func()        // is told when it begins to wait
}

// open makes a yard at a moment; everything is recorded unless opt says less.
func open(at time.Time, opt tags.Options) *yard {
	y := &yard{opt: opt, time: at, boot: presence.ID{1}, state: presence.ClockSynced}
	y.opt.Always = func() bool { return opt.Open == nil }
	if opt.Coordinates == "" {
		y.opt.Coordinates = tags.Full
	}
	y.opt.Now, y.opt.Timing, y.opt.Journal, y.opt.Log = y.now, y.timing, y, slog.New(slog.DiscardHandler)
	y.Tags = tags.New(y.opt, "yard", "roof")
	return y
}

func (y *yard) now() presence.Reading {
	r := presence.Reading{Boot: y.boot, Boottime: y.time.Sub(tuesday) + 100*time.Hour, State: y.state}
	if y.state != presence.ClockUnsynced {
		r.Wall = y.time.UnixNano()
	}
	return r
}

// timing knows everything of this boot as soon as the clock is synced.
func (y *yard) timing(r presence.Reading) presence.Timing {
	passed, ok := y.now().Since(r)
	if y.state == presence.ClockUnsynced || !ok {
		return presence.Timing{Quality: presence.QualityUnsynced}
	}
	return presence.Timing{Quality: presence.QualityCorrected, Time: y.time.Add(-passed), Error: y.within}
}

func (y *yard) Enqueue(_ context.Context, d presence.Draft) error {
	if y.block != nil {
		y.blocked()
		<-y.block
	}
	if y.refuse != nil {
		return y.refuse
	}
	y.drafts = append(y.drafts, d)
	return nil
}

// restart is another process that reads the journal's tail.
func (y *yard) restart() {
	y.Tags = tags.New(y.opt, "yard", "roof")
	for i := len(y.drafts) - 1; i >= 0; i-- {
		e := presence.Entry{Pos: uint64(i + 1), Record: presence.Record{Draft: y.drafts[i]}}
		if !y.Remember(e) {
			break
		}
	}
}

// hear receives a fix and tells what became of it.
func (y *yard) hear(t interface{ Fatal(...any) }, receiver string, fix beacon.Fix) string {
	before, drafts := y.counts(), len(y.drafts)
	if err := y.Receive(context.Background(), receiver, fix); err != nil {
		t.Fatal(err)
	}
	after := y.counts()
	for _, what := range []string{"duplicate", "thinned", "hours"} {
		if after[what] > before[what] {
			return what
		}
	}
	switch len(y.drafts) - drafts {
	case 0:
		return "nothing"
	case 1:
		return "recorded"
	}
	return "several"
}

func (y *yard) counts() map[string]int64 {
	c := map[string]int64{}
	for _, h := range y.Health() {
		c["duplicate"] += h.Duplicates
		c["thinned"] += h.Thinned
		c["hours"] += h.OutsideHours
		for why, n := range h.Bad {
			c[why] += n
		}
	}
	return c
}

func (y *yard) last() *presence.Tag { return y.drafts[len(y.drafts)-1].Tag }

func at(north float64, when time.Time) beacon.Fix {
	return beacon.Fix{Tag: "kenwood:U00001", Lat: officeLat + north*metre, Lon: officeLon, Time: when}
}

// ofDay is a fix with a time of day only.
func ofDay(when time.Time) beacon.Fix {
	f := at(0, time.Time{})
	u := when.UTC()
	f.Time = time.Date(1, 1, 1, u.Hour(), u.Minute(), u.Second(), 0, time.UTC)
	f.TimeOfDay = true
	return f
}

func national() func(time.Time) bool { return hours.National(wib).Open }

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
	if tag := y.last(); tag.Fix != presence.FixUnknown {
		t.Errorf("fix %v, though nobody knows the time", tag.Fix)
	}
	if got := y.hear(t, "roof", at(0, tuesday.Add(1000*time.Hour))); got != "duplicate" {
		t.Error(got)
	}
	// A claim that could not be judged must not make later ones look old.
	y.state = presence.ClockSynced
	y.time = y.time.Add(time.Hour)
	if got := y.hear(t, "yard", at(0, y.time)); got != "recorded" || y.last().Fix != presence.FixLive {
		t.Errorf("%s, fix %v", got, y.last().Fix)
	}
}

// Promise 2: a replayed or twice-heard fix is one sighting.
func TestPromise2TwiceHeardIsOneSighting(t *testing.T) {
	for _, coordinates := range []tags.Coordinates{tags.Full, tags.Coarse, tags.None} {
		y := open(tuesday, tags.Options{Coordinates: coordinates})
		restarts := func() {}
		for _, restart := range []bool{false, true} {
			if restart {
				restarts = y.restart
			}
			y.time = y.time.Add(time.Hour)
			first, second := at(10, y.time), at(20, y.time.Add(time.Second))
			steps := []struct {
				after    time.Duration
				receiver string
				fix      beacon.Fix
				want     string
			}{
				{time.Second, "yard", first, "recorded"},
				{time.Second, "roof", first, "duplicate"}, // another receiver
				{time.Second, "yard", second, "recorded"},
				{time.Second, "roof", first, "duplicate"}, // another receiver, late
				{time.Second, "roof", second, "duplicate"},
				{5 * time.Minute, "yard", second, "duplicate"}, // latched
				{4 * time.Hour, "yard", second, "duplicate"},
				{time.Second, "yard", first, "duplicate"}, // replayed
			}
			for i, s := range steps {
				y.time = y.time.Add(s.after)
				restarts()
				if got := y.hear(t, s.receiver, s.fix); got != s.want {
					t.Errorf("%s, restarts %v, step %d: %s, want %s", coordinates, restart, i, got, s.want)
				}
			}
		}
	}
}

// A tag that has lost its satellites repeats its last fix for hours.
func TestLatchedFixIsNoSightingHoweverMuchIsHeardMeanwhile(t *testing.T) {
	y := open(tuesday, tags.Options{Heartbeat: 10 * time.Minute})
	latched := at(0, y.time)
	y.hear(t, "yard", latched)
	for i := range 50_000 {
		y.time = y.time.Add(100 * time.Millisecond)
		other := at(0, y.time)
		other.Tag = fmt.Sprintf("kenwood:U%05d", 2+i%1000)
		y.hear(t, "yard", other)
	}
	if got := y.hear(t, "yard", latched); got != "duplicate" {
		t.Error(got)
	}
}

// Where a report carries no time, only the same position within moments is the
// same fix: a tag that lies still says it again later.
func TestEchoWithoutTime(t *testing.T) {
	for _, restart := range []bool{false, true} {
		y := open(tuesday, tags.Options{})
		a, b := at(1, time.Time{}), at(2, time.Time{})
		for i, s := range []struct {
			after time.Duration
			fix   beacon.Fix
			want  string
		}{
			{0, a, "recorded"},
			{time.Second, b, "recorded"},
			{time.Second, a, "duplicate"},
			{time.Second, b, "duplicate"},
			{time.Minute, b, "recorded"},
		} {
			y.time = y.time.Add(s.after)
			if restart {
				y.restart()
			}
			if got := y.hear(t, "yard", s.fix); got != s.want {
				t.Errorf("restart %v, step %d: %s, want %s", restart, i, got, s.want)
			}
		}
	}
}

func TestFreshness(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fix     beacon.Fix
		want    presence.Fix
		fixTime time.Time
	}{
		{"now", at(0, tuesday), presence.FixLive, tuesday},
		{"two minutes ago", at(0, tuesday.Add(-2*time.Minute)), presence.FixLive, tuesday.Add(-2 * time.Minute)},
		{"older", at(0, tuesday.Add(-121*time.Second)), presence.FixReplay, tuesday.Add(-121 * time.Second)},
		{"a little ahead", at(0, tuesday.Add(2*time.Minute)), presence.FixLive, tuesday.Add(2 * time.Minute)},
		{"from the future", at(0, tuesday.Add(121*time.Second)), presence.FixUnknown, time.Time{}},
		{"without a time", at(0, time.Time{}), presence.FixUnknown, time.Time{}},
		{"time of day", ofDay(tuesday.Add(-time.Minute)), presence.FixLive, tuesday.Add(-time.Minute)},
		{"time of day, a while ago", ofDay(tuesday.Add(-50 * time.Minute)), presence.FixReplay, tuesday.Add(-50 * time.Minute)},
		{"time of day, of whatever day", ofDay(tuesday.Add(-9 * time.Hour)), presence.FixUnknown, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := open(tuesday, tags.Options{})
			y.hear(t, "yard", tc.fix)
			var want int64
			if !tc.fixTime.IsZero() {
				want = tc.fixTime.UnixMilli()
			}
			if tag := y.last(); tag.Fix != tc.want || tag.FixTime != want {
				t.Errorf("fix %d at %v, want %d at %v", tag.Fix, tag.FixTime, tc.want, want)
			}
		})
	}
	// Around midnight of UTC, which is 07:00 in the office.
	for _, d := range []time.Duration{-time.Minute, 0, time.Minute} {
		midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
		y := open(midnight, tags.Options{})
		y.hear(t, "yard", ofDay(midnight.Add(d)))
		if got := y.last().FixTime; got != midnight.Add(d).UnixMilli() {
			t.Errorf("%v from midnight: %v", d, time.UnixMilli(got))
		}
	}
}

// A time that lies ahead must not make all true ones look old.
func TestFutureTimePoisonsNothing(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.hear(t, "yard", at(0, tuesday.Add(24*time.Hour)))
	y.time = y.time.Add(time.Minute)
	if got := y.hear(t, "yard", at(1, y.time)); got != "recorded" || y.last().Fix != presence.FixLive {
		t.Errorf("%s, fix %v", got, y.last().Fix)
	}
	if y.counts()["future"] != 1 {
		t.Errorf("%v", y.counts())
	}
}

// Nor may one that was believed while the gateway's own clock was ahead.
func TestTimeBelievedByAWrongClockIsForgotten(t *testing.T) {
	y := open(tuesday.Add(24*time.Hour), tags.Options{MinInterval: 30 * time.Second, MinMove: 25})
	y.hear(t, "yard", at(0, y.time))
	y.time = tuesday
	y.boot = presence.ID{2}
	y.restart()
	y.time = y.time.Add(time.Minute)
	y.hear(t, "yard", at(30, y.time))
	for range 3 {
		y.time = y.time.Add(10 * time.Minute)
		if got := y.hear(t, "yard", at(30, y.time)); got != "thinned" {
			t.Errorf("a still tag is taken for one that sends old positions: %s", got)
		}
	}
}

// A tag that was out of reach sends what it stored: each position once, one in
// each interval, and none of it says where the tag is now.
func TestStoredPositionsComeLate(t *testing.T) {
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	y.hear(t, "yard", at(0, y.time))
	start := y.time.Add(-time.Hour)
	for range 2 {
		for i := range 60 {
			y.time = y.time.Add(100 * time.Millisecond)
			y.hear(t, "yard", at(float64(1000+i), start.Add(time.Duration(i)*10*time.Second)))
		}
	}
	replays := 0
	for _, d := range y.drafts[1:] {
		if d.Tag.Fix != presence.FixReplay {
			t.Errorf("fix %v", d.Tag.Fix)
		}
		replays++
	}
	if replays != 20 || y.counts()["thinned"] != 40 || y.counts()["duplicate"] != 60 {
		t.Errorf("%d recorded of ten minutes, %v", replays, y.counts())
	}
	if got := y.hear(t, "yard", at(1, y.time)); got != "thinned" {
		t.Errorf("the next live fix, a metre from the last live one: %s", got)
	}
}

func TestThinning(t *testing.T) {
	const s = time.Second
	type step struct {
		after time.Duration
		north float64 // metres from the office
		want  string
	}
	for _, tc := range []struct {
		name  string
		opt   tags.Options
		steps []step
	}{
		{
			"moving and still",
			tags.Options{MinInterval: 30 * s, MinMove: 25, Heartbeat: 600 * s},
			[]step{
				{0, 0, "recorded"},
				{29 * s, 500, "thinned"}, // too soon
				{1 * s, 24, "thinned"},   // too near
				{1 * s, 26, "recorded"},
				{500 * s, 26, "thinned"},
				{99 * s, 30, "thinned"},
				{1 * s, 26, "recorded"}, // heartbeat
				{30 * s, 52, "recorded"},
			},
		},
		{
			"everything",
			tags.Options{Heartbeat: 600 * s},
			[]step{{0, 0, "recorded"}, {s, 0, "recorded"}, {s, 0, "recorded"}, {s, 1, "recorded"}},
		},
		{
			"no heartbeat",
			tags.Options{MinInterval: 30 * s, MinMove: 25},
			[]step{{0, 0, "recorded"}, {10 * 3600 * s, 1, "thinned"}, {s, 26, "recorded"}},
		},
		{
			"any distance",
			tags.Options{MinInterval: 30 * s, Heartbeat: 600 * s},
			[]step{{0, 0, "recorded"}, {29 * s, 5, "thinned"}, {s, 0, "recorded"}},
		},
	} {
		for _, restart := range []bool{false, true} {
			for _, timed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, restart %v, timed %v", tc.name, restart, timed), func(t *testing.T) {
					y := open(tuesday, tc.opt)
					for i, s := range tc.steps {
						y.time = y.time.Add(s.after)
						if restart {
							y.restart()
						}
						fix := at(s.north, time.Time{})
						if timed {
							fix.Time = y.time
						}
						want := s.want
						if !timed && tc.name == "everything" && i > 0 && s.north == 0 {
							want = "duplicate" // within moments
						}
						if got := y.hear(t, "yard", fix); got != want {
							t.Fatalf("step %d: %s, want %s", i, got, want)
						}
					}
				})
			}
		}
	}
}

// The interval lasts through a reboot, as far as the clocks are known.
func TestThinningOutlivesAReboot(t *testing.T) {
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	y.hear(t, "yard", at(0, y.time))
	y.boot = presence.ID{2}
	y.time = y.time.Add(20 * time.Second)
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "thinned" {
		t.Errorf("after 20 s: %s", got)
	}
	y.time = y.time.Add(10 * time.Second)
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "recorded" {
		t.Errorf("after 30 s: %s", got)
	}
	y.boot = presence.ID{3}
	y.state = presence.ClockUnsynced
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "duplicate" {
		t.Errorf("the same fix when nobody knows how long ago it was: %s", got)
	}
	if got := y.hear(t, "yard", at(200, time.Time{})); got != "recorded" {
		t.Errorf("another one: %s", got)
	}
}

// However fast fixes come, a zone change is recorded at once, also by a process
// that has just started.
func TestThinningNeverSuppressesAZoneChange(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		y := open(tuesday, tags.Options{
			MinInterval: time.Hour, MinMove: 10_000, Heartbeat: 12 * time.Hour, Fence: fence,
			Coordinates: rapid.SampledFrom([]tags.Coordinates{tags.Full, tags.Coarse, tags.None}).Draw(t, "coordinates"),
		})
		recorded := presence.ZoneNone
		for i := range rapid.IntRange(1, 40).Draw(t, "fixes") {
			y.time = y.time.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "pause")) * time.Second)
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				y.restart()
			}
			if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
				// A late position says nothing of where the tag is.
				y.hear(t, "roof", at(rapid.Float64Range(0, 200).Draw(t, "north"), y.time.Add(-time.Hour)))
			}
			got := y.hear(t, "yard", at(rapid.Float64Range(0, 700).Draw(t, "north"), y.time))
			if got == "recorded" {
				if zone := y.last().Zone; zone == recorded {
					t.Fatalf("fix %d: recorded, though it is %v as before", i, zone)
				}
				recorded = y.last().Zone
			}
			w, _ := y.Where("kenwood:U00001")
			if w.Zone != recorded && !(recorded == presence.ZoneOutside && w.Zone == presence.ZoneUncertain) {
				t.Fatalf("fix %d: it is %v, recorded is %v: %s", i, w.Zone, recorded, got)
			}
		}
	})
}

func TestCoordinates(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	float := func(f *float64) string {
		if f == nil {
			return "null"
		}
		return fmt.Sprint(*f)
	}
	rssi, snr := -99, 4.5
	for _, tc := range []struct {
		coordinates tags.Coordinates
		accuracy    float64
		want        string
	}{
		{tags.Full, 0, "-7.977712 112.634 null"},
		{tags.Full, 12, "-7.977712 112.634 12"},
		{tags.Coarse, 0, "-7.98 112.63 1000"},
		{tags.Coarse, 12, "-7.98 112.63 1000"},
		{tags.Coarse, 2900, "-7.98 112.63 2900"},
		{tags.None, 12, "null null null"},
	} {
		y := open(tuesday, tags.Options{Coordinates: tc.coordinates, Fence: fence, Simulated: true})
		fix := beacon.Fix{Tag: "reyax:50", Lat: -7.977712, Lon: officeLon, Accuracy: tc.accuracy, RSSI: &rssi, SNR: &snr}
		y.hear(t, "roof", fix)
		tag := y.last()
		if got := float(tag.Lat) + " " + float(tag.Lon) + " " + float(tag.Accuracy); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.coordinates, got, tc.want)
		}
		if want := fence.Classify(fix.Lat, fix.Lon, max(tc.accuracy, 0)); tc.accuracy != 0 && tag.Zone != want {
			t.Errorf("%s: zone %v, want that of the exact position, %v", tc.coordinates, tag.Zone, want)
		}
		if tag.Receiver != "roof" || tag.Tag != "reyax:50" || *tag.RSSI != rssi || *tag.SNR != snr || !y.drafts[0].Simulated {
			t.Errorf("recorded %+v", tag)
		}
	}
}

func TestCoarseIsCoarseWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := open(tuesday, tags.Options{Coordinates: tags.Coarse})
		fix := beacon.Fix{
			Tag: "waypoint:X",
			Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, "lon"),
			Accuracy: rapid.Float64Range(0, 5000).Draw(t, "accuracy"),
		}
		y.hear(t, "yard", fix)
		tag := y.last()
		for _, degrees := range []float64{*tag.Lat, *tag.Lon} {
			if s := fmt.Sprint(degrees); strings.Contains(s, ".") && len(s)-strings.Index(s, ".") > 3 {
				t.Fatalf("%s has more than two decimals", s)
			}
		}
		if math.Abs(*tag.Lat-fix.Lat) > 0.005001 || math.Abs(*tag.Lon-fix.Lon) > 0.005001 || *tag.Accuracy < 1000 {
			t.Fatalf("%v, %v within %v m is not %v, %v", *tag.Lat, *tag.Lon, *tag.Accuracy, fix.Lat, fix.Lon)
		}
	})
}

// What no decoder should let through would be an event that cannot be sent.
func TestImplausibleFixesAreRefused(t *testing.T) {
	nan := math.NaN()
	for _, fix := range []beacon.Fix{
		{Tag: "a", Lat: nan},
		{Tag: "a", Lon: math.Inf(1)},
		{Tag: "a", Lat: 90.1},
		{Tag: "a", Lon: -180.1},
		{Tag: "a", Accuracy: nan},
		{Tag: "a", Accuracy: -1},
		{Tag: "a", SNR: &nan},
	} {
		y := open(tuesday, tags.Options{})
		y.hear(t, "yard", fix)
		if len(y.drafts) != 0 || y.counts()["range"] != 1 {
			t.Errorf("%+v: %d recorded, %v", fix, len(y.drafts), y.counts())
		}
	}
}

func TestJournalsRefusalIsCountedAndNotFatal(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.refuse = errors.New("no space left on device")
	y.hear(t, "yard", at(0, y.time))
	y.refuse = nil
	y.time = y.time.Add(time.Minute)
	if got := y.hear(t, "yard", at(1, y.time)); got != "recorded" || y.counts()["not-recorded"] != 1 {
		t.Errorf("%s, %v", got, y.counts())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	y.refuse = fmt.Errorf("enqueue: %w", context.Canceled)
	y.time = y.time.Add(time.Minute)
	if err := y.Receive(ctx, "yard", at(2, y.time)); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: %v", err)
	}
}

func TestRememberReadsABoundedTail(t *testing.T) {
	y := open(tuesday, tags.Options{Heartbeat: 10 * time.Minute})
	entry := func(age time.Duration) presence.Entry {
		r := y.now()
		r.Boottime -= age
		return presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindBadge, At: r, Badge: &presence.Badge{}}}}
	}
	if !y.Remember(entry(11*time.Hour)) || y.Remember(entry(13*time.Hour)) {
		t.Error("want records of 12 hours")
	}
	for n := 0; y.Remember(entry(0)); n++ {
		if n > 100_000 {
			t.Fatal("reads a whole journal")
		}
	}
}

// A hundred thousand names in one run, as a night of noise can bring.
func TestMemoryIsBounded(t *testing.T) {
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	for i := range 150_000 {
		fix := at(float64(i%100), y.time)
		fix.Tag = fmt.Sprintf("kenwood:%d-%d", i/1000, i%1000)
		y.time = y.time.Add(time.Millisecond)
		if err := y.Receive(t.Context(), "yard", fix); err != nil {
			t.Fatal(err)
		}
		y.drafts = y.drafts[:0]
		if i == 100_000 {
			if used := heap() - before; used > 12 {
				t.Errorf("%.1f MiB for 100,000 tags", used)
			} else {
				t.Logf("%.1f MiB for 100,000 tags", used)
			}
		}
	}
	if used := heap() - before; used > 14 {
		t.Errorf("%.1f MiB for 150,000 tags", used)
	}
	runtime.KeepAlive(y)
}
