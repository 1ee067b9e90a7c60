package uplink

import (
	"context"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/presence"
)

// sent is an event on its way.
type sent struct {
	pos      uint64
	at       time.Time
	revision presence.Revision // of its time
	why      purpose
	first    bool   // this connection did not send it yet
	resync   int    // number of the resync that it is part of
	size     int    // of the payload in bytes
	name     string // the event's id
	token    mqtt.Token
}

// acknowledged tells whether the broker has it.
func (e sent) acknowledged() bool {
	select {
	case <-e.token.Done():
		return e.token.Error() == nil
	default:
		return false
	}
}

// purpose is the reason why an event is sent.
type purpose int

const (
	forDelivery   purpose = iota // its PUBACK, or its receipt, moves the cursor
	forResync                    // the city asked for it once more
	forCorrection                // its time is better known
	outOfTurn                    // a tap that does not wait for an event that the broker does not take
)

// drain sends the journal's events from the cursor on, in order, a window of
// them at a time, until the line fails or the context ends.
func (s *session) drain(ctx context.Context) error {
	u := s.u
	cursor := u.ledger.begin(u.opt.Journal.Cursor())
	// The FIFO between sender and collector keeps the order.
	flying := make(chan sent, cap(s.places))
	g, ctx := errgroup.WithContext(ctx)
	reader := &reader{session: s, group: g}
	reader.readFrom(ctx, cursor)
	g.Go(func() error {
		return (&sender{session: s, reader: reader, inFlight: flying, unsearched: spanOf(1, cursor)}).run(ctx)
	})
	g.Go(func() error { return s.collect(ctx, flying) })
	err := g.Wait()
	for len(flying) > 0 {
		s.unacked = append(s.unacked, <-flying)
	}
	s.unacked = slices.DeleteFunc(s.unacked, sent.acknowledged)
	return err
}
