package tags_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// A restart knows what the journal tells, and no more.
func TestWhereOutlivesARestart(t *testing.T) { //nolint:funlen // a table of cases
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
