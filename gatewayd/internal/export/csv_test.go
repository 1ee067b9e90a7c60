package export

import (
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
		"kinds.x": "kinds",
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
			if i := slices.Index(csvHeader, column); i < 0 || row[i] == "" {
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
		r := presence.Record{Seq: 1, Draft: presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: name, Tag: name}}}
		row := csvRow(csvOrigin, &r, presence.Timing{})
		for _, column := range []string{"receiver", "tag"} {
			if got := row[slices.Index(csvHeader, column)]; got != want {
				t.Errorf("%s %q becomes %q, want %q", column, name, got, want)
			}
		}
		gap := presence.Record{Seq: 1, Draft: presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Comment: name}}}
		if got := csvRow(csvOrigin, &gap, presence.Timing{})[slices.Index(csvHeader, "comment")]; got != want {
			t.Errorf("comment %q becomes %q, want %q", name, got, want)
		}
	}
}
