package month

import (
	"slices"
	"time"
)

// stretch is a stretch of time, both ends included. Zero is from ever, or for ever.
type stretch struct{ lo, hi time.Time }

// beginning and end of all times that are looked at.
func ever() (from, to time.Time) { return date(-3650), date(3650) }

// delivered are the events of a gateway that the city has, by stream.
func (o *Office) delivered() (streams [][]*Event) {
	for _, s := range o.streams {
		var here []*Event
		for _, e := range s {
			if !e.Lost {
				here = append(here, e)
			}
		}
		if len(here) > 0 {
			streams = append(streams, here)
		}
	}
	return streams
}

// neighbours are the bounds of what lies between two numbers of a stream, by what the
// city has of this gateway. With chained it goes on to another stream only over a start
// that names the one before.
func (o *Office) neighbours(stream string, from, to int, chained bool) stretch {
	lo, hi := ever()
	passed := false
	for _, s := range o.delivered() {
		if chained && s[0].Seq > 1 {
			if passed {
				break
			}
			lo, _ = ever()
		}
		for _, e := range s {
			a, b, known := e.newest().bounds()
			inside := e.Stream == stream && e.Seq >= from && e.Seq <= to
			after := passed && e.Stream != stream || e.Stream == stream && e.Seq > to
			passed = passed || e.Stream == stream
			switch {
			case !known, inside:
			case after:
				if e.Kind == "tag" { // it may have waited for the disk
					b = b.Add(2 * time.Second)
				}
				return stretch{lo, b}
			default:
				lo = a
			}
		}
	}
	return stretch{lo, hi}
}

// outages are the stretches in which a gateway may have missed a tap, as far as the city
// can see.
func (o *Office) outages() (all []stretch) {
	from, to := ever()
	last := from
	for _, s := range o.delivered() {
		var first *stretch
		end := last
		for _, e := range s {
			lo, hi, known := e.newest().bounds()
			if known && first == nil {
				if e.Kind == "tag" {
					hi = hi.Add(2 * time.Second)
				}
				first = &stretch{last, hi}
			}
			if known {
				end = lo
			}
		}
		if first != nil {
			all = append(all, *first)
		}
		last = end
	}
	all = append(all, stretch{last, to}) // nothing has come since
	for _, s := range o.streams {
		all = append(all, o.missing(s)...)
	}
	for _, f := range o.failures {
		if f.kind == deaf {
			all = append(all, stretch{f.from, f.to})
		}
	}
	return all
}

// missing are the stretches of a stream's lost numbers, and of what its gaps tell.
func (o *Office) missing(stream []*Event) (all []stretch) {
	for i := 0; i < len(stream); i++ {
		if !stream[i].Lost {
			continue
		}
		from := i
		for i+1 < len(stream) && stream[i+1].Lost {
			i++
		}
		all = append(all, o.neighbours(stream[from].Stream, stream[from].Seq, stream[i].Seq, false))
	}
	for _, e := range stream {
		first, told := e.More["first"].(time.Time)
		kinds, _ := e.More["kinds"].(map[string]int)
		if e.Kind == "gap" && !e.Lost && told && kinds["badge"] > 0 {
			last, _ := e.More["last"].(time.Time)
			all = append(all, stretch{first.Add(-time.Second), last.Add(time.Second)})
		}
	}
	return all
}

// sight is a tap as the city sees it: of a person, at a gateway, at one of these times.
type sight struct {
	office  *Office
	times   stretch
	certain bool // that it is this person's, and of one day
}

// seen are the taps of a person that can have been on a day, cut to the day.
func (p *Person) seen(events []*Event, d time.Time, dayStarts time.Duration) (all []sight) {
	begin := d.Add(dayStarts)
	end := begin.AddDate(0, 0, 1)
	for _, e := range events {
		r := e.newest()
		lo, hi, known := r.bounds()
		if !known {
			n := e.Office.neighbours(e.Stream, e.Seq, e.Seq, true)
			lo, hi = n.lo, n.hi
		}
		if hi.Before(begin) || !lo.Before(end) {
			continue
		}
		mine, surely := p.owns(e, lo, hi)
		if !mine {
			continue
		}
		s := sight{e.Office, stretch{lo, hi}, known && surely && e.More["tag_check"] == nil}
		if lo.Before(begin) || !hi.Before(end) {
			s.certain = false
			s.times.lo, s.times.hi = latest(lo, begin), earliest(hi, end.Add(-time.Microsecond))
		}
		all = append(all, s)
	}
	return all
}

// owns reports whether an event can be of a person's badge, and whether it surely is.
func (p *Person) owns(e *Event, lo, hi time.Time) (can, surely bool) {
	for _, b := range p.Badges {
		if b.Office != e.Office || b.ID != e.Badge {
			continue
		}
		from, to := ever()
		if !b.From.IsZero() {
			from = b.From
		}
		if !b.To.IsZero() {
			to = b.To
		}
		can = can || !hi.Before(from) && lo.Before(to)
		surely = surely || !lo.Before(from) && hi.Before(to)
	}
	return can, surely
}

// places are the gateways whose failures excuse a person: where he or she works, which for
// those without an office is anywhere in the department, and where a tap was on that day.
func (c *City) places(p *Person, seen []sight) (all []*Office) {
	for _, o := range c.Offices {
		if o == p.Office || p.Anywhere && p.Second == nil && o.Dinas == p.Office.Dinas {
			all = append(all, o)
		}
	}
	if p.Anywhere && p.Second != nil {
		all = nil
	}
	if p.Second != nil {
		all = append(all, p.Second)
	}
	for _, s := range seen {
		all = append(all, s.office)
	}
	slices.SortFunc(all, func(a, b *Office) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return slices.Compact(all)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// accuse counts the minutes of each day in which a tag was outside although the badge had
// been shown, as far as a gateway's events say so for certain.
func (o *Office) accuse(people []*Person) {
	for _, s := range o.delivered() {
		for i, e := range s {
			if e.More["state"] != "contradiction" {
				continue
			}
			_, begin, _ := e.newest().bounds()
			until, _, _ := s[len(s)-1].newest().bounds()
			for _, next := range s[i+1:] {
				if next.Kind == "presence" && next.Badge == e.Badge {
					until, _, _ = next.newest().bounds()
					break
				}
			}
			for _, p := range people {
				if _, surely := p.owns(e, begin, begin); surely {
					p.accused(begin, until)
				}
			}
		}
	}
}

func (p *Person) accused(from, to time.Time) {
	d := from.Truncate(24 * time.Hour)
	var sum time.Duration
	for _, span := range p.Hours(d) {
		if during := earliest(to, span.To).Sub(latest(from, span.From)); during > 0 {
			sum += during
		}
	}
	p.contradiction[d] += int(sum / time.Minute)
}
