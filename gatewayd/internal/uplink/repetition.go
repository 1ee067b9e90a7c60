package uplink

import "time"

// patience is how long nothing may come from the city before the oldest events
// without a receipt go again: at first, and at most.
type patience struct{ first, longest time.Duration }

// pause is how long to wait when the oldest events went again so many times, and
// nothing came since.
func (p patience) pause(tries int) time.Duration {
	if tries == 0 {
		return p.first
	}
	d := 4 * p.first
	for range tries - 1 {
		if d *= 2; d >= p.longest {
			break
		}
	}
	return min(d, max(p.longest, p.first))
}

// few is how many events go again to find out whether the city is there.
const firstRepeats = 32

// repetition is how events go again whose receipt does not come: a few at first,
// and after each answer that shows that the city lacks the next ones too, twice
// as many. In this way a city that was away is asked seldom, one that has lost
// everything gets it at full speed, and one that has everything gets little of it
// twice.
type repetition struct {
	tries int       // times that nothing came before a few went again, since the last receipt
	at    time.Time // the last of them
	left  span      // of the present part, still to be sent
	upto  uint64    // the present part ends here; 0 for none
	size  uint64    // of the present part
	limit uint64    // what the city may lack ends here; 0 before it answered
}

// waiting are positions whose receipt is waited for.
type waiting struct {
	span
	since time.Time
}

// await notes that the broker has taken events, whose receipt is due from now.
func (l *ledger) awaitReceipt(from, to uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = max(from, l.acked+1) // what went again waits already
	if from > to {
		return
	}
	l.acked = to
	if to <= l.cursor {
		return
	}
	l.waiting = append(l.waiting, waiting{span{from, to}, now})
	if len(l.waiting) == 1 {
		l.wake()
	}
}

// unanswered is the position up to which the broker has everything although the
// city does not answer when some of it goes again; 0 while it does.
func (l *ledger) unanswered() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again.tries == 0 || l.acked <= l.cursor {
		return 0
	}
	return l.acked
}

// due takes a few of the events that are to go again now. Where there are none
// it says when the next are, zero for never.
func (l *ledger) due(now time.Time, most uint64) (part span, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return span{}, time.Time{}
	}
	r := &l.again
	if r.left.from = max(r.left.from, l.cursor+1); r.left.empty() {
		if next = l.nextPart(now); !next.IsZero() {
			return span{}, next
		}
	}
	part = span{r.left.from, min(r.left.to, r.left.from+most-1)}
	r.left.from = part.to + 1
	return part, time.Time{}
}

// nextPart decides what goes again next, unless it says that it is too early.
func (l *ledger) nextPart(now time.Time) (early time.Time) {
	r := &l.again
	if answered := r.upto != 0 && l.cursor >= r.upto; answered {
		if r.limit == 0 {
			r.limit = l.acked
		}
		if l.cursor < r.limit {
			if r.size *= 2; l.cursor > r.upto {
				r.size = firstRepeats // it has the next ones without that
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
	if at := since.Add(l.patient.pause(r.tries)); now.Before(at) {
		return at
	}
	r.left = span{l.cursor + 1, min(l.acked, l.cursor+firstRepeats)}
	*r = repetition{tries: r.tries + 1, at: now, left: r.left, upto: r.left.to, size: firstRepeats}
	return time.Time{}
}
