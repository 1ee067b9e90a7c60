package clock

import (
	"time"

	"presence/gatewayd/internal/presence"
)

// NotBefore is an instant that has certainly passed at the reading, zero if
// nothing is known. Certificates can be checked by it before the clock is set.
//
// What the city says over the broker does not count: who can tell a gateway that
// a certificate has ended can cut it off for ever. Where the system's clock
// contradicted itself, the first that it said stands, until it has said another
// for a day longer: a server that sets the clock back for an hour revives no
// certificate, and one that sets it ahead ends none for good.
func (b *Book) NotBefore(r presence.Reading) time.Time {
	k := b.find(r.Boot)
	if k < 0 {
		k, r.Boottime = len(b.boots), 0
	}
	if !plausible(r.Boottime) {
		return time.Time{}
	}
	proof := b.proof()
	var standing []trackSet
	since := int64(0)
	for i := min(k, len(b.boots)-1); i >= 0; i-- {
		bt := b.boots[i].mark
		if i == k {
			bt = r.Boottime
		}
		var t trackSet
		switch f := proof[i]; {
		case f.maybeNone || len(f.held) > 1: // undecided
			if standing == nil {
				standing = b.standing()
			}
			t = standing[i]
		case len(f.held) == 1:
			t = f.held[0] & b.boots[i].tracksOf(SourceSystem)
		}
		if t != 0 {
			return time.Unix(0, b.boots[i].of(t, bt, 0).From+since)
		}
		since += least(bt)
	}
	return time.Time{}
}

// NotBefore is an instant that has certainly passed, zero if nothing is known:
// certificates can be checked by it on a machine that woke in 1970.
func (c *Clock) NotBefore() time.Time {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.NotBefore(now)
}
