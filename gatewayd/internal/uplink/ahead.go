package uplink

import (
	"context"
	"time"

	"presence/gatewayd/internal/presence"
)

// On a slow line a backlog can take hours. Of what is recorded meanwhile, taps and what
// follows from them do not wait for it: they are sent ahead of their turn, and once more
// in their turn, so that the cursor moves as it always does. What comes twice has the same
// id, and the same rev unless its time has become better known.

// goesAhead reports whether events of a kind do not wait for a backlog.
func goesAhead(k presence.Kind) bool {
	return k == presence.KindBadge || k == presence.KindPresence || k == presence.KindStart
}

const (
	// aheadAfter is how long events wait for their turn before they are sent ahead. On a
	// line that is fast enough it comes meanwhile, and nothing is sent twice.
	aheadAfter = time.Second

	// aheadBegins is how long after the start of a connection the first events are sent
	// ahead: so much a fast line has delivered by then that few are sent twice. On a line
	// that is slow to acknowledge the greeting they do not wait.
	aheadBegins = 2 * time.Second

	// backlogged is how many events at least, others than those that are sent ahead,
	// must come before an event for it to be sent ahead.
	backlogged = 16
)

// aheadReader looks, in the journal, for events to be sent ahead of a backlog. It keeps
// one page of the journal in memory, and goes through what a connection has to send once:
// each event goes ahead at most once.
type aheadReader struct {
	*session
	urgent chan<- presence.Entry
	others [backlogged]uint64 // positions of the latest events that do not go ahead
	oldest int                // index of the oldest of them
}

// run reads the events behind a position until the context ends.
func (r *aheadReader) run(ctx context.Context, pos uint64) error {
	if !r.answersSlowly() && !pause(ctx, aheadBegins) {
		return ctx.Err()
	}
	for i := range r.others {
		r.others[i] = pos // what is before it waits too
	}
	for {
		pos = max(pos, r.turn.Load())
		entries, err := r.u.opt.Journal.Next(ctx, pos, readAhead)
		if err != nil {
			return err
		}
		pos = entries[len(entries)-1].Pos
		if err := r.offer(ctx, entries); err != nil {
			return err
		}
	}
}

// offer hands over those of some events that are to be sent ahead, if their turn does not
// come soon.
func (r *aheadReader) offer(ctx context.Context, entries []presence.Entry) error {
	waited := false
	for i := range entries {
		e := &entries[i]
		if !goesAhead(e.Kind) {
			r.others[r.oldest] = e.Pos
			r.oldest = (r.oldest + 1) % len(r.others)
			continue
		}
		if !waited && r.backlogged() {
			if waited = true; !pause(ctx, aheadAfter) {
				return ctx.Err()
			}
		}
		if !r.backlogged() {
			continue
		}
		select {
		case r.urgent <- *e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// backlogged reports whether more has to be sent before the next event than a few of its
// own kind, which are no slower in their turn.
func (r *aheadReader) backlogged() bool { return r.turn.Load() < r.others[r.oldest] }

// pause waits, and reports whether the context has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// aheadFrom is the position behind which events are sent ahead: those that this process
// recorded, and of which the broker did not get all already.
func (u *Uplink) aheadFrom() uint64 {
	u.mu.Lock()
	ahead := u.ahead
	u.mu.Unlock()
	if first, found := u.opt.Journal.PositionOf(u.opt.Journal.Stream(), 1); found {
		return max(ahead, first-1)
	}
	return max(ahead, u.opt.Journal.End())
}

// noteAhead notes that the broker has an event that was sent ahead of a backlog.
func (u *Uplink) noteAhead(pos uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ahead = max(u.ahead, pos)
}

// sendUrgent sends an event ahead of the backlog, unless its turn has come, or something
// else than the line keeps it back: an event before it over which the broker hangs up,
// of which sendAhead knows more, or a city that does not confirm what it has.
func (s *sender) sendUrgent(ctx context.Context, e presence.Entry) error {
	u := s.u
	if s.turn.Load() >= e.Pos || s.heldPos != 0 || u.opt.Receipts && !u.ledger.hasRoom(u.limits.Unreceipted) {
		return nil
	}
	all, err := u.revisions.revise(ctx, []presence.Entry{e}, u.ledger.publishedUpto, bestKnownOutOfTurn)
	if err != nil {
		return err
	}
	return s.publish(ctx, &e, sent{why: aheadOfBacklog, revision: all[0]})
}

// awaitRoom waits until so many bytes may be on their way, and returns how many are with
// them. Meanwhile it sends what is to go ahead.
func (s *sender) awaitRoom(ctx context.Context, bytes int, why purpose) (inFlight int, err error) {
	urgent := s.urgent
	if why == aheadOfBacklog {
		urgent = nil
	}
	for {
		select {
		case e := <-urgent:
			if err := s.sendUrgent(ctx, e); err != nil {
				return 0, err
			}
			continue
		default:
		}
		if inFlight, ok := s.pace.take(bytes, why == aheadOfBacklog); ok {
			return inFlight, nil
		}
		s.u.beat(2 * s.u.limits.PubAck) // within that there is a PUBACK, or the connection ends
		select {
		case e := <-urgent:
			if err := s.sendUrgent(ctx, e); err != nil {
				return 0, err
			}
		case <-s.pace.freed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
