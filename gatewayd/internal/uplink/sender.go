package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/presence"
)

// repeatAtOnce is how many events are sent again in one round of the sender, before it
// is the new events' turn.
const repeatAtOnce = 32

// sender publishes events. It works in rounds: some new events, some whose receipt
// does not come, some that a resync asked for, and some corrections, so that none of
// the four kinds waits until another is at its end.
type sender struct {
	*session
	reader   *reader
	inFlight chan<- sent
	urgent   <-chan presence.Entry // to be sent ahead of a backlog

	// heldPos is an event over which the broker hangs up; 0: there is none. Until
	// heldUntil, when it is tried again, only taps are sent of what follows it.
	heldPos   uint64
	heldUntil time.Time

	batches      bool             // the broker lets batches through
	sentBatches  bool             // some were sent since that was found out
	tried        time.Time        // when it was last tried
	echoDue      time.Time        // until when the batch of no events has to come back; zero: none is under way
	waiting      []presence.Entry // new events that wait for company
	waitingUntil time.Time        // until then
	fit          int              // how many events fit into a batch, as far as is known

	unsearched  span         // positions still to be searched for corrections of earlier connections
	stillOpen   []uint64     // positions of those that were found
	corrections []correction // to be sent

	room  []byte // for the next events in JSON: what it has was published
	draft []byte // an event in JSON on its way into a batch
}

// roomForEvents is for how many bytes of events memory is taken at a time, and usualEvent
// is more than most events need.
const (
	roomForEvents = 16 << 10
	usualEvent    = 640
)

// encode returns an event in JSON. Events lie next to each other, so that a window of
// them takes a few pieces of memory only; none is used twice, for paho may still read it.
func (s *sender) encode(r *presence.Record, t presence.Timing) ([]byte, error) {
	if cap(s.room)-len(s.room) < usualEvent {
		s.room = make([]byte, 0, roomForEvents)
	}
	began := len(s.room)
	all, err := s.u.opt.Origin.AppendEvent(s.room, r, t)
	if err != nil {
		return nil, err
	}
	s.room = all
	return all[began:len(all):len(all)], nil
}

func (s *sender) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer s.u.beat(0) // the session's end is to be soon
	s.u.setIdle(false)
	if err := s.awaitEcho(ctx); err != nil {
		return err
	}
	for {
		s.u.beat(0)
		s.checkEcho()
		if s.heldPos != 0 && !time.Now().Before(s.heldUntil) {
			s.reader.readFrom(ctx, s.heldPos-1)
			s.heldPos = 0
		}
		fresh := s.reader.fresh
		if s.heldPos == 0 && s.u.opt.Receipts && !s.u.ledger.hasRoom(s.u.limits.Unreceipted) {
			fresh = nil // the city has to catch up
		}
		changed := s.u.opt.Times.Changed()
		worked, next, err := s.round(ctx, fresh, changed)
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		s.u.beat(-1)
		s.u.suspects.nothingToSend()
		s.u.setIdle(true)
		select {
		case entries := <-fresh:
			s.u.beat(0)
			if err := s.gather(ctx, entries); err != nil {
				return err
			}
		case <-s.u.ledger.changed:
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// round sends some events of each kind, and reports whether there were any. Where
// there were none it returns when there will be some for sure; zero if never.
func (s *sender) round(ctx context.Context, fresh <-chan []presence.Entry, changed <-chan struct{}) (worked bool, next time.Time, err error) {
	select {
	case entries := <-fresh:
		worked = true
		if err := s.gather(ctx, entries); err != nil {
			return false, time.Time{}, err
		}
	default:
	}
	if len(s.waiting) > 0 && !s.mayWait(nil) {
		worked = true
		if err := s.sendWaiting(ctx); err != nil {
			return false, time.Time{}, err
		}
	}
	overdue, next := s.u.ledger.due(time.Now(), repeatAtOnce)
	bound := batchesAgain
	if !overdue.Empty() {
		bound = batchesDoubted
	}
	trial, err := s.retryBatches(ctx, bound)
	if err != nil {
		return false, time.Time{}, err
	}
	if err := s.resend(ctx, overdue, forDelivery, 0); err != nil {
		return false, time.Time{}, err
	}
	asked, number := s.u.ledger.nextReplay(repeatAtOnce)
	if err := s.resend(ctx, asked, forResync, number); err != nil {
		return false, time.Time{}, err
	}
	corrected, err := s.correct(ctx, changed)
	if err != nil {
		return false, time.Time{}, err
	}
	if s.heldPos != 0 {
		next = earlierOf(next, s.heldUntil)
	}
	if len(s.waiting) > 0 {
		next = earlierOf(next, s.waitingUntil)
	}
	next = earlierOf(next, trial)
	_, confirmations := s.u.unconfirmed.due(time.Now())
	next = earlierOf(next, confirmations)
	return worked || !overdue.Empty() || !asked.Empty() || corrected, next, nil
}

// earlierOf returns the earlier of two instants; one that is zero never comes.
func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sendNew sends events that this connection did not send yet, but for those that
// receipts cover already. From an event on over which the broker hangs up it sends the
// taps only.
func (s *sender) sendNew(ctx context.Context, entries []presence.Entry) error {
	u := s.u
	if s.heldPos != 0 {
		return s.sendAhead(ctx, entries)
	}
	for i := range entries {
		if until, held := u.suspects.held(entries[i].Pos, time.Now()); held {
			return s.sendUpToHeld(ctx, entries, i, until)
		}
	}
	published := u.ledger.publishedUpto()
	rest, from, to := u.ledger.enter(entries)
	u.received(from, to)
	all, err := u.revisions.revise(ctx, rest, func() uint64 { return published }, bestKnown)
	if err != nil {
		return err
	}
	err = s.publishAll(ctx, rest, all, sent{why: forDelivery, first: true})
	u.opt.Journal.SetSent(u.ledger.sentUpto())
	if err == nil && s.heldPos == 0 {
		s.turn.Store(u.ledger.sentHere()) // some needed no sending
	}
	return err
}

// sendUpToHeld sends the events before the one with a number, over which the broker hangs
// up, and of those behind it the taps. When that event is tried again, reading begins with
// it: so all before it have to be sent by then.
func (s *sender) sendUpToHeld(ctx context.Context, entries []presence.Entry, i int, until time.Time) error {
	if i > 0 {
		if err := s.sendNew(ctx, entries[:i]); err != nil {
			return err
		}
	}
	s.heldPos, s.heldUntil = entries[i].Pos, until
	return s.sendAhead(ctx, entries[i+1:])
}

// sendAhead sends the taps among events that follow one which is held: people are
// paid by them. Each goes ahead once, and again in its turn.
func (s *sender) sendAhead(ctx context.Context, entries []presence.Entry) error {
	u := s.u
	u.mu.Lock()
	early := u.early
	u.mu.Unlock()
	var taps []presence.Entry
	for _, e := range entries {
		if e.Kind == presence.KindBadge && e.Pos > early {
			taps = append(taps, e)
		}
	}
	all, err := u.revisions.revise(ctx, taps, u.ledger.publishedUpto, bestKnownOutOfTurn)
	if err != nil {
		return err
	}
	return s.publishAll(ctx, taps, all, sent{why: outOfTurn})
}

// publishAll publishes events with their revisions, all for the same purpose, and as many
// of them together as travel in a batch.
func (s *sender) publishAll(ctx context.Context, entries []presence.Entry, all []presence.Revision, as sent) error {
	for len(entries) > 0 {
		n, err := s.publishTogether(ctx, entries, all, as)
		if n == 0 && err == nil {
			n, as.revision = 1, all[0]
			err = s.publish(ctx, &entries[0], as)
		}
		if err != nil {
			return err
		}
		entries, all = entries[n:], all[n:]
	}
	return nil
}

// goneAfter bounds the wait for events that are to be sent again. The newest ones may
// no longer be in the journal, which made room or whose time to keep them is over, and
// then Journal.Next waits for newer ones.
const goneAfter = time.Second

// readRange reads the first events of a span, or none where the journal no longer has
// any of them.
func (s *sender) readRange(ctx context.Context, what span) ([]presence.Entry, error) {
	reading, cancel := context.WithTimeout(ctx, goneAfter)
	defer cancel()
	entries, err := s.u.opt.Journal.Next(reading, what.From-1, int(min(what.To-what.From+1, readAhead)))
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if entries[i].Pos > what.To {
			return entries[:i], nil
		}
	}
	return entries, nil
}

// resend sends the events of a span once more.
func (s *sender) resend(ctx context.Context, what span, why purpose, resync int) error {
	for !what.Empty() {
		entries, err := s.readRange(ctx, what)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			s.noteGone(what, why)
			return nil
		}
		for i := range entries {
			s.noteGone(spanOf(what.From, entries[i].Pos-1), why)
			what.From = entries[i].Pos + 1
		}
		all, err := s.u.revisions.revise(ctx, entries, allPositions, lastPublished)
		if err != nil {
			return err
		}
		if err := s.publishAll(ctx, entries, all, sent{why: why, resync: resync}); err != nil {
			return err
		}
	}
	return nil
}

// noteGone has the ledger know of events that are no longer in the journal. It only
// matters for those that wait for their delivery.
func (s *sender) noteGone(gone span, why purpose) {
	if !gone.Empty() && why == forDelivery {
		s.u.received(s.u.ledger.noteGone(gone))
	}
}

// publish sends one event as soon as there is a place for it in the window. An event
// over which the broker may have hung up goes alone.
func (s *sender) publish(ctx context.Context, e *presence.Entry, as sent) error {
	u := s.u
	payload, err := s.encode(&e.Record, as.revision.Timing)
	if err != nil {
		return err
	}
	as.pos, as.size, as.places = e.Pos, len(payload), 1
	topic := "event/" + e.Kind.String()
	switch u.suspects.treatEvent(e.Pos, as.size, as.why == forDelivery, time.Now()) {
	case notNow:
		if as.why == forResync {
			u.ledger.confirmReplay(as.resync, e.Pos)
		}
		return nil
	case byItself:
		as.name = fmt.Sprintf("%s-%d", e.Stream, e.Seq)
		u.beat(4 * u.limits.PubAck) // for the window before it, for documents, and for its own
		defer u.beat(0)
		// The collector gives its place back.
		return s.alone(ctx, 1, func() error {
			token, err := s.publishNow(ctx, topic, payload, as)
			if err != nil {
				return err
			}
			select {
			case <-token.Done():
				return nil // the collector looks at how it went
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	if err := s.takeRoom(ctx, &as); err != nil {
		return err
	}
	_, err = s.publishNow(ctx, topic, payload, as)
	return err
}

// takeRoom takes what a publication needs of the pace and of the window.
func (s *sender) takeRoom(ctx context.Context, as *sent) (err error) {
	as.room = as.size + aroundEvent
	if as.inFlight, err = s.awaitRoom(ctx, as.room, as.why); err != nil {
		return err
	}
	return s.takePlaces(ctx, as.places)
}

// takePlaces takes places in the window.
func (s *sender) takePlaces(ctx context.Context, n int64) error {
	s.u.beat(2 * s.u.limits.PubAck) // so long the collector lets a place be taken, and a publication that goes alone
	if err := s.places.Acquire(ctx, n); err != nil {
		return err
	}
	s.u.beat(0)
	return nil
}

// publishNow publishes an event, or a batch, that has its places in the window. After an error nothing
// may be published over this connection any more: where paho did not take over an event
// in time, as on a machine that stood still for a moment, it may take over the next one,
// and the city would get that one first.
func (s *sender) publishNow(ctx context.Context, topic string, payload []byte, as sent) (mqtt.Token, error) {
	u := s.u
	if as.first {
		u.ledger.noteSending(as.last())
		s.turn.Store(as.last())
	}
	as.token = s.client.Publish(u.prefix+topic, 1, false, payload)
	as.at = time.Now()
	u.published.Add(int64(as.events()))
	s.inFlight <- as // has room for each place
	if completed(as.token) && as.token.Error() != nil {
		return nil, s.whyLost(ctx, as.token.Error())
	}
	return as.token, nil
}

// noteEarly notes that the broker has a tap that was sent ahead of its turn.
func (u *Uplink) noteEarly(pos uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.early = max(u.early, pos)
}
