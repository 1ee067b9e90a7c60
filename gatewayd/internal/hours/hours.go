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

// National is the working week of Perpres 21/2023: Monday to Thursday
// 07:30-16:00 and Friday 07:30-16:30.
func National(loc *time.Location) Calendar {
	long := []Span{{7*time.Hour + 30*time.Minute, 16 * time.Hour}}
	friday := []Span{{7*time.Hour + 30*time.Minute, 16*time.Hour + 30*time.Minute}}
	return Calendar{Location: loc, Week: Week{
		time.Monday: long, time.Tuesday: long, time.Wednesday: long, time.Thursday: long, time.Friday: friday,
	}}
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

// horizon is how far Next looks ahead, in days.
const horizon = 2 * 366

// Next is the first instant after t at which the office opens or closes, or
// the zero time if there is none within two years.
func (c Calendar) Next(t time.Time) time.Time {
	if c.Always {
		return time.Time{}
	}
	open := c.Open(t)
	from := t.UTC().Truncate(24 * time.Hour)
	for range horizon {
		to := from.Add(24 * time.Hour)
		for _, at := range c.turns(from, to) {
			if at.After(t) && c.Open(at) != open {
				return at.In(c.location())
			}
		}
		from = to
	}
	return time.Time{}
}

// turns is every instant in [from, to), in order, at which Open can change:
// where the wall clock shows the begin or the end of a span, and where the wall
// clock itself jumps. Some of them change nothing.
func (c Calendar) turns(from, to time.Time) []time.Time {
	var list []time.Time
	// Within one stretch the zone's offset is constant.
	for start := from; start.Before(to); {
		local := start.In(c.location())
		_, offset := local.Zone()
		_, end := local.ZoneBounds()
		if end.IsZero() || end.After(to) {
			end = to
		}
		list = append(list, start)
		shift := time.Duration(offset) * time.Second
		// The wall clock of this stretch, as if it were UTC.
		wallStart, wallEnd := start.UTC().Add(shift), end.UTC().Add(shift)
		for midnight := wallStart.Truncate(24 * time.Hour); midnight.Before(wallEnd); midnight = midnight.Add(24 * time.Hour) {
			year, month, day := midnight.Date()
			for _, s := range c.spans(Date{year, month, day}) {
				for _, edge := range []time.Duration{s.Start, s.End} {
					if at := midnight.Add(edge - shift); !at.Before(start) && at.Before(end) {
						list = append(list, at)
					}
				}
			}
		}
		start = end
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
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
