package clock

import (
	"math"
	"time"

	"presence/gatewayd/internal/presence"
)

// Age says between which bounds the age of an earlier reading surely lies now:
// 0 and math.MaxInt64 where nothing is known. Within a boot it is exact to the
// drift of the crystal, which is left out: it is a minute in a month.
//
// Before Attach nothing is known of other boots: what is in the store may say
// that their clocks were wrong.
//
// A reading that lies in the future by all that is known was taken from a clock
// that was wrong, and its age is unknown.
func (c *Clock) Age(earlier presence.Reading) (least, most time.Duration) {
	now := c.source.Now()
	if now.Boot == earlier.Boot {
		age := max(0, now.Boottime-earlier.Boottime)
		return age, age
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		return 0, math.MaxInt64
	}
	then := c.book.Timing(earlier)
	if then.Time.IsZero() {
		return 0, math.MaxInt64
	}
	// Of the present instant a boot that has not learned the time yet still
	// knows what has certainly passed.
	if t := c.book.Timing(now); !t.Time.IsZero() {
		least = t.Time.Add(-t.Error).Sub(then.Time.Add(then.Error))
		most = t.Time.Add(t.Error).Sub(then.Time.Add(-then.Error))
	} else if passed := c.book.NotBefore(now); !passed.IsZero() {
		least, most = passed.Sub(then.Time.Add(then.Error)), math.MaxInt64
	} else {
		most = math.MaxInt64
	}
	if most < 0 {
		return 0, math.MaxInt64
	}
	return max(0, least), most
}
