package recap

import "presence/gatewayd/internal/presence"

// known are two entries of a boot whose time is known: the first and the last.
//
// The clock knows only the last boots, and a journal may hold more. An entry's published
// revision is kept with it, and dates what else was read in its boot.
type known [2]struct {
	at   presence.Reading
	time presence.Timing
}

// know notes the time of an entry.
func (c *Collector) know(at presence.Reading, t presence.Timing) {
	k, ok := c.boots[at.Boot]
	if !ok {
		k[0].at, k[0].time = at, t
	}
	k[1].at, k[1].time = at, t
	c.boots[at.Boot] = k
}

// timing is what is known of a reading: by the clock, or where that knows nothing
// by an entry of the same boot.
func (c *Collector) timing(r presence.Reading) presence.Timing {
	best := c.times.Timing(r)
	if !best.Time.IsZero() {
		return best
	}
	for _, entry := range c.boots[r.Boot] {
		if t := entry.time.Later(r.Boottime - entry.at.Boottime); best.Time.IsZero() || !t.Time.IsZero() && t.Error < best.Error {
			best = t
		}
	}
	return best
}
