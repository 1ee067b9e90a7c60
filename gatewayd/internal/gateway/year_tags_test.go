package gateway

import (
	"fmt"
	"math"
	"time"
)

// frame is a report of a tag.
type frame struct {
	tag      string
	lat, lon float64
	at       time.Time
}

func (f *frame) key() string { return fmt.Sprintf("%s@%d", f.tag, f.at.Unix()) }

type tagTrace struct {
	at       time.Time // of the last record
	fix      time.Time // of the last report
	lat, lon float64
}

// heard notes a valid report that the port took.
func (tr *truth) heard(f *frame) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c := &tr.w.life.counts
	c.frames++
	if tr.w.machine.polled.IsZero() {
		if len(tr.held) >= 1000 {
			c.bad["held-back"]++
			tr.held = tr.held[1:]
		}
		tr.held = append(tr.held, f)
		return
	}
	tr.decide(f, c)
}

// released decides on what waited for the time to be known.
func (tr *truth) released() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, f := range tr.held {
		tr.decide(f, &tr.w.life.counts)
	}
	tr.held = nil
}

func (tr *truth) decide(f *frame, c *counts) {
	if !openAt(f.at.In(tr.w.office)) {
		c.outside++
		return
	}
	before, known := tr.tags[f.tag]
	if known && f.at.Equal(before.fix) {
		c.duplicates++
		return
	}
	since := f.at.Sub(before.at)
	moved := metres(before.lat, before.lon, f.lat, f.lon)
	if known && since < 10*time.Minute && !(since >= 30*time.Second && moved >= 25) {
		c.thinned++
		before.fix = f.at
		tr.tags[f.tag] = before
		return
	}
	c.records++
	tr.tags[f.tag] = tagTrace{f.at, f.at, f.lat, f.lon}
	tr.byFix[f.key()] = f
	tr.waiting[f.key()] = f.at
}

// edge tells whether a report would be so close to a limit that a crystal decides
// what becomes of it.
func (tr *truth) edge(f *frame) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	near := func(d, limit time.Duration) bool { return (d - limit).Abs() < 15*time.Second }
	local := f.at.In(tr.w.office)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, tr.w.office)
	from, to := hoursOf(local.Weekday())
	if near(local.Sub(midnight), from) || near(local.Sub(midnight), to) {
		return true
	}
	before, known := tr.tags[f.tag]
	for _, h := range tr.held {
		if h.tag == f.tag {
			before, known = tagTrace{at: h.at}, true // any of them may be the one that is recorded
			if near(f.at.Sub(before.at), 10*time.Minute) {
				return true
			}
		}
	}
	since := f.at.Sub(before.at)
	return known && (near(since, 10*time.Minute) || near(since, 30*time.Second))
}

// hoursOf are the working hours of the configuration below.
func hoursOf(day time.Weekday) (from, to time.Duration) {
	switch day {
	case time.Saturday, time.Sunday:
		return 0, 0
	case time.Friday:
		return 7*time.Hour + 30*time.Minute, 16*time.Hour + 30*time.Minute
	}
	return 7*time.Hour + 30*time.Minute, 16 * time.Hour
}

func openAt(local time.Time) bool {
	from, to := hoursOf(local.Weekday())
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	return since >= from && since < to
}

// metres is the distance of two positions that are close to each other.
func metres(lat1, lon1, lat2, lon2 float64) float64 {
	const degree = 111_195
	return math.Hypot((lat2-lat1)*degree, (lon2-lon1)*degree*math.Cos(lat1*math.Pi/180))
}
