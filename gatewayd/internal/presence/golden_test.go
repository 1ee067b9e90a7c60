package presence_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// oddBodies are drafts with everything that a radio, a sensor or a damaged file can
// make up.
func oddBodies() map[string]presence.Draft {
	at := presence.Reading{Boot: boot, Boottime: time.Hour, Wall: noon.UnixNano(), State: presence.ClockTrusted}
	unknown := presence.Reading{Boot: boot, Wall: noon.UnixNano()}
	odd := make(map[string]presence.Draft)
	for i, name := range []string{
		"", "plain <b> & 'more'", `quote " and \ and <b>`, "é <b> &", "line\nfeed", "\u2028 &", "\x7f", "\x00", "half a rune \xff <", "𝄞",
	} {
		odd[fmt.Sprintf("tag name %d", i)] = presence.Draft{Kind: presence.KindTag, At: at, Tag: &presence.Tag{Receiver: "yard", Tag: "waypoint:" + name, Conflict: true}}
		odd[fmt.Sprintf("checked name %d", i)] = presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "04A1B2C3", Card: "unknown", Assurance: "uid", Check: &presence.TagCheck{Tag: "waypoint:" + name, State: presence.TagConflict},
		}}
		odd[fmt.Sprintf("person's name %d", i)] = presence.Draft{Kind: presence.KindPresence, At: at, Person: &presence.Person{Badge: "04A1B2C3", Tag: "waypoint:" + name, State: presence.OnSite}}
		odd[fmt.Sprintf("comment %d", i)] = presence.Draft{Kind: presence.KindGap, At: at, Gap: &presence.Gap{Reason: presence.GapJournalDamaged, Comment: name, First: &unknown, Last: &at}}
	}
	for i, f := range []float64{0, math.Copysign(0, -1), 1e-7, -5e-9, 5e-324, 0.1, 1.0 / 3, 123456789.125, 1e20, 1e21, 1.7e308, math.NaN(), math.Inf(1), math.Inf(-1)} {
		odd[fmt.Sprintf("number %02d", i)] = presence.Draft{Kind: presence.KindTag, At: at, Tag: &presence.Tag{
			Receiver: "yard", Tag: "mesh:1c2f13fc", Lat: &f, Lon: &f, Accuracy: &f, SNR: &f, FixTime: -1, Fix: presence.FreshnessReplay, Zone: presence.ZoneUncertain, RSSI: ptr(-1),
		}}
		odd[fmt.Sprintf("distance %02d", i)] = presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "04A1B2C3", Card: "unknown", Assurance: "uid",
			Check: &presence.TagCheck{Tag: "reyax:50", Distance: &f, Age: ptr(time.Duration(i*i) * 1234567 * time.Nanosecond)},
		}}
	}
	return odd
}

// TestEventsAreTheSameToTheByte compares events of all kinds with those in
// testdata/events.golden, which the first gateways would have sent. An event that goes
// again after an upgrade, under the same id and rev, is the same message.
//
// GOLDEN=write writes the file anew, where the form is meant to change.
func TestEventsAreTheSameToTheByte(t *testing.T) {
	bounded := presence.Timing{Quality: presence.QualityBounded, Time: noon, Error: time.Hour, Min: noon.Add(-time.Hour), Max: noon.Add(time.Hour), Rev: 1}
	timings := map[string]presence.Timing{
		"synced":   {Quality: presence.QualitySynced, Time: noon.UTC(), Error: 1_234_567 * time.Nanosecond},
		"exact":    {Quality: presence.QualityTrusted, Time: noon},
		"unknown":  {Quality: presence.QualityUnsynced},
		"bounded":  bounded,
		"half":     {Quality: presence.QualityBounded, Time: noon, Min: noon, Rev: 2},
		"far":      {Quality: presence.QualityCorrected, Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), Error: math.MaxInt64, Rev: math.MaxInt32},
		"no place": {},
	}
	var got bytes.Buffer
	line := func(name string, d presence.Draft, known presence.Timing) {
		b, err := origin.Event(&presence.Record{Stream: stream, Seq: 1<<53 + 1, Draft: d}, known)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fmt.Fprintf(&got, "%s: %s\n", name, b)
	}
	all := bodies()
	for _, body := range slices.Sorted(maps.Keys(all)) {
		for _, timing := range slices.Sorted(maps.Keys(timings)) {
			line(body+", "+timing, all[body], timings[timing])
		}
	}
	odd := oddBodies()
	for _, body := range slices.Sorted(maps.Keys(odd)) {
		line(body, odd[body], bounded)
	}

	const file = "testdata/events.golden"
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var is, was string
		if i < len(gotLines) {
			is = gotLines[i]
		}
		if i < len(wantLines) {
			was = wantLines[i]
		}
		if is != was {
			t.Errorf("line %d is\n%s\nand was\n%s", i+1, is, was)
		}
	}
}
