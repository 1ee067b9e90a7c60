package hours

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// malang is where the gateways stand: UTC+7, no summer time.
func malang(t testing.TB) *time.Location { return zone(t, "Asia/Jakarta") }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// span is a span of whole minutes: span(730, 1600).
func span(start, end int) Span {
	at := func(n int) time.Duration {
		return time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
	}
	return Span{at(start), at(end)}
}

// office is a puskesmas: six days, Ramadan, two holidays, a break on Friday
// and a late Saturday.
func office(loc *time.Location) Calendar {
	usual := []Span{span(730, 1400)}
	ramadan := []Span{span(800, 1300)}
	return Calendar{
		Location: loc,
		Week: Week{
			time.Monday: usual, time.Tuesday: usual, time.Wednesday: usual, time.Thursday: usual,
			time.Friday:   {span(730, 1130), span(1300, 1600)},
			time.Saturday: {span(1800, 2400)},
		},
		Periods: []Period{{
			From: Date{2027, 2, 8}, To: Date{2027, 3, 9},
			Week: Week{time.Monday: ramadan, time.Tuesday: ramadan, time.Wednesday: ramadan, time.Thursday: ramadan, time.Saturday: ramadan},
		}},
		Holidays: []Date{{2026, 12, 25}, {2027, 2, 16}},
	}
}

// national is the working week of Perpres 21/2023: Monday to Thursday 07:30-16:00
// and Friday 07:30-16:30.
func national(loc *time.Location) Calendar {
	long := []Span{span(730, 1600)}
	return Calendar{Location: loc, Week: Week{
		time.Monday: long, time.Tuesday: long, time.Wednesday: long, time.Thursday: long, time.Friday: {span(730, 1630)},
	}}
}

func TestOpen(t *testing.T) {
	loc := malang(t)
	national, six := national(loc), office(loc)
	berlin := Calendar{Location: zone(t, "Europe/Berlin")}
	for d := range berlin.Week {
		berlin.Week[d] = []Span{span(230, 245)}
	}
	santiago := Calendar{Location: zone(t, "America/Santiago"), Week: Week{time.Sunday: {span(0, 1)}}}
	leap := Calendar{Location: loc, Periods: []Period{{
		From: Date{2028, 2, 29}, To: Date{2028, 2, 29}, Week: Week{time.Tuesday: {span(0, 2400)}},
	}}}
	for _, tt := range []struct {
		name string
		cal  Calendar
		at   string
		want bool
	}{
		{"Monday just before", national, "2026-11-23T07:29:59.999999999+07:00", false},
		{"Monday start belongs to it", national, "2026-11-23T07:30:00+07:00", true},
		{"Monday last instant", national, "2026-11-23T15:59:59.999999999+07:00", true},
		{"Monday end does not belong to it", national, "2026-11-23T16:00:00+07:00", false},
		{"the same instant told in UTC", national, "2026-11-23T00:30:00Z", true},
		{"Sunday in Malang although Monday 07:45 in Auckland", national, "2026-11-23T07:45:00+13:00", false},
		{"Friday is longer", national, "2026-11-27T16:29:00+07:00", true},
		{"Friday ends", national, "2026-11-27T16:30:00+07:00", false},
		{"Saturday", national, "2026-11-28T10:00:00+07:00", false},
		{"Sunday", national, "2026-11-29T10:00:00+07:00", false},
		{"1970, before any sync", national, "1970-01-01T07:00:00+07:00", false},

		{"before the break", six, "2026-11-27T11:29:59+07:00", true},
		{"in the break", six, "2026-11-27T11:30:00+07:00", false},
		{"after the break", six, "2026-11-27T13:00:00+07:00", true},
		{"six days: Saturday until 24:00", six, "2026-11-28T23:59:59.999999999+07:00", true},
		{"24:00 is not Sunday", six, "2026-11-29T00:00:00+07:00", false},
		{"holiday, a Friday", six, "2026-12-25T10:00:00+07:00", false},
		{"the Friday before", six, "2026-12-18T10:00:00+07:00", true},

		{"day before Ramadan is Sunday", six, "2027-02-07T10:00:00+07:00", false},
		{"first day of Ramadan begins later", six, "2027-02-08T07:45:00+07:00", false},
		{"first day of Ramadan", six, "2027-02-08T08:00:00+07:00", true},
		{"first day of Ramadan ends earlier", six, "2027-02-08T13:00:00+07:00", false},
		{"day left out of the period", six, "2027-02-12T10:00:00+07:00", false},
		{"holiday within Ramadan", six, "2027-02-16T10:00:00+07:00", false},
		{"last day of Ramadan", six, "2027-03-09T07:45:00+07:00", false},
		{"day after Ramadan", six, "2027-03-10T07:45:00+07:00", true},

		{"leap day, a Tuesday", national, "2028-02-29T10:00:00+07:00", true},
		{"day after the leap day", six, "2028-03-01T13:30:00+07:00", true},

		{"a period of one leap day", leap, "2028-02-29T00:00:00+07:00", true},
		{"the day after it", leap, "2028-03-01T00:00:00+07:00", false},

		// On 29 March 2026 Berlin's clocks jump from 02:00 to 03:00.
		{"a span that the clock jumps over, before", berlin, "2026-03-29T01:59:59+01:00", false},
		{"a span that the clock jumps over, after", berlin, "2026-03-29T03:00:00+02:00", false},
		// On 25 October 2026 they show 02:00 to 03:00 twice.
		{"a span that comes twice, once", berlin, "2026-10-25T02:30:00+02:00", true},
		{"a span that comes twice, between", berlin, "2026-10-25T02:45:00+02:00", false},
		{"a span that comes twice, again", berlin, "2026-10-25T02:30:00+01:00", true},
		{"a span that comes twice, ends", berlin, "2026-10-25T02:45:00+01:00", false},
		// On 7 May 2011 Santiago's clocks went back from midnight to 23:00.
		{"the last hour of the day, once", santiago, "2011-05-07T23:59:59-03:00", false},
		{"the last hour of the day, again", santiago, "2011-05-07T23:30:00-04:00", false},
		{"the first minute of the day that came late", santiago, "2011-05-08T00:00:00-04:00", true},

		{"zero value", Calendar{}, "2026-11-23T10:00:00Z", false},
		{"always", Calendar{Always: true, Holidays: []Date{{2026, 11, 22}}}, "2026-11-22T03:00:00Z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339Nano, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.cal.Open(at); got != tt.want {
				t.Errorf("Open(%s) = %v, want %v", tt.at, got, tt.want)
			}
		})
	}
}

// TestOpenWhereTheClockJumps walks through a spring morning whose opening hour
// does not exist: the office opens when the clock jumps.
func TestOpenWhereTheClockJumps(t *testing.T) {
	loc := zone(t, "Europe/Berlin")
	cal := Calendar{Location: loc, Week: Week{time.Sunday: {span(230, 600)}}}
	jump := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	if cal.Open(jump.Add(-1)) || !cal.Open(jump) {
		t.Errorf("open before the jump %v, after it %v; want false, true", cal.Open(jump.Add(-1)), cal.Open(jump))
	}
}
