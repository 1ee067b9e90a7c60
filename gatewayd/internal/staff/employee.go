package staff

import (
	"math"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	// provenAfter is for how long a tag must be outside, from one live fix to
	// another, for a contradiction.
	provenAfter = 5 * time.Minute

	// patience is for how long a tag that was inside may be silent or uncertain before
	// badge_only is recorded. It doubles each time on the same day, up to
	// longestPatience, so that a tag which comes and goes makes few events.
	patience        = 5 * time.Minute
	longestPatience = 80 * time.Minute

	// recordedWithin is how long to wait for the record of a change of zone.
	recordedWithin = 10 * time.Second
)

// employee is somebody in the roster, as far as today's records tell.
type employee struct {
	badge, tag string

	firstShown, lastShown showing // of the badge, today

	recorded bool                   // a state was, today
	state    presence.PresenceState // the last that was recorded today
	doubts   int                    // how often badge_only was recorded today

	outsideSince time.Duration // CLOCK_BOOTTIME of the first fix that proves it

	// The first and the newest of the sightings since the badge was last shown that
	// found the tag outside, without one in between that did not; zero: none.
	firstOutside, lastOutside presence.EventID

	recordedBefore bool                   // a state was recorded on an earlier day
	stateBefore    presence.PresenceState // the last of those
}

// showing is one badge event: the badge was shown.
type showing struct {
	id      presence.EventID
	at      time.Time        // the latest that it can have been; zero: there is none
	reading presence.Reading // zero where the record is gone
}

// trail is what today's records tell of a tag.
type trail struct {
	zone     presence.Zone
	newest   presence.EventID
	carriers []*employee // who carry it
}

// apply takes a record into account, if it is of today.
func (s *Staff) apply(e *presence.Entry, today int) {
	t := s.opt.Timing(e.At)
	if date, known := s.dateOf(t); !known || date != today {
		return
	}
	id := presence.EventID{Stream: e.Stream, Seq: e.Seq}
	switch {
	case e.Badge != nil:
		if emp := s.byBadge[e.Badge.Badge]; emp != nil {
			emp.lastShown = showing{id, latest(t), e.At}
			emp.firstOutside, emp.lastOutside = presence.EventID{}, presence.EventID{}
			if emp.firstShown.at.IsZero() {
				emp.firstShown = emp.lastShown
			}
		}
	case e.Tag != nil && e.Tag.Fix == presence.FreshnessLive:
		if tr := s.trails[e.Tag.Tag]; tr != nil {
			tr.zone, tr.newest = e.Tag.Zone, id
			for _, emp := range tr.carriers {
				emp.observeTag(id, e)
			}
		}
	case e.Person != nil:
		if emp := s.byBadge[e.Person.Badge]; emp != nil {
			emp.setState(e.Person, latest(t))
		}
	}
}

// observeTag takes a live sighting of the employee's tag into account. One from before
// the badge was last shown tells nothing of where the person went afterwards, although
// it may be recorded later: tag events wait for the disk, taps do not.
func (emp *employee) observeTag(id presence.EventID, e *presence.Entry) {
	passed, known := e.At.Since(emp.lastShown.reading)
	switch {
	case e.Tag.Zone != presence.ZoneOutside:
		emp.firstOutside, emp.lastOutside = presence.EventID{}, presence.EventID{}
	case known && passed < 0:
	case emp.firstOutside.Seq == 0:
		emp.firstOutside, emp.lastOutside = id, id
	default:
		emp.lastOutside = id
	}
}

// setState takes into account that a state was recorded at an instant.
func (emp *employee) setState(body *presence.Person, at time.Time) {
	emp.recorded, emp.state = true, body.State
	if body.State == presence.BadgeOnly {
		emp.doubts++
	}
	// The badge event that the state rests on was dropped when the journal was full.
	if body.State != presence.OffSite && emp.firstShown.at.IsZero() && len(body.Events) > 0 {
		emp.firstShown = showing{id: body.Events[0], at: at}
		emp.lastShown = emp.firstShown
	}
}

// evaluate returns the body of the presence event to record for an employee now, nil
// where there is none to record.
func (s *Staff) evaluate(emp *employee, now moment) *presence.Person {
	w, heard := s.opt.Where(emp.tag)
	if !heard || w.Silent {
		w.Zone = presence.ZoneNone
	}
	if emp.firstShown.at.IsZero() {
		return emp.evaluateAbsent(w, now)
	}
	tr := s.trails[emp.tag]
	switch w.Zone {
	case presence.ZoneInside:
		switch {
		case tr.zone == presence.ZoneInside:
			return emp.newEvent(presence.OnSite, tr.newest)
		case w.For >= recordedWithin: // the record of it is not of today
			return emp.newEvent(presence.OnSite)
		}
		return nil
	case presence.ZoneOutside:
		if w.Restless || tr.zone != presence.ZoneOutside || s.provenOutside(emp, w, now) < provenAfter {
			return nil
		}
		// A tag that does not move is recorded seldom: there may be no sighting yet from
		// after the badge was shown, and then the event names none.
		body := emp.newEvent(presence.Contradiction, emp.firstOutside, emp.lastOutside)
		if body != nil {
			body.Distance = w.Distance
		}
		return body
	}
	if !s.isDoubtful(emp, w, heard, now) {
		return nil
	}
	return emp.newEvent(presence.BadgeOnly, tr.newest)
}

// evaluateAbsent is evaluate for an employee whose badge was not shown today.
func (emp *employee) evaluateAbsent(w presence.Whereabouts, now moment) *presence.Person {
	switch {
	case emp.recorded, !emp.recordedBefore, emp.stateBefore == presence.OffSite, now.openFor < patience:
		return nil
	case w.Zone == presence.ZoneInside, w.Zone == presence.ZoneUncertain:
		return nil // perhaps the badge was forgotten
	}
	return emp.newEvent(presence.OffSite)
}

// provenOutside is for how long a tag is proven to be outside: from one live fix to
// another, of those that came after the badge was last shown, after the office opened,
// and after this process began to listen.
func (s *Staff) provenOutside(emp *employee, w presence.Whereabouts, now moment) time.Duration {
	present := now.reading.Boottime
	newest, first := present-w.Age, present-w.For
	after := present - min(now.time.Sub(emp.lastShown.at), now.openFor, s.listening(now))
	switch {
	case first >= after:
		emp.outsideSince = first
	case newest < after:
		return 0
	case emp.outsideSince < max(first, after):
		emp.outsideSince = newest
	}
	return newest - emp.outsideSince
}

func (s *Staff) listening(now moment) time.Duration { return now.reading.Boottime - s.started }

// isDoubtful reports whether badge_only is to be recorded, because the tag is silent
// or uncertain.
func (s *Staff) isDoubtful(emp *employee, w presence.Whereabouts, heard bool, now moment) bool {
	silent := w.Zone == presence.ZoneNone
	switch {
	case silent && now.openFor < patience:
		return false // tags were not recorded while the office was closed
	case !emp.recorded || emp.state == presence.OffSite:
		return silent || now.time.Sub(emp.lastShown.at) >= patience
	case emp.state == presence.Contradiction && (!silent || !heard || now.time.Sub(emp.lastShown.at) < w.Age):
		return true // a fix or the badge speaks for the employee
	case emp.state == presence.BadgeOnly:
		return true
	}
	lasts := w.For
	if silent {
		lasts = w.Age
		if !heard {
			lasts = math.MaxInt64
		}
	}
	return min(lasts, now.openFor, s.listening(now)) >= emp.patience()
}

// patience is for how long a tag that tells nothing leaves the state as it is.
func (emp *employee) patience() time.Duration {
	if emp.state == presence.Contradiction {
		return patience
	}
	return min(patience<<min(emp.doubts, 8), longestPatience)
}

// newEvent returns the body of a presence event for a state, nil if that is the one
// recorded last today. It names the badge events, and the sightings that are not zero.
func (emp *employee) newEvent(state presence.PresenceState, sightings ...presence.EventID) *presence.Person {
	if emp.recorded && emp.state == state {
		return nil
	}
	body := &presence.Person{Badge: emp.badge, Tag: emp.tag, State: state}
	for _, id := range append([]presence.EventID{emp.firstShown.id, emp.lastShown.id}, sightings...) {
		if id.Seq != 0 && !slices.Contains(body.Events, id) {
			body.Events = append(body.Events, id)
		}
	}
	return body
}
