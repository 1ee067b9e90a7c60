package clock

import "presence/gatewayd/internal/presence"

// Final reports whether no more will ever be known of the instant of a
// reading: its boot is over, and what the present one learns says nothing of
// it.
func (b *Book) Final(r presence.Reading) bool {
	newest := len(b.boots) - 1
	k := b.find(r.Boot)
	switch {
	case r.State == presence.ClockTrusted, k < 0, !plausible(r.Boottime):
		return true
	case k == newest:
		return false
	}
	// Its own anchors tell it, else the start of the next boot that has some:
	// only the newest boot's become more.
	for _, later := range b.boots[k:newest] {
		if len(later.anchors) > 0 {
			return true
		}
	}
	return false
}

// Final reports whether no more will ever be known of the instant of a
// reading.
func (c *Clock) Final(r presence.Reading) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.Final(r)
}
