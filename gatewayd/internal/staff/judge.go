package staff

import (
	"math"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	// provenAfter is for how long a tag must be outside, from one live fix to
	// another, for that to be held against somebody.
	provenAfter = 5 * time.Minute

	// patience is for how long a tag that was inside may be silent or uncertain
	// until that is said. It doubles each time on the same day, up to
	// longestPatience: so of a tag that comes and goes not much is said.
	patience        = 5 * time.Minute
	longestPatience = 80 * time.Minute

	// recordedWithin is how long to wait for the record that a zone change makes.
	recordedWithin = 10 * time.Second
)

// person is somebody in the roster, as far as today's records tell.
type person struct {
	badge, tag string

	first, last showing // of the badge, today

	said   bool                   // something was, today
	state  presence.PresenceState // what was said last today
	doubts int                    // how often it was badge_only

	outside time.Duration // CLOCK_BOOTTIME of the first fix that proves it

	// The first and the newest sighting since the badge was shown last that found
	// the tag outside, with none in between that found it elsewhere; zero: none.
	turn, newest presence.EventID

	known  bool                   // something was said on an earlier day
	before presence.PresenceState // and that was the last
}

// showing is one badge event.
type showing struct {
	id      presence.EventID
	at      time.Time        // the latest that it can have been; zero: there is none
	reading presence.Reading // zero where the record is gone
}

// trail is what today's records tell of a tag.
type trail struct {
	zone   presence.Zone
	newest presence.EventID
	people []*person // who carry it
}

// take puts a record in its place, if it is of today.
func (s *Staff) take(e *presence.Entry, today int) {
	t := s.opt.Timing(e.At)
	if date, known := s.dateOf(t); !known || date != today {
		return
	}
	id := presence.EventID{Stream: e.Stream, Seq: e.Seq}
	switch {
	case e.Badge != nil:
		if p := s.byBadge[e.Badge.Badge]; p != nil {
			p.last = showing{id, latest(t), e.At}
			p.turn, p.newest = presence.EventID{}, presence.EventID{}
			if p.first.at.IsZero() {
				p.first = p.last
			}
		}
	case e.Tag != nil && e.Tag.Fix == presence.FixLive:
		if tr := s.trails[e.Tag.Tag]; tr != nil {
			tr.zone, tr.newest = e.Tag.Zone, id
			for _, p := range tr.people {
				p.sight(id, e)
			}
		}
	case e.Person != nil:
		if p := s.byBadge[e.Person.Badge]; p != nil {
			p.hear(e.Person, latest(t))
		}
	}
}

// sight takes a live sighting of the person's tag. What was before the badge was
// shown last says nothing of where the person went afterwards: a tag that was
// heard before a tap may be recorded after it.
func (p *person) sight(id presence.EventID, e *presence.Entry) {
	passed, known := e.At.Since(p.last.reading)
	switch {
	case e.Tag.Zone != presence.ZoneOutside:
		p.turn, p.newest = presence.EventID{}, presence.EventID{}
	case known && passed < 0:
	case p.turn.Seq == 0:
		p.turn, p.newest = id, id
	default:
		p.newest = id
	}
}

// hear takes what was said of a person at an instant.
func (p *person) hear(body *presence.Person, at time.Time) {
	p.said, p.state = true, body.State
	if body.State == presence.BadgeOnly {
		p.doubts++
	}
	// The badge event that this rests on went when the journal was full.
	if body.State != presence.OffSite && p.first.at.IsZero() && len(body.Events) > 0 {
		p.first = showing{id: body.Events[0], at: at}
		p.last = p.first
	}
}

// judge is what is to be said of a person now, nil if nothing is.
func (s *Staff) judge(p *person, now moment) *presence.Person {
	w, heard := s.opt.Where(p.tag)
	if !heard || w.Silent {
		w.Zone = presence.ZoneNone
	}
	if p.first.at.IsZero() {
		return p.judgeAbsent(w, now)
	}
	tr := s.trails[p.tag]
	switch w.Zone {
	case presence.ZoneInside:
		switch {
		case tr.zone == presence.ZoneInside:
			return p.say(presence.OnSite, tr.newest)
		case w.For >= recordedWithin: // the record of it is not of today
			return p.say(presence.OnSite)
		}
		return nil
	case presence.ZoneOutside:
		if w.Restless || tr.zone != presence.ZoneOutside || s.proven(p, w, now) < provenAfter {
			return nil
		}
		// Of a tag that stays where it was before, there may be no record yet from
		// after the badge was shown: then there is none to name.
		body := p.say(presence.Contradiction, p.turn, p.newest)
		if body != nil {
			body.Distance = w.Distance
		}
		return body
	}
	if !s.doubtful(p, w, heard, now) {
		return nil
	}
	return p.say(presence.BadgeOnly, tr.newest)
}

// judgeAbsent judges a person whose badge was not shown today.
func (p *person) judgeAbsent(w presence.Whereabouts, now moment) *presence.Person {
	switch {
	case p.said, !p.known, p.before == presence.OffSite, now.openFor < patience:
		return nil
	case w.Zone == presence.ZoneInside, w.Zone == presence.ZoneUncertain:
		return nil // perhaps the badge was forgotten
	}
	return p.say(presence.OffSite)
}

// proven is for how long a tag is known to be outside: from one live fix to
// another, and only those count that came after the badge was shown last, the
// office opened, and this process began to listen.
func (s *Staff) proven(p *person, w presence.Whereabouts, now moment) time.Duration {
	present := now.reading.Boottime
	newest, first := present-w.Age, present-w.For
	after := present - min(now.time.Sub(p.last.at), now.openFor, s.listening(now))
	switch {
	case first >= after:
		p.outside = first
	case newest < after:
		return 0
	case p.outside < max(first, after):
		p.outside = newest
	}
	return newest - p.outside
}

func (s *Staff) listening(now moment) time.Duration { return now.reading.Boottime - s.started }

// doubtful reports whether it is to be said that a tag which is silent or
// uncertain does not tell where the person is.
func (s *Staff) doubtful(p *person, w presence.Whereabouts, heard bool, now moment) bool {
	silent := w.Zone == presence.ZoneNone
	switch {
	case silent && now.openFor < patience:
		return false // nobody listened while the office was closed
	case !p.said || p.state == presence.OffSite:
		return silent || now.time.Sub(p.last.at) >= patience
	case p.state == presence.Contradiction && (!silent || !heard || now.time.Sub(p.last.at) < w.Age):
		return true // a fix or the badge speaks for the person
	case p.state == presence.BadgeOnly:
		return true
	}
	lasts := w.For
	if silent {
		lasts = w.Age
		if !heard {
			lasts = math.MaxInt64
		}
	}
	return min(lasts, now.openFor, s.listening(now)) >= p.patience()
}

// patience is for how long a tag that tells nothing takes nothing back.
func (p *person) patience() time.Duration {
	if p.state == presence.Contradiction {
		return patience
	}
	return min(patience<<min(p.doubts, 8), longestPatience)
}

// say is what to say of a state that is new today, nil otherwise. It names the
// badge events, and those sightings that there are.
func (p *person) say(state presence.PresenceState, sightings ...presence.EventID) *presence.Person {
	if p.said && p.state == state {
		return nil
	}
	body := &presence.Person{Badge: p.badge, Tag: p.tag, State: state}
	for _, id := range append([]presence.EventID{p.first.id, p.last.id}, sightings...) {
		if id.Seq != 0 && !slices.Contains(body.Events, id) {
			body.Events = append(body.Events, id)
		}
	}
	return body
}
