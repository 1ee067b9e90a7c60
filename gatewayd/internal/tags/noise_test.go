package tags_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// noise are the errors of a tag's fixes in metres.
type noise func() (east, north float64)

// errorsOf is a kind of errors: evenly within a disc, normal in each direction,
// or normal and alike for minutes, as they are under a roof.
func errorsOf(kind string, metres float64, r *rand.Rand) noise {
	var east, north float64
	return func() (float64, float64) {
		switch kind {
		case "disc":
			angle, far := r.Float64()*2*math.Pi, metres*math.Sqrt(r.Float64())
			return far * math.Cos(angle), far * math.Sin(angle)
		case "normal":
			return metres * r.NormFloat64(), metres * r.NormFloat64()
		}
		const alike = 0.8
		fresh := metres * math.Sqrt(1-alike*alike)
		east, north = alike*east+fresh*r.NormFloat64(), alike*north+fresh*r.NormFloat64()
		return east, north
	}
}

// hearAt hears a live fix of a tag that is so many metres north of the office.
func (y *yard) hearAt(t interface{ Fatal(...any) }, north float64, n noise) presence.Whereabouts {
	east, off := n()
	y.hear(t, "yard", beacon.Fix{Tag: theTag, Lat: officeLat + (north+off)*metre, Lon: officeLon + east*metre, Time: y.time})
	w, _ := y.Where(theTag)
	return w
}

// A tag in an office with a fence of 100 m is not taken for one that left, and
// does not change zones all the time, however badly it hears its satellites.
func TestNoiseIndoorsMovesNobody(t *testing.T) {
	const seeds, fixes = 10, 960 // a day of 8 hours
	for _, tc := range []struct {
		kind    string
		metres  float64
		north   float64 // from the middle of the office
		changes float64 // of the zone, at most so many a day
		alarms  int     // fixes after which the tag was outside for 5 minutes
	}{
		{"disc", 60, 0, 0, 0},
		{"disc", 60, 30, 0, 0},
		{"disc", 60, 60, 1, 0},
		{"disc", 60, 90, 20, 0},
		{"normal", 15, 60, 1, 0},
		{"normal", 30, 60, 1, 0},
		{"normal", 60, 0, 3, 0},
		{"normal", 60, 60, 10, 0},
		{"alike", 30, 0, 0.1, 0},
		{"alike", 30, 60, 20, 0},
		{"alike", 60, 0, 30, 0},
	} {
		changes, alarms := 0, 0
		for seed := range uint64(seeds) {
			n := errorsOf(tc.kind, tc.metres, rand.New(rand.NewPCG(seed, 1)))
			y := office(t, tags.Options{})
			last := presence.ZoneNone
			for i := range fixes {
				y.time = y.time.Add(30 * time.Second)
				w := y.hearAt(t, tc.north, n)
				if i > 0 && w.Zone != last {
					changes++
				}
				if last = w.Zone; w.Zone == out && w.For >= 5*time.Minute {
					alarms++
				}
			}
		}
		a := float64(changes) / seeds
		t.Logf("%-6s %2.0f m, %2.0f m from the middle: %5.2f changes a day, %d alarms", tc.kind, tc.metres, tc.north, a, alarms)
		if a > tc.changes || alarms > tc.alarms {
			t.Errorf("want at most %v changes a day and %d alarms", tc.changes, tc.alarms)
		}
	}
}

// Who leaves is outside for 5 minutes at the latest two beacons after 5 minutes
// have passed, and is never said to be there before the border is behind. Who is
// still nearer to it than 60 m, as a fix under a roof may be off, has not left.
func TestLeaverIsOutsideInTime(t *testing.T) {
	for _, speed := range []float64{1.4, 10, 25} { // m/s: on foot, by motorbike, on a highway
		for _, interval := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
			for _, metres := range []float64{0, 5, 20} {
				t.Run(fmt.Sprint(speed, "m/s ", interval, " ", metres, "m"), func(t *testing.T) {
					for seed := range uint64(20) {
						leave(t, seed, speed, interval, metres)
					}
				})
			}
		}
	}
}

// leave lets somebody who is at work leave at so many m/s, whose tag reports at an
// interval and is so many metres off.
func leave(t *testing.T, seed uint64, speed float64, interval time.Duration, metres float64) {
	r := rand.New(rand.NewPCG(seed, 2))
	n := errorsOf("normal", metres, r)
	y := office(t, tags.Options{})
	for range 30 { // at work
		y.time = y.time.Add(interval)
		y.hearAt(t, 0, n)
	}
	left := y.time.Add(time.Duration(r.Float64() * float64(interval)))
	crossed := left.Add(time.Duration(160 / speed * float64(time.Second)))
	due := crossed.Add(5*time.Minute + 2*interval)
	for {
		y.time = y.time.Add(interval)
		north := max(0, min(speed*y.time.Sub(left).Seconds(), 4000))
		w := y.hearAt(t, north, n)
		if w.Zone == out && w.For >= 5*time.Minute {
			return
		}
		if y.time.After(due) {
			t.Fatalf("seed %d: %v after leaving %+v", seed, y.time.Sub(crossed), w)
		}
		if w.Zone == out && north < 80 {
			t.Fatalf("seed %d: outside at %v m", seed, north)
		}
	}
}
