package lightgateway

import "time"

// firstRepeats is how many events go again to find out whether the city is there.
const firstRepeats = 32

// repetition is how events go again whose receipt does not come: the oldest few at first,
// and each time that the city answers and lacks what follows, a part twice as large.
type repetition struct {
	tries int       // how often the oldest events went again since the last receipt
	at    time.Time // when they last did
	left  span      // of the present part, what is still to be sent
	upto  uint64    // last position of the present part; 0: there is none
	size  uint64    // of the present part, in positions
	limit uint64    // last position that the city may lack; 0 until it answers
}

// pause is how long to wait for a receipt after so many tries: first, then four times as
// long, and then twice as long each time.
func (l *ledger) pause() time.Duration {
	if l.again.tries == 0 {
		return l.patience
	}
	d := 4 * l.patience
	for range l.again.tries - 1 {
		if d *= 2; d >= l.longest {
			break
		}
	}
	return min(d, max(l.longest, l.patience))
}

// due returns the next events that go again now, at most so many; where there are none,
// when the next will be, zero if none will.
func (l *ledger) due(now time.Time, most uint64) (part span, next time.Time) {
	if len(l.waiting) == 0 {
		return noSpan(), time.Time{}
	}
	r := &l.again
	if r.left.from = max(r.left.from, l.cursor+1); r.left.empty() {
		if next = l.nextPart(now); !next.IsZero() {
			return noSpan(), next
		}
	}
	part = span{r.left.from, min(r.left.to, r.left.from+most-1)}
	r.left.from = part.to + 1
	return part, time.Time{}
}

// nextPart sets the next part that goes again, or returns the time before which it is too
// early for one.
func (l *ledger) nextPart(now time.Time) (early time.Time) {
	r := &l.again
	if r.upto != 0 && l.cursor >= r.upto { // the city has answered
		if r.limit == 0 {
			r.limit = l.acked
		}
		if l.cursor < r.limit {
			if r.size *= 2; l.cursor > r.upto {
				r.size = firstRepeats // the city has events behind the part, so it may lack none
			}
			r.left = span{l.cursor + 1, min(r.limit, l.cursor+r.size)}
			r.upto = r.left.to
			return time.Time{}
		}
		r.upto, r.limit = 0, 0
	}
	since := l.waiting[0].since
	for _, t := range []time.Time{l.moved, r.at} {
		if t.After(since) {
			since = t
		}
	}
	if at := since.Add(l.pause()); now.Before(at) {
		return at
	}
	left := span{l.cursor + 1, min(l.acked, l.cursor+firstRepeats)}
	*r = repetition{tries: r.tries + 1, at: now, left: left, upto: left.to, size: firstRepeats}
	return time.Time{}
}
