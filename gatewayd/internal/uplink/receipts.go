package uplink

import (
	"errors"
	"fmt"
	"time"

	"presence/gatewayd/internal/presence"
)

// parseReceipt reads a message of the topic `receipt`, and strictly so: after a receipt
// the gateway deletes events.
func parseReceipt(payload []byte) (presence.Receipt, error) {
	var r presence.Receipt
	if len(payload) > maxCommand {
		return r, fmt.Errorf("receipt of %d bytes: at most %d", len(payload), maxCommand)
	}
	if err := strict(payload, &r); err != nil {
		return presence.Receipt{}, fmt.Errorf("receipt is not as it should be: %w", presence.PlainJSON(err))
	}
	if r.Stream.IsZero() || r.Upto == 0 {
		return presence.Receipt{}, errors.New("receipt without stream or upto")
	}
	for _, c := range r.Revised {
		if c.Seq == 0 || c.Rev < 1 {
			return presence.Receipt{}, fmt.Errorf("receipt for rev %d of event %d: no correction has these", c.Rev, c.Seq)
		}
	}
	return r, nil
}

// receipt enters a receipt: the city's database has a stream's events up to one of them.
// It counts only up to what was sent, as nobody can have more. Of its own stream this
// process knows exactly what it sent, so a receipt for more is refused altogether. Of an
// earlier stream, less may be known after a crash than was sent: then the receipt counts
// up to what is known, the rest goes again, and the city confirms it again.
//
// A link in it is compared with the journal's, also where receipts are not asked for.
func (s *session) receipt(payload []byte, retained bool) error {
	u := s.u
	r, err := parseReceipt(payload)
	if err != nil {
		return err
	}
	if !u.opt.Receipts && (r.Link.IsZero() || u.opt.Head == nil) {
		return errors.New("receipts are not switched on")
	}
	if u.opt.City != nil {
		if err := u.opt.City.Receipt(r); err != nil {
			return fmt.Errorf("receipt %w", err)
		}
	}
	pos, found := u.opt.Journal.PositionOf(r.Stream, r.Upto)
	sent := s.sentUpto(retained)
	early := r.Stream == u.opt.Journal.Stream() && (!found || pos > sent)
	if !r.Link.IsZero() && u.opt.Head != nil && !early {
		upto, err := u.opt.Head(presence.Head{Stream: r.Stream, Seq: r.Upto, Link: r.Link})
		if err != nil {
			return fmt.Errorf("receipt for %s-%d %w", r.Stream, r.Upto, err)
		}
		if upto < r.Upto {
			pos, found = u.opt.Journal.PositionOf(r.Stream, upto)
		}
	}
	if u.opt.Receipts {
		u.rereading.named(r.Documents, u.opt.Documents, time.Now())
		u.corrections(r)
	}
	switch {
	case !found:
		return fmt.Errorf("receipt for %s-%d, which is not in the journal", r.Stream, r.Upto)
	case early:
		return fmt.Errorf("receipt for %s-%d, which was not sent yet", r.Stream, r.Upto)
	case !u.opt.Receipts:
		return nil
	}
	u.received(u.ledger.receive(r.Stream, min(pos, sent), !retained))
	u.ledger.noteUnanswered(u.opt.Journal.SetUnanswered)
	if pos > sent {
		return fmt.Errorf("receipt for %s-%d, which is not known to have been sent: it counts only up to what was", r.Stream, r.Upto)
	}
	return nil
}

// corrections closes the corrections that a receipt names: the city has them.
func (u *Uplink) corrections(r presence.Receipt) {
	var all []presence.Revision
	for _, c := range r.Revised {
		if pos, found := u.opt.Journal.PositionOf(r.Stream, c.Seq); found {
			all = append(all, presence.Revision{Pos: pos, Timing: presence.Timing{Rev: c.Rev}})
		}
	}
	if len(r.Revised) > 0 {
		u.unconfirmed.confirmed(all, time.Now())
		u.revisions.acknowledge(all)
	}
}

// sentUpto is the newest position that was certainly sent when the city published a
// receipt. The broker marks a message as retained where it was published before the
// gateway subscribed (MQTT 3.1.1, 3.3.1.3), so such a receipt is about what earlier
// connections sent. It is read while events go out already: nothing in MQTT 3.1.1 tells
// when the broker has handed over all that is retained.
func (s *session) sentUpto(retained bool) uint64 {
	if retained {
		return s.sentBefore
	}
	return s.u.ledger.sentUpto()
}

// received counts the events between two positions of the cursor as received, and moves
// the journal's cursor, if there are any.
func (u *Uplink) received(from, to uint64) {
	if to <= from {
		return
	}
	u.mu.Lock()
	u.stats.ReceivedReceipt += int64(to - from)
	u.mu.Unlock()
	u.delivered(to)
}
