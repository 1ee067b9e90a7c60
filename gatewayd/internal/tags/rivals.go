package tags

import (
	"slices"
	"time"
)

// What a radio says is signed by nobody: whoever copies a tag's id is that tag. A
// copy shows where the tag itself is heard too, at another place: then the one
// place takes turns with the other, and nobody can be at both. Which of the two is
// the tag's, nobody knows; so neither is held against the person, nor for.

const (
	// conflictTurns is how often the place has to change for a conflict: with the
	// third change both were heard twice in turn. A radio that was just switched on,
	// or one wild fix, makes two.
	conflictTurns = 3

	// Where somebody could be as fast for once, but nobody goes to and fro like that
	// within seconds, it takes nearTurns, each at arrivalSpeed within nearLeg.
	nearTurns = 8
	nearLeg   = 30 * time.Second

	// A tag is restless that goes to and fro between places more than farApart metres
	// apart, at shuttleSpeed or more in m/s, so many times. Somebody may; but it is no
	// tag to hold against somebody.
	restlessTurns = 5
	endlessTurns  = 30 // nobody does it so often
	farApart      = 350
	shuttleSpeed  = 5

	// conflictFor is for how long a conflict stands after the places changed last: a
	// tag whose copy goes on while it has no fix itself must not be accused then.
	conflictFor = lookBack

	// Of a place that was heard before, another fix is if it is no farther from it
	// than fixes under a roof stray, and than somebody walks for a minute; and within
	// longestInterval.
	sameSlack = 150
	sameSpeed = 3
	sameWalk  = time.Minute
)

// rivals are the two places between which a tag seems to change. Times are
// CLOCK_BOOTTIME of when a fix came: what time it claims is the sender's choice.
type rivals struct {
	here, there     place // heard last, and before the place changed
	hereAt, thereAt time.Duration
	turned, since   time.Duration // the newest and the first change that made a conflict
	quick, leaps    uint8         // how often they took turns within seconds, and as nobody can
	wide            uint8         // and how often so far apart that the tag is restless
	restless        time.Duration // the newest turn that made it so
	begun, other    bool          // here, and there, are known
	conflict        bool          // turned and since are known
	unrest          bool          // restless is known
}

// hear takes a live fix, in the order in which they come.
func (r *rivals) hear(s sighting) {
	switch {
	case !r.begun || s.at-r.hereAt > longestInterval:
		r.begun, r.other = true, false
	case !r.leap(s, arrivalSpeed) && !r.shuttles(s):
	case r.other && r.back(s):
		r.turn(s)
		r.here, r.there = r.there, r.here
		r.hereAt, r.thereAt = r.thereAt, r.hereAt
	default:
		r.quick, r.wide, r.leaps = 0, 0, 0
		r.turn(s)
		r.there, r.thereAt, r.other = r.here, r.hereAt, true
	}
	r.here, r.hereAt = s.place, s.at
}

// leap tells whether nobody who is so fast, in m/s, can have come to a fix since
// the last.
func (r *rivals) leap(s sighting, speed float64) bool {
	return r.here.far(s.place, jumpSlack+speed*max(s.at-r.hereAt, 0).Seconds())
}

// shuttles tells whether a fix is so far from the last that it is a way that nobody
// goes again and again in that time.
func (r *rivals) shuttles(s sighting) bool {
	return r.leap(s, shuttleSpeed) && r.here.far(s.place, farApart)
}

// back tells whether a fix is where the tag was heard before the place changed.
func (r *rivals) back(s sighting) bool {
	ago := s.at - r.thereAt
	return ago <= longestInterval && !r.there.far(s.place, sameSlack+sameSpeed*min(ago, sameWalk).Seconds())
}

// turn counts a change of the place.
func (r *rivals) turn(s sighting) {
	if s.at-r.hereAt < nearLeg {
		r.quick = min(r.quick+1, nearTurns)
	}
	if r.leap(s, maxSpeed) {
		r.leaps = min(r.leaps+1, conflictTurns)
	}
	if r.shuttles(s) {
		r.wide = min(r.wide+1, endlessTurns)
	}
	if r.wide >= restlessTurns {
		r.restless, r.unrest = s.at, true
	}
	if r.quick == nearTurns || r.wide == endlessTurns || r.leaps == conflictTurns {
		r.contradict(s.at, s.at)
	}
}

// contradict notes that the tag was heard at two places from an instant to another.
func (r *rivals) contradict(since, turned time.Duration) {
	if !r.conflict || turned-r.turned > conflictFor {
		r.conflict, r.since, r.turned = true, since, turned
		return
	}
	r.since, r.turned = min(r.since, since), max(r.turned, turned)
}

// uneasy tells whether the tag was restless lately.
func (r rivals) uneasy(at time.Duration) bool {
	return r.unrest && at-r.restless <= conflictFor
}

// stands tells whether there is a conflict at an instant.
func (r rivals) stands(at time.Duration) bool {
	return r.conflict && at-r.turned <= conflictFor
}

// maxConflicts bounds the tags that are named as being in conflict.
const maxConflicts = 32

// noteConflict remembers the name of a tag that is at two places. The caller holds
// the mutex.
func (t *Tags) noteConflict(tag string) {
	if len(t.conflicts) < maxConflicts {
		t.conflicts[tag] = struct{}{}
	}
}

// Conflicts are the names of the tags that are heard at two places in turn, at
// both of which nobody can be, in order.
func (t *Tags) Conflicts() []string {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for tag := range t.conflicts {
		if t.memory.traces[t.memory.key(tag)].rivals.stands(now) {
			names = append(names, tag)
		} else {
			delete(t.conflicts, tag)
		}
	}
	slices.Sort(names)
	return names
}
