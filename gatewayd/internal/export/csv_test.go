package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/presence/presencetest"
)

var csvOrigin = presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC}

// TestCSVHasEveryFieldOfAnEvent: whatever an event says in JSON, its row says.
func TestCSVHasEveryFieldOfAnEvent(t *testing.T) {
	// The fields that share a column, or have one of another name.
	shared := map[string]string{
		"tag_check.state": "tag_check", "tag_check.distance_m": "distance_m",
		"previous.stream": "previous", "previous.seq": "previous", "previous.clean": "previous",
		"ranges[].stream": "ranges", "ranges[].from": "ranges", "ranges[].to": "ranges",
		"kinds.x":       "kinds",
		"branch.stream": "branch", "branch.seq": "branch",
		"proof.random": "proof", "proof.signature": "proof", "proof.certificate": "proof",
		"ranges[].before": "ranges_links", "ranges[].link": "ranges_links", "anchors[].boot_ms": "anchors",
		"anchors[].time": "anchors", "anchors[].error_ms": "anchors", "anchors[].source": "anchors",
	}
	for _, r := range presencetest.Records() {
		raw, err := csvOrigin.Event(&r, presencetest.Timing())
		if err != nil {
			t.Fatal(err)
		}
		var e any
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		row := csvRow(csvOrigin, &r, presencetest.Timing())
		for _, field := range presencetest.Fields(e) {
			column := shared[field]
			if column == "" {
				column = strings.ReplaceAll(field, ".", "_")
			}
			if i := slices.Index(csvHeader, column); i < 0 || row[column] == "" {
				t.Errorf("%s: the field %s of the event is in no column", r.Kind, field)
			}
		}
	}
	// Spreadsheets that somebody made before go by these.
	old := "id,kind,time,time_quality,time_error_ms,boot,reader,badge,card,assurance,receiver,tag,lat,lon,accuracy_m,fix,zone,rssi,snr,detail,"
	if got := strings.Join(csvHeader, ","); !strings.HasPrefix(got, old) {
		t.Errorf("the columns are %s", got)
	}
}

// TestNoCellOfAnExportIsAFormula: whoever owns a radio can name a waypoint.
func TestNoCellOfAnExportIsAFormula(t *testing.T) {
	for name, want := range map[string]string{
		"=HYPERLINK(\"http://x\")": "'=HYPERLINK(\"http://x\")",
		"+1+cmd|' /C calc'!A0":     "'+1+cmd|' /C calc'!A0",
		"-2+3":                     "'-2+3",
		"@SUM(A1)":                 "'@SUM(A1)",
		"\t=1+1":                   "'\t=1+1",
		"\r=1+1":                   "'\r=1+1",
		"\n=1+1":                   "'\n=1+1",
		"-7.9778":                  "-7.9778",
		"waypoint:=1":              "waypoint:=1",
		"":                         "",
	} {
		for _, format := range []string{CSV, CSVIndonesian} {
			row := printed(t, format, presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: name, Tag: name}})
			want := want
			if format == CSVIndonesian {
				want = strings.ReplaceAll(want, "\r", "") // its line ends are CR LF
				if name == "-7.9778" {
					want = "'" + name // a name is no number there
				}
			}
			for _, column := range []string{"receiver", "tag"} {
				if got := row[column]; got != want {
					t.Errorf("%s: %s %q becomes %q, want %q", format, column, name, got, want)
				}
			}
			gap := printed(t, format, presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Comment: name}})
			if got := gap["comment"]; got != want {
				t.Errorf("%s: comment %q becomes %q, want %q", format, name, got, want)
			}
		}
	}
}

// printed is an event as the cells of an export, by column.
func printed(t *testing.T, format string, d presence.Draft) map[string]string {
	t.Helper()
	revise := func(_ context.Context, entries []presence.Entry) ([]presence.Revision, error) {
		return []presence.Revision{{Pos: entries[0].Pos, Timing: presencetest.Timing()}}, nil
	}
	source := Source{
		Origin: csvOrigin, Journal: shelf{{Pos: 1, Record: presence.Record{Seq: 1, Draft: d}}}, Revisions: revise, Estimates: revise,
	}
	var text bytes.Buffer
	if err := source.Write(t.Context(), &text, Request{Format: format}); err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text.String(), "\ufeff")))
	if format == CSVIndonesian {
		r.Comma = ';'
	}
	rows, err := r.ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%q: %v", rows, err)
	}
	cells := make(map[string]string)
	for i, column := range rows[0] {
		cells[column] = rows[1][i]
	}
	return cells
}

// TestExcelReadsAnExport: what each kind of column looks like under Indonesian settings.
func TestExcelReadsAnExport(t *testing.T) {
	lat, rssi := -7.9778, -91
	tag := printed(t, CSVIndonesian, presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: "reyax:50", Lat: &lat, RSSI: &rssi}})
	badge := printed(t, CSVIndonesian, presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Reader: "door", Badge: "12345600"}})
	for _, tc := range []struct {
		of           map[string]string
		column, want string
	}{
		{tag, "time", "2026-11-23 00:30:00"},
		{tag, "time_min", "2026-11-23 00:29:59"},
		{tag, "time_error_ms", "1000"},
		{tag, "lat", "-7,9778"},
		{tag, "rssi", "-91"},
		{tag, "tag", "reyax:50"},
		{badge, "badge", "'12345600"},
		{badge, "seq", "1"},
	} {
		if got := tc.of[tc.column]; got != tc.want {
			t.Errorf("%s is %q, want %q", tc.column, got, tc.want)
		}
	}
}
