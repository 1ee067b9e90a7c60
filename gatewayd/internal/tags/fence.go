package tags

import (
	"errors"
	"fmt"
	"math"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"
	"github.com/paulmach/orb/planar"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
)

// Fence is the border of an office: a circle or polygons, with holes if need
// be.
type Fence struct {
	lat, lon, radius float64 // a circle, if radius > 0
	area             orb.MultiPolygon
}

// NewCircle makes a fence of a radius in metres around a point in degrees.
func NewCircle(lat, lon, radius float64) (*Fence, error) {
	if !(radius > 0) || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		return nil, fmt.Errorf("fence of %v m around %v, %v: out of range", radius, lat, lon)
	}
	return &Fence{lat: lat, lon: lon, radius: radius}, nil
}

// ParseGeoJSON reads a fence out of GeoJSON (RFC 7946): Polygons and
// MultiPolygons, bare, in Features or in a FeatureCollection.
func ParseGeoJSON(text []byte) (*Fence, error) {
	var geometries []orb.Geometry
	if c, err := geojson.UnmarshalFeatureCollection(text); err == nil && len(c.Features) > 0 {
		for _, f := range c.Features {
			geometries = append(geometries, f.Geometry)
		}
	} else if f, err := geojson.UnmarshalFeature(text); err == nil && f.Geometry != nil {
		geometries = append(geometries, f.Geometry)
	} else if g, err := geojson.UnmarshalGeometry(text); err == nil && g.Geometry() != nil {
		geometries = append(geometries, g.Geometry())
	} else {
		return nil, errors.New("this is no GeoJSON with a Polygon or MultiPolygon")
	}
	var fence Fence
	for _, g := range geometries {
		switch g := g.(type) {
		case orb.Polygon:
			fence.area = append(fence.area, g)
		case orb.MultiPolygon:
			fence.area = append(fence.area, g...)
		case nil:
			return nil, errors.New("a feature has no geometry")
		default:
			return nil, fmt.Errorf("a fence cannot be a %s: want Polygon or MultiPolygon", g.GeoJSONType())
		}
	}
	for _, polygon := range fence.area {
		for _, ring := range polygon {
			if len(ring) < 4 || !ring.Closed() {
				return nil, errors.New("a ring is not closed: its last position must be its first, with at least 4 in all")
			}
			for _, p := range ring {
				if !(math.Abs(p.Lat()) <= 90) || !(math.Abs(p.Lon()) <= 180) {
					return nil, fmt.Errorf("position %v is out of range: want longitude, latitude in degrees", p)
				}
			}
		}
	}
	if len(fence.area) == 0 {
		return nil, errors.New("there is no polygon in it")
	}
	return &fence, nil
}

// Classify says on which side a position is that is right within so many
// metres.
func (f *Fence) Classify(lat, lon, accuracy float64) presence.Zone {
	inside, border := f.locate(lat, lon)
	switch {
	case border < accuracy:
		return presence.ZoneUncertain
	case inside:
		return presence.ZoneInside
	}
	return presence.ZoneOutside
}

// locate tells whether a position is inside, and how many metres it is from the
// border.
func (f *Fence) locate(lat, lon float64) (inside bool, border float64) {
	if f.radius > 0 {
		d := distance(f.lat, f.lon, lat, lon)
		return d <= f.radius, math.Abs(f.radius - d)
	}
	// Metres east and north of the position: at the size of an office the
	// earth is flat.
	const metersPerDegree = 111_195
	scale := math.Cos(lat * math.Pi / 180)
	border = math.Inf(1)
	for _, polygon := range f.area {
		for _, ring := range polygon {
			flat := make(orb.LineString, len(ring))
			for i, p := range ring {
				flat[i] = orb.Point{(p.Lon() - lon) * metersPerDegree * scale, (p.Lat() - lat) * metersPerDegree}
			}
			border = min(border, planar.DistanceFrom(flat, orb.Point{}))
		}
	}
	return planar.MultiPolygonContains(f.area, orb.Point{lon, lat}), border
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
