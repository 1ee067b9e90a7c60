package uplink

import "slices"

// revision is how far the times of events that were sent have been looked at
// since more is known. It outlives connections.
type review struct {
	changed <-chan struct{} // more is known than at the present look; nil before the first
	left    []span          // still to be looked at
	upto    uint64          // what is behind was sent with what is known now, or will be
	doubt   []span          // looked at, and the time of some may become better known
	doubts  uint64          // Times.Doubts at the present look
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
