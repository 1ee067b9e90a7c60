package uplink

import (
	"slices"

	"presence/gatewayd/internal/interval"
)

// review is the progress of looking through the events that were sent, for those
// whose time is known better by now. It starts over with each change of Times, and
// outlives connections.
//
// An event is improvable while Times may come to know its time better. The others need
// no second look, but for one case: if Times.Doubts rises, any timing may have to be
// withdrawn, and everything is looked through.
type review struct {
	changed <-chan struct{} // closed at the next change of Times; nil before the first review
	doubts  uint64          // Times.Doubts at the start of this review
	left    []span          // what is still to be looked at
	again   []span          // was looked at, and holds improvable events for the next review
	upto    uint64          // the review ends here; what is behind was sent with what is known now
}

// begin starts a review of the events up to a position: the improvable
// ones and those that were sent since the last review, or all of them if doubts has
// risen. For a process's first review, final is the position up to which no event is
// improvable.
func (r *review) begin(changed <-chan struct{}, doubts, final, upto uint64) {
	if r.changed == nil {
		r.upto = final
	}
	r.changed = changed
	if doubts != r.doubts {
		r.doubts, r.upto, r.left, r.again = doubts, 0, nil, nil
	}
	if upto > r.upto {
		r.left = append(r.left, spanOf(r.upto+1, upto))
		r.upto = upto
	}
	r.left = interval.Join(slices.Concat(r.again, r.left))
	r.again = nil
}

// next returns what to look at next, no further than a position.
func (r *review) next(upto uint64) span {
	if len(r.left) == 0 || r.left[0].From > upto {
		return noSpan()
	}
	return spanOf(r.left[0].From, min(r.left[0].To, upto))
}

// reviewed notes that what next returned was looked at, up to a position, and which of
// those events are improvable.
func (r *review) reviewed(upto uint64, improvable []uint64) {
	if r.left[0].From = upto + 1; r.left[0].Empty() {
		r.left = r.left[1:]
	}
	for _, pos := range improvable {
		// To look at a few other events in between costs less than a longer list.
		if n := len(r.again); n > 0 && pos > r.again[n-1].To && pos-r.again[n-1].To <= readAhead {
			r.again[n-1].To = pos
		} else {
			r.again = append(r.again, spanOf(pos, pos))
		}
	}
}

// finalUpto is the position up to which no event is improvable. It is known at the
// end of a review.
func (r *review) finalUpto() (pos uint64, known bool) {
	switch {
	case len(r.left) > 0:
		return 0, false
	case len(r.again) > 0:
		return r.again[0].From - 1, true
	}
	return r.upto, true
}
