package tags_test

import (
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
		{"open ring", `{"type":"Polygon","coordinates":[[[1,1],[2,1],[2,2],[1,2]]]}`, "not closed"},
		{"three positions", `{"type":"Polygon","coordinates":[[[1,1],[2,1],[1,1]]]}`, "not closed"},
		{"flat ring", `{"type":"Polygon","coordinates":[[[1,1],[2,1],[3,1],[1,1]]]}`, "encloses nothing"},
		{"latitude first", `{"type":"Polygon","coordinates":[[[-7,112],[-7,113],[-8,113],[-7,112]]]}`, "longitude, latitude"},
		{"half a position", `{"type":"Polygon","coordinates":[[[1],[2,1],[2,2],[1]]]}`, "longitude, latitude"},
		{"words", `{"type":"Polygon","coordinates":[[["1","1"]]]}`, "coordinates of a Polygon"},
		{"wrong depth", `{"type":"MultiPolygon","coordinates":[` + square + `]}`, "coordinates of a MultiPolygon"},
	} {
		if _, err := tags.ParseGeoJSON([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
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
