package hours

import (
	"cmp"
	"slices"
	"time"
)

// Span is a part of a day as the wall clock shows it: from Start until just
// before End, both counted from midnight. An End of 24 hours is the end of the
// day.
type Span struct {
	Start, End time.Duration
}

// Week is the spans of each day, by time.Weekday. A day without spans is
// closed.
type Week [7][]Span

// Date is a day of the calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Compare is below, at or above zero as d is before, equal to or after e.
func (d Date) Compare(e Date) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day))
}

// Period is a part of the year with a week of its own. Both ends belong to it.
type Period struct {
	From, To Date
	Week     Week
}

// Calendar says when an office is open. Its zero value is closed for ever,
// which errs on the side of privacy. A Calendar may be copied and used by
// several goroutines as long as nobody changes it.
type Calendar struct {
	Location *time.Location // whose wall clock counts; nil is UTC
	Always   bool           // open at any time, whatever the rest says
	Week     Week           // the usual week
	Periods  []Period       // of several that hold the same day, the first counts
	Holidays []Date         // closed, also within periods
}

// Open reports whether the office is open at an instant. What counts is the
// wall clock: an hour that it shows twice, when summer time ends, is open
// twice.
func (c Calendar) Open(t time.Time) bool {
	if c.Always {
		return true
	}
	local := t.In(c.location())
	year, month, day := local.Date()
	wall := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
		time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	for _, s := range c.spans(Date{year, month, day}) {
		if s.Start <= wall && wall < s.End {
			return true
		}
	}
	return false
}

// spans is when the office is open on a day.
func (c Calendar) spans(d Date) []Span {
	if slices.Contains(c.Holidays, d) {
		return nil
	}
	week := &c.Week
	for i := range c.Periods {
		if p := &c.Periods[i]; p.From.Compare(d) <= 0 && d.Compare(p.To) <= 0 {
			week = &p.Week
			break
		}
	}
	return week[time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Weekday()]
}

func (c Calendar) location() *time.Location {
	if c.Location == nil {
		return time.UTC
	}
	return c.Location
}
