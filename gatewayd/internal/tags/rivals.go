package tags

import (
	"slices"
	"time"
)

// Reports are not signed: whoever sends with a tag's id passes for that tag. A copy
// can only be noticed while the tag itself is heard too, at another place: then the
// place changes again and again, faster than anybody can move. Which of the two
// places is the tag's own cannot be known, so neither speaks for the person or
// against.

const (
	// conflictTurns is how often the place has to change for a conflict: with the
	// third change both were heard twice in turn. A radio that was just switched on,
	// or one wild fix, makes two.
	conflictTurns = 3

	// Places that are close together need more changes: somebody may move between
	// them that fast once, but not to and fro within seconds. It takes nearTurns,
	// each at arrivalSpeed or more and within nearLeg.
	nearTurns = 8
	nearLeg   = 30 * time.Second

	// A tag is restless after restlessTurns changes between places more than farApart
	// metres apart, at shuttleSpeed or more (m/s). A person may move like that, but a
	// restless tag is not held against anybody.
	restlessTurns = 5
	endlessTurns  = 30 // no person does it so often: a conflict
	farApart      = 350
	shuttleSpeed  = 5

	// conflictFor is for how long a conflict stands after the last change of the
	// place: the copy may go on while the tag itself has no fix, and the person must
	// not be accused then.
	conflictFor = lookBack

	// A fix belongs to a place that was heard before if it came within
	// longestInterval and is no farther from it than fixes under a roof stray plus
	// what somebody walks meanwhile, for a minute at most.
	sameSlack = 150
	sameSpeed = 3
	sameWalk  = time.Minute
)

// rivals are the two places between which a tag seems to move. Times are
// CLOCK_BOOTTIME of when a fix came: the time that it claims is the sender's choice.
type rivals struct {
	here, there     place // the place heard last, and the one before
	hereAt, thereAt time.Duration
	turned, since   time.Duration // the newest and the first change that made a conflict
	quick, leaps    uint8         // changes of the place within seconds, and faster than maxSpeed
	wide            uint8         // changes that make the tag restless
	restless        time.Duration // the newest of those changes
	begun, other    bool          // here is known, and there is
	conflict        bool          // turned and since are known
	unrest          bool          // restless is known
}

// observe takes a live fix, in the order in which they come.
func (r *rivals) observe(s heard) {
	switch {
	case !r.begun || s.at-r.hereAt > longestInterval:
		r.begun, r.other = true, false
	case !r.leap(s, arrivalSpeed) && !r.shuttles(s):
	case r.other && r.returns(s):
		r.countTurn(s)
		r.here, r.there = r.there, r.here
		r.hereAt, r.thereAt = r.thereAt, r.hereAt
	default:
		r.quick, r.wide, r.leaps = 0, 0, 0
		r.countTurn(s)
		r.there, r.thereAt, r.other = r.here, r.hereAt, true
	}
	r.here, r.hereAt = s.place, s.at
}

// leap reports whether a fix is farther from the last than somebody who is so fast,
// in m/s, can have moved since.
func (r *rivals) leap(s heard, speed float64) bool {
	return r.here.isFar(s.place, jumpSlack+speed*max(s.at-r.hereAt, 0).Seconds())
}

// shuttles reports whether the way from the last fix is one that no person goes
// again and again in that time.
func (r *rivals) shuttles(s heard) bool {
	return r.leap(s, shuttleSpeed) && r.here.isFar(s.place, farApart)
}

// returns reports whether a fix is at the place where the tag was heard before.
func (r *rivals) returns(s heard) bool {
	ago := s.at - r.thereAt
	return ago <= longestInterval && !r.there.isFar(s.place, sameSlack+sameSpeed*min(ago, sameWalk).Seconds())
}

// countTurn counts a change of the place.
func (r *rivals) countTurn(s heard) {
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

// contradict notes a conflict that lasted from an instant to another.
func (r *rivals) contradict(since, turned time.Duration) {
	if !r.conflict || turned-r.turned > conflictFor {
		r.conflict, r.since, r.turned = true, since, turned
		return
	}
	r.since, r.turned = min(r.since, since), max(r.turned, turned)
}

// isRestless reports whether the tag was restless lately.
func (r rivals) isRestless(at time.Duration) bool {
	return r.unrest && at-r.restless <= conflictFor
}

// inConflict reports whether there is a conflict at an instant.
func (r rivals) inConflict(at time.Duration) bool {
	return r.conflict && at-r.turned <= conflictFor
}

// maxConflicts bounds the tags that are named as being in conflict.
const maxConflicts = 32

// noteConflict remembers the name of a tag in conflict. The caller holds the mutex.
func (t *Tags) noteConflict(tag string) {
	if len(t.conflicts) < maxConflicts {
		t.conflicts[tag] = struct{}{}
	}
}

// Conflicts are the names of the tags in conflict, sorted: they are heard at two
// places in turn, faster than anybody can move.
func (t *Tags) Conflicts() []string {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for tag := range t.conflicts {
		if t.memory.traces[t.memory.key(tag)].rivals.inConflict(now) {
			names = append(names, tag)
		} else {
			delete(t.conflicts, tag)
		}
	}
	slices.Sort(names)
	return names
}
