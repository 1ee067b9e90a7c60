package config

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Hours says when tag data may be recorded.
type Hours struct {
	Always   bool     `toml:"always"`
	Week     Week     `toml:"week"` // the keys mon to sun, without the breaks
	Holidays []Date   `toml:"holidays"`
	Periods  []Period `toml:"period"` // sorted, without overlap
}

// Week is the spans of each day, by time.Weekday. A day without spans is
// closed. A break leaves two spans of a day.
type Week [7][]Span

// Span is a part of a day, as the wall clock shows it: from Start until just
// before End, both counted from midnight. End is at most 24 hours.
type Span struct {
	Start, End time.Duration
}

// Period is a part of the year with a week of its own, such as Ramadan. Both
// ends belong to it.
type Period struct {
	From Date `toml:"from"`
	To   Date `toml:"to"`
	Week Week `toml:"week"` // the keys mon to sun, without the breaks
}

// Date is a day of the calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// String is the date as 2026-12-25.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// Compare is below, at or above zero as d is before, equal to or after e.
func (d Date) Compare(e Date) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day))
}

// nationalWeek is the working week of Perpres 21/2023: five days from 07:30,
// 37.5 hours without the breaks.
func nationalWeek() Week {
	long := []Span{{7*time.Hour + 30*time.Minute, 16 * time.Hour}}
	friday := []Span{{7*time.Hour + 30*time.Minute, 16*time.Hour + 30*time.Minute}}
	return Week{time.Monday: long, time.Tuesday: long, time.Wednesday: long, time.Thursday: long, time.Friday: friday}
}

// dayKeys are the keys of a week, by time.Weekday.
func dayKeys() [7]string { return [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

func readHours(t *table, present, receivers bool) Hours {
	h := Hours{Always: t.flag("always")}
	usual := readBreaks(t, breaks{})
	week, days := readWeek(t)
	if !days {
		week = nationalWeek()
	}
	h.Week = usual.cut(t, week)
	h.Holidays = readHolidays(t)
	h.Periods = readPeriods(t.tables("period"), usual)
	if !present || h.Always || !receivers || t.broken("always") {
		return h
	}
	switch {
	case !days && !t.has("holidays") && !t.has("period") && !t.has("break"):
		t.doc.report(t.line, t.path, `has no day, so nothing of the tags would be recorded: write mon = "07:30-16:00" and so on, or delete [hours] for the national week, or write always = true`)
	case days && h.closed() && !t.broken(append(weekKeys(), "period")...):
		t.doc.report(t.line, t.path, `is closed on every day, so nothing of the tags would be recorded: write mon = "07:30-16:00" and so on, or always = true`)
	}
	return h
}

// closed reports whether no day ever is open.
func (h Hours) closed() bool {
	for _, p := range h.Periods {
		if !p.Week.closed() {
			return false
		}
	}
	return h.Week.closed()
}

func (w Week) closed() bool {
	for _, spans := range w {
		if len(spans) > 0 {
			return false
		}
	}
	return true
}

func weekKeys() []string {
	keys := dayKeys()
	return keys[:]
}

// readWeek reads the keys mon to sun. Days is whether any of them is there.
func readWeek(t *table) (w Week, days bool) {
	for i, key := range dayKeys() {
		days = days || t.has(key)
		s := t.text(key, "")
		if s == "" {
			continue
		}
		if span, ok := t.span(key, s); ok {
			w[i] = []Span{span}
		}
	}
	return w, days
}

// span is the span of hours that a key holds; false if it is none.
func (t *table) span(key, s string) (Span, bool) {
	span, ok := parseSpan(s)
	switch {
	case !ok:
		t.problem(key, `%s is no span of hours: write it such as "07:30-16:00" (24:00 is the end of the day, "" is none)`, show(s))
	case span.End <= span.Start:
		t.problem(key, "%s ends before it begins: the end must be later on the same day", show(s))
		ok = false
	}
	return span, ok
}

// breaks is the break of each day, by time.Weekday; the zero Span is none.
type breaks [7]Span

// breakKey is the key of one day's break.
func breakKey(day string) string { return day + "_break" }

// readBreaks reads the key break, which is for all days, and mon_break to
// sun_break. Where a table has none for a day, the one from around it holds.
func readBreaks(t *table, around breaks) breaks {
	b := around
	if s, there := t.spanOrNone("break"); there {
		for i := range b {
			b[i] = s
		}
	}
	for i, day := range dayKeys() {
		if s, there := t.spanOrNone(breakKey(day)); there {
			b[i] = s
		}
	}
	return b
}

// spanOrNone is a span of hours, or the zero Span for "". It is not there if the
// key is missing or wrong.
func (t *table) spanOrNone(key string) (s Span, there bool) {
	text := t.text(key, "")
	if !t.has(key) || t.broken(key) {
		return Span{}, false
	}
	if text == "" {
		return Span{}, true
	}
	return t.span(key, text)
}

// cut takes the breaks out of a week, and reports those of the table that no
// day has.
func (b breaks) cut(t *table, w Week) Week {
	var out Week
	used := false // by a day that has none of its own
	for i, day := range dayKeys() {
		for _, s := range w[i] {
			out[i] = append(out[i], s.without(b[i])...)
		}
		changed := !slices.Equal(out[i], w[i])
		key := breakKey(day)
		switch {
		case !t.has(key):
			used = used || changed
		case !changed && b[i] != Span{} && !t.broken(day, key):
			t.problem(key, "%s is not within the hours of that day: correct one of the two, or delete it", show(t.values[key].text))
		}
	}
	if v := t.values["break"]; v != nil && v.text != "" && !used && !t.broken(append(weekKeys(), "break")...) {
		t.problem("break", "%s is not within the hours of any day: correct one of them, or delete it", show(v.text))
	}
	return out
}

// without is what a break leaves of a span.
func (s Span) without(pause Span) []Span {
	if pause.End <= s.Start || s.End <= pause.Start {
		return []Span{s}
	}
	var rest []Span
	if s.Start < pause.Start {
		rest = append(rest, Span{s.Start, pause.Start})
	}
	if pause.End < s.End {
		rest = append(rest, Span{pause.End, s.End})
	}
	return rest
}

// parseSpan reads "07:30-16:00".
func parseSpan(s string) (Span, bool) {
	if len(s) != len("07:30-16:00") || s[5] != '-' {
		return Span{}, false
	}
	start, ok1 := parseClock(s[:5])
	end, ok2 := parseClock(s[6:])
	return Span{Start: start, End: end}, ok1 && ok2 && start < day
}

// parseClock reads "07:30" up to "24:00".
func parseClock(s string) (time.Duration, bool) {
	for i, c := range []byte(s) {
		if i == 2 && c != ':' || i != 2 && (c < '0' || c > '9') {
			return 0, false
		}
	}
	hours, minutes := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	at := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	return at, minutes < 60 && at <= day
}

func readHolidays(t *table) []Date {
	want := say("a list of dates, such as [2026-12-25, 2027-01-01]")
	v := t.get("holidays", want, unstable.Array)
	if v == nil {
		return nil
	}
	var list []Date
	for _, item := range v.items {
		if item.kind != unstable.String && item.kind != unstable.LocalDate {
			t.doc.report(item.line, join(t.path, "holidays"), "holds %s: write %s", item.describe(), want)
			continue
		}
		d, ok := parseDate(item.text)
		if !ok {
			t.doc.report(item.line, join(t.path, "holidays"), "%s is no date: write it such as 2026-12-25", show(item.text))
			continue
		}
		list = append(list, d)
	}
	return list
}

// parseDate reads 2026-12-25.
func parseDate(s string) (Date, bool) {
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, false
	}
	return Date{Year: at.Year(), Month: at.Month(), Day: at.Day()}, true
}

// date is a required date; false if it is missing or wrong.
func (t *table) date(key string) (Date, bool) {
	v := t.get(key, say("a date, such as 2027-02-08"), unstable.String, unstable.LocalDate)
	if v == nil {
		if !t.has(key) {
			t.problem(key, "is missing: write %s = 2027-02-08", key)
		}
		return Date{}, false
	}
	d, ok := parseDate(v.text)
	if !ok {
		t.problem(key, "%s is no date: write it such as 2027-02-08", show(v.text))
	}
	return d, ok
}

func readPeriods(tables []*table, usual breaks) []Period {
	type placed struct {
		Period
		t *table
	}
	var list []placed
	for _, t := range tables {
		p := placed{t: t}
		var ok1, ok2 bool
		p.From, ok1 = t.date("from")
		p.To, ok2 = t.date("to")
		week, days := readWeek(t)
		p.Week = readBreaks(t, usual).cut(t, week)
		if !days {
			t.doc.report(t.line, t.path, `has no day: write mon = "08:00-15:00" and so on; for closed days use holidays`)
		}
		if !ok1 || !ok2 {
			continue
		}
		if p.From.Compare(p.To) > 0 {
			t.problem("to", "%v is before from = %v: exchange the two", p.To, p.From)
			continue
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b placed) int { return a.From.Compare(b.From) })
	var periods []Period
	var last placed // the one that ends last so far
	for i, p := range list {
		if i > 0 && p.From.Compare(last.To) <= 0 {
			later, earlier := p, last
			if later.t.line < earlier.t.line {
				later, earlier = earlier, later
			}
			later.t.problem("from", "overlaps with the period of line %d (%v to %v): a day belongs to one period", earlier.t.line, earlier.From, earlier.To)
		}
		if i == 0 || p.To.Compare(last.To) > 0 {
			last = p
		}
		periods = append(periods, p.Period)
	}
	return periods
}
