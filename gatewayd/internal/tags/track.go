package tags

import (
	"math"
	"time"

	"presence/gatewayd/internal/presence"
)

// A tag indoors receives satellites badly: its fixes jump by 5 to 60 m, and some
// farther. So no single fix decides on which side of the fence a tag is. Each is
// evidence: its distance beyond the border divided by its own uncertainty, at most
// mostEvidence, and negative inside. A tag's balance is the running mean of that. The
// tag enters a zone when the balance reaches one uncertainty on that side, and leaves
// it when the balance reaches half of one on the other. The first fix, and the first
// after a silence, is the balance.
//
// So it takes two fixes in a row that are surely elsewhere to move a tag, or one
// that is farAway metres beyond the border: no error of a fix is so large.
const (
	mostEvidence = 3
	newWeight    = 3 // a fix moves the balance by one part in so many
	mostBalance  = 1.5
	enter        = 1
	leave        = 0.5

	farAway     = 500
	farEvidence = newWeight*enter + (newWeight-1)*mostBalance

	// maxDoubts is after how many fixes, none of which is sure of the zone that
	// a tag is in, the tag is in doubt.
	maxDoubts = 8
)

// To count as outside takes more than to count as inside, since it may be held against
// a person: a fix beyond the border is not taken to be better than outsideError
// metres, as much as fixes under a roof are off for many minutes, nor than the
// tag's scatter. That is how far its fixes stray from where
// it is on average, which is learned, and guestScatter before it is known. Errors
// indoors stay alike for minutes, so that the average goes over many fixes.
const (
	outsideError  = 60
	guestScatter  = 60
	guestWeight   = 8 // what is assumed at first counts as so many fixes
	mostScatter   = 150
	scatterWeight = 16 // a fix moves average and scatter by one part in so many

	// Of a normal error in two directions, twice the standard deviation in one
	// is so many times the mean distance.
	strayToScatter = 1.6
)

// walkOut is how long the way from the border to where a fix is surely outside
// may take to count as outside as well. The tag was not heard on that way, so it
// only counts for a tag that is heard walkedAway metres beyond the border, farther
// than the wildest fixes from a desk at the border that were seen: nearer, the fix
// before may have been one of that desk, and the next ones reflections.
const (
	walkOut    = time.Minute
	walkedAway = 400
)

// Where a report was lost, which shows as a gap of lostBeats times the usual or more,
// it is not known where the tag was meanwhile. If the fixes before and after it are more than
// outsideError apart, which fixes of one place under a roof seldom are, the gap does
// not count as outside for a tag that is not away: one of the two is perhaps a wild
// fix, and the other a reflection.
const lostBeats = 1.5

// Nobody at an office moves faster than maxSpeed, in m/s. A fix that says so is
// not believed; jumpsToMove of them that agree with each other are. Closer than
// jumpSlack metres it may be the errors of two fixes.
const (
	maxSpeed    = 50
	jumpSlack   = 100
	jumpsToMove = 3
)

// How often a tag is expected, where that is not known yet, and the bounds of
// what is believed of it.
const (
	usualInterval    = 5 * time.Minute
	shortestInterval = 10 * time.Second
	longestInterval  = 30 * time.Minute
)

// track is where one tag is, as far as its fixes tell. Times are CLOCK_BOOTTIME.
type track struct {
	heard    time.Duration // the newest fix that counts
	since    time.Duration // the first fix that put the tag into its zone
	turned   time.Duration // the first of the newest fixes that are on the same side
	sure     time.Duration // the first of the newest fixes that are surely outside
	walked   time.Duration // since when the tag is outside if it is away: no later than sure
	interval time.Duration // what to expect between two fixes; 0: not known
	beat     time.Duration // the time between two fixes where none is lost; 0: not known
	fixTime  int64         // of the newest fix, ms since 1970; 0: unknown
	place    place         // of the newest fix
	mean     place         // where the tag is on average
	jump     place         // of the newest fix that is not believed
	jumpTime int64         // its fixTime
	jumpedAt time.Duration // the first that is not believed

	balance float32 // of the evidence; below zero is inside
	scatter float32 // in metres
	zone    presence.Zone
	side    int8  // of the newest fix; 0: there is none
	doubts  uint8 // fixes since one was sure of the zone
	jumps   uint8 // fixes in a row that are not believed
	learned uint8 // fixes that went into the scatter, as far as that matters
	away    bool  // one of the fixes since sure is walkedAway
	begun   bool  // there was a fix
	live    bool  // it rests on live fixes, not on ones of unknown age

	restored bool // all of it comes from the journal, where records are thinned
	complete bool // and older records tell nothing more
}

// observe takes a fix that tells where the tag is now, in the order of time. It
// returns false where nobody can have moved there.
func (k *track) observe(s heard) bool {
	if !k.begun {
		*k = track{scatter: guestScatter, begun: true, live: s.live}
		k.startOver(s)
		return true
	}
	since := max(s.at-k.heard, 0)
	silent := k.lapsedAfter(since)
	switch {
	case k.live && !s.live && !silent:
		return true // a fix of unknown age says nothing against live ones
	case k.live != s.live:
		k.live = s.live
		k.startOver(s)
		return true
	}
	if s.live && k.impossible(s) {
		if !k.countJump(s) {
			k.veto(s)
			return false
		}
		began := k.jumpedAt
		k.startOver(s)
		k.since, k.turned, k.sure, k.walked = began, began, began, began
		return true
	}
	if !k.restored {
		k.learnInterval(since)
	}
	if silent {
		k.startOver(s)
		return true
	}
	k.learnScatter(s.place)
	k.weigh(s)
	return true
}

// startOver forgets all earlier fixes.
func (k *track) startOver(s heard) {
	k.balance, k.side, k.doubts, k.jumps = 0, 0, 0, 0
	k.zone, k.since, k.turned = presence.ZoneNone, s.at, s.at
	k.mean = s.place
	if s.fenced {
		k.balance = s.evidence(k.scatter)
		k.decideZone(s, k.balance)
	}
	k.setNewest(s)
}

// weigh puts a fix into the balance.
func (k *track) weigh(s heard) {
	if s.fenced {
		e := s.evidence(k.scatter)
		k.balance += (e - k.balance) / newWeight
		k.decideZone(s, e)
	}
	k.setNewest(s)
}

// decideZone decides on the zone, given the evidence of the newest fix.
func (k *track) decideZone(s heard, e float32) {
	k.balance = min(max(k.balance, -mostBalance), mostBalance)
	side := sideOf(e)
	if k.side == 0 || (side < 0) != (k.side < 0) {
		k.turned = s.at
	}
	if side == surelyOutside {
		switch {
		case k.side != surelyOutside:
			k.sure, k.walked, k.away = s.at, max(k.turned, s.at-walkOut), false
		case k.lost(s) && k.place.isFar(s.place, outsideError):
			k.sure += s.at - k.heard
		}
		k.away = k.away || s.beyond >= max(walkedAway, s.accuracy)
	}
	k.side = side
	if k.zone == presence.ZoneInside && e <= -enter || k.zone == presence.ZoneOutside && e >= enter {
		k.doubts = 0
	} else if k.doubts < maxDoubts {
		k.doubts++
	}
	zone := k.zone
	switch {
	case k.balance >= enter:
		zone = presence.ZoneOutside
	case k.balance <= -enter:
		zone = presence.ZoneInside
	case zone == presence.ZoneNone,
		zone == presence.ZoneInside && (k.balance >= leave || k.doubts >= maxDoubts),
		zone == presence.ZoneOutside && (k.balance <= -leave || k.doubts >= maxDoubts):
		zone = presence.ZoneUncertain
	}
	if zone == k.zone {
		return
	}
	k.zone, k.since, k.doubts = zone, s.at, 0
	if zone != presence.ZoneUncertain {
		k.since = k.turned
	}
}

// veto takes a live fix that does not move the tag, because it is older than the
// newest or because nobody can have moved there. It can only speak for a person: if
// it is not surely outside, neither is the tag.
func (k *track) veto(s heard) {
	if !s.fenced {
		return
	}
	if side := sideOf(s.evidence(k.scatter)); side < k.side {
		if side == inside {
			k.turned = s.at
		}
		k.side = side
	}
}

// The sides on which a fix can be.
const (
	inside        = -1
	outside       = 1 // but too near the border to be sure
	surelyOutside = 2
)

func sideOf(evidence float32) int8 {
	switch {
	case evidence >= enter:
		return surelyOutside
	case evidence >= 0:
		return outside
	}
	return inside
}

// surelySince is since when the tag is outside by every fix, each of them surely.
func (k *track) surelySince() time.Duration {
	if k.away {
		return max(k.since, k.walked)
	}
	return max(k.since, k.sure)
}

// lost reports whether a report of the tag was lost before this fix.
func (k *track) lost(s heard) bool {
	return k.beat > 0 && float64(s.at-k.heard) >= lostBeats*float64(k.beat)
}

// setNewest remembers the fix as the newest.
func (k *track) setNewest(s heard) {
	k.heard, k.fixTime, k.jumps, k.restored = s.at, s.fixTime, 0, false
	k.place = s.place
}

// evidence is how many times its own uncertainty a fix lies beyond the border;
// inside it is negative.
func (s heard) evidence(scatter float32) float32 {
	switch {
	case s.beyond >= max(farAway, s.accuracy):
		return farEvidence
	case s.beyond > 0:
		return float32(min(s.beyond/max(s.accuracy, outsideError, float64(scatter)), mostEvidence))
	}
	return float32(max(s.beyond/s.accuracy, -mostEvidence))
}

// learnScatter sees how far a fix strays from where the tag is on average.
func (k *track) learnScatter(p place) {
	if k.mean == nowhere {
		k.mean = p
		return
	}
	if k.learned < scatterWeight-guestWeight {
		k.learned++
	}
	parts := int64(guestWeight + k.learned)
	stray := min(strayToScatter*k.mean.near(p), mostScatter)
	k.scatter += (float32(stray) - k.scatter) / float32(parts)
	k.mean.lat += int32((int64(p.lat) - int64(k.mean.lat)) / parts)
	k.mean.lon += int32((int64(p.lon) - int64(k.mean.lon)) / parts)
}

// impossible reports whether nobody can have come here since the last fix.
func (k *track) impossible(s heard) bool { return tooFast(k.place, k.fixTime, s) }

// countJump counts a fix that seems impossible, and reports whether there are enough
// of them that agree with each other to be believed.
func (k *track) countJump(s heard) bool {
	if k.jumps == 0 || tooFast(k.jump, k.jumpTime, s) {
		k.jumps, k.jumpedAt = 0, s.at
	}
	k.jumps++
	k.jump, k.jumpTime = s.place, s.fixTime
	return k.jumps >= jumpsToMove
}

// tooFast reports whether a fix is too far from a place where the tag was at a
// time, in ms.
func tooFast(from place, then int64, s heard) bool {
	if from == nowhere || then == 0 || s.fixTime == 0 {
		return false
	}
	passed := float64(max(s.fixTime-then, 0)) / 1000
	return from.isFar(s.place, jumpSlack+maxSpeed*passed)
}

// learnInterval learns from the time between two fixes how often the tag is heard:
// four of five come within k.interval. A radio loses some reports, and that alone is
// no silence.
func (k *track) learnInterval(gap time.Duration) {
	if gap > longestInterval {
		return // it was away
	}
	// A lost report makes a gap longer, and none makes it shorter: so the beat follows
	// a shorter gap fast, and a longer one slowly.
	switch {
	case k.beat == 0:
		k.beat = gap
	case gap < k.beat:
		k.beat -= (k.beat - gap) / 2
	default:
		k.beat += min(gap-k.beat, k.beat/8)
	}
	k.beat = max(k.beat, shortestInterval)
	switch {
	case k.interval == 0:
		k.interval = gap
	case gap > k.interval:
		k.interval = min(2*k.interval, gap)
	default:
		k.interval = max(k.interval-k.interval/8, gap)
	}
	k.interval = max(k.interval, shortestInterval)
}

// silentAfter reports whether a tag that was not heard for so long is silent.
func (k *track) silentAfter(d time.Duration) bool {
	expected := k.interval
	if expected == 0 {
		expected = usualInterval
	}
	return d > 2*expected
}

// lapsedAfter reports whether so much time passed before a fix that the earlier ones
// tell nothing any more. After a single lost report a tag is heard again after twice
// its interval, a little more or less, so there is a margin.
func (k *track) lapsedAfter(d time.Duration) bool { return k.silentAfter(d - d/9) }

// restore takes a record that is older than all that are known already. Records
// are thinned: they do not tell how often the tag was heard, and lie a heartbeat
// apart where nothing was new.
func (k *track) restore(s heard, heartbeat time.Duration) {
	switch {
	case s.stale:
		return
	case k.begun && (k.live || !s.live):
		k.extend(s, min(heartbeat, longestInterval)+usualInterval)
		return
	}
	*k = track{
		heard: s.at, since: s.at, turned: s.at, sure: s.at, walked: s.at, fixTime: s.fixTime, place: s.place, mean: s.place,
		scatter: guestScatter, zone: s.zone, begun: true, live: s.live, restored: true,
	}
	switch s.zone {
	case presence.ZoneInside:
		k.balance, k.side = -enter, inside
	case presence.ZoneOutside:
		k.balance, k.side = enter, surelyOutside
	}
}

// extend puts the time since when a restored tag is in its zone back to an older
// record, as long as that says the same and no silence lies between.
func (k *track) extend(s heard, silence time.Duration) {
	if k.complete || s.live != k.live {
		return
	}
	if s.zone != k.zone || k.since-s.at > silence {
		k.complete = true
		return
	}
	k.since, k.turned = min(k.since, s.at), min(k.turned, s.at)
	k.sure, k.walked = min(k.sure, s.at), min(k.walked, s.at)
}

// near is the distance in metres between two places that are not far from each
// other.
func (p place) near(q place) float64 {
	const metresPerUnit = metresPerDegree / 1e7
	lat, lon := float64(p.lat)-float64(q.lat), float64(p.lon)-float64(q.lon)
	return metresPerUnit * math.Hypot(lat, lon*math.Cos(float64(p.lat)/1e7*math.Pi/180))
}
