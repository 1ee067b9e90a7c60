package lightgateway

import "time"

// pace bounds how many bytes of events are on their way, by how long their PUBACKs take:
// as much as the line carries in three seconds. It follows the real gateway's, so that a
// connection begins with a few events.
type pace struct{ inFlight, most int32 }

const (
	aimedDelay    = 3 * time.Second
	leastInFlight = 2 << 10 // also while nothing is known of the line
	mostInFlight  = 1 << 30
	aroundEvent   = 120 // bytes that are sent beside a payload
	usualEvent    = 480 // bytes of most events
)

// take takes room for so many bytes, and returns how many are on their way with them.
func (p *pace) take(bytes int32) (inFlight int32) {
	p.inFlight += bytes
	return p.inFlight
}

// give gives room back after a PUBACK that took so long, at whose publication so many
// bytes were on their way.
func (p *pace) give(bytes, inFlight int32, took time.Duration) {
	p.inFlight -= bytes
	most := float64(inFlight) * float64(aimedDelay) / float64(max(took, time.Microsecond))
	p.most = int32(min(max(most, leastInFlight), mostInFlight))
}

// room is how many usual events have room; one always has if nothing is on its way.
func (p *pace) room() int {
	if p.inFlight == 0 {
		return max(1, int(p.most/(usualEvent+aroundEvent)))
	}
	return int(p.most-p.inFlight) / (usualEvent + aroundEvent)
}
