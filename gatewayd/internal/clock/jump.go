package clock

import (
	"time"

	"presence/gatewayd/internal/presence"
)

// Disagreement is how far the system's clock is ahead of what the broker's
// clock says, false while one of the two does not know the time.
func (c *Clock) Disagreement() (time.Duration, bool) {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.book.find(now.Boot)
	if k < 0 || now.State != presence.ClockSynced {
		return 0, false
	}
	broker, ok := c.book.boots[k].track(SourceCity, now.Boottime)
	if !ok {
		broker, ok = c.book.boots[k].track(SourceBroker, now.Boottime)
	}
	if !ok || half(broker) > maxDoubt {
		return 0, false
	}
	return time.Duration(now.Wall - middle(broker)), true
}

// maxDoubt is how well the broker's clock must be known to be compared.
const maxDoubt = time.Second

// jumpFor is how long a contradiction stays worth a word after it was decided.
const jumpFor = time.Hour

// Jump tells how the clock contradicts itself: the instant that was known to have
// passed before this boot's clock said otherwise, what it says now, and whether
// it is known by now which of the two is right. It is false while there is no
// contradiction, and an hour after the last.
func (c *Clock) Jump() (j Jump, is bool) {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.book.find(now.Boot)
	if k < 0 || now.State == presence.ClockTrusted {
		return Jump{}, false
	}
	j = Jump{Passed: c.book.NotBefore(now), Shows: now.WallTime()}
	f := c.book.verdict()[k]
	fell := c.fell > 0 && now.Boottime-c.fell < jumpFor
	if !f.disputed && !fell {
		// The latest reading may be the first that contradicts the anchors.
		t := c.book.Timing(now)
		return j, t.Disputed && now.State == presence.ClockSynced
	}
	_, decided, ok := c.book.at(c.book.verdict(), k, now.Boottime, 0)
	j.Decided = ok && decided
	last := time.Duration(0)
	for _, a := range c.book.boots[k].anchors {
		if a.opens {
			last = max(last, a.bt)
		}
	}
	return j, fell || !j.Decided || now.Boottime-last < jumpFor
}

// Jump is a contradiction of the clock with itself.
type Jump struct {
	Passed  time.Time // certainly passed, by what stands; zero if nothing does
	Shows   time.Time // what the wall clock shows
	Decided bool      // a third voice has told which is right
}

// CertTime is the instant by which certificates are checked: the wall clock, or
// what has certainly passed where that is later, or where the wall clock
// contradicts what was known before.
func (c *Clock) CertTime() time.Time {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	passed, wall := c.book.NotBefore(now), now.WallTime()
	if now.State == presence.ClockTrusted {
		return wall
	}
	t := c.book.Proven(now)
	if t.Disputed && (t.Quality != presence.QualitySynced || !t.Time.Equal(wall)) || wall.Before(passed) {
		return passed
	}
	return wall
}
