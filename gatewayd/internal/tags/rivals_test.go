package tags_test

import (
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// from is a fix that comes now, and claims a time that is so much later.
func (y *yard) from(t *testing.T, north float64, ahead time.Duration) {
	t.Helper()
	fix := at(north, y.time)
	fix.Time = y.time.Add(ahead)
	y.hear(t, "yard", fix)
}

// twoPlaces is a tag in one place, heard each minute, and a transmitter with its id in
// another.
type twoPlaces struct {
	own, copied float64 // metres north
	every       time.Duration
	ahead       time.Duration // of the time that the copy claims
}

// TestTwoPlacesInTurn has a tag in the office each minute, and a transmitter with
// its id elsewhere each few seconds, or the other way round.
func TestTwoPlacesInTurn(t *testing.T) {
	for name, tc := range map[string]twoPlaces{
		"the copy outside":              {0, 3000, 5 * time.Second, 0},
		"a second apart":                {0, 3000, time.Second, 0},
		"as often as the tag":           {0, 3000, 25 * time.Second, 0},
		"the copy inside":               {3000, 0, 5 * time.Second, 0},
		"it claims a later time":        {0, 3000, 5 * time.Second, 110 * time.Second},
		"it claims an earlier time":     {0, 3000, 5 * time.Second, -110 * time.Second},
		"across the street":             {0, 330, 5 * time.Second, 0},
		"across the street and later":   {0, 330, 5 * time.Second, 110 * time.Second},
		"a few streets away, slower":    {0, 1200, 20 * time.Second, 0},
		"the copy said that time first": {0, 3000, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			y := office(t, tags.Options{})
			for range 5 { // alone
				y.time = y.time.Add(time.Minute)
				y.from(t, tc.own, 0)
			}
			tc.takeTurns(t, y)
			if last := y.last(); !last.Conflict || last.Zone != uncertain {
				t.Errorf("recorded %+v", last)
			}
			y.expectConflict(t, "after 10 minutes", true)
			// The tag has no fix for a while, and the process starts anew.
			y.restart()
			for range 120 {
				y.time = y.time.Add(5 * time.Second)
				y.from(t, tc.copied, 0)
			}
			if w, _ := y.Where(theTag); !w.Conflict || w.Zone != uncertain {
				t.Errorf("the copy alone, after a restart: %+v", w)
			}
			y.expectConflict(t, "after a restart", true)
			// By the next morning it is over.
			y.time = y.time.Add(13 * time.Hour)
			y.from(t, 0, 0)
			if w, _ := y.Where(theTag); w.Conflict || w.Zone != in {
				t.Errorf("half a day later: %+v", w)
			}
			y.expectConflict(t, "half a day later", false)
		})
	}
}

// takeTurns lets tag and copy be heard for ten minutes. As soon as both were heard
// often enough, the tag is in conflict, and stays so.
func (tc twoPlaces) takeTurns(t *testing.T, y *yard) {
	t.Helper()
	heard, copies := 0, 0
	for second := time.Second; second <= 10*time.Minute; second += time.Second {
		y.time = y.time.Add(time.Second)
		if second%tc.every == 0 {
			y.from(t, tc.copied, tc.ahead)
			copies++
		}
		if second%time.Minute == 30*time.Second {
			y.from(t, tc.own, 0)
			heard++
		}
		w, _ := y.Where(theTag)
		if w.Zone == out && w.For >= 5*time.Minute && min(tc.own, tc.copied) == 0 {
			t.Fatalf("after %v the tag is outside: %+v", second, w)
		}
		if heard < 2 && !w.Conflict || tc.copied < 400 && !w.Conflict && second < 5*time.Minute {
			continue
		}
		if !w.Conflict || w.Zone != uncertain || w.Distance != nil || w.Silent {
			t.Fatalf("after %v, %d of the tag and %d copies: %+v", second, heard, copies, w)
		}
		if c := y.Check(theTag, y.now()); c == nil || c.State != presence.TagConflict || c.Distance != nil {
			t.Fatalf("after %v a tap gets %+v", second, c)
		}
	}
}

// expectConflict wants the tag to be named as in conflict, or nothing named.
func (y *yard) expectConflict(t *testing.T, when string, conflict bool) {
	t.Helper()
	var want []string
	if conflict {
		want = []string{theTag}
	}
	if names := y.Conflicts(); !slices.Equal(names, want) {
		t.Errorf("%s, named are %v", when, names)
	}
}

// TestAnHonestTagIsInNoConflict: nobody is, who walks, rides, drives, or whose
// radio was just switched on.
func TestAnHonestTagIsInNoConflict(t *testing.T) {
	for name, way := range map[string][]float64{
		"a wild fix now and then":  {0, 0, 700, 0, 0, 0, 0, 900, 0, 0, -800, 0, 0},
		"just switched on":         {5000, 5000, 5000, 0, 0, 0, 0, 0},
		"out by motorbike and in":  {0, 200, 400, 600, 800, 1000, 800, 600, 400, 200, 0, 200, 400, 200, 0},
		"to and fro over the yard": {0, 200, 0, 200, 0, 200, 0, 200, 0, 200, 0, 200},
	} {
		y := office(t, tags.Options{})
		y.walk(t, 20*time.Second, way...)
		if w, _ := y.Where(theTag); w.Conflict || len(y.Conflicts()) > 0 {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// TestACopyNextDoorAccusesNobody: so near that the fixes of one tag might be off as
// much. Each fix of the tag itself speaks for the person, also one that claims to be
// older than the copy's.
func TestACopyNextDoorAccusesNobody(t *testing.T) {
	for _, ahead := range []time.Duration{0, 110 * time.Second} {
		y := office(t, tags.Options{})
		for second := time.Second; second <= 30*time.Minute; second += time.Second {
			y.time = y.time.Add(time.Second)
			if second%(5*time.Second) == 0 && second > time.Minute {
				y.from(t, 172, ahead)
			}
			if second%time.Minute == 33*time.Second {
				y.from(t, 0, 0)
			}
			if w, _ := y.Where(theTag); w.Zone == out && w.For > 90*time.Second {
				t.Fatalf("ahead by %v, after %v: %+v", ahead, second, w)
			}
		}
	}
}

// TestATagThatGoesToAndFro: a copy that sends as seldom as the tag, where
// somebody on a motorbike could just be as fast. It is not held against anybody,
// and when nobody would have gone on like that it is a conflict.
func TestATagThatGoesToAndFro(t *testing.T) {
	y := office(t, tags.Options{})
	for leg := range 40 {
		y.time = y.time.Add(time.Minute)
		y.from(t, float64(leg%2)*900, 0)
		w, _ := y.Where(theTag)
		if w.Restless != (leg >= 5) || w.Conflict != (leg >= 30) {
			t.Errorf("after %d ways: %+v", leg, w)
		}
		if c := y.Check(theTag, y.now()); leg >= 5 && c.State == presence.TagFar {
			t.Errorf("after %d ways a tap gets %+v", leg, c)
		}
	}
}
