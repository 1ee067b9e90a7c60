package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/presence"
)

// repeatAtOnce is how many events are sent again before it is a new event's turn.
const repeatAtOnce = 32

// sender publishes events: new ones first, then those whose receipt does not
// come, then what a resync asked for, then those whose time is better known. While
// there is of all, each gets its turn.
type sender struct {
	*session
	reader   *reader
	inFlight chan<- sent

	// held is an event over which the broker hangs up. Until it is its time to be
	// tried again, only taps are sent of what follows it.
	heldPos   uint64
	heldUntil time.Time

	unsearched  span         // corrections of earlier connections are still to be looked for among these
	stillOpen   []uint64     // those that were found there, by position
	corrections []correction // to be sent
}

func (s *sender) run(ctx context.Context) error {
	l := s.u.ledger
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer s.u.beat(0) // the session's end is to be soon
	for {
		s.u.beat(0)
		if s.heldPos != 0 && !time.Now().Before(s.heldUntil) {
			s.reader.readFrom(ctx, s.heldPos-1)
			s.heldPos = 0
		}
		fresh := s.reader.fresh
		if s.heldPos == 0 && s.u.opt.Receipts && !l.hasRoom(s.u.limits.Unreceipted) {
			fresh = nil // the city has to catch up
		}
		worked := true
		select {
		case entries := <-fresh:
			if err := s.sendNew(ctx, entries); err != nil {
				return err
			}
		default:
			worked = false
		}
		overdue, next := l.due(time.Now(), repeatAtOnce)
		if err := s.resend(ctx, overdue, forDelivery, 0); err != nil {
			return err
		}
		asked, number := l.nextReplay(repeatAtOnce)
		if err := s.resend(ctx, asked, forResync, number); err != nil {
			return err
		}
		changed := s.u.opt.Times.Changed()
		corrected, err := s.correct(ctx, changed)
		if err != nil {
			return err
		}
		worked = worked || !overdue.Empty() || !asked.Empty() || corrected
		if worked {
			continue
		}
		if s.heldPos != 0 && (next.IsZero() || s.heldUntil.Before(next)) {
			next = s.heldUntil
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		s.u.beat(-1)
		select {
		case entries := <-fresh:
			s.u.beat(0)
			if err := s.sendNew(ctx, entries); err != nil {
				return err
			}
		case <-l.changed:
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// first sends events that this connection did not send yet, but for those that
// the city's receipts cover already.
func (s *sender) sendNew(ctx context.Context, entries []presence.Entry) error {
	u := s.u
	if s.heldPos != 0 {
		return s.sendAhead(ctx, entries)
	}
	for i := range entries {
		if until, held := u.suspects.held(entries[i].Pos, time.Now()); held {
			s.heldPos, s.heldUntil = entries[i].Pos, until
			after := entries[i+1:]
			if entries = entries[:i]; i > 0 {
				if err := s.sendNew(ctx, entries); err != nil {
					return err
				}
			}
			return s.sendAhead(ctx, after)
		}
	}
	told := u.ledger.publishedUpto()
	rest, from, to := u.ledger.enter(entries)
	u.received(from, to)
	all, err := u.revisions.revise(ctx, rest, told, bestKnown)
	if err != nil {
		return err
	}
	err = s.publishAll(ctx, rest, all, sent{why: forDelivery, first: true})
	u.opt.Journal.NoteSent(u.ledger.sentUpto())
	return err
}

// aheadOf sends the taps among events that follow one that is held, each once:
// people are paid by them. They come again in their place.
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
	all, err := u.revisions.revise(ctx, taps, u.ledger.publishedUpto(), bestKnownOutOfTurn)
	if err != nil {
		return err
	}
	return s.publishAll(ctx, taps, all, sent{why: outOfTurn})
}

// send sends events with what is said of their times.
func (s *sender) publishAll(ctx context.Context, entries []presence.Entry, all []presence.Revision, as sent) error {
	for i := range entries {
		as.revision = all[i]
		if err := s.publish(ctx, &entries[i], as); err != nil {
			return err
		}
	}
	return nil
}

// gone bounds the wait for events that are to be sent again and are no longer
// in the journal: it made room, or their time was over.
const goneAfter = time.Second

// among reads the next events of a span, none where the journal has none of them
// any more.
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

// repeat sends events that were sent before.
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

// vanish accounts for events that are no longer in the journal. It matters only
// for those that wait for delivery.
func (s *sender) noteGone(gone span, why purpose) {
	if !gone.Empty() && why == forDelivery {
		s.u.received(s.u.ledger.noteGone(gone))
	}
}

// publish sends one event as soon as there is a place for it.
func (s *sender) publish(ctx context.Context, e *presence.Entry, as sent) error {
	u := s.u
	payload, err := u.opt.Origin.Event(&e.Record, as.revision.Timing)
	if err != nil {
		return err
	}
	as.pos, as.size = e.Pos, len(payload)
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
			select {
			case <-s.publishNow(e, payload, as).Done():
				return nil // the collector says how it went
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	u.beat(2 * u.limits.PubAck) // which the collector allows each place to take, and whoever goes alone
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	u.beat(0)
	s.publishNow(e, payload, as)
	return nil
}

// publishNow publishes an event that has its place.
func (s *sender) publishNow(e *presence.Entry, payload []byte, as sent) mqtt.Token {
	u := s.u
	if as.first {
		u.ledger.noteSending(e.Pos)
	}
	as.token = s.client.Publish(u.prefix+"event/"+e.Kind.String(), 1, false, payload)
	as.at = time.Now()
	u.published.Add(1)
	s.inFlight <- as // has room for each place
	return as.token
}

// sentEarly notes that the broker has a tap ahead of its turn.
func (u *Uplink) noteEarly(pos uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.early = max(u.early, pos)
}
