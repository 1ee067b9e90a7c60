package city

import (
	"cmp"
	"encoding/json"
	"time"
)

// Line is whether a gateway is there.
type Line string

// The ways in which a gateway is there, or not.
const (
	Online  Line = "online"
	Offline Line = "offline"
	Silent  Line = "silent" // online as far as the broker knows, and says nothing any more
	Never   Line = "never"  // the broker has never heard of it
)

// Condition is what the broker knows of one gateway.
type Condition struct {
	Office
	Line   Line
	Reason string    // why it is offline: stop, reload or lost
	Since  time.Time // zero where nobody knows: a gateway that is lost cannot say when
	Level  string    // ok, warn or fault, as it said last; may be empty

	spoke time.Time // when it said how it is, or that it is there
}

// health is as much of the health document as the city's programs read.
type health struct {
	Time      string
	IntervalS float64 `json:"interval_s"`
	Level     string
	Roster    documentHealth
	Hours     documentHealth
	Badges    struct{ Revoked, Keys documentHealth }
}

// serial is that of the document of a kind that a gateway goes by.
func (h health) serial(k Kind) uint64 {
	switch k {
	case Roster:
		return h.Roster.Serial
	case BadgeRevoked:
		return h.Badges.Revoked.Serial
	case BadgeKeys:
		return h.Badges.Keys.Serial
	}
	return h.Hours.Serial
}

type documentHealth struct {
	Source  string
	Serial  uint64
	Refused int64
}

// usualInterval is how often a gateway says how it is, where it has not said so yet.
const usualInterval = 60 // seconds

// Condition tells whether a gateway is there. The desk has to listen to status and health.
// Where there are several brokers, it is there if it is at one of them.
//
// One that has said neither for three intervals is silent, although the broker has it as
// online: nobody publishes the will of a gateway that dies together with its broker, or
// with its node of a cluster.
func (d *Desk) Condition(o Office, now time.Time) Condition {
	_, c := d.where(o, now)
	return c
}

// newer reports whether a condition tells more of how a gateway is now than that at
// another broker.
func (c Condition) newer(than Condition) bool {
	if there := c.Line == Online; there != (than.Line == Online) {
		return there
	}
	if never := c.Line == Never; never != (than.Line == Never) {
		return !never
	}
	return c.spoke.After(than.spoke)
}

// condition is Condition at one broker.
func (s *seat) condition(o Office, now time.Time) Condition {
	c := Condition{Office: o, Line: Never}
	var status struct{ State, Reason, Time string }
	if json.Unmarshal(s.of(o, "status"), &status) != nil {
		return c
	}
	h := s.health(o)
	c.Level = h.Level
	said, _ := time.Parse(time.RFC3339, h.Time)
	stated, _ := time.Parse(time.RFC3339, status.Time)
	if c.spoke = said; stated.After(said) { // it is stated again as often as health
		c.spoke = stated
	}
	if status.State != "online" {
		c.Line, c.Reason = Offline, status.Reason
		c.Since = stated
		if c.Since.IsZero() { // a will knows no time: it was there when it spoke last
			c.Since = said
		}
		return c
	}
	c.Line = Online
	if allowed := time.Duration(3 * cmp.Or(h.IntervalS, usualInterval) * float64(time.Second)); !c.spoke.IsZero() && now.Sub(c.spoke) > allowed {
		c.Line, c.Since = Silent, c.spoke
	}
	return c
}

// health is what a gateway said last of how it is: by itself or because it was asked.
func (s *seat) health(o Office) (h health) {
	_ = json.Unmarshal(s.of(o, "health"), &h) // nothing is known then
	var reply struct{ Result health }
	if json.Unmarshal(s.of(o, "reply/report"), &reply) == nil && reply.Result.Time >= h.Time {
		h = reply.Result
	}
	return h
}
