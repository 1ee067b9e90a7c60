package month

import (
	"slices"
	"time"
)

// Verdict is what becomes of a day: which rules apply.
type Verdict struct {
	Name        string // ok, late, early, late-early, absent, check, or the note that excuses
	Late, Early int    // which rule: 0 is none, 1 the first of its kind
	Percent     float64
}

// Evidence is what the city can know of a month.
type Evidence struct {
	c         *City
	dayStarts time.Duration
	outages   map[*Office][]stretch
	events    map[*Person][]*Event
}

// Evidence looks at what the gateways have sent. A tap so long after midnight is still of
// the day before.
func (c *City) Evidence(dayStarts time.Duration) *Evidence {
	e := &Evidence{c: c, dayStarts: dayStarts, outages: make(map[*Office][]stretch), events: make(map[*Person][]*Event)}
	owners := make(map[string][]*Person)
	for _, p := range c.People {
		for _, b := range p.Badges {
			owners[b.Office.ID+b.ID] = append(owners[b.Office.ID+b.ID], p)
		}
	}
	for _, o := range c.Offices {
		e.outages[o] = o.outages()
		for _, event := range o.events {
			if event.Kind == "badge" && !event.Lost {
				for _, p := range owners[o.ID+event.Badge] {
					e.events[p] = append(e.events[p], event)
				}
			}
		}
	}
	return e
}

// world is one way in which a day can have been: when badges were shown.
type world []time.Time

// Truth is what a just judge says of a day: the verdict if it is the same in each way in
// which the day can have been, and else check.
func (e *Evidence) Truth(p *Person, d time.Time) Verdict {
	h := p.Hours(d)
	excuse, accepted, came, left := p.noted(d)
	if excuse != "" {
		return Verdict{Name: excuse}
	}
	seen := p.seen(e.events[p], d, e.dayStarts)
	worlds := []world{nil}
	multiply := func(choices ...world) {
		var more []world
		for _, w := range worlds {
			for _, choice := range choices {
				more = append(more, append(slices.Clone(w), choice...))
			}
		}
		worlds = more
	}
	for _, s := range seen {
		choices := []world{{s.times.lo}}
		if !s.times.lo.Equal(s.times.hi) {
			choices = append(choices, world{s.times.hi})
		}
		if !s.certain {
			choices = append(choices, nil)
		}
		multiply(choices...)
		worlds = ends(worlds)
	}
	for _, o := range e.c.places(p, seen) {
		for _, out := range e.outages[o] {
			lo, hi := latest(out.lo, h.Opens().Add(-time.Hour)), earliest(out.hi, h.Closes().Add(3*time.Hour))
			lo, hi = latest(lo, d.Add(e.dayStarts)), earliest(hi, d.Add(e.dayStarts).AddDate(0, 0, 1))
			if !hi.Before(lo) {
				multiply(nil, world{lo}, world{hi}, world{lo, hi})
				worlds = ends(worlds)
			}
		}
	}
	verdicts := make(map[Verdict]bool)
	best := Verdict{Percent: 1e9}
	for _, w := range worlds {
		v := e.c.judge(h, w, came, left)
		verdicts[v] = true
		if v.Percent < best.Percent {
			best = v
		}
	}
	switch {
	case accepted:
		return best
	case len(verdicts) > 1 || p.contradiction[d] > 0:
		return Verdict{Name: "check"}
	}
	return best
}

// ends keeps of each world what counts, the first and the last, and each world once.
func ends(worlds []world) []world {
	seen := make(map[[2]time.Time]bool)
	var kept []world
	for _, w := range worlds {
		var key [2]time.Time
		if len(w) > 0 {
			key = [2]time.Time{slices.MinFunc(w, time.Time.Compare), slices.MaxFunc(w, time.Time.Compare)}
			w = key[:]
		}
		if !seen[key] {
			seen[key] = true
			kept = append(kept, w)
		}
	}
	return kept
}

func (p *Person) noted(d time.Time) (excuse string, accepted bool, came, left time.Time) {
	for _, n := range p.Notes {
		switch {
		case !n.Day.Equal(d):
		case n.Kind == "manual-in":
			came = n.At
		case n.Kind == "manual-out":
			left = n.At
		case n.Kind == "accepted":
			accepted = true
		default:
			excuse = n.Kind
		}
	}
	return excuse, accepted, came, left
}

// judge says what becomes of a day on which badges were shown at these times and at no
// other. What was entered by hand goes before.
func (c *City) judge(h Hours, shown world, came, left time.Time) Verdict {
	first, last := came, left
	if len(shown) > 0 && first.IsZero() {
		first = slices.MinFunc(shown, time.Time.Compare)
	}
	if len(shown) > 0 && last.IsZero() {
		last = slices.MaxFunc(shown, time.Time.Compare)
	}
	switch {
	case first.IsZero() && last.IsZero():
		return Verdict{Name: "absent", Percent: c.rule("absent", 0).Percent}
	case first.IsZero():
		first = last
	case last.IsZero():
		last = first
	}
	var v Verdict
	late, early := c.rule("late", seconds(earliest(first, h.Closes()).Sub(h.Opens()))), c.rule("early", seconds(h.Closes().Sub(latest(last, h.Opens()))))
	v.Late, v.Early, v.Percent = late.FromS, early.FromS, late.Percent+early.Percent
	switch {
	case v.Late > 0 && v.Early > 0:
		v.Name = "late-early"
	case v.Late > 0:
		v.Name = "late"
	case v.Early > 0:
		v.Name = "early"
	default:
		v.Name = "ok"
	}
	return v
}

func seconds(d time.Duration) int { return max(0, int(d/time.Second)) }

// rule is the one that applies after so many seconds, or none.
func (c *City) rule(kind string, s int) (best Rule) {
	for _, r := range c.Rules {
		if r.Kind == kind && s >= r.FromS && r.FromS >= best.FromS {
			best = r
		}
	}
	return best
}

// Actual is what a gateway that never fails, with a clock that is never wrong, would have
// made of the day: what truly happened. It does not know of notes.
func (c *City) Actual(p *Person, d time.Time, dayStarts time.Duration) Verdict {
	begin := d.Add(dayStarts)
	end := begin.AddDate(0, 0, 1)
	var shown world
	for _, o := range c.Offices {
		for _, a := range o.attempts {
			if a.person == p && !a.bySomeone && p.badge(o, a.at) != "" && !a.at.Before(begin) && a.at.Before(end) {
				shown = append(shown, a.at)
			}
		}
	}
	_, _, came, left := p.noted(d)
	return c.judge(p.Hours(d), shown, came, left)
}
