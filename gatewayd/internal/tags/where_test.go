package tags_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

const theTag = "kenwood:U00001"

// office is a yard with a fence of 100 m and the usual thinning.
func office(t interface{ Fatal(...any) }, opt tags.Options) *yard {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	opt.Fence = fence
	opt.MinInterval, opt.MinMove, opt.Heartbeat = 30*time.Second, 25, 10*time.Minute
	return open(tuesday, opt)
}

// walk hears a live fix every so often, at so many metres north.
func (y *yard) walk(t interface{ Fatal(...any) }, every time.Duration, north ...float64) {
	for _, n := range north {
		y.time = y.time.Add(every)
		y.hear(t, "yard", at(n, y.time))
	}
}

// One fix alone moves a settled tag only where it is too far off for an error.
func TestTwoFixesMoveATag(t *testing.T) {
	for _, tc := range []struct {
		name  string
		north []float64
		want  presence.Zone
	}{
		{"in the office", []float64{0}, in},
		{"at home", []float64{3000}, out},
		{"at the fence", []float64{110}, uncertain},
		{"just beyond it, and nobody knows how good its fixes are", []float64{150}, uncertain},
		{"there for a while", []float64{150, 150, 150, 150, 150}, uncertain},
		{"farther than a roof explains", []float64{180, 180, 180, 180, 180}, out},
		{"one stray fix", []float64{0, 0, 0, 400}, in},
		{"two in a row", []float64{0, 0, 0, 400, 400}, out},
		{"half a kilometre off", []float64{0, 0, 0, 700}, out},
		{"back again", []float64{0, 0, 0, 700, 0, 0}, in},
		{"walking out", []float64{0, 0, 0, 40, 80, 120, 160, 200, 240, 280}, out},
		{"astray now and then", []float64{0, 0, 0, 400, 0, 0, 0, 400, 0, 0, 400}, in},
	} {
		y := office(t, tags.Options{})
		y.walk(t, 30*time.Second, tc.north...)
		w, ok := y.Where(theTag)
		if !ok || w.Zone != tc.want || w.Silent || w.Age != 0 {
			t.Errorf("%s: %+v, want %v", tc.name, w, tc.want)
		}
	}
}

// A tap asks where a tag is and waits for no disk.
func TestWhereWaitsForNothing(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 0, 0)
	y.block = make(chan struct{})
	blocked := make(chan struct{})
	y.blocked = func() { close(blocked) }
	heard := make(chan error)
	fix := at(700, y.time.Add(30*time.Second))
	y.time = y.time.Add(30 * time.Second)
	go func() { heard <- y.Receive(context.Background(), "yard", fix) }()
	<-blocked
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if w, ok := y.Where(theTag); !ok || w.Zone != out {
			t.Errorf("%+v", w)
		}
		if c := y.Check(theTag, y.now()); c == nil || c.State != presence.TagFar {
			t.Errorf("%+v", c)
		}
	}()
	select {
	case <-asked:
	case <-time.After(5 * time.Second):
		t.Error("a tap waits until the journal takes a fix")
	}
	close(y.block)
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
}

// Whatever the fixes are: none beyond the border by less than 30 m accuses
// anybody; one by 500 m that is not impossible does, at once; and one that is
// heard again or late changes nothing.
func TestZoneOfAnyFixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y, other := office(t, tags.Options{}), office(t, tags.Options{})
		left := false
		for i := range rapid.IntRange(1, 60).Draw(t, "fixes") {
			y.time = y.time.Add(time.Duration(rapid.IntRange(30, 600).Draw(t, "pause")) * time.Second)
			north := rapid.Float64Range(0, 129).Draw(t, "north")
			home := rapid.IntRange(0, 9).Draw(t, "home") == 0
			if home {
				north = rapid.Float64Range(600, 700).Draw(t, "far")
				left = true
			}
			fix := at(north, y.time)
			fix.Accuracy = rapid.SampledFrom([]float64{0, 1, 15, 60, 300}).Draw(t, "accuracy")
			y.hear(t, "yard", fix)
			w, _ := y.Where(theTag)
			if home && w.Zone != out {
				t.Fatalf("fix %d: %+v at home", i, w)
			}
			if w.Zone == out && (!left || north < 99) {
				t.Fatalf("fix %d: %+v at %v m", i, w, north)
			}

			y.hear(t, "roof", fix)
			late := at(rapid.Float64Range(0, 5000).Draw(t, "late"), y.time.Add(-time.Duration(rapid.IntRange(3, 300).Draw(t, "minutes"))*time.Minute))
			y.hear(t, "roof", late)
			if again, _ := y.Where(theTag); !cmp.Equal(again, w) {
				t.Fatalf("fix %d: an old one makes it %+v of %+v", i, again, w)
			}
			other.time = y.time
			other.hear(t, "yard", fix)
			if same, _ := other.Where(theTag); !cmp.Equal(same, w) {
				t.Fatalf("fix %d: %+v without old ones, %+v with them", i, same, w)
			}
		}
	})
}

// Nobody is so fast. But a tag that is elsewhere for good is there after three
// fixes, and counts as there since the first. One that is at the same two places in
// turn is a conflict, see TestTwoPlacesInTurn.
func TestImpossibleJumps(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 0, 0, 0)
	jumps := func(want int64) {
		t.Helper()
		if n := y.counts()["jump"]; n != want {
			t.Errorf("%d jumps counted, want %d", n, want)
		}
	}
	zone := func(want presence.Zone, since time.Duration) {
		t.Helper()
		if w, _ := y.Where(theTag); w.Zone != want || w.For != since {
			t.Errorf("%+v, want %v for %v", w, want, since)
		}
	}
	y.walk(t, 10*time.Second, 1000, 0, 20_000, 0, 5000, 0, 12_000, 0)
	jumps(4)
	zone(in, 140*time.Second)
	if tag := y.last(); tag.Zone != in {
		t.Errorf("recorded %+v", tag)
	}
	y.walk(t, 10*time.Second, 5000, 9000, 5000, 5100)
	jumps(8)
	zone(in, 180*time.Second) // no three of them agree
	y.walk(t, 10*time.Second, 5200)
	jumps(8)
	zone(out, 20*time.Second)
	y.walk(t, 30*time.Second, 5200)
	zone(out, 50*time.Second)
	y.walk(t, 110*time.Second, 0) // by helicopter
	jumps(8)
}

func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		pauses []time.Duration // between fixes, before the last
		after  time.Duration   // not silent until then
	}{
		{"heard once", nil, 10 * time.Minute},
		{"every half minute", repeat(30*time.Second, 10), time.Minute},
		{"every second", repeat(time.Second, 60), 20 * time.Second},
		{"every ten minutes", repeat(10*time.Minute, 5), 20 * time.Minute},
		{"some are lost", []time.Duration{30 * time.Second, time.Minute, 30 * time.Second, 90 * time.Second, 30 * time.Second, time.Minute}, 2 * time.Minute},
		{"fewer are lost now", []time.Duration{30 * time.Second, time.Minute, 30 * time.Second, 90 * time.Second, 30 * time.Second, time.Minute, 30 * time.Second, 30 * time.Second}, 100 * time.Second},
		{"one long pause", append(repeat(30*time.Second, 20), 8*time.Hour), time.Minute},
		{"slower now", append(repeat(30*time.Second, 20), repeat(10*time.Minute, 5)...), 20 * time.Minute},
		{"faster now", append(repeat(10*time.Minute, 5), repeat(30*time.Second, 40)...), time.Minute},
	} {
		y := office(t, tags.Options{})
		y.walk(t, 0, 3000)
		for i, pause := range tc.pauses {
			y.walk(t, pause, 3000+float64(i))
		}
		y.time = y.time.Add(tc.after)
		if w, ok := y.Where(theTag); !ok || w.Silent || w.Zone != out {
			t.Errorf("%s, %v later: %+v", tc.name, tc.after, w)
		}
		y.time = y.time.Add(tc.after / 4)
		w, _ := y.Where(theTag)
		c := y.Check(theTag, y.now())
		if !w.Silent || w.Age != tc.after*5/4 || c.State != presence.TagSilent || c.Distance != nil || *c.Age != w.Age {
			t.Errorf("%s, later: %+v, %+v", tc.name, w, c)
		}
	}
	y := office(t, tags.Options{})
	if _, ok := y.Where(theTag); ok {
		t.Error("where a tag is that was never heard")
	}
	y.walk(t, 0, 0)
	y.time = y.time.Add(13 * time.Hour)
	if w, ok := y.Where(theTag); ok {
		t.Errorf("of yesterday: %+v", w)
	}
}

func repeat(d time.Duration, n int) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}

// Fixes that may be off by kilometres tell nothing; after some of them nobody
// knows where the tag is, and at once whether it is still outside.
func TestVagueFixesEndInDoubt(t *testing.T) {
	for _, north := range []float64{0, 3000} {
		y := office(t, tags.Options{})
		y.walk(t, 30*time.Second, north, north, north)
		settled, _ := y.Where(theTag)
		for i := range 8 {
			want := settled.Zone
			if i > 0 && want == out {
				want = uncertain
			}
			if w, _ := y.Where(theTag); w.Zone != want || y.last().Zone != settled.Zone {
				t.Errorf("at %v m, after %d: %+v", north, i, w)
			}
			y.time = y.time.Add(30 * time.Second)
			vague := at(north, y.time)
			vague.Accuracy = 60_000
			y.hear(t, "yard", vague)
		}
		if w, _ := y.Where(theTag); w.Zone != uncertain || y.last().Zone != uncertain {
			t.Errorf("at %v m: %+v", north, w)
		}
	}
}

// A tag that repeats its last fix, because it hears no satellites any more, is
// silent.
func TestLatchedTagFallsSilent(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 3000, 3000, 3000)
	latched := at(3000, y.time)
	for range 10 {
		y.time = y.time.Add(30 * time.Second)
		y.hear(t, "yard", latched)
	}
	if w, _ := y.Where(theTag); !w.Silent || w.Age != 5*time.Minute {
		t.Errorf("%+v", w)
	}
}

// What was known before a silence says nothing of what is after it.
func TestSilenceBreaks(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 3000, 3000, 3000)
	y.walk(t, 20*time.Minute, 3000)
	if w, _ := y.Where(theTag); w.Zone != out || w.For != 0 {
		t.Errorf("outside again: %+v", w)
	}
	y.walk(t, 20*time.Minute, 0)
	if w, _ := y.Where(theTag); w.Zone != in || w.For != 0 {
		t.Errorf("inside again: %+v", w)
	}
}

// Who comes back is not said to be far by the fixes of before.
func TestAccusationTakesTheNewestFix(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 3000, 3000, 1500, 200)
	if c := y.Check(theTag, y.now()); c.State != presence.TagFar || *c.Distance != 200 {
		t.Errorf("%+v", c)
	}
	y.walk(t, 30*time.Second, 95)
	if c := y.Check(theTag, y.now()); c.State != presence.TagNear {
		t.Errorf("back: %+v", c)
	}
	if w, _ := y.Where(theTag); w.Zone != uncertain {
		t.Errorf("back: %+v", w)
	}
}

// A tag of which nobody knows how old its fixes are is nowhere for sure, and
// says nothing against its live fixes.
func TestFixesOfUnknownAge(t *testing.T) {
	y := office(t, tags.Options{})
	for range 5 {
		y.time = y.time.Add(30 * time.Second)
		y.hear(t, "yard", at(3000, time.Time{}))
	}
	if w, ok := y.Where(theTag); ok {
		t.Errorf("%+v", w)
	}
	if c := y.Check(theTag, y.now()); c.State != presence.TagSilent || c.Age != nil {
		t.Errorf("%+v", c)
	}
	if y.last().Zone != out {
		t.Errorf("recorded %+v", y.last())
	}
	y.walk(t, 30*time.Second, 0)
	for range 5 {
		y.time = y.time.Add(5 * time.Second)
		y.hear(t, "yard", at(3000, time.Time{}))
	}
	if w, ok := y.Where(theTag); !ok || w.Zone != in || w.Age != 25*time.Second {
		t.Errorf("%+v", w)
	}
}

// Indoors, a tag without times does not flap either.
func TestJumpingFixesOfUnknownAgeAreOneZone(t *testing.T) {
	y := office(t, tags.Options{})
	for i := range 100 {
		y.time = y.time.Add(30 * time.Second)
		y.hear(t, "yard", at([]float64{0, 40, 120, 70}[i%4], time.Time{}))
	}
	for i, d := range y.drafts {
		if d.Tag.Zone != in {
			t.Errorf("record %d is %v", i, d.Tag.Zone)
		}
	}
}

// A restart knows what the journal tells, and no more.
func TestWhereOutlivesARestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		opt     tags.Options
		walk    func(y *yard)
		down    time.Duration
		want    presence.Whereabouts // Distance aside
		distant bool
	}{
		{
			"at home, as thinning has it",
			tags.Options{},
			func(y *yard) { y.walk(t, time.Minute, repeatMetres(3000, 31)...) },
			time.Minute,
			presence.Whereabouts{Zone: out, For: 31 * time.Minute, Age: time.Minute},
			true,
		},
		{
			"just left",
			tags.Options{},
			func(y *yard) { y.walk(t, time.Minute, 0, 0, 0, 0, 1000, 1500, 2000) },
			time.Minute,
			presence.Whereabouts{Zone: out, For: 3 * time.Minute, Age: time.Minute},
			true,
		},
		{
			"a silence before",
			tags.Options{},
			func(y *yard) {
				y.walk(t, time.Minute, 3000, 3000)
				y.walk(t, time.Hour, 3000)
			},
			time.Minute,
			presence.Whereabouts{Zone: out, For: time.Minute, Age: time.Minute},
			true,
		},
		{
			"too long ago",
			tags.Options{},
			func(y *yard) { y.walk(t, time.Minute, 0) },
			11 * time.Minute,
			presence.Whereabouts{Zone: in, For: 11 * time.Minute, Age: 11 * time.Minute, Silent: true},
			true,
		},
		{
			"coarse",
			tags.Options{Coordinates: tags.Coarse},
			func(y *yard) { y.walk(t, time.Minute, 3000) },
			time.Minute,
			presence.Whereabouts{Zone: out, For: time.Minute, Age: time.Minute},
			false,
		},
		{
			"old positions came last",
			tags.Options{},
			func(y *yard) {
				y.walk(t, time.Minute, 0)
				y.hear(t, "yard", at(3000, y.time.Add(-time.Hour)))
			},
			time.Minute,
			presence.Whereabouts{Zone: in, For: time.Minute, Age: time.Minute},
			true,
		},
	} {
		for _, reboot := range []bool{false, true} {
			y := office(t, tc.opt)
			tc.walk(y)
			y.time = y.time.Add(tc.down)
			if reboot {
				y.boot = presence.ID{2}
			}
			y.restart()
			w, ok := y.Where(theTag)
			distant := w.Distance != nil
			w.Distance = nil
			if !ok || w != tc.want || distant != tc.distant {
				t.Errorf("%s, reboot %v: %+v, distance %v, want %+v", tc.name, reboot, w, distant, tc.want)
			}
		}
	}
	y := office(t, tags.Options{})
	y.walk(t, time.Minute, 0)
	y.boot, y.state = presence.ID{2}, presence.ClockUnsynced
	y.restart()
	if w, ok := y.Where(theTag); ok && !w.Silent {
		t.Errorf("when nobody knows how long ago it was: %+v", w)
	}
}

func repeatMetres(m float64, n int) (all []float64) {
	for range n {
		all = append(all, m)
	}
	return all
}

// Another configuration can take the fence away, or set one up.
func TestFenceComesAndGoes(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 3000, 3000, 3000)
	fence := y.opt.Fence
	for _, tc := range []struct {
		fence         *tags.Fence
		before, after presence.Zone
	}{
		{nil, presence.ZoneNone, presence.ZoneNone},
		{fence, presence.ZoneNone, out},
	} {
		y.opt.Fence = tc.fence
		y.restart()
		if w, ok := y.Where(theTag); !ok || w.Zone != tc.before || y.Check(theTag, y.now()).State != presence.TagNear {
			t.Errorf("fence %v: %+v", tc.fence, w)
		}
		y.walk(t, 30*time.Second, 3000)
		if w, ok := y.Where(theTag); !ok || w.Zone != tc.after {
			t.Errorf("fence %v, later: %+v", tc.fence, w)
		}
	}
}

// The pause of a restart says nothing of how often a tag is heard.
func TestRestartIsNoInterval(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, repeatMetres(0, 10)...)
	y.time = y.time.Add(9 * time.Minute)
	y.restart()
	y.walk(t, 30*time.Second, 0, 0)
	y.time = y.time.Add(2 * time.Minute)
	if w, _ := y.Where(theTag); !w.Silent || w.Zone != in {
		t.Errorf("%+v", w)
	}
}

func TestCheck(t *testing.T) {
	full := func(d float64) *float64 { return &d }
	for _, tc := range []struct {
		name        string
		coordinates tags.Coordinates
		north       []float64
		later       time.Duration
		state       presence.TagState
		distance    *float64
	}{
		{"inside", tags.Full, []float64{33.3}, 0, presence.TagNear, full(33)},
		{"inside, coarse", tags.Coarse, []float64{33.3}, 0, presence.TagNear, full(0)},
		{"uncertain", tags.Full, []float64{110}, 0, presence.TagNear, full(110)},
		{"far", tags.Full, []float64{3333.3}, 0, presence.TagFar, full(3337)},
		{"far, a moment ago", tags.Full, []float64{3333.3, 3333.3}, 50 * time.Second, presence.TagFar, full(3337)},
		{"on the way, and may be here by now", tags.Full, []float64{800, 600, 400}, 25 * time.Second, presence.TagNear, full(400)},
		{"far, coarse", tags.Coarse, []float64{3333.3}, 0, presence.TagFar, full(3000)},
		{"far, none", tags.None, []float64{3333.3}, 0, presence.TagFar, nil},
		{"a while ago", tags.Full, []float64{3333.3, 3333.3}, 2 * time.Minute, presence.TagSilent, nil},
		{"never heard", tags.Full, nil, 0, presence.TagSilent, nil},
	} {
		y := office(t, tags.Options{Coordinates: tc.coordinates, Open: national()})
		y.walk(t, 30*time.Second, tc.north...)
		y.time = y.time.Add(tc.later)
		c := y.Check(theTag, y.now())
		if c == nil || c.Tag != theTag || c.State != tc.state || !cmp.Equal(c.Distance, tc.distance) || (c.Age != nil) != (tc.north != nil) || c.Age != nil && *c.Age != tc.later {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}

	// Without a fence nobody is far.
	y := open(tuesday, tags.Options{})
	y.walk(t, 30*time.Second, 3000)
	if c := y.Check(theTag, y.now()); c.State != presence.TagNear || c.Distance != nil {
		t.Errorf("without a fence: %+v", c)
	}
}

// Nobody asks for a person's whereabouts outside of working hours.
func TestNoCheckOutsideHours(t *testing.T) {
	week := hours.National(wib)
	week.Holidays = []hours.Date{{Year: 2026, Month: 11, Day: 25}}
	for _, tc := range []struct {
		name  string
		time  time.Time
		state presence.ClockState
		want  bool
	}{
		{"at work", tuesday, presence.ClockSynced, true},
		{"in the evening", tuesday.Add(8 * time.Hour), presence.ClockSynced, false},
		{"on a holiday", tuesday.AddDate(0, 0, 1), presence.ClockSynced, false},
		{"nobody knows when", tuesday, presence.ClockUnsynced, false},
	} {
		y := office(t, tags.Options{Open: week.Open})
		y.walk(t, 30*time.Second, 3000)
		y.time, y.state = tc.time, tc.state
		if c := y.Check(theTag, y.now()); (c != nil) != tc.want {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
}

// The middle of an outline is that of its area.
func TestDistanceFromAnOutline(t *testing.T) {
	f, err := tags.ParseGeoJSON([]byte(`{"type":"Polygon","coordinates":[` + square + `,` + court + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	y := open(tuesday, tags.Options{Fence: f})
	y.hear(t, "yard", beacon.Fix{Tag: theTag, Lat: -7.975 + 1000*metre, Lon: 112.635, Time: y.time})
	if w, _ := y.Where(theTag); w.Distance == nil || fmt.Sprint(*w.Distance) != "1001" {
		t.Errorf("%+v", w)
	}
}

// Reports come a little early and late, and some are lost: that is no silence,
// and takes nothing back of the time for which a tag was outside.
func TestALostReportBreaksNothing(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, time.Minute, 0, 0, 0, 0, 3000, 3000, 3000, 3000)
	y.walk(t, 2*time.Minute+3*time.Second, 3000)
	if w, _ := y.Where(theTag); w.Zone != out || w.For != 5*time.Minute+3*time.Second {
		t.Errorf("one lost: %+v", w)
	}
	y = office(t, tags.Options{})
	y.walk(t, time.Minute, 0, 0, 0, 0, 3000, 3000, 3000, 3000)
	y.walk(t, 3*time.Minute, 3000)
	if w, _ := y.Where(theTag); w.Zone != out || w.For != 0 {
		t.Errorf("two lost: %+v", w)
	}
}

// A fix that may be on either side of the border says nothing against somebody,
// although the tag is not taken to have come in for it.
func TestOutsideOnlyWhileEachFixIsSure(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, time.Minute, 0, 0, 0, 3000, 3000, 3000, 3000)
	if w, _ := y.Where(theTag); w.Zone != out || w.For != 3*time.Minute {
		t.Errorf("%+v", w)
	}
	vague := at(3000, y.time.Add(30*time.Second))
	vague.Accuracy = 10_000
	y.time = y.time.Add(time.Minute)
	y.hear(t, "yard", vague)
	if w, _ := y.Where(theTag); w.Zone != uncertain || y.last().Zone != out {
		t.Errorf("after a vague fix: %+v", w)
	}
	y.walk(t, time.Minute, 3000)
	if w, _ := y.Where(theTag); w.Zone != out || w.For > walkOut {
		t.Errorf("after a good one: %+v", w)
	}
}

// Somebody at a desk at the border sees one fix a little beyond it, then for 4
// minutes a reflection, and then one wild fix. The way that would lead there was
// not heard, and is not held against anybody: it only counts once the tag is farther
// away than such fixes are.
func TestWayOutCountsOnlyForWhoIsAway(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration
		north []float64 // from the first fix that is beyond the border, at 100 m
		want  time.Duration
	}{
		{"a reflection and a wild fix", 2 * time.Minute, []float64{122, 235, 235, 331}, 4 * time.Minute},
		{"the wildest fix", 2 * time.Minute, []float64{122, 235, 235, 495}, 4 * time.Minute},
		{"a wild fix, then the reflection", 2 * time.Minute, []float64{122, 495, 235, 235}, 4 * time.Minute},
		{"twice as often", time.Minute, []float64{122, 235, 235, 235, 235, 331}, 4 * time.Minute},
		{"somebody leaves", 2 * time.Minute, []float64{122, 290, 460, 630}, 4*time.Minute + walkOut},
		{"somebody leaves faster", 2 * time.Minute, []float64{122, 960, 1000, 1000}, 4*time.Minute + walkOut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := office(t, tags.Options{})
			y.walk(t, tc.every, 70, 70, 70, 70)
			y.walk(t, tc.every, tc.north...)
			if w, _ := y.Where(theTag); w.Zone != out || w.For != tc.want {
				t.Errorf("%+v, want outside for %v", w, tc.want)
			}
		})
	}
}

// Where a report was lost between two fixes that do not agree, nobody knows where
// the tag was meanwhile: of a reflection and a wild fix, that makes no 5 minutes
// outside. It is nothing to a tag whose fixes agree, or that is away.
func TestLostReportsBetweenPlacesAreNotOutside(t *testing.T) {
	lost := math.NaN()
	for _, tc := range []struct {
		name  string
		every time.Duration
		north []float64
		want  time.Duration
	}{
		{"a reflection and a wild fix", 2 * time.Minute, []float64{235, 235, lost, 420}, 2 * time.Minute},
		{"a wild fix and a reflection", 2 * time.Minute, []float64{420, lost, 235, 235}, 2 * time.Minute},
		{"two are lost", time.Minute, []float64{185, lost, 185, 185, lost, 344}, 3 * time.Minute},
		{"at one place", 2 * time.Minute, []float64{235, 235, lost, 250}, 6 * time.Minute},
		{"nothing lost", 2 * time.Minute, []float64{235, 235, 300, 420}, 6 * time.Minute},
		{"somebody leaves", 2 * time.Minute, []float64{235, lost, 420, 600}, 6 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := office(t, tags.Options{})
			y.walk(t, tc.every, 70, 70, 70, 70)
			for _, north := range tc.north {
				if math.IsNaN(north) {
					y.time = y.time.Add(tc.every)
					continue
				}
				y.walk(t, tc.every, north)
			}
			if w, _ := y.Where(theTag); w.Zone != out || w.For != tc.want {
				t.Errorf("%+v, want outside for %v", w, tc.want)
			}
		})
	}
}

// walkOut is what the way from the border to where a fix is sure counts for.
const walkOut = time.Minute
