package intake

import (
	"context"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// acks is the acknowledgements of a connection that are still to be sent, in order. They
// have a goroutine of their own: a broker that does not read must not keep those of other
// brokers waiting.
type acks struct {
	mu      sync.Mutex
	waiting []mqtt.Message
	there   chan struct{}
}

func newAcks() *acks { return &acks{there: make(chan struct{}, 1)} }

func (a *acks) add(m mqtt.Message) {
	a.mu.Lock()
	a.waiting = append(a.waiting, m)
	a.mu.Unlock()
	select {
	case a.there <- struct{}{}:
	default:
	}
}

// run sends them until the context ends.
func (a *acks) run(ctx context.Context) {
	for {
		select {
		case <-a.there:
		case <-ctx.Done():
			return
		}
		a.mu.Lock()
		now := a.waiting
		a.waiting = nil
		a.mu.Unlock()
		for _, m := range now {
			m.Ack() // blocks until it is written, or the connection is over
		}
	}
}
