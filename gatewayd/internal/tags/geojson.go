package tags

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"
)

// FenceError says what is wrong with a fence, and what to do.
type FenceError struct {
	EN, ID string // in English and in Indonesian
}

// Error is the text in English.
func (e *FenceError) Error() string { return e.EN }

// wrongFence makes an error of a format in English and one in Indonesian that
// take the same arguments in the same order. An argument that is such an error
// itself is inserted in the same language.
func wrongFence(en, id string, args ...any) *FenceError {
	inID := slices.Clone(args)
	for i, arg := range args {
		if w, ok := arg.(*FenceError); ok {
			args[i], inID[i] = w.EN, w.ID
		}
	}
	// What is quoted of the file may go over several lines.
	oneLine := func(s string) string { return strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ") }
	return &FenceError{oneLine(fmt.Sprintf(en, args...)), oneLine(fmt.Sprintf(id, inID...))}
}

// located puts in front of an error where in the file it is.
func located(en, id string, err error) error {
	var w *FenceError
	if errors.As(err, &w) {
		return wrongFence(en+": %s", id+": %s", w)
	}
	return err
}

// How to get what RFC 7946 wants out of a map program.
const (
	degreesEN = "export it with longitude and latitude in degrees (WGS 84, EPSG:4326)"
	degreesID = "ekspor dengan bujur dan lintang dalam derajat (WGS 84, EPSG:4326)"
)

// ParseGeoJSON reads a fence out of GeoJSON (RFC 7946): Polygons and
// MultiPolygons, bare, in Features or in a FeatureCollection. Text that cannot
// be a fence is a *FenceError. A ring that is open is closed, and the mark that
// Windows puts before UTF-8 is passed over.
func ParseGeoJSON(text []byte) (*Fence, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, wrongFence("this is UTF-16 text: save the file as UTF-8", "ini teks UTF-16: simpan berkas sebagai UTF-8")
	}
	var doc geoJSON
	if err := json.Unmarshal(text, &doc); err != nil {
		if w := (*FenceError)(nil); errors.As(err, &w) {
			return nil, w
		}
		return nil, wrongFence("this is no GeoJSON: %s", "ini bukan GeoJSON: %s", jsonError(err))
	}
	polygons, err := doc.polygons()
	if err != nil {
		return nil, err
	}
	if len(polygons) == 0 {
		return nil, wrongFence("there is no polygon in it: draw the office's outline as one", "tidak ada poligon di dalamnya: gambarlah garis batas kantor sebagai poligon")
	}
	if err := onEarth(polygons); err != nil {
		return nil, err
	}
	var fence Fence
	for i, rings := range polygons {
		polygon, err := polygonOf(rings)
		if err != nil {
			if len(polygons) > 1 {
				err = located(fmt.Sprintf("polygon %d", i+1), fmt.Sprintf("poligon %d", i+1), err)
			}
			return nil, err
		}
		fence.area = append(fence.area, polygon)
	}
	fence.middle = middleOf(fence.area)
	return &fence, nil
}

// jsonError says what is wrong with JSON without the names of our types.
func jsonError(err error) *FenceError {
	if w := (*FenceError)(nil); errors.As(err, &w) {
		return w
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return wrongFence("there is a JSON %s where none belongs", "ada JSON %s di tempat yang salah", wrong.Value)
	}
	return &FenceError{err.Error(), err.Error()}
}

// geoJSON is any object of RFC 7946, as far as a fence can be made of it. The
// decoder of the library that computes with it takes a position without a
// latitude for one on the equator.
type geoJSON struct {
	Type        string          `json:"type"`
	CRS         json.RawMessage `json:"crs"` // of GeoJSON before RFC 7946
	Features    []*geoJSON      `json:"features"`
	Geometry    *geoJSON        `json:"geometry"`
	Coordinates json.RawMessage `json:"coordinates"`
}

// position is a longitude, a latitude and perhaps an altitude, which is not
// looked at.
type position orb.Point

// String is the position as it may stand in the file.
func (p position) String() string {
	form := byte('f')
	if math.Abs(p[0]) > 1e15 || math.Abs(p[1]) > 1e15 {
		form = 'g'
	}
	return "[" + strconv.FormatFloat(p[0], form, -1, 64) + ", " + strconv.FormatFloat(p[1], form, -1, 64) + "]"
}

// UnmarshalJSON implements json.Unmarshaler. It takes numbers only: null would
// silently become 0, and text is what a spreadsheet makes of numbers.
func (p *position) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || len(parts) < 2 {
		return wrongFence("%.60s is no position: want [longitude, latitude] in degrees", "%.60s bukan posisi: tulis [bujur, lintang] dalam derajat", text)
	}
	for i, part := range parts {
		var number float64
		switch err := json.Unmarshal(part, &number); {
		case part[0] == '"':
			return wrongFence("%.60s is text: write numbers without quotes", "%.60s adalah teks: tulis angka tanpa tanda kutip", text)
		case err != nil || part[0] == 'n':
			return wrongFence("%.60s is no position: want [longitude, latitude] in degrees", "%.60s bukan posisi: tulis [bujur, lintang] dalam derajat", text)
		}
		if i < len(p) {
			p[i] = number
		}
	}
	return nil
}

// polygons are the object's polygons as rings of positions.
func (g *geoJSON) polygons() (all [][][]position, err error) {
	if err := g.system(); err != nil {
		return nil, err
	}
	switch g.Type {
	case "FeatureCollection":
		for i, f := range g.Features {
			if f == nil {
				f = &geoJSON{}
			}
			some, err := f.polygons()
			if err != nil {
				return nil, located(fmt.Sprintf("feature %d of %d", i+1, len(g.Features)), fmt.Sprintf("fitur %d dari %d", i+1, len(g.Features)), err)
			}
			all = append(all, some...)
		}
		return all, nil
	case "Feature":
		if g.Geometry == nil {
			return nil, wrongFence("a feature has no geometry: delete it", "sebuah fitur tidak mempunyai geometri: hapus fitur itu")
		}
		return g.Geometry.polygons()
	case "Polygon":
		all = make([][][]position, 1)
		err = json.Unmarshal(g.Coordinates, &all[0])
	case "MultiPolygon":
		err = json.Unmarshal(g.Coordinates, &all)
	case "":
		return nil, wrongFence("this is no GeoJSON: an object has no type", "ini bukan GeoJSON: sebuah objek tidak mempunyai type")
	default:
		return nil, wrongFence("a fence cannot be a %.40q: want Polygon or MultiPolygon", "pagar tidak bisa berupa %.40q: perlu Polygon atau MultiPolygon", g.Type)
	}
	if err != nil {
		return nil, wrongFence("coordinates of a %s: %s", "coordinates dari %s: %s", g.Type, jsonError(err))
	}
	return all, nil
}

// system refuses coordinates that the file itself says are no degrees. GeoJSON
// before RFC 7946 could name any reference system.
func (g *geoJSON) system() error {
	if len(g.CRS) == 0 || string(g.CRS) == "null" {
		return nil
	}
	name := string(g.CRS)
	for _, good := range []string{"CRS84", "EPSG::4326", "EPSG:4326"} {
		if strings.Contains(name, good) {
			return nil
		}
	}
	return wrongFence("its coordinates are in another system (crs %.80s): "+degreesEN, "koordinatnya memakai sistem lain (crs %.80s): "+degreesID, name)
}

// maxCorners is how many positions a fence may have: each one costs time at each
// fix.
const maxCorners = 10_000

// onEarth refuses coordinates that are no degrees, and says what they look like.
func onEarth(polygons [][][]position) error {
	var far, swapped *position
	corners := 0
	for _, ring := range slices.Concat(polygons...) {
		corners += len(ring)
		for i, p := range ring {
			x, y := math.Abs(p[0]), math.Abs(p[1])
			switch {
			case x <= 180 && y <= 90:
				continue
			case x > 360 || y > 360:
				return wrongFence("%s is out of range: these look like metres (UTM or Web Mercator); "+degreesEN, "%s di luar jangkauan: tampaknya dalam meter (UTM atau Web Mercator); "+degreesID, p)
			case x <= 90 && y <= 180:
				swapped = &ring[i]
			}
			if far == nil {
				far = &ring[i]
			}
		}
	}
	switch {
	case corners > maxCorners:
		return wrongFence("the outline has %d positions: simplify it to at most %d", "garis batas mempunyai %d posisi: sederhanakan menjadi paling banyak %d", corners, maxCorners)
	case swapped != nil:
		return wrongFence("%s is out of range: latitude and longitude look swapped; GeoJSON wants longitude, latitude", "%s di luar jangkauan: lintang dan bujur tampaknya tertukar; GeoJSON menulis bujur, lintang", swapped)
	case far != nil:
		return wrongFence("%s is out of range: want longitude, latitude in degrees", "%s di luar jangkauan: tulis bujur, lintang dalam derajat", far)
	}
	return nil
}

// polygonOf checks the rings of a polygon: its border, then its holes.
func polygonOf(rings [][]position) (orb.Polygon, error) {
	if len(rings) == 0 {
		return nil, wrongFence("a polygon has no ring: its coordinates are empty", "sebuah poligon tidak mempunyai cincin: koordinatnya kosong")
	}
	var polygon orb.Polygon
	for i, positions := range rings {
		ring, err := ringOf(positions)
		if err != nil {
			if i > 0 {
				err = located(fmt.Sprintf("hole %d", i), fmt.Sprintf("lubang %d", i), err)
			}
			return nil, err
		}
		polygon = append(polygon, ring)
	}
	if at, crosses := crossing(polygon); crosses {
		return nil, wrongFence(
			"the outline crosses or touches itself near %s: draw it once around, and holes as rings of their own",
			"garis batas memotong atau menyentuh dirinya sendiri di dekat %s: gambarlah sekali keliling, dan lubang sebagai cincin tersendiri", position(at))
	}
	for i, hole := range polygon[1:] {
		if !encloses(polygon[0], hole) {
			return nil, wrongFence("hole %d lies outside of its border", "lubang %d berada di luar garis batasnya", i+1)
		}
		for j, other := range polygon[1:] {
			if i != j && encloses(other, hole) {
				return nil, wrongFence("hole %d lies within hole %d", "lubang %d berada di dalam lubang %d", i+1, j+1)
			}
		}
	}
	return polygon, nil
}

// encloses reports whether all corners of one ring are within another or on it.
func encloses(outer, inner orb.Ring) bool {
	return !slices.ContainsFunc(inner, func(p orb.Point) bool { return !planar.RingContains(outer, p) })
}

// ringOf makes a ring of its positions: closed, and without those that stand
// twice in a row.
func ringOf(positions []position) (orb.Ring, error) {
	var ring orb.Ring
	for _, p := range positions {
		if n := len(ring); n == 0 || ring[n-1] != orb.Point(p) {
			ring = append(ring, orb.Point(p))
		}
	}
	if n := len(ring); n > 1 && ring[0] == ring[n-1] {
		ring = ring[:n-1]
	}
	if len(ring) < 3 {
		return nil, wrongFence("a ring of %d corners is not closed around anything: an outline has at least 3", "cincin dengan %d sudut tidak melingkupi apa pun: garis batas paling sedikit 3", len(ring))
	}
	ring = append(ring, ring[0])
	if planar.Area(ring) == 0 && flat(ring) {
		return nil, wrongFence("a ring encloses nothing: all its positions lie on one line", "sebuah cincin tidak melingkupi apa pun: semua posisinya terletak pada satu garis")
	}
	return ring, nil
}

// flat reports whether all of a ring lies on one line.
func flat(ring orb.Ring) bool {
	for _, p := range ring[2:] {
		if orientation(ring[0], ring[1], p) != 0 {
			return false
		}
	}
	return true
}

// edge is one side of a ring of a polygon.
type edge struct {
	a, b       orb.Point
	ring, i, n int // the i-th of n
}

// adjacent reports whether one side follows the other in their ring.
func (s edge) adjacent(o edge) bool {
	return s.ring == o.ring && ((s.i+1)%s.n == o.i || (o.i+1)%o.n == s.i)
}

// crossing finds two sides of a polygon that have something in common: of one
// ring more than the corner in which neighbours meet, of two rings more than a
// point. Sides are compared only where they share a span of longitudes.
func crossing(polygon orb.Polygon) (near orb.Point, found bool) {
	var sides []edge
	for r, ring := range polygon {
		for i := range len(ring) - 1 {
			s := edge{a: ring[i], b: ring[i+1], ring: r, i: i, n: len(ring) - 1}
			if s.a.Lon() > s.b.Lon() {
				s.a, s.b = s.b, s.a
			}
			sides = append(sides, s)
		}
	}
	slices.SortFunc(sides, func(s, o edge) int { return cmp.Compare(s.a.Lon(), o.a.Lon()) })
	for i, s := range sides {
		for _, o := range sides[i+1:] {
			if o.a.Lon() > s.b.Lon() {
				break
			}
			if s.adjacent(o) {
				if backwards(s, o) {
					return o.a, true
				}
			} else if intersects(s, o, s.ring != o.ring) {
				return o.a, true
			}
		}
	}
	return orb.Point{}, false
}

// backwards reports whether two neighbours lie on each other, so that the
// outline goes back the way that it came. In a triangle each is the other's
// neighbour on both sides, which changes nothing: it would be flat.
func backwards(s, o edge) bool {
	shared, from, to := s.b, s.a, o.b
	switch {
	case s.a == o.a:
		shared, from, to = s.a, s.b, o.b
	case s.a == o.b:
		shared, from, to = s.a, s.b, o.a
	case s.b == o.b:
		shared, from, to = s.b, s.a, o.a
	}
	if orientation(shared, from, to) != 0 {
		return false
	}
	return (from[0]-shared[0])*(to[0]-shared[0])+(from[1]-shared[1])*(to[1]-shared[1]) > 0
}

// intersects reports whether two sides have a point in common; where they may touch,
// whether they cross or lie on each other.
func intersects(s, o edge, mayTouch bool) bool {
	d1, d2 := orientation(o.a, o.b, s.a), orientation(o.a, o.b, s.b)
	d3, d4 := orientation(s.a, s.b, o.a), orientation(s.a, s.b, o.b)
	if d1*d2 < 0 && d3*d4 < 0 {
		return true
	}
	var touching []orb.Point // different corners of one that lie on the other
	touch := func(on bool, p orb.Point) {
		if on && !slices.Contains(touching, p) {
			touching = append(touching, p)
		}
	}
	touch(d1 == 0 && within(o, s.a), s.a)
	touch(d2 == 0 && within(o, s.b), s.b)
	touch(d3 == 0 && within(s, o.a), o.a)
	touch(d4 == 0 && within(s, o.b), o.b)
	if mayTouch {
		return len(touching) > 1
	}
	return len(touching) > 0
}

// orientation tells on which side of the line from a to b a point is: 1 on its left,
// -1 on its right, 0 on the line.
func orientation(a, b, p orb.Point) float64 {
	d := (b[0]-a[0])*(p[1]-a[1]) - (b[1]-a[1])*(p[0]-a[0])
	switch {
	case d > 0:
		return 1
	case d < 0:
		return -1
	}
	return 0
}

// within reports whether a point on the line of a side is on the side.
func within(s edge, p orb.Point) bool {
	return min(s.a[0], s.b[0]) <= p[0] && p[0] <= max(s.a[0], s.b[0]) && min(s.a[1], s.b[1]) <= p[1] && p[1] <= max(s.a[1], s.b[1])
}
