package tags_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

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
	week := nationalWeek()
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
