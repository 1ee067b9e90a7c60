package configured

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/config"
	"presence/gatewayd/internal/hours"
)

// week is working hours as somebody would write them: the keys mon to sun,
// break, and mon_break to sun_break.
type week map[string]string

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// drawWeek makes a week with few breaks.
func drawWeek(t *rapid.T, what string) week {
	w := week{}
	span := func(key string, latest, earliest int) {
		a, b := rapid.IntRange(0, latest).Draw(t, what+key), rapid.IntRange(earliest, 24*12).Draw(t, what+key)
		if a >= b {
			a, b = b-1, a+1
		}
		w[key] = fmt.Sprintf("%02d:%02d-%02d:%02d", a/12, a%12*5, b/12, b%12*5)
	}
	for _, day := range dayNames {
		if rapid.IntRange(0, 5).Draw(t, what+day) > 0 {
			span(day, 11*12, 13*12)
		}
		if rapid.IntRange(0, 5).Draw(t, what+day) == 0 {
			span(day+"_break", 24*12-1, 1)
		}
	}
	switch rapid.IntRange(0, 2).Draw(t, what+"break") {
	case 0:
		span("break", 24*12-1, 1)
	case 1:
		w["break"] = ""
	}
	if len(w) == 0 || !slices.ContainsFunc(dayNames, func(d string) bool { return w[d] != "" }) {
		w["mon"] = "00:00-24:00"
	}
	return w
}

// edges is each begin and end in the week, in minutes.
func (w week) edges() []int {
	var list []int
	for _, key := range slices.Sorted(maps.Keys(w)) {
		var a, b, c, d int
		if n, _ := fmt.Sscanf(w[key], "%d:%d-%d:%d", &a, &b, &c, &d); n == 4 {
			list = append(list, 60*a+b, 60*c+d)
		}
	}
	return list
}

// within tells whether a time of day lies in a span "from-to".
func within(clock, span string) bool {
	from, to, ok := strings.Cut(span, "-")
	return ok && from <= clock && clock < to
}

// open is what the words say of a time of day, without any arithmetic: texts of
// the same length are in the order of the times that they tell.
func (w week) open(usual week, day int, clock string) bool {
	name := dayNames[day]
	pause, has := "", false
	for _, where := range []week{w, usual} { // a period's breaks go first
		for _, key := range []string{name + "_break", "break"} {
			if !has {
				pause, has = where[key]
			}
		}
	}
	return within(clock, w[name]) && !within(clock, pause)
}

// TestHoursAsWritten holds the hours in force to the words that the city wrote:
// days, breaks, holidays and a period, at any instant and at each edge.
func TestHoursAsWritten(t *testing.T) {
	var zones []*time.Location
	for _, name := range []string{"Asia/Jakarta", "Asia/Jayapura", "Europe/Berlin", "America/St_Johns"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	judged, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		usual, ramadan := drawWeek(t, ""), drawWeek(t, "period ")
		first := time.Date(2027, 2, 8, 0, 0, 0, 0, time.UTC)
		date := func(days int) string { return first.AddDate(0, 0, days).Format(time.DateOnly) }
		from, to := rapid.IntRange(0, 10).Draw(t, "from"), rapid.IntRange(10, 20).Draw(t, "to")
		holiday := date(rapid.IntRange(-2, 22).Draw(t, "holiday"))

		period := maps.Clone(ramadan)
		period["from"], period["to"] = date(from), date(to)
		text := map[string]json.RawMessage{}
		for key, value := range usual {
			text[key] = encode(t, value)
		}
		text["holidays"] = encode(t, []string{holiday})
		text["period"] = encode(t, []week{period})
		h, err := config.ParseHours("policy", encode(t, text))
		if err != nil {
			if !strings.Contains(err.Error(), "not within the hours") && !strings.Contains(err.Error(), "closed on every day") {
				t.Fatal(err)
			}
			refused++
			return
		}
		judged++
		policy := hours.NewPolicy(hours.Calendar{})
		policy.Set(Calendar(zone, h))

		edges := slices.Concat(usual.edges(), ramadan.edges())
		for range 40 {
			at := rapid.OneOf(rapid.SampledFrom(edges), rapid.IntRange(0, 24*60)).Draw(t, "minute")
			local := time.Date(2027, 2, 5+rapid.IntRange(0, 27).Draw(t, "day"), 0, at, 0, 0, zone)
			for _, at := range []time.Time{local, local.Add(-time.Nanosecond)} {
				day, clock := at.Format(time.DateOnly), at.Format("15:04")
				want := usual.open(week{}, int(at.Weekday()), clock)
				if date(from) <= day && day <= date(to) {
					want = ramadan.open(usual, int(at.Weekday()), clock)
				}
				want = want && day != holiday
				if got := policy.Open(at.UTC()); got != want {
					t.Fatalf("open at %v is %v, by %s", at, got, encode(t, text))
				}
			}
		}
	})
	t.Logf("%d judged, %d refused", judged, refused)
	if judged < refused/10 {
		t.Errorf("%d weeks were judged, %d refused: that tests too little", judged, refused)
	}
}

func encode[T any](t *rapid.T, v T) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
