package tags

import (
	"math"
	"time"

	"presence/gatewayd/internal/presence"
)

// Where tells where a tag is by its live fixes; false if there was none within half a
// day. It never waits for the disk, nor for a fix that is waiting for the disk.
//
// After a restart it rests on the journal's tail at first. How often a tag is
// heard cannot be seen there, since records are thinned: until it is heard
// twice, it counts as silent after twice usualInterval.
func (t *Tags) Where(tag string) (presence.Whereabouts, bool) {
	w, _, ok := t.where(tag, t.opt.Now().Boottime)
	return w, ok
}

func (t *Tags) where(tag string, now time.Duration) (presence.Whereabouts, place, bool) {
	t.mu.Lock()
	tr := t.memory.traces[t.memory.key(tag)]
	t.mu.Unlock()
	k := tr.track
	w := presence.Whereabouts{Zone: k.zone, For: max(now-k.since, 0), Age: max(now-k.heard, 0)}
	if !k.live || w.Age > lookBack {
		return presence.Whereabouts{}, nowhere, false
	}
	w.Silent = k.silentAfter(w.Age)
	w.Restless = tr.rivals.isRestless(now)
	if tr.rivals.inConflict(now) {
		// It is at one of two places, and it is not known at which.
		w.Conflict, w.For, w.Silent = true, max(now-tr.rivals.since, 0), false
		if w.Zone != presence.ZoneNone {
			w.Zone = presence.ZoneUncertain
		}
		return w, nowhere, true
	}
	if k.zone == presence.ZoneOutside {
		// That may be held against the person: each fix must be sure of it.
		w.For = max(now-k.surelySince(), 0)
		if k.side != surelyOutside {
			w.Zone = presence.ZoneUncertain
		}
	}
	w.Distance = t.distance(k.place)
	return w, k.place, true
}

// distance from the office, with no more of it than may be told.
func (t *Tags) distance(p place) *float64 {
	unit := 1.0
	switch {
	case t.opt.Fence == nil || p == nowhere || t.opt.Coordinates == None:
		return nil
	case t.opt.Coordinates == Coarse:
		unit = 1000
	}
	d := unit * math.Round(t.opt.Fence.distance(p.degrees())/unit)
	return &d
}

// arrivalSpeed is how fast somebody comes to work who is not there yet, in m/s.
const arrivalSpeed = 15

// surelyAway reports whether somebody who was at a place some time ago cannot be
// inside the fence by now.
func (t *Tags) surelyAway(p place, ago time.Duration) bool {
	return p != nowhere && t.opt.Fence.beyond(p.degrees()) > arrivalSpeed*ago.Seconds()
}

// Check tells where a tag was at a tap, whose reading is of the present boot. It is
// nil outside the working hours, and while it is not known whether it is within
// them: whereabouts are private then.
func (t *Tags) Check(tag string, tap presence.Reading) *presence.TagCheck {
	if !t.opt.Always() {
		if known := t.opt.Timing(tap); !isCertain(known) || !t.inHours(known) {
			return nil
		}
	}
	c := &presence.TagCheck{Tag: tag, State: presence.TagSilent}
	w, at, heard := t.where(tag, tap.Boottime)
	if !heard {
		return c
	}
	c.Age = &w.Age
	switch {
	case w.Conflict:
		c.State = presence.TagConflict
		return c
	case w.Silent:
		return c
	case w.Zone == presence.ZoneOutside && !w.Restless && t.surelyAway(at, w.Age):
		c.State = presence.TagFar
	default:
		c.State = presence.TagNear
	}
	c.Distance = w.Distance
	return c
}
