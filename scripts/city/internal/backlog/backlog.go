// Package backlog knows how much waits at the gateways, and shows on a terminal how it
// drains.
//
// It exists because after a night without the database somebody sits before it and asks
// how long this will take. Each gateway says in its health document how many of its events
// are not delivered; what was stored since is taken from that.
package backlog

import (
	"encoding/json"
	"strings"
	"sync"
)

// Backlog is what waits at gateways.
type Backlog struct {
	mu      sync.Mutex
	pending map[gateway]int
	sum     int
	stored  int64
}

// gateway is dinas and id.
type gateway [2]string

// New makes a backlog of nothing.
func New() *Backlog { return &Backlog{pending: make(map[gateway]int)} }

// maxGateways bounds how many gateways are known. Others are not counted.
const maxGateways = 100_000

// Health takes a health document, with its topic.
func (b *Backlog) Health(topic string, payload []byte) {
	parts := strings.Split(topic, "/")
	if len(parts) != 5 || parts[4] != "health" {
		return
	}
	var h struct {
		Journal struct {
			Pending int `json:"pending"`
		} `json:"journal"`
	}
	if json.Unmarshal(payload, &h) != nil || h.Journal.Pending < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g := gateway{parts[2], parts[3]}
	before, known := b.pending[g]
	if !known && len(b.pending) >= maxGateways {
		return
	}
	b.pending[g] = h.Journal.Pending
	b.sum += h.Journal.Pending - before
}

// Stored takes so many events of a gateway from what waits.
func (b *Backlog) Stored(dinas, id string, events int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := gateway{dinas, id}
	gone := min(b.pending[g], events)
	if gone > 0 {
		b.pending[g] -= gone
		b.sum -= gone
	}
	b.stored += int64(events)
}

// Pending is how many events wait at gateways, as far as those have said.
func (b *Backlog) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum
}

// total is how many events have been stored.
func (b *Backlog) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stored
}
