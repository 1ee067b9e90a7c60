package tags_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// Promise 2: a replayed or twice-heard fix is one sighting.
func TestPromise2TwiceHeardIsOneSighting(t *testing.T) {
	for _, coordinates := range []tags.Coordinates{tags.Full, tags.Coarse, tags.None} {
		y := open(tuesday, tags.Options{Coordinates: coordinates})
		restarts := func() {}
		for _, restart := range []bool{false, true} {
			if restart {
				restarts = y.restart
			}
			y.time = y.time.Add(time.Hour)
			first, second := at(10, y.time), at(20, y.time.Add(time.Second))
			steps := []struct {
				after    time.Duration
				receiver string
				fix      beacon.Fix
				want     string
			}{
				{time.Second, "yard", first, "recorded"},
				{time.Second, "roof", first, "duplicate"}, // another receiver
				{time.Second, "yard", second, "recorded"},
				{time.Second, "roof", first, "duplicate"}, // another receiver, late
				{time.Second, "roof", second, "duplicate"},
				{5 * time.Minute, "yard", second, "duplicate"}, // latched
				{4 * time.Hour, "yard", second, "duplicate"},
				{time.Second, "yard", first, "duplicate"}, // replayed
			}
			for i, s := range steps {
				y.time = y.time.Add(s.after)
				restarts()
				if got := y.hear(t, s.receiver, s.fix); got != s.want {
					t.Errorf("%s, restarts %v, step %d: %s, want %s", coordinates, restart, i, got, s.want)
				}
			}
		}
	}
}

// A tag that has lost its satellites repeats its last fix for hours.
func TestLatchedFixIsNoSightingHoweverMuchIsHeardMeanwhile(t *testing.T) {
	y := open(tuesday, tags.Options{Heartbeat: 10 * time.Minute})
	latched := at(0, y.time)
	y.hear(t, "yard", latched)
	for i := range 50_000 {
		y.time = y.time.Add(100 * time.Millisecond)
		other := at(0, y.time)
		other.Tag = fmt.Sprintf("kenwood:U%05d", 2+i%1000)
		y.hear(t, "yard", other)
	}
	if got := y.hear(t, "yard", latched); got != "duplicate" {
		t.Error(got)
	}
}

// Where a report carries no time, only the same position within moments is the
// same fix: a tag that lies still says it again later.
func TestEchoWithoutTime(t *testing.T) {
	for _, restart := range []bool{false, true} {
		y := open(tuesday, tags.Options{})
		a, b := at(1, time.Time{}), at(2, time.Time{})
		for i, s := range []struct {
			after time.Duration
			fix   beacon.Fix
			want  string
		}{
			{0, a, "recorded"},
			{time.Second, b, "recorded"},
			{time.Second, a, "duplicate"},
			{time.Second, b, "duplicate"},
			{time.Minute, b, "recorded"},
		} {
			y.time = y.time.Add(s.after)
			if restart {
				y.restart()
			}
			if got := y.hear(t, "yard", s.fix); got != s.want {
				t.Errorf("restart %v, step %d: %s, want %s", restart, i, got, s.want)
			}
		}
	}
}

func TestFreshness(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fix     beacon.Fix
		want    presence.Freshness
		fixTime time.Time
	}{
		{"now", at(0, tuesday), presence.FreshnessLive, tuesday},
		{"two minutes ago", at(0, tuesday.Add(-2*time.Minute)), presence.FreshnessLive, tuesday.Add(-2 * time.Minute)},
		{"older", at(0, tuesday.Add(-121*time.Second)), presence.FreshnessReplay, tuesday.Add(-121 * time.Second)},
		{"a little ahead", at(0, tuesday.Add(2*time.Minute)), presence.FreshnessLive, tuesday.Add(2 * time.Minute)},
		{"from the future", at(0, tuesday.Add(121*time.Second)), presence.FreshnessUnknown, time.Time{}},
		{"without a time", at(0, time.Time{}), presence.FreshnessUnknown, time.Time{}},
		{"time of day", ofDay(tuesday.Add(-time.Minute)), presence.FreshnessLive, tuesday.Add(-time.Minute)},
		{"time of day, a while ago", ofDay(tuesday.Add(-50 * time.Minute)), presence.FreshnessReplay, tuesday.Add(-50 * time.Minute)},
		{"time of day, of whatever day", ofDay(tuesday.Add(-9 * time.Hour)), presence.FreshnessUnknown, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			y := open(tuesday, tags.Options{})
			y.hear(t, "yard", tc.fix)
			var want int64
			if !tc.fixTime.IsZero() {
				want = tc.fixTime.UnixMilli()
			}
			if tag := y.last(); tag.Fix != tc.want || tag.FixTime != want {
				t.Errorf("fix %d at %v, want %d at %v", tag.Fix, tag.FixTime, tc.want, want)
			}
		})
	}
	// Around midnight of UTC, which is 07:00 in the office.
	for _, d := range []time.Duration{-time.Minute, 0, time.Minute} {
		midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
		y := open(midnight, tags.Options{})
		y.hear(t, "yard", ofDay(midnight.Add(d)))
		if got := y.last().FixTime; got != midnight.Add(d).UnixMilli() {
			t.Errorf("%v from midnight: %v", d, time.UnixMilli(got))
		}
	}
}

// A time that lies ahead must not make all true ones look old.
func TestFutureTimePoisonsNothing(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.hear(t, "yard", at(0, tuesday.Add(24*time.Hour)))
	y.time = y.time.Add(time.Minute)
	if got := y.hear(t, "yard", at(1, y.time)); got != "recorded" || y.last().Fix != presence.FreshnessLive {
		t.Errorf("%s, fix %v", got, y.last().Fix)
	}
	if y.counts()["future"] != 1 {
		t.Errorf("%v", y.counts())
	}
}

// Nor may one that was believed while the gateway's own clock was ahead.
func TestTimeBelievedByAWrongClockIsForgotten(t *testing.T) {
	y := open(tuesday.Add(24*time.Hour), tags.Options{MinInterval: 30 * time.Second, MinMove: 25})
	y.hear(t, "yard", at(0, y.time))
	y.time = tuesday
	y.boot = presence.ID{2}
	y.restart()
	y.time = y.time.Add(time.Minute)
	y.hear(t, "yard", at(30, y.time))
	for range 3 {
		y.time = y.time.Add(10 * time.Minute)
		if got := y.hear(t, "yard", at(30, y.time)); got != "thinned" {
			t.Errorf("a still tag is taken for one that sends old positions: %s", got)
		}
	}
}

// A tag that was out of reach sends what it stored: each position once, one in
// each interval, and none of it says where the tag is now.
func TestStoredPositionsComeLate(t *testing.T) {
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	y.hear(t, "yard", at(0, y.time))
	start := y.time.Add(-time.Hour)
	for range 2 {
		for i := range 60 {
			y.time = y.time.Add(100 * time.Millisecond)
			y.hear(t, "yard", at(float64(1000+i), start.Add(time.Duration(i)*10*time.Second)))
		}
	}
	replays := 0
	for _, d := range y.drafts[1:] {
		if d.Tag.Fix != presence.FreshnessReplay {
			t.Errorf("fix %v", d.Tag.Fix)
		}
		replays++
	}
	if replays != 20 || y.counts()["thinned"] != 40 || y.counts()["duplicate"] != 60 {
		t.Errorf("%d recorded of ten minutes, %v", replays, y.counts())
	}
	if got := y.hear(t, "yard", at(1, y.time)); got != "thinned" {
		t.Errorf("the next live fix, a metre from the last live one: %s", got)
	}
}

func TestCoordinates(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	float := func(f *float64) string {
		if f == nil {
			return "null"
		}
		return fmt.Sprint(*f)
	}
	rssi, snr := -99, 4.5
	for _, tc := range []struct {
		coordinates tags.Coordinates
		accuracy    float64
		want        string
	}{
		{tags.Full, 0, "-7.977712 112.634 null"},
		{tags.Full, 12, "-7.977712 112.634 12"},
		{tags.Coarse, 0, "-7.98 112.63 1000"},
		{tags.Coarse, 12, "-7.98 112.63 1000"},
		{tags.Coarse, 2900, "-7.98 112.63 2900"},
		{tags.None, 12, "null null null"},
	} {
		y := open(tuesday, tags.Options{Coordinates: tc.coordinates, Fence: fence, Simulated: true})
		fix := beacon.Fix{Tag: "reyax:50", Lat: -7.977712, Lon: officeLon, Accuracy: tc.accuracy, RSSI: &rssi, SNR: &snr}
		y.hear(t, "roof", fix)
		tag := y.last()
		if got := float(tag.Lat) + " " + float(tag.Lon) + " " + float(tag.Accuracy); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.coordinates, got, tc.want)
		}
		if want := fence.Classify(fix.Lat, fix.Lon, max(tc.accuracy, 0)); tc.accuracy != 0 && tag.Zone != want {
			t.Errorf("%s: zone %v, want that of the exact position, %v", tc.coordinates, tag.Zone, want)
		}
		if tag.Receiver != "roof" || tag.Tag != "reyax:50" || *tag.RSSI != rssi || *tag.SNR != snr || !y.drafts[0].Simulated {
			t.Errorf("recorded %+v", tag)
		}
	}
}

func TestCoarseIsCoarseWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := open(tuesday, tags.Options{Coordinates: tags.Coarse})
		fix := beacon.Fix{
			Tag: "waypoint:X",
			Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lon: rapid.Float64Range(-180, 180).Draw(t, "lon"),
			Accuracy: rapid.Float64Range(0, 5000).Draw(t, "accuracy"),
		}
		y.hear(t, "yard", fix)
		tag := y.last()
		for _, degrees := range []float64{*tag.Lat, *tag.Lon} {
			if s := fmt.Sprint(degrees); strings.Contains(s, ".") && len(s)-strings.Index(s, ".") > 3 {
				t.Fatalf("%s has more than two decimals", s)
			}
		}
		if math.Abs(*tag.Lat-fix.Lat) > 0.005001 || math.Abs(*tag.Lon-fix.Lon) > 0.005001 || *tag.Accuracy < 1000 {
			t.Fatalf("%v, %v within %v m is not %v, %v", *tag.Lat, *tag.Lon, *tag.Accuracy, fix.Lat, fix.Lon)
		}
	})
}

// What no decoder should let through would be an event that cannot be sent.
func TestImplausibleFixesAreRefused(t *testing.T) {
	nan := math.NaN()
	for _, fix := range []beacon.Fix{
		{Tag: "a", Lat: nan},
		{Tag: "a", Lon: math.Inf(1)},
		{Tag: "a", Lat: 90.1},
		{Tag: "a", Lon: -180.1},
		{Tag: "a", Accuracy: nan},
		{Tag: "a", Accuracy: -1},
		{Tag: "a", SNR: &nan},
	} {
		y := open(tuesday, tags.Options{})
		y.hear(t, "yard", fix)
		if len(y.drafts) != 0 || y.counts()["range"] != 1 {
			t.Errorf("%+v: %d recorded, %v", fix, len(y.drafts), y.counts())
		}
	}
}

func TestJournalsRefusalIsCountedAndNotFatal(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.refuse = errors.New("no space left on device")
	y.hear(t, "yard", at(0, y.time))
	y.refuse = nil
	y.time = y.time.Add(time.Minute)
	if got := y.hear(t, "yard", at(1, y.time)); got != "recorded" || y.counts()["not-recorded"] != 1 {
		t.Errorf("%s, %v", got, y.counts())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	y.refuse = fmt.Errorf("enqueue: %w", context.Canceled)
	y.time = y.time.Add(time.Minute)
	if err := y.Receive(ctx, "yard", at(2, y.time)); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: %v", err)
	}
}
