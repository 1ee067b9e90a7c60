package clock

import (
	"time"

	"presence/gatewayd/internal/presence"
)

// maxSealed bounds how many anchors are told at a time.
const maxSealed = 64

// AnchorsAfter are the anchors of the present boot after an instant of it
// (Reading.Boottime; -1: all), oldest first: what a seal holds of the clock, so that the
// times of events can be checked long afterwards. There are 64 at most, the newest. A
// clock that the configuration trusts has none.
func (c *Clock) AnchorsAfter(after time.Duration) []presence.Anchor {
	boot := c.source.Now().Boot
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.book.find(boot)
	if k < 0 {
		return nil
	}
	var found []presence.Anchor
	for _, a := range c.book.boots[k].anchors {
		if a.bt > after {
			found = append(found, presence.Anchor{Boottime: a.bt, UTC: a.utc, Error: a.err, Source: a.source})
		}
	}
	return found[max(0, len(found)-maxSealed):]
}
