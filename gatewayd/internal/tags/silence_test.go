package tags_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

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
