package clock

import "presence/gatewayd/internal/presence"

// Revise says what is known by now of the instant of a reading, after what was said
// of it before. Of a boot that the book has forgotten it knew more then: that
// stands, unless nothing was known.
func (c *Clock) Revise(before presence.Timing, r presence.Reading) presence.Timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.book.find(r.Boot) < 0 && !before.Time.IsZero() {
		return before
	}
	return presence.Revise(before, c.book.Timing(r))
}
