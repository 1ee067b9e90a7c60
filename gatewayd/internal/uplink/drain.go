package uplink

import (
	"context"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/batch"
	"presence/gatewayd/internal/presence"
)

// sent is a publication on its way to the broker: an event, or a batch of them, all for
// the same purpose.
type sent struct {
	pos      uint64
	at       time.Time // when it was published
	revision presence.Revision
	why      purpose
	first    bool     // this connection did not send it before
	resync   int      // with forResync, the number of the replay that it belongs to
	more     []member // of a batch, the events behind the first
	places   int64    // that it takes in the window
	size     int      // of the payload in bytes
	room     int      // bytes that it takes of the pace; 0: none
	inFlight int      // bytes that were on their way with it
	name     string   // the event's id, where it goes alone
	token    mqtt.Token
}

// last is the position of its last event.
func (e *sent) last() uint64 {
	if n := len(e.more); n > 0 {
		return e.more[n-1].pos
	}
	return e.pos
}

// events is how many events it holds.
func (e *sent) events() int { return 1 + len(e.more) }

// acknowledged reports whether the broker has the event.
func (e sent) acknowledged() bool {
	return completed(e.token) && e.token.Error() == nil
}

// purpose is why an event is sent.
type purpose int

const (
	forDelivery    purpose = iota // its PUBACK, or its receipt, moves the cursor
	forResync                     // the city asked for it again
	forCorrection                 // its time is known better
	outOfTurn                     // it is a tap, and the broker hangs up over an event before it
	aheadOfBacklog                // it is new, and much that was recorded before it waits for a slow line
)

// drain sends the journal's events behind a position, in order, until the connection
// fails or the context ends. Four goroutines work on that: the reader gets events
// from the journal, the sender publishes them, the collector waits for their PUBACKs,
// and the aheadReader looks for new taps where the line is slow. At most a window of
// events is on its way at a time.
func (s *session) drain(ctx context.Context, cursor uint64) error {
	inFlight := make(chan sent, s.window) // in the order of sending
	urgent := make(chan presence.Entry)
	s.turn.Store(cursor)
	g, ctx := errgroup.WithContext(ctx)
	reader := &reader{session: s, group: g}
	reader.readFrom(ctx, cursor)
	g.Go(func() error {
		return (&sender{session: s, reader: reader, inFlight: inFlight, urgent: urgent, unsearched: spanOf(1, cursor), fit: batch.MaxEvents}).run(ctx)
	})
	g.Go(func() error { return s.collect(ctx, inFlight) })
	if !s.u.opt.EventsOnly { // which delivers for a gateway that records nothing now
		g.Go(func() error { return (&aheadReader{session: s, urgent: urgent}).run(ctx, s.u.aheadFrom()) })
	}
	err := g.Wait()
	for len(inFlight) > 0 {
		s.unacked = append(s.unacked, <-inFlight)
	}
	s.unacked = slices.DeleteFunc(s.unacked, sent.acknowledged)
	return err
}
