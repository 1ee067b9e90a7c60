package uplink

import (
	"context"
	"slices"

	"presence/gatewayd/internal/presence"
)

// revision is how far the times of events that were sent have been looked at
// since more is known. It outlives connections.
type review struct {
	changed <-chan struct{} // more is known than at the present look; nil before the first
	left    []span          // still to be looked at
	upto    uint64          // what is behind was sent with what is known now, or will be
	doubt   []span          // looked at, and the time of some may become better known
	doubts  uint64          // Times.Doubts at the present look
}

// correction is an event whose time is told once more.
type correction struct {
	entry    presence.Entry
	revision presence.Revision
}

// begin starts a look at all events up to a position whose time may have become
// better known: those that are in doubt and those sent since, or all of them when
// it may have to be taken back what was said.
func (r *review) begin(changed <-chan struct{}, doubts, settled, upto uint64) {
	if r.changed == nil {
		r.upto = settled
	}
	r.changed = changed
	if doubts != r.doubts {
		r.doubts, r.upto, r.left, r.doubt = doubts, 0, nil, nil
	}
	if upto > r.upto {
		r.left = append(r.left, span{r.upto + 1, upto})
		r.upto = upto
	}
	r.left = union(slices.Concat(r.doubt, r.left))
	r.doubt = nil
}

// next is what to look at now, no further than a position.
func (r *review) next(upto uint64) span {
	if len(r.left) == 0 || r.left[0].from > upto {
		return span{}
	}
	return span{r.left[0].from, min(r.left[0].to, upto)}
}

// looked notes that events were looked at, up to a position, and which of them
// are in doubt.
func (r *review) reviewed(upto uint64, doubt []uint64) {
	if r.left[0].from = upto + 1; r.left[0].empty() {
		r.left = r.left[1:]
	}
	for _, pos := range doubt {
		// A few others in between cost less than a list of them all.
		if n := len(r.doubt); n > 0 && pos > r.doubt[n-1].to && pos-r.doubt[n-1].to <= readAhead {
			r.doubt[n-1].to = pos
		} else {
			r.doubt = append(r.doubt, span{pos, pos})
		}
	}
}

// settled is the position up to which nothing is in doubt. It is known at the
// end of a look.
func (r *review) finalUpto() (pos uint64, known bool) {
	switch {
	case len(r.left) > 0:
		return 0, false
	case len(r.doubt) > 0:
		return r.doubt[0].from - 1, true
	}
	return r.upto, true
}

// union sorts spans and joins those that overlap or touch.
func union(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return int(min(max(int64(a.from-b.from), -1), 1)) })
	joined := all[:0]
	for _, s := range all {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to+1 {
			joined[n-1].to = max(joined[n-1].to, s.to)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// correct sends a few events again whose time is better known than when they
// were sent, and reports whether it did anything. The channel is of before what
// is known was asked.
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
	for i := range few {
		if err := s.publish(ctx, &few[i].entry, sent{revision: few[i].revision, why: forCorrection}); err != nil {
			return false, err
		}
	}
	s.corrections = s.corrections[len(few):]
	return true, nil
}

// findCorrections looks for events to send again, and reports whether there was
// anything to look at.
func (s *sender) findCorrections(ctx context.Context, upto uint64) (worked bool, err error) {
	if len(s.reopened) > 0 {
		return true, s.reopen(ctx)
	}
	if !s.again.empty() {
		open, looked, err := s.u.revisions.openCorrections(s.again.from-1, s.again.to)
		if err != nil {
			return false, err
		}
		for _, said := range open {
			s.reopened = append(s.reopened, said.Pos)
		}
		s.again.from = looked + 1
		return true, nil
	}
	r := &s.u.review
	part := r.next(upto)
	if part.empty() {
		return false, nil
	}
	entries, err := s.among(ctx, part)
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		r.reviewed(part.to, nil)
	} else {
		all, err := s.u.revisions.revise(ctx, entries, allPositions, bestKnown)
		if err != nil {
			return false, err
		}
		var doubt []uint64
		for i, said := range all {
			if said.Open {
				s.corrections = append(s.corrections, correction{entries[i], said})
			}
			if !said.Timing.Final() && !s.u.opt.Times.Final(entries[i].At) {
				doubt = append(doubt, said.Pos)
			}
		}
		r.reviewed(entries[len(entries)-1].Pos, doubt)
	}
	if pos, known := r.finalUpto(); known {
		s.u.opt.Journal.SetFinalUpto(pos)
	}
	return true, nil
}

// reopen finds the next of the corrections that earlier connections did not
// bring through.
func (s *sender) reopen(ctx context.Context) error {
	pos := s.reopened[0]
	s.reopened = s.reopened[1:]
	entries, err := s.among(ctx, span{pos, pos})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil // it is gone, and so is what was said of it
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
