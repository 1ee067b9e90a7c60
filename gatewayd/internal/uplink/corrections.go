package uplink

import (
	"context"
	"time"

	"presence/gatewayd/internal/presence"
)

// correction is an event that goes again because its time is known better.
type correction struct {
	entry    presence.Entry
	revision presence.Revision
}

// correct sends a few corrections of events that were sent before, and reports whether
// it did anything, be it only to look for some. The caller got the channel from
// Times.Changed before it read any timing.
func (s *sender) correct(ctx context.Context, changed <-chan struct{}) (bool, error) {
	position := s.u.ledger.sentHere()
	r := &s.u.review
	if changed != r.changed {
		r.begin(changed, s.u.opt.Times.Doubts(), s.u.opt.Journal.FinalUpto(), position)
	}
	if len(s.corrections) == 0 {
		worked, err := s.findCorrections(ctx, position)
		if !worked || err != nil {
			return false, err
		}
	}
	few := s.corrections[:min(len(s.corrections), repeatAtOnce)]
	entries, all := make([]presence.Entry, len(few)), make([]presence.Revision, len(few))
	for i := range few {
		entries[i], all[i] = few[i].entry, few[i].revision
	}
	if err := s.publishAll(ctx, entries, all, sent{why: forCorrection}); err != nil {
		return false, err
	}
	s.corrections = s.corrections[len(few):]
	return true, nil
}

// findCorrections takes one step in looking for corrections to send, and reports
// whether there was anything to look at: first the corrections that earlier
// connections sent without a PUBACK and those that the city has not confirmed in time,
// then the events of the present review up to a position.
func (s *sender) findCorrections(ctx context.Context, upto uint64) (worked bool, err error) {
	if len(s.stillOpen) > 0 {
		return true, s.collectOpen(ctx)
	}
	if again, _ := s.u.unconfirmed.due(time.Now()); again {
		s.unsearched = spanOf(1, upto)
	}
	if !s.unsearched.Empty() {
		open, looked, err := s.u.revisions.openCorrections(s.unsearched.From-1, s.unsearched.To)
		if err != nil {
			return false, err
		}
		for _, revision := range open {
			if !s.u.unconfirmed.has(revision.Pos) {
				s.stillOpen = append(s.stillOpen, revision.Pos)
			}
		}
		s.unsearched.From = looked + 1
		return true, nil
	}
	part := s.u.review.next(upto)
	if part.Empty() {
		return false, nil
	}
	return true, s.reviewPart(ctx, part)
}

// reviewPart looks through the next events of a part of the review.
func (s *sender) reviewPart(ctx context.Context, part span) error {
	entries, err := s.readRange(ctx, part)
	if err != nil {
		return err
	}
	r := &s.u.review
	if len(entries) == 0 {
		r.reviewed(part.To, nil)
	} else {
		all, err := s.u.revisions.revise(ctx, entries, allPositions, bestKnown)
		if err != nil {
			return err
		}
		var improvable []uint64
		for i, revision := range all {
			if revision.Open {
				s.corrections = append(s.corrections, correction{entries[i], revision})
			}
			if !revision.Timing.Final() && !s.u.opt.Times.Final(entries[i].At) {
				improvable = append(improvable, revision.Pos)
			}
		}
		r.reviewed(entries[len(entries)-1].Pos, improvable)
	}
	if pos, known := r.finalUpto(); known {
		s.u.opt.Journal.SetFinalUpto(pos)
	}
	return nil
}

// collectOpen takes the next correction that was sent before and is still open among
// those to be sent now.
func (s *sender) collectOpen(ctx context.Context) error {
	pos := s.stillOpen[0]
	s.stillOpen = s.stillOpen[1:]
	entries, err := s.readRange(ctx, spanOf(pos, pos))
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil // the event is no longer in the journal, and neither is its revision
	}
	all, err := s.u.revisions.revise(ctx, entries, allPositions, lastPublished)
	if err != nil {
		return err
	}
	if all[0].Open {
		s.corrections = append(s.corrections, correction{entries[0], all[0]})
	}
	return nil
}
