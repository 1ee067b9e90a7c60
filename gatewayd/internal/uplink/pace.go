package uplink

import (
	"sync"
	"time"
)

// pace bounds how many bytes of events are on their way to the broker, by how long their
// PUBACKs take: on a slow line a whole window of events would keep a tap waiting for
// minutes, in paho, in the socket and in the modem, where nothing can be put before what
// is there. On a fast line the bound is far above a window and holds nobody up.
//
// The bound follows from Little's law: where so many bytes are on their way, and each of
// them takes so long, their quotient is what the line carries in a second. Of that, as
// much may be on its way as it carries in aimedDelay.
type pace struct {
	freed chan struct{} // has room for one: there is less on its way, or the bound is another

	mu       sync.Mutex
	inFlight int  // bytes
	most     int  // bytes that may be on their way; one event always may
	known    bool // most follows from a PUBACK
	lagging  bool // the greeting, or a PUBACK, has shown that the line is slow
}

const (
	// aimedDelay is the time from an event's publication to its PUBACK that is aimed at.
	// It is above the round trip of a slow line, which it would leave idle otherwise, and
	// low enough for a tap to reach the city within 10 seconds.
	aimedDelay = 3 * time.Second

	// leastInFlight lets a line on which a PUBACK takes longer than that have a few
	// events on their way all the same.
	leastInFlight = 2 << 10

	// firstInFlight is the bound while nothing is known of the line.
	firstInFlight = 2 << 10

	// mostInFlight is above any window.
	mostInFlight = 1 << 30

	// slowInFlight is the bound below which a line is slow: it carries less than about
	// 5 KB a second.
	slowInFlight = 16 << 10

	// aroundEvent is what is sent beside an event's payload: the topic, the headers of
	// MQTT, TLS, TCP and IP.
	aroundEvent = 120
)

// cautious lowers the bound where the greeting has shown that the line is slow, until a
// PUBACK shows how slow it is.
func (p *pace) cautious() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		p.most, p.lagging = leastInBatch, true
	}
}

// isSlow reports whether a PUBACK has shown that the line is slow.
func (p *pace) isSlow() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known && p.lagging
}

func newPace() *pace { return &pace{freed: make(chan struct{}, 1), most: firstInFlight} }

// forTaps is how many bytes more may be on their way with events that do not wait for a
// backlog: some taps go before any of it has been acknowledged.
const forTaps = 2 << 10

// take takes room for so many bytes if there is some, for an urgent event also beyond the
// bound, and returns how many bytes are on their way with them. Without a pace there is
// always room.
func (p *pace) take(bytes int, urgent bool) (inFlight int, ok bool) {
	if p == nil {
		return 0, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.most
	if urgent {
		most += forTaps
	}
	if p.inFlight > 0 && p.inFlight+bytes > most {
		return 0, false
	}
	p.inFlight += bytes
	return p.inFlight, true
}

// give gives room back after a PUBACK that took so long, at whose publication so many
// bytes were on their way.
func (p *pace) give(bytes, inFlight int, took time.Duration) {
	if p == nil || bytes == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight -= bytes
	most := float64(inFlight) * float64(aimedDelay) / float64(max(took, time.Microsecond))
	p.most, p.known = int(min(max(most, leastInFlight), mostInFlight)), true
	p.lagging = p.most < slowInFlight
	select {
	case p.freed <- struct{}{}:
	default:
	}
}

// bound is how many bytes may be on their way.
func (p *pace) bound() int {
	if p == nil {
		return mostInFlight
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// inParts is in how many batches at least what is on its way travels: with one only, a slow
// line would be idle while that is acknowledged, and a tap would wait for all of it.
const inParts = 3

// batch is the most bytes of a batch.
func (p *pace) batch() int {
	if p == nil {
		return mostInFlight
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.lagging {
		return p.most
	}
	return max(p.most/inParts, leastInBatch)
}

// leastInBatch lets a batch have some ten events however slow the line is.
const leastInBatch = 400

// carries is how many bytes the line carries in so long, as far as is known.
func (p *pace) carries(long time.Duration) float64 {
	if p == nil {
		return mostInFlight
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		return mostInFlight
	}
	return float64(p.most) * long.Seconds() / aimedDelay.Seconds()
}

// slow reports whether the line is slow, or nothing is known of it yet.
func (p *pace) slow() bool { return p.bound() < slowInFlight }
