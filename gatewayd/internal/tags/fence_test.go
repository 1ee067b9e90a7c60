package tags_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

const (
	in        = presence.ZoneInside
	out       = presence.ZoneOutside
	uncertain = presence.ZoneUncertain
)

func TestCircle(t *testing.T) {
	f, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		north, accuracy float64
		want            presence.Zone
	}{
		{0, 15, in},
		{0, 99, in},
		{0, 101, uncertain},
		{84, 15, in},
		{86, 15, uncertain},
		{114, 15, uncertain},
		{116, 15, out},
		{5000, 15, out},
		{5000, 6000, uncertain},
	} {
		if got := f.Classify(officeLat+tc.north*metre, officeLon, tc.accuracy); got != tc.want {
			t.Errorf("%v m north within %v m: %v, want %v", tc.north, tc.accuracy, got, tc.want)
		}
	}
	for _, bad := range [][3]float64{{91, 0, 1}, {0, 181, 1}, {0, 0, 0}, {0, 0, -1}, {0, 0, math.NaN()}, {math.NaN(), 0, 1}, {0, 0, math.Inf(1)}} {
		if _, err := tags.NewCircle(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v is a fence", bad)
		}
	}
}

// An office of about 1.1 km around a court of about 220 m, near the equator.
const (
	square = `[[112.630,-7.980],[112.640,-7.980],[112.640,-7.970],[112.630,-7.970],[112.630,-7.980]]`
	court  = `[[112.634,-7.976],[112.636,-7.976],[112.636,-7.974],[112.634,-7.974],[112.634,-7.976]]`
	annex  = `[[112.650,-7.980],[112.660,-7.980],[112.660,-7.970],[112.650,-7.970],[112.650,-7.980]]`
)

func TestGeoJSON(t *testing.T) {
	polygon := `{"type":"Polygon","coordinates":[` + square + `,` + court + `]}`
	multi := `{"type":"MultiPolygon","coordinates":[[` + square + `,` + court + `],[` + annex + `]]}`
	feature := func(g string) string { return `{"type":"Feature","properties":{"name":"x"},"geometry":` + g + `}` }
	for _, tc := range []struct {
		name, text string
		annex      presence.Zone
	}{
		{"Polygon", polygon, out},
		{"MultiPolygon", multi, in},
		{"Feature", feature(polygon), out},
		{"FeatureCollection", `{"type":"FeatureCollection","features":[` + feature(polygon) + `,` + feature(`{"type":"Polygon","coordinates":[`+annex+`]}`) + `]}`, in},
		{"with altitude", strings.ReplaceAll(polygon, "-7.980]", "-7.980,440.5]"), out},
	} {
		f, err := tags.ParseGeoJSON([]byte(tc.text))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, p := range []struct {
			lat, lon, accuracy float64
			want               presence.Zone
		}{
			{-7.978, 112.632, 15, in},
			{-7.975, 112.635, 15, out}, // in the court
			{-7.975, 112.635, 150, uncertain},
			{-7.97401, 112.635, 15, uncertain}, // at the court's wall
			{-7.9799, 112.632, 10, in},         // 11 m from the border
			{-7.9799, 112.632, 12, uncertain},
			{-7.9801, 112.632, 10, out},
			{-7.975, 112.645, 15, out},
			{-7.975, 112.655, 15, tc.annex},
			{0, 0, 15, out},
			{90, 180, 15, out},
		} {
			if got := f.Classify(p.lat, p.lon, p.accuracy); got != p.want {
				t.Errorf("%s: %v, %v within %v m: %v, want %v", tc.name, p.lat, p.lon, p.accuracy, got, p.want)
			}
		}
	}
}

func TestGeoJSONThatIsNoFence(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", ``, "no GeoJSON"},
		{"null", `null`, "no type"},
		{"no JSON", `lat = 3`, "no GeoJSON"},
		{"no type", `{}`, "no type"},
		{"cut", `{"type":"Polygon","coordinates":[[[112`, "no GeoJSON"},
		{"a point", `{"type":"Point","coordinates":[112,-7]}`, `"Point"`},
		{"a line", `{"type":"Feature","geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]}}`, `"LineString"`},
		{"a point among polygons", `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[` + square + `]}},{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}]}`, `"Point"`},
		{"nothing", `{"type":"FeatureCollection","features":[]}`, "no polygon"},
		{"feature without geometry", `{"type":"Feature","geometry":null}`, "no geometry"},
		{"polygon without coordinates", `{"type":"Polygon"}`, "coordinates of a Polygon"},
		{"polygon without ring", `{"type":"Polygon","coordinates":[]}`, "no ring"},
		{"empty ring", `{"type":"Polygon","coordinates":[[]]}`, "not closed"},
		{"two positions", `{"type":"Polygon","coordinates":[[[1,1],[2,1]]]}`, "at least 3"},
		{"one position many times", `{"type":"Polygon","coordinates":[[[1,1],[1,1],[1,1],[1,1]]]}`, "at least 3"},
		{"three positions", `{"type":"Polygon","coordinates":[[[1,1],[2,1],[1,1]]]}`, "not closed"},
		{"flat ring", `{"type":"Polygon","coordinates":[[[1,1],[2,1],[3,1],[1,1]]]}`, "encloses nothing"},
		{"latitude first", `{"type":"Polygon","coordinates":[[[-7,112],[-7,113],[-8,113],[-7,112]]]}`, "longitude, latitude"},
		{"latitude and longitude swapped", `{"type":"Polygon","coordinates":[[[-7.97,112.63],[-7.98,112.63],[-7.98,112.64],[-7.97,112.63]]]}`, "latitude and longitude look swapped"},
		{"UTM", `{"type":"Polygon","coordinates":[[[679972.1,9117673.2],[680072.1,9117673.2],[680072.1,9117773.2],[679972.1,9117673.2]]]}`, "these look like metres"},
		{"Web Mercator", `{"type":"Polygon","coordinates":[[[12538000,-891000],[12538100,-891000],[12538100,-890900],[12538000,-891000]]]}`, "these look like metres"},
		{"another system", `{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::32749"}},"features":[]}`, "EPSG::32749"},
		{"out of range", `{"type":"Polygon","coordinates":[[[200,1],[201,1],[201,2],[200,1]]]}`, "out of range"},
		{"bow tie", `{"type":"Polygon","coordinates":[[[1,1],[2,2],[2,1],[1,2],[1,1]]]}`, "crosses or touches itself"},
		{"bow tie with a knot", `{"type":"Polygon","coordinates":[[[0,0],[1,1],[2,0],[2,2],[1,1],[0,2],[0,0]]]}`, "crosses or touches itself"},
		{"spike", `{"type":"Polygon","coordinates":[[[0,0],[2,0],[4,0],[2,0],[2,2],[0,0]]]}`, "crosses or touches itself"},
		{"twice around", `{"type":"Polygon","coordinates":[[[0,0],[2,0],[2,2],[0,0],[2,0],[2,2],[0,0]]]}`, "crosses or touches itself"},
		{"crossing far on", `{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[8,9],[8,-1],[7,-1],[7,8],[0,8],[0,0]]]}`, "crosses or touches itself"},
		{"hole outside", `{"type":"Polygon","coordinates":[` + square + `,` + annex + `]}`, "hole 1 lies outside"},
		{"hole across the border", `{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]],[[1,1],[5,1],[5,2],[1,2],[1,1]]]}`, "crosses or touches itself"},
		{"hole in a hole", `{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[1,1],[8,1],[8,8],[1,8],[1,1]],[[2,2],[3,2],[3,3],[2,2]]]}`, "hole 2 lies within hole 1"},
		{"holes that overlap", `{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[1,1],[4,1],[4,4],[1,4],[1,1]],[[3,3],[6,3],[6,6],[3,6],[3,3]]]}`, "crosses or touches itself"},
		{"hole that is all", `{"type":"Polygon","coordinates":[` + square + `,` + square + `]}`, "crosses or touches itself"},
		{"bow tie in the second polygon", `{"type":"MultiPolygon","coordinates":[[` + square + `],[[[1,1],[2,2],[2,1],[1,2],[1,1]]]]}`, "polygon 2: the outline crosses"},
		{"null", `{"type":"Polygon","coordinates":[[[null,1],[2,1],[2,2],[null,1]]]}`, "longitude, latitude"},
		{"null coordinates", `{"type":"Polygon","coordinates":null}`, "no ring"},
		{"nulls for rings", `{"type":"Polygon","coordinates":[null]}`, "at least 3"},
		{"null for a position", `{"type":"Polygon","coordinates":[[null,[2,1],[2,2],[1,1]]]}`, "longitude, latitude"},
		{"huge numbers", `{"type":"Polygon","coordinates":[[[1e999,1],[2,1],[2,2],[1e999,1]]]}`, "longitude, latitude"},
		{"NaN", `{"type":"Polygon","coordinates":[[[NaN,1],[2,1],[2,2],[NaN,1]]]}`, "no GeoJSON"},
		{"infinite", `{"type":"Polygon","coordinates":[[[1e308,1e308],[-1e308,1],[2,2],[1,1]]]}`, "these look like metres"},
		{"text numbers", `{"type":"Polygon","coordinates":[[["112.63","-7.98"],["112.64","-7.98"],["112.64","-7.97"],["112.63","-7.98"]]]}`, "is text: write numbers without quotes"},
		{"null geometry", `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}`, "feature 1 of 1: a feature has no geometry"},
		{"null feature", `{"type":"FeatureCollection","features":[null]}`, "no type"},
		{"empty collection of geometries", `{"type":"GeometryCollection","geometries":[]}`, `"GeometryCollection"`},
		{"empty multipolygon", `{"type":"MultiPolygon","coordinates":[]}`, "no polygon"},
		{"text numbers over several lines", "{\"type\":\"Polygon\",\"coordinates\":[[[\n\t\"112.63\",\n\t\"-7.98\"\n]]]}", "is text: write numbers without quotes"},
		{"a system over several lines", "{\"type\":\"FeatureCollection\",\"crs\":{\n\t\"name\":\n\"EPSG:23830\"},\"features\":[]}", "EPSG:23830"},
		{"an object for coordinates", `{"type":"Polygon","coordinates":{"x":1}}`, "a JSON object where none belongs"},
		{"a list of nothing known", `[]`, "a JSON array where none belongs"},
		{"a number for a type", `{"type":7}`, "a JSON number where none belongs"},
		{"UTF-16", "\xff\xfe{\x00", "save the file as UTF-8"},
		{"something behind it", `{"type":"Polygon","coordinates":[` + square + `]} x`, "no GeoJSON"},
		{"half a position", `{"type":"Polygon","coordinates":[[[1],[2,1],[2,2],[1]]]}`, "longitude, latitude"},
		{"words", `{"type":"Polygon","coordinates":[[["1","1"]]]}`, "coordinates of a Polygon"},
		{"wrong depth", `{"type":"MultiPolygon","coordinates":[` + square + `]}`, "coordinates of a MultiPolygon"},
	} {
		_, err := tags.ParseGeoJSON([]byte(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
			continue
		}
		var wrong *tags.FenceError
		if strings.ContainsAny(err.Error(), "\n\r\t") || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: it tells our types: %v", tc.name, err)
		}
		if !errors.As(err, &wrong) || wrong.ID == "" || wrong.ID == wrong.EN || strings.Contains(wrong.ID+wrong.EN, "%!") {
			t.Errorf("%s: in Indonesian %+v", tc.name, wrong)
		}
	}
	circle := make([]string, 20_001)
	for i := range circle {
		at := 2 * math.Pi * float64(i) / 20_000
		circle[i] = fmt.Sprintf("[%v,%v]", 112.63+0.01*math.Cos(at), -7.97+0.01*math.Sin(at))
	}
	if _, err := tags.ParseGeoJSON([]byte(`{"type":"Polygon","coordinates":[[` + strings.Join(circle, ",") + `]]}`)); err == nil || !strings.Contains(err.Error(), "simplify") {
		t.Errorf("20,001 positions: %v", err)
	}
}

// TestGeoJSONAsProgramsWriteIt: what is no mistake is taken, and means what it
// means elsewhere.
func TestGeoJSONAsProgramsWriteIt(t *testing.T) {
	open := `[[112.630,-7.980],[112.640,-7.980],[112.640,-7.970],[112.630,-7.970]]`
	for name, text := range map[string]string{
		"with Windows' mark":      "\xef\xbb\xbf" + `{"type":"Polygon","coordinates":[` + square + `]}`,
		"an open ring":            `{"type":"Polygon","coordinates":[` + open + `]}`,
		"clockwise":               `{"type":"Polygon","coordinates":[[[112.630,-7.980],[112.630,-7.970],[112.640,-7.970],[112.640,-7.980],[112.630,-7.980]]]}`,
		"a corner twice":          `{"type":"Polygon","coordinates":[` + strings.Replace(open, "[112.640,-7.980],", "[112.640,-7.980],[112.640,-7.980],", 1) + `]}`,
		"a corner on a side":      `{"type":"Polygon","coordinates":[` + strings.Replace(open, "[112.640,-7.980],", "[112.635,-7.980],[112.640,-7.980],", 1) + `]}`,
		"with altitude":           `{"type":"Polygon","coordinates":[` + strings.ReplaceAll(square, "]", ",440.5]")[:len(strings.ReplaceAll(square, "]", ",440.5]"))-len(",440.5]")] + `]` + `]}`,
		"with an old system":      `{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}},"features":[{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[` + square + `]}}]}`,
		"a hole at the border":    `{"type":"Polygon","coordinates":[` + square + `,[[112.630,-7.975],[112.631,-7.9755],[112.631,-7.9745]]]}`,
		"two holes at one corner": `{"type":"Polygon","coordinates":[` + square + `,[[112.635,-7.975],[112.636,-7.975],[112.636,-7.974]],[[112.635,-7.975],[112.636,-7.976],[112.635,-7.977]]]}`,
	} {
		f, err := tags.ParseGeoJSON([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Classify(-7.978, 112.638, 15) != in || f.Classify(-7.9799, 112.638, 12) != uncertain || f.Classify(-7.982, 112.638, 15) != out || f.Doubt() != nil {
			t.Errorf("%s: it is another fence", name)
		}
	}
}

// TestFencesOfUnlikelySizeAreDoubted, whether they are circles or polygons.
func TestFencesOfUnlikelySizeAreDoubted(t *testing.T) {
	box := func(metres float64) *tags.Fence {
		d := metres * metre
		w := d / math.Cos(officeLat*math.Pi/180)
		f, err := tags.ParseGeoJSON(fmt.Appendf(nil, `{"type":"Polygon","coordinates":[[[%v,%v],[%v,%v],[%v,%v],[%v,%v]]]}`,
			officeLon, officeLat, officeLon+w, officeLat, officeLon+w, officeLat+d, officeLon, officeLat+d))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	circle := func(radius float64) *tags.Fence {
		f, err := tags.NewCircle(officeLat, officeLon, radius)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tc := range []struct {
		fence *tags.Fence
		want  string
	}{
		{box(9), "more"}, {box(10.1), ""}, {box(7000), ""}, {box(7150), "larger"}, {circle(5), "more"}, {circle(6), ""}, {circle(3900), ""}, {circle(4100), "larger"},
	} {
		doubt := tc.fence.Doubt()
		if (doubt == nil) != (tc.want == "") || doubt != nil && (doubt.ID == "" || strings.Contains(doubt.EN, "larger than 50 km2") != (tc.want == "larger")) {
			t.Errorf("doubt is %v, want %q", doubt, tc.want)
		}
	}
	metres, err := tags.ParseGeoJSON([]byte(`{"type":"Polygon","coordinates":[[[0,0],[50,0],[50,40],[0,40]]]}`)) // of a drawing
	if err != nil || metres.Doubt() == nil {
		t.Errorf("a drawing in metres: %v", err)
	}
}

func FuzzParseGeoJSON(f *testing.F) {
	for _, text := range []string{
		`{"type":"Polygon","coordinates":[` + square + `,` + court + `]}`,
		`{"type":"MultiPolygon","coordinates":[[` + square + `],[` + annex + `]]}`,
		`{"type":"Feature","geometry":{"type":"Polygon","coordinates":[` + annex + `]}}`,
		`{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}`,
		`{"type":"Polygon","coordinates":[[[1e308,1e308],[null,1],[],[1e308,1e308]]]}`,
		`{"type":"Polygon","coordinates":[[[1,1],[2,1],[2,2],[1,1]],null]}`,
		`{"type":"Polygon","coordinates":[` + square + `,` + square + `]}`, // nothing is left
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fence, err := tags.ParseGeoJSON(text)
		if err != nil {
			return
		}
		for _, lat := range []float64{-90, officeLat, 0, 90} {
			if z := fence.Classify(lat, officeLon, 15); z == presence.ZoneNone {
				t.Error("a fence without sides")
			}
			y := open(tuesday, tags.Options{Fence: fence})
			y.hear(t, "yard", beacon.Fix{Tag: theTag, Lat: lat, Lon: officeLon, Time: y.time})
			w, ok := y.Where(theTag)
			if !ok || w.Zone == presence.ZoneNone || w.Distance == nil || !(*w.Distance >= 0 && *w.Distance < 3e7) {
				t.Errorf("where is %+v", w)
			}
		}
	})
}

// Where a report does not say how far off it may be, a fix of satellites is
// taken to be within 15 m, and one that nobody vouches for within 30 m.
func TestUsualAccuracy(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		accuracy   float64
		unverified bool
		north      float64
		want       presence.Zone
	}{
		{0, false, 84, presence.ZoneInside},
		{0, false, 86, presence.ZoneUncertain},
		{0, true, 69, presence.ZoneInside},
		{0, true, 71, presence.ZoneUncertain},
		{5, false, 94, presence.ZoneInside},
		{50, false, 84, presence.ZoneUncertain},
	} {
		y := open(tuesday, tags.Options{Fence: fence})
		fix := at(tc.north, y.time)
		fix.Accuracy, fix.Unverified = tc.accuracy, tc.unverified
		y.hear(t, "yard", fix)
		if tag := y.last(); tag.Zone != tc.want || (tag.Accuracy != nil) != (tc.accuracy > 0) {
			t.Errorf("%+v: zone %v, accuracy %v", tc, tag.Zone, tag.Accuracy)
		}
	}
}
