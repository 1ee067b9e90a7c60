package month

import (
	"math"
	"time"
)

// attempt is that somebody showed a badge.
type attempt struct {
	person    *Person
	office    *Office
	at        time.Time // truly
	revisions []Revision
	doubt     string // what the tag check of the gateway says: far, conflict or nothing
	bySomeone bool   // another one held the badge to the reader
	refused   bool   // the lamp was red
}

// saying is that a gateway said something of a person: on_site, contradiction.
type saying struct {
	person *Person
	at     time.Time
	state  string
}

// failure is that a gateway did not do its work.
type failure struct {
	kind     string
	from, to time.Time
}

const errorMS = 20 // of a clock that is synchronised

// scene is how a person's day can be.
type scene struct {
	name   string
	weight int
	play   func(c *City, p *Person, d time.Time, h Hours)
}

// scenes are all of them. What is between the two ends of a day is the same for many, so
// most are of one end.
func scenes() []scene {
	return append([]scene{
		{"ordinary", 60, func(c *City, p *Person, d time.Time, h Hours) { c.come(p, h); c.leave(p, h) }},
		{"nobody came", 3, func(*City, *Person, time.Time, Hours) {}},
		{"only in the evening", 1, func(c *City, p *Person, _ time.Time, h Hours) { c.leave(p, h) }},
		{"forgot to leave", 2, func(c *City, p *Person, _ time.Time, h Hours) { c.come(p, h) }},
		{"several taps", 3, func(c *City, p *Person, _ time.Time, h Hours) {
			c.come(p, h)
			for range 3 {
				at := h.Opens().Add(c.between(time.Hour, 5*time.Hour))
				c.tap(p, p.Office, at, c.synced(at, errorMS))
			}
			c.leave(p, h)
		}},
		{"left after midnight", 1, func(c *City, p *Person, d time.Time, h Hours) {
			c.come(p, h)
			at := d.Add(24*time.Hour + c.between(time.Minute, 2*time.Hour))
			c.tap(p, p.Office, at, c.synced(at, errorMS))
		}},
		{"left about midnight", 1, func(c *City, p *Person, d time.Time, h Hours) {
			c.come(p, h)
			at := d.Add(24*time.Hour + c.between(-time.Minute, time.Minute))
			c.tap(p, p.Office, at, []Revision{bounded(0, at.Add(-c.between(0, time.Hour)), time.Hour)})
		}},
		{"at the second office", 3, func(c *City, p *Person, _ time.Time, h Hours) {
			c.come(p, h)
			if p.Second == nil {
				c.leave(p, h)
				return
			}
			at := h.Closes().Add(c.between(-20*time.Minute, 30*time.Minute))
			c.tap(p, p.Second, at, c.synced(at, errorMS))
		}},
		{"excused", 4, func(c *City, p *Person, d time.Time, h Hours) {
			kinds := []string{"cuti", "dinas-luar", "sakit", "wfa"}
			p.Notes = append(p.Notes, Note{Day: d, Kind: kinds[c.random.IntN(len(kinds))]})
			if c.random.IntN(3) == 0 {
				c.comeLate(p, h, c.between(0, 2*time.Hour), errorMS)
			}
		}},
		{"entered by hand", 3, func(c *City, p *Person, d time.Time, h Hours) {
			which := c.random.IntN(3)
			if which != 0 {
				p.Notes = append(p.Notes, Note{Day: d, Kind: "manual-in", At: h.Opens().Add(c.between(-time.Hour, time.Hour)).Truncate(time.Second)})
			} else {
				c.come(p, h)
			}
			if which != 1 {
				p.Notes = append(p.Notes, Note{Day: d, Kind: "manual-out", At: h.Closes().Add(c.between(-time.Hour, time.Hour)).Truncate(time.Second)})
			} else {
				c.leave(p, h)
			}
		}},
		{"accepted", 1, func(c *City, p *Person, d time.Time, h Hours) {
			p.Notes = append(p.Notes, Note{Day: d, Kind: "accepted"})
			c.comeUncertain(p, h.Opens().Add(time.Duration(c.random.IntN(40))*time.Second), 20*time.Minute)
			c.leave(p, h)
		}},
		{"early", 6, func(c *City, p *Person, _ time.Time, h Hours) { c.come(p, h); c.leaveEarly(p, h) }},
		{"tag elsewhere", 3, func(c *City, p *Person, _ time.Time, h Hours) { c.tagElsewhere(p, h) }},
		{"contradiction", 2, func(c *City, p *Person, _ time.Time, h Hours) { c.contradict(p, h) }},
	}, arrivals()...)
}

// arrivals are the scenes about when somebody came, and how well the gateway knew that.
func arrivals() (all []scene) {
	add := func(name string, weight int, play func(c *City, p *Person, h Hours)) {
		all = append(all, scene{name, weight, func(c *City, p *Person, _ time.Time, h Hours) { play(c, p, h); c.leave(p, h) }})
	}
	for _, s := range []float64{29, 29.5, 30, 30.5, 31, 31.5} {
		add("late by some 30 s", 1, func(c *City, p *Person, h Hours) {
			c.comeLate(p, h, time.Duration(math.Round(s*1000))*time.Millisecond, errorMS*c.random.IntN(2))
		})
	}
	add("late by a rule's edge", 2, func(c *City, p *Person, h Hours) {
		edges := []time.Duration{1801 * time.Second, 3601 * time.Second, 5401 * time.Second}
		c.comeLate(p, h, edges[c.random.IntN(3)]+c.between(-time.Second, time.Second), errorMS)
	})
	add("late", 5, func(c *City, p *Person, h Hours) { c.comeLate(p, h, c.between(time.Minute, 3*time.Hour), errorMS) })
	add("after the hours", 1, func(c *City, p *Person, h Hours) {
		c.comeLate(p, h, h.Closes().Sub(h.Opens())+c.between(0, 10*time.Minute), errorMS)
	})
	add("corrected", 4, func(c *City, p *Person, h Hours) {
		at := h.Opens().Add(31*time.Second + c.between(-10*time.Second, 10*time.Second))
		c.tap(p, p.Office, at, []Revision{unsynced(), c.say(1, "corrected", at, 5000)})
	})
	add("bounded", 4, func(c *City, p *Person, h Hours) {
		c.comeUncertain(p, h.Opens().Add(c.between(-30*time.Minute, 30*time.Minute)), c.between(time.Second, 40*time.Minute))
	})
	add("unsynced", 2, func(c *City, p *Person, h Hours) {
		at := h.Opens().Add(c.between(-10*time.Minute, 10*time.Minute))
		c.tap(p, p.Office, at, []Revision{unsynced()})
	})
	add("revision 1 comes first", 2, func(c *City, p *Person, h Hours) {
		at := h.Opens().Add(c.between(-20*time.Minute, 40*time.Minute))
		c.tap(p, p.Office, at, []Revision{c.say(1, "corrected", at, 100), bounded(0, at.Add(-time.Hour), 2*time.Hour)})
	})
	add("revision 2 moves it over the limit", 2, func(c *City, p *Person, h Hours) {
		at, false0 := h.Opens().Add(10*time.Minute), h.Opens().Add(-10*time.Minute)
		if c.random.IntN(2) == 0 {
			at, false0 = false0, at
		}
		c.tap(p, p.Office, at, []Revision{c.say(0, "synced", false0, errorMS), bounded(1, at.Add(-time.Hour), 2*time.Hour), c.say(2, "corrected", at, 150)})
	})
	return all
}

// live plays a day of a person.
func (c *City) live(p *Person, d time.Time, h Hours) {
	if lost := p.Badges[0].To; lost.Truncate(24*time.Hour).Equal(d) && c.random.IntN(2) == 0 {
		c.comeUncertain(p, lost.Add(-time.Second), 20*time.Minute) // with the badge that is lost a moment later
		c.leave(p, h)
		return
	}
	all := scenes()
	total := 0
	for _, s := range all {
		total += s.weight
	}
	n := c.random.IntN(total)
	for _, s := range all {
		if n -= s.weight; n < 0 {
			s.play(c, p, d, h)
			return
		}
	}
}

// tap shows a person's badge.
func (c *City) tap(p *Person, o *Office, at time.Time, revisions []Revision) *attempt {
	a := &attempt{person: p, office: o, at: at, revisions: revisions}
	o.attempts = append(o.attempts, a)
	return a
}

func (c *City) come(p *Person, h Hours) {
	at := h.Opens().Add(c.between(-40*time.Minute, -time.Minute))
	c.tap(p, p.Office, at, c.synced(at, errorMS))
}

func (c *City) comeLate(p *Person, h Hours, by time.Duration, errorMS int) {
	at := h.Opens().Add(by)
	c.tap(p, p.Office, at, c.synced(at, errorMS))
}

// comeUncertain comes at a time that is known only within a stretch.
func (c *City) comeUncertain(p *Person, at time.Time, within time.Duration) {
	c.tap(p, p.Office, at, []Revision{bounded(0, at.Add(-c.between(0, within)), within)})
}

func (c *City) leave(p *Person, h Hours) {
	at := h.Closes().Add(c.between(time.Minute, 90*time.Minute))
	c.tap(p, p.Office, at, c.synced(at, errorMS))
}

func (c *City) leaveEarly(p *Person, h Hours) {
	by := []time.Duration{29500 * time.Millisecond, 30500 * time.Millisecond, 31500 * time.Millisecond, c.between(time.Minute, 3*time.Hour)}
	at := h.Closes().Add(-by[c.random.IntN(len(by))])
	if c.random.IntN(3) == 0 {
		within := c.between(time.Second, 20*time.Minute)
		c.tap(p, p.Office, at, []Revision{bounded(0, at.Add(-c.between(0, within)), within)})
		return
	}
	c.tap(p, p.Office, at, c.synced(at, errorMS))
}

// tagElsewhere has the first tap doubted: the tag was elsewhere, or is heard at two
// places. Perhaps somebody else held the badge to the reader; perhaps there is a second
// tap that nobody doubts.
func (c *City) tagElsewhere(p *Person, h Hours) {
	at := h.Opens().Add(c.between(-20*time.Minute, -10*time.Minute))
	a := c.tap(p, p.Office, at, c.synced(at, errorMS))
	a.doubt = []string{"far", "conflict"}[c.random.IntN(2)]
	a.bySomeone = c.random.IntN(2) == 0
	switch c.random.IntN(3) {
	case 0:
		at = h.Opens().Add(c.between(-9*time.Minute, -time.Minute))
		c.tap(p, p.Office, at, c.synced(at, errorMS))
	case 1:
		at = h.Opens().Add(c.between(time.Minute, 2*time.Hour))
		c.tap(p, p.Office, at, c.synced(at, errorMS))
	}
	c.leave(p, h)
}

// contradict has the tag outside for a time, by the gateway of the office. It may last
// over the break and the end of the hours.
func (c *City) contradict(p *Person, h Hours) {
	c.come(p, h)
	c.leave(p, h)
	from := h.Opens().Add(c.between(time.Hour, 4*time.Hour))
	to := from.Add(c.between(time.Minute, 2*time.Hour))
	if c.random.IntN(3) == 0 {
		to = h.Closes().Add(30 * time.Minute)
	}
	o := p.Office
	o.said = append(o.said, saying{p, from.Add(-time.Minute), "on_site"}, saying{p, from, "contradiction"}, saying{p, to, "badge_only"})
}
