package month

import (
	"encoding/json"
	"fmt"
	"time"
)

// Span is a stretch of time by the wall clock, without its end.
type Span struct{ From, To time.Time }

// Hours are those of a day: what is between breaks.
type Hours []Span

// Works reports whether anybody works on that day.
func (h Hours) Works() bool { return len(h) > 0 }

// Opens is the begin of the day's work.
func (h Hours) Opens() time.Time { return h[0].From }

// Closes is its end.
func (h Hours) Closes() time.Time { return h[len(h)-1].To }

// HoursFile is a document with hours, as gateways get it.
type HoursFile struct {
	Dinas, Gateway string
	Since          time.Time
	Body           string
}

// HoursFiles are the documents of the city: one for all, with Ramadan and holidays; a
// department that works six days; one that begins earlier from the 18th on; and a gateway
// with hours of its own.
func (c *City) HoursFiles() []HoursFile {
	const rest = `"break":"12:00-13:00","fri_break":"11:30-13:00","holidays":["2024-03-11","2024-03-29"],
		"period":[{"from":"2024-03-12","to":"2024-04-09","mon":"08:00-15:00","tue":"08:00-15:00","wed":"08:00-15:00","thu":"08:00-15:00","fri":"08:00-15:30",
			"break":"12:00-12:30","fri_break":"11:30-12:30"%s}]}`
	week := `{"mon":"07:30-16:00","tue":"07:30-16:00","wed":"07:30-16:00","thu":"07:30-16:00","fri":"07:30-16:30",%s` + rest
	files := []HoursFile{
		{Since: date(1).AddDate(-1, 0, 0), Body: fmt.Sprintf(week, "", "")},
		{Dinas: "d01", Since: date(1).AddDate(-1, 0, 0), Body: fmt.Sprintf(week, `"sat":"07:30-12:00",`, `,"sat":"08:00-11:30"`)},
		{Dinas: "d02", Since: date(1).AddDate(-1, 0, 0), Body: fmt.Sprintf(week, "", "")},
		{Dinas: "d02", Since: date(18), Body: `{"mon":"07:00-14:30","tue":"07:00-14:30","wed":"07:00-14:30","thu":"07:00-14:30","fri":"07:00-14:30","break":"12:00-12:30","fri_break":"11:30-12:30","holidays":["2024-03-29"]}`},
	}
	if len(c.Offices) > 3 {
		files = append(files, HoursFile{
			Dinas: c.Offices[3].Dinas, Gateway: c.Offices[3].ID, Since: date(1),
			Body: `{"mon":"09:00-17:00","tue":"09:00-17:00","wed":"09:00-17:00","thu":"09:00-17:00","fri":"09:00-17:00","holidays":["2024-03-11","2024-03-29"]}`,
		})
	}
	for _, f := range files {
		if !json.Valid([]byte(f.Body)) {
			panic("a document with hours is no JSON: " + f.Body)
		}
	}
	return files
}

// HoursOf says the same in Go.
func HoursOf(o *Office, d time.Time) Hours {
	day, weekday := d.Day(), d.Weekday()
	ramadan, friday := day >= 12, weekday == time.Friday
	at := func(clock string) time.Time {
		t, err := time.Parse("15:04", clock)
		if err != nil {
			panic(err)
		}
		return d.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
	}
	spans := func(clocks ...string) (h Hours) {
		for i := 0; i < len(clocks); i += 2 {
			h = append(h, Span{at(clocks[i]), at(clocks[i+1])})
		}
		return h
	}
	own := o.ID == "d03-003"
	switch {
	case weekday == time.Sunday, day == 29:
		return nil
	case weekday == time.Saturday && o.Dinas != "d01":
		return nil
	case own && day == 11:
		return nil
	case own:
		return spans("09:00", "17:00")
	case o.Dinas == "d02" && day >= 18 && friday:
		return spans("07:00", "11:30", "12:30", "14:30")
	case o.Dinas == "d02" && day >= 18:
		return spans("07:00", "12:00", "12:30", "14:30")
	case day == 11:
		return nil
	case weekday == time.Saturday && ramadan:
		return spans("08:00", "11:30")
	case weekday == time.Saturday:
		return spans("07:30", "12:00")
	case ramadan && friday:
		return spans("08:00", "11:30", "12:30", "15:30")
	case ramadan:
		return spans("08:00", "12:00", "12:30", "15:00")
	case friday:
		return spans("07:30", "11:30", "13:00", "16:30")
	}
	return spans("07:30", "12:00", "13:00", "16:00")
}

// Hours are a person's: those of the usual office, or of the department.
func (p *Person) Hours(d time.Time) Hours {
	if p.Anywhere {
		return HoursOf(&Office{Dinas: p.Office.Dinas}, d)
	}
	return HoursOf(p.Office, d)
}
