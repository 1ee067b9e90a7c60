package tags

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/paulmach/orb"
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

// ParseGeoJSON reads a fence out of GeoJSON (RFC 7946): Polygons and
// MultiPolygons, bare, in Features or in a FeatureCollection.
func ParseGeoJSON(text []byte) (*Fence, error) {
	var doc geoJSON
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("this is no GeoJSON: %w", err)
	}
	polygons, err := doc.polygons()
	if err != nil {
		return nil, err
	}
	if len(polygons) == 0 {
		return nil, errors.New("there is no polygon in it")
	}
	var fence Fence
	for _, rings := range polygons {
		polygon, err := polygonOf(rings)
		if err != nil {
			return nil, err
		}
		fence.area = append(fence.area, polygon)
	}
	fence.middle = middleOf(fence.area)
	return &fence, nil
}

// geoJSON is any object of RFC 7946, as far as a fence can be made of it. The
// decoder of the library that computes with it takes a position without a
// latitude for one on the equator.
type geoJSON struct {
	Type        string          `json:"type"`
	Features    []geoJSON       `json:"features"`
	Geometry    *geoJSON        `json:"geometry"`
	Coordinates json.RawMessage `json:"coordinates"`
}

// polygons are the object's polygons as rings of positions.
func (g geoJSON) polygons() (all [][][][]float64, err error) {
	switch g.Type {
	case "FeatureCollection":
		for _, f := range g.Features {
			some, err := f.polygons()
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case "Feature":
		if g.Geometry == nil {
			return nil, errors.New("a feature has no geometry")
		}
		return g.Geometry.polygons()
	case "Polygon":
		all = make([][][][]float64, 1)
		err = json.Unmarshal(g.Coordinates, &all[0])
	case "MultiPolygon":
		err = json.Unmarshal(g.Coordinates, &all)
	case "":
		return nil, errors.New("this is no GeoJSON: an object has no type")
	default:
		return nil, fmt.Errorf("a fence cannot be a %.40q: want Polygon or MultiPolygon", g.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("coordinates of a %s: %w", g.Type, err)
	}
	return all, nil
}

// polygonOf checks the rings of a polygon: its border, then its holes.
func polygonOf(rings [][][]float64) (orb.Polygon, error) {
	if len(rings) == 0 {
		return nil, errors.New("a polygon has no ring")
	}
	var polygon orb.Polygon
	for _, positions := range rings {
		var ring orb.Ring
		for _, p := range positions {
			if len(p) < 2 || math.Abs(p[0]) > 180 || math.Abs(p[1]) > 90 {
				return nil, fmt.Errorf("position %v is out of range: want longitude, latitude in degrees", p)
			}
			ring = append(ring, orb.Point{p[0], p[1]})
		}
		if len(ring) < 4 || !ring.Closed() {
			return nil, errors.New("a ring is not closed: its last position must be its first, with at least 4 in all")
		}
		if planar.Area(ring) == 0 {
			return nil, errors.New("a ring encloses nothing")
		}
		polygon = append(polygon, ring)
	}
	return polygon, nil
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

// Classify says on which side a position is that is right within so many
// metres.
func (f *Fence) Classify(lat, lon, accuracy float64) presence.Zone {
	return classify(f.beyond(lat, lon), accuracy)
}

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
// metres: a fix of a GPS receiver, and one that nobody vouches for.
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
