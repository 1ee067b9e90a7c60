package uplink

import (
	"context"
	"fmt"
	"time"

	"presence/gatewayd/internal/presence"
)

// collector gathers acknowledged events, so that many of them are accounted for at
// once.
type collector struct {
	u     *Uplink
	from  uint64              // first of an unbroken run of positions; 0: there is none
	to    uint64              // last of it
	count int64               // events, those for another purpose than delivery among them
	open  []presence.Revision // corrections among them
}

// add adds a publication that the broker has acknowledged: a PUBACK stands for all events
// of a batch.
func (c *collector) add(e *sent) {
	c.addEvent(e, e.pos, e.revision)
	for _, m := range e.more {
		c.addEvent(e, m.pos, m.revision)
	}
}

// addEvent adds an event of a publication.
func (c *collector) addEvent(e *sent, pos uint64, revision presence.Revision) {
	c.u.suspects.acknowledgedEvent(pos, e.first)
	if revision.Open {
		c.open = append(c.open, revision)
	}
	switch e.why {
	case forResync:
		c.u.ledger.confirmReplay(e.resync, pos)
		fallthrough
	case forCorrection:
		c.count++
		return
	case outOfTurn:
		c.u.noteEarly(pos)
		c.count++
		return
	case aheadOfBacklog:
		c.u.noteAhead(pos)
		c.count++
		return
	}
	if c.to != 0 && pos != c.to+1 {
		c.account()
	}
	if c.from == 0 {
		c.from = pos
	}
	c.to = pos
	c.count++
}

// account accounts for what was gathered: the cursor moves over those events or, with
// receipts, they begin to wait for theirs.
func (c *collector) account() {
	if c.count == 0 {
		return
	}
	c.u.corrected(c.open)
	c.u.mu.Lock()
	c.u.stats.Acked += c.count
	c.u.wakeWaiting() // for corrections
	c.u.mu.Unlock()
	switch {
	case c.to == 0:
	case c.u.opt.Receipts:
		c.u.ledger.awaitReceipt(c.from, c.to, time.Now())
		c.u.ledger.noteUnanswered(c.u.opt.Journal.SetUnanswered)
	default:
		c.u.delivered(c.to)
	}
	*c = collector{u: c.u}
}

// corrected notes that the broker has acknowledged corrections. With receipts they are
// delivered only when the city confirms them too.
func (u *Uplink) corrected(open []presence.Revision) {
	if len(open) == 0 || u.opt.Receipts && u.unconfirmed.await(open, time.Now()) {
		return
	}
	u.revisions.acknowledge(open)
}

// collect waits for the PUBACKs of events, in the order of sending. The first that
// fails or does not come ends the connection, and nothing that was sent after it
// counts as acknowledged.
func (s *session) collect(ctx context.Context, inFlight <-chan sent) error {
	got := collector{u: s.u}
	var next sent
	defer func() {
		got.account()
		if next.token != nil {
			s.unacked = append(s.unacked, next)
		}
	}()
	late := time.NewTimer(s.u.limits.PubAck)
	defer late.Stop()
	s.lastPUBACK.Store(time.Now().UnixNano())
	for {
		next = sent{}
		select {
		case next = <-inFlight:
		default:
			got.account() // rather now than after the wait
			s.oldestInFlight(time.Time{})
			select {
			case next = <-inFlight:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !completed(next.token) {
			got.account()
			s.oldestInFlight(next.at)
			if err := s.awaitPUBACK(ctx, next, late); err != nil {
				return err
			}
		}
		if err := next.token.Error(); err != nil {
			return s.whyLost(ctx, err)
		}
		now := time.Now()
		s.lastPUBACK.Store(now.UnixNano())
		s.pace.give(next.room, next.inFlight, now.Sub(next.at))
		got.add(&next)
		s.places.Release(next.places)
		if got.count >= readAhead {
			got.account()
		}
	}
}

// awaitPUBACK waits until a token completes. On a slow line a window of events takes
// long; the line counts as stalled only if no PUBACK comes at all for so long, nor anything
// else that may be before one.
func (s *session) awaitPUBACK(ctx context.Context, e sent, late *time.Timer) error {
	owed := time.Unix(0, s.lastPUBACK.Load())
	if e.at.After(owed) {
		owed = e.at
	}
	left := s.u.limits.PubAck - time.Since(s.u.lastSign(owed))
	for {
		late.Reset(left)
		select {
		case <-e.token.Done():
			return nil
		case <-late.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if completed(e.token) {
			return nil
		}
		if left = s.u.limits.PubAck - time.Since(s.u.lastSign(owed)); left <= 0 {
			return stalled(s.u.limits.PubAck)
		}
	}
}

// whyLost returns why the connection was lost, for an error of a token: paho completes
// the tokens first, with an error that does not say it, and reports the reason a moment
// later.
func (s *session) whyLost(ctx context.Context, err error) error {
	timer := time.NewTimer(publishWait)
	defer timer.Stop()
	select {
	case reason := <-s.lost:
		return fmt.Errorf("%w: %w", errLost, reason)
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("publish: %w", err)
	}
}

// oldestInFlight keeps when the oldest event in flight was sent, for Stats; zero: there
// is none.
func (s *session) oldestInFlight(at time.Time) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.oldest = at
}
