package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/config"
)

// TestHoursAreThoseOfTheGateways: of whatever a gateway takes as hours, the database makes
// the same hours of each day.
func TestHoursAreThoseOfTheGateways(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		body := drawHours(t)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		hours, err := config.ParseHours("hours", text)
		if err != nil {
			return // a break that lies in no day, or an office that is never open
		}
		taken++
		var problem *string
		if err := o.owner.QueryRow(o.t.Context(), "select people.load_hours('', '', '2023-01-01', $1::text::jsonb)", string(text)).Scan(&problem); err != nil {
			t.Fatal(err)
		}
		if problem != nil {
			t.Fatalf("of %s it says %s", text, *problem)
		}
		for d := time.Date(2027, 2, 5, 0, 0, 0, 0, time.UTC); d.Before(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)); d = d.AddDate(0, 0, 1) {
			var got string
			if err := o.owner.QueryRow(o.t.Context(), "select people.spans_of(people.hours_of('dinkes', 'dinkes-01', $1), $1)::text", d).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if want := spansOf(hours, d); got != want {
				t.Fatalf("on %s of %s: %s, the gateway has %s", d.Format("Mon "+time.DateOnly), text, got, want)
			}
		}
	})
	if taken < 10 {
		t.Errorf("gateways take %d of these hours: that tests too little", taken)
	}
}

// spansOf is what a gateway makes of a day, as PostgreSQL writes it.
func spansOf(h config.Hours, d time.Time) string {
	day := config.Date{Year: d.Year(), Month: d.Month(), Day: d.Day()}
	week := h.Week
	for _, p := range h.Periods {
		if p.From.Compare(day) <= 0 && day.Compare(p.To) <= 0 {
			week = p.Week
			break
		}
	}
	for _, holiday := range h.Holidays {
		if holiday == day {
			return "{}"
		}
	}
	var spans []string
	for _, s := range week[d.Weekday()] {
		spans = append(spans, fmt.Sprintf(`["%s","%s")`, d.Add(s.Start).Format(time.DateTime), d.Add(s.End).Format(time.DateTime)))
	}
	return "{" + strings.Join(spans, ",") + "}"
}

// drawHours draws a document with a week, breaks, holidays and two periods.
func drawHours(t *rapid.T) map[string]any {
	body := drawWeek(t, "usual")
	date := func(what string, least, most int) string {
		return time.Date(2027, 2, rapid.IntRange(least, most).Draw(t, what), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	body["holidays"] = []string{date("holiday", 5, 28)}
	first, second := drawWeek(t, "first"), drawWeek(t, "second")
	first["from"], first["to"] = date("from", 6, 9), date("to", 10, 14)
	second["from"], second["to"] = date("from", 15, 17), date("to", 18, 25)
	body["period"] = []any{second, first}
	return body
}

func drawWeek(t *rapid.T, what string) map[string]any {
	week := make(map[string]any)
	clock := func(least, most int) string {
		n := rapid.IntRange(least, most).Draw(t, what)
		return fmt.Sprintf("%02d:%02d", n/4, n%4*15)
	}
	for _, day := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
		if rapid.IntRange(0, 4).Draw(t, what) > 0 {
			week[day] = clock(0, 46) + "-" + clock(52, 96)
		}
		switch rapid.IntRange(0, 8).Draw(t, what) {
		case 0:
			week[day+"_break"] = ""
		case 1:
			if week[day] != nil {
				week[day+"_break"] = clock(44, 48) + "-" + clock(49, 60)
			}
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, what) {
	case 0:
		week["break"] = ""
	case 1:
		week["break"] = clock(46, 48) + "-" + clock(49, 56)
	}
	return week
}

// TestHoursThatNobodyCouldRead are refused with what is wrong.
func TestHoursThatNobodyCouldRead(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for body, want := range map[string]string{
		`[]`:                                 "no JSON object",
		`{"mon":"7:30-16:00"}`:               "no span of hours",
		`{"mon":"16:00-07:30"}`:              "no span of hours",
		`{"mon":"07:30-25:00"}`:              "no span of hours",
		`{"monday":"07:30-16:00"}`:           "monday is no key of hours",
		`{"holidays":["2026-02-30"]}`:        "no date",
		`{"holidays":"2026-12-25"}`:          "are lists",
		`{"period":[{"mon":"08:00-15:00"}]}`: "needs from and to",
		`{"period":[3]}`:                     "a period is an object",
		`{"period":[{"from":"2027-02-08","to":"2027-02-07","mon":"08:00-15:00"}]}`:                                                             "from is not after to",
		`{"period":[{"from":"2027-02-08","to":"2027-02-09"}]}`:                                                                                 "has no day",
		`{"period":[{"from":"2027-02-08","to":"2027-02-09","mon":"08:00-15:00"},{"from":"2027-02-09","to":"2027-02-10","mon":"08:00-15:00"}]}`: "periods overlap",
		`{"break":"12:00"}`: "no span of hours",
	} {
		code, _, errs := o.run("load-hours", "--since", "2023-01-01", o.file("wrong.json", body))
		if code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %q, want %q", body, code, errs, want)
		}
	}
	if n := o.number("select count(*) from people.hours"); n != 0 {
		t.Errorf("%d of them were loaded", n)
	}
}
