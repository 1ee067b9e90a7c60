package tags_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

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
