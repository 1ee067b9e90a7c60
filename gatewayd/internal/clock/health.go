package clock

import (
	"presence/gatewayd/internal/presence"
)

// The states of a clock in the health report.
const (
	stateSynced   = "synced"
	stateHoldover = "holdover" // not disciplined any more, or never, but known all the same
	stateUnsynced = "unsynced"
	stateTrusted  = "trusted"
)

// Health says how well the time is known now, and for how long the system's
// clock has not been disciplined. It is asked at least every few seconds, or
// Run runs, and measures from when it first found the clock unsynced.
func (c *Clock) Health() presence.ClockHealth {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteDiscipline(now)
	t := c.book.Timing(now)
	h := presence.ClockHealth{State: stateUnsynced, Quality: t.Quality}
	switch t.Quality {
	case presence.QualitySynced:
		h.State = stateSynced
		if c.lost {
			h.State = stateHoldover
		}
	case presence.QualityTrusted:
		h.State = stateTrusted
	case presence.QualityCorrected:
		h.State = stateHoldover
	}
	if !t.Time.IsZero() {
		ms := float64(t.Error.Microseconds()) / 1000
		h.ErrorMS = &ms
	}
	if c.lost {
		if d, ok := now.Since(c.unsynced); ok {
			h.UnsyncedS = int64(d.Seconds())
		}
	}
	return h
}

// noteDiscipline notes since when nobody has disciplined the clock. The kernel believes
// it for some nine hours more; NTP asks at least every 34 minutes.
func (c *Clock) noteDiscipline(now presence.Reading) {
	switch {
	case now.Known() && now.MaxError <= staleSync:
		c.lost = false
	case !c.lost:
		c.lost, c.unsynced = true, now
	}
}
