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
	Week     Week     `toml:"week"` // the keys mon to sun
	Holidays []Date   `toml:"holidays"`
	Periods  []Period `toml:"period"` // sorted, without overlap
}

// Week is the spans of each day, by time.Weekday. A day without spans is
// closed.
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
	Week Week `toml:"week"` // the keys mon to sun
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
	week, days := readWeek(t)
	h.Holidays = readHolidays(t)
	h.Periods = readPeriods(t.tables("period"))
	h.Week = week
	if !days {
		h.Week = nationalWeek()
	}
	if !present || h.Always || !receivers || t.broken("always") {
		return h
	}
	switch {
	case !days && !t.has("holidays") && !t.has("period"):
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
		span, ok := parseSpan(s)
		switch {
		case !ok:
			t.problem(key, `%s is no span of hours: write it such as "07:30-16:00" (24:00 is the end of the day, "" is closed)`, show(s))
		case span.End <= span.Start:
			t.problem(key, "%s ends before it begins: the end must be later on the same day", show(s))
		default:
			w[i] = []Span{span}
		}
	}
	return w, days
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
	const want = "a list of dates, such as [2026-12-25, 2027-01-01]"
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
	v := t.get(key, "a date, such as 2027-02-08", unstable.String, unstable.LocalDate)
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

func readPeriods(tables []*table) []Period {
	type placed struct {
		Period
		t *table
	}
	var list []placed
	for _, t := range tables {
		p := placed{t: t}
		var days, ok1, ok2 bool
		p.From, ok1 = t.date("from")
		p.To, ok2 = t.date("to")
		p.Week, days = readWeek(t)
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
