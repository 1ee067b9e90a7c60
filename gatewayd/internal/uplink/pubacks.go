package uplink

import (
	"context"
	"fmt"
	"time"

	"presence/gatewayd/internal/presence"
)

// collector gathers PUBACKs until they are accounted for together.
type collector struct {
	u     *Uplink
	from  uint64 // an unbroken run of positions
	to    uint64
	count int64
	open  []presence.Revision // corrections
}

func (c *collector) add(e sent) {
	c.u.suspects.acknowledgedEvents(e.pos, e.pos)
	if e.revision.Open {
		c.open = append(c.open, e.revision)
	}
	switch e.why {
	case forResync:
		c.u.ledger.confirmReplay(e.resync, e.pos)
		fallthrough
	case forCorrection:
		c.count++
		return
	case outOfTurn:
		c.u.noteEarly(e.pos)
		c.count++
		return
	}
	if c.to != 0 && e.pos != c.to+1 {
		c.account()
	}
	if c.from == 0 {
		c.from = e.pos
	}
	c.to = e.pos
	c.count++
}

// settle moves the cursor over what was gathered or, where the city's receipts
// do that, waits for them from now on.
func (c *collector) account() {
	if c.count == 0 {
		return
	}
	c.u.mu.Lock()
	c.u.stats.Acked += c.count
	c.u.mu.Unlock()
	c.u.revisions.acknowledge(c.open)
	switch {
	case c.to == 0:
	case c.u.opt.Receipts:
		c.u.ledger.awaitReceipt(c.from, c.to, time.Now())
		c.u.opt.Journal.NoteUnanswered(c.u.ledger.unanswered())
	default:
		c.u.delivered(c.to)
	}
	*c = collector{u: c.u}
}

// collect takes the PUBACKs in the order of sending. The first that fails or
// does not come ends the connection: what was sent after it counts as nothing.
func (s *session) collect(ctx context.Context, flying <-chan sent) error {
	u := s.u
	got := collector{u: u}
	var next sent
	defer func() {
		got.account()
		if next.token != nil {
			s.unacked = append(s.unacked, next)
		}
	}()
	late := time.NewTimer(u.limits.PubAck)
	defer late.Stop()
	s.lastPUBACK.Store(time.Now().UnixNano()) // when the line last did something
	for {
		next = sent{}
		select {
		case next = <-flying:
		default:
			// Nothing more at this moment: account before waiting.
			got.account()
			s.oldestInFlight(time.Time{})
			select {
			case next = <-flying:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case <-next.token.Done():
		default:
			got.account()
			s.oldestInFlight(next.at)
			// A slow line takes long for a window of events; it stalls only
			// when it does not go on.
			moved := time.Unix(0, s.lastPUBACK.Load())
			if next.at.After(moved) {
				moved = next.at
			}
			late.Reset(u.limits.PubAck - time.Since(moved))
			select {
			case <-next.token.Done():
			case <-late.C:
				return stalled(u.limits.PubAck)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := next.token.Error(); err != nil {
			return s.whyLost(ctx, err)
		}
		s.lastPUBACK.Store(time.Now().UnixNano())
		got.add(next)
		<-s.places
		if got.count >= readAhead {
			got.account()
		}
	}
}

// whyLost waits a moment for the reason why an event was not confirmed: paho
// tells its tokens first.
func (s *session) whyLost(ctx context.Context, err error) error {
	timer := time.NewTimer(publishWait)
	defer timer.Stop()
	select {
	case why := <-s.lost:
		return fmt.Errorf("%w: %w", errLost, why)
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("publish: %w", err)
	}
}

func (s *session) oldestInFlight(at time.Time) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.oldest = at
}
