package tags

import (
	"fmt"
	"math"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geo"
	"github.com/paulmach/orb/planar"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
)

// Fence is the border of an office: a circle or polygons, with holes if need
// be.
type Fence struct {
	middle orb.Point
	radius float64 // in metres, of a circle
	area   orb.MultiPolygon
}

// NewCircle makes a fence of a radius in metres around a point in degrees.
func NewCircle(lat, lon, radius float64) (*Fence, error) {
	if !(radius > 0 && radius < 1e7) || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		return nil, fmt.Errorf("fence of %v m around %v, %v: out of range", radius, lat, lon)
	}
	return &Fence{middle: orb.Point{lon, lat}, radius: radius}, nil
}

// middleOf is the middle of an area, or of what is around it where its borders
// cross or its holes leave nothing.
func middleOf(area orb.MultiPolygon) orb.Point {
	m, _ := planar.CentroidArea(area)
	around := area.Bound()
	if around.Min.Lon() <= m.Lon() && m.Lon() <= around.Max.Lon() && around.Min.Lat() <= m.Lat() && m.Lat() <= around.Max.Lat() {
		return m
	}
	return around.Center()
}

// The sizes that an office has, in square metres: at most that of the largest
// compound, and at least that of a room.
const (
	largestFence  = 50e6
	smallestFence = 100
)

// Doubt tells why a fence, though it is valid, is probably not what was meant; nil
// where its size is that of an office.
func (f *Fence) Doubt() *FenceError {
	switch size := f.size(); {
	case size > largestFence:
		return wrongFence("the fence encloses %.0f km2: no office is larger than 50 km2", "pagar melingkupi %.0f km2: tidak ada kantor yang lebih luas dari 50 km2", size/1e6)
	case size < smallestFence:
		return wrongFence("the fence encloses %.0f m2: an office is larger than 100 m2, and a position is right within 15 m at best", "pagar melingkupi %.0f m2: kantor lebih luas dari 100 m2, dan posisi paling teliti 15 m", size)
	}
	return nil
}

// size is the area within the fence in square metres.
func (f *Fence) size() float64 {
	if f.radius > 0 {
		return math.Pi * f.radius * f.radius
	}
	return geo.Area(f.area)
}

// classify tells on which side of the border a position is that is so many metres
// beyond it, right within its accuracy.
func classify(beyond, accuracy float64) presence.Zone {
	switch {
	case math.Abs(beyond) < accuracy:
		return presence.ZoneUncertain
	case beyond <= 0:
		return presence.ZoneInside
	}
	return presence.ZoneOutside
}

// metresPerDegree is that of a meridian.
const metresPerDegree = 111_195

// beyond is how many metres a position is from the border: above zero outside,
// below zero inside.
func (f *Fence) beyond(lat, lon float64) float64 {
	if f.radius > 0 {
		return distance(f.middle.Lat(), f.middle.Lon(), lat, lon) - f.radius
	}
	// Metres east and north of the position: at the size of an office the
	// earth is flat.
	scale := math.Cos(lat * math.Pi / 180)
	flat := func(p orb.Point) orb.Point {
		return orb.Point{(p.Lon() - lon) * metresPerDegree * scale, (p.Lat() - lat) * metresPerDegree}
	}
	square := math.Inf(1)
	for _, polygon := range f.area {
		for _, ring := range polygon {
			for i := range len(ring) - 1 {
				square = min(square, planar.DistanceFromSegmentSquared(flat(ring[i]), flat(ring[i+1]), orb.Point{}))
			}
		}
	}
	border := math.Sqrt(square)
	if planar.MultiPolygonContains(f.area, orb.Point{lon, lat}) {
		return -border
	}
	return border
}

// distance is how many metres a position is from the middle of the office: of
// the circle, or of the area of the polygons.
func (f *Fence) distance(lat, lon float64) float64 {
	return distance(f.middle.Lat(), f.middle.Lon(), lat, lon)
}

// How far a position is taken to be off where its report does not say, in
// metres: a fix of a GPS receiver, and one without a fix status.
const (
	usualAccuracy      = 15
	unverifiedAccuracy = 30
)

func accuracyOf(fix beacon.Fix) float64 {
	switch {
	case fix.Accuracy > 0:
		return fix.Accuracy
	case fix.Unverified:
		return unverifiedAccuracy
	}
	return usualAccuracy
}
