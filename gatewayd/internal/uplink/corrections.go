package uplink

import (
	"context"

	"presence/gatewayd/internal/presence"
)

// correction is an event whose time is told once more.
type correction struct {
	entry    presence.Entry
	revision presence.Revision
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
	if len(s.stillOpen) > 0 {
		return true, s.collectOpen(ctx)
	}
	if !s.unsearched.empty() {
		open, looked, err := s.u.revisions.openCorrections(s.unsearched.from-1, s.unsearched.to)
		if err != nil {
			return false, err
		}
		for _, said := range open {
			s.stillOpen = append(s.stillOpen, said.Pos)
		}
		s.unsearched.from = looked + 1
		return true, nil
	}
	r := &s.u.review
	part := r.next(upto)
	if part.empty() {
		return false, nil
	}
	entries, err := s.readRange(ctx, part)
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
func (s *sender) collectOpen(ctx context.Context) error {
	pos := s.stillOpen[0]
	s.stillOpen = s.stillOpen[1:]
	entries, err := s.readRange(ctx, span{pos, pos})
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
