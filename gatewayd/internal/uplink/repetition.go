package uplink

import "time"

// patience is how long to wait for what the city owes before asking again, the first time
// and at most: for a receipt, before the oldest events without one go again, and for a
// document that it has named.
type patience struct{ first, longest time.Duration }

// pause is how long to wait after so many times in vain: first, then 4 times first, and
// then twice as long each time up to longest.
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

// firstRepeats is how many events go again to find out whether the city is there.
const firstRepeats = 32

// repetition is how events go again whose receipt does not come: the oldest few at
// first, and then, each time that the city has answered to one part and evidently
// lacks the events behind it too, a part twice as large. So a city that is away is
// sent little, one that has lost everything gets all of it at full speed, and one that
// has everything gets few events twice.
type repetition struct {
	tries int       // how often the oldest events went again since the last receipt
	at    time.Time // when they last did
	left  span      // of the present part, what is still to be sent
	upto  uint64    // last position of the present part; 0: there is none
	size  uint64    // of the present part, in positions
	limit uint64    // last position that the city may lack; 0 until it answers
}

// waiting is a run of positions that the broker has acknowledged and that have no
// receipt yet.
type waiting struct {
	span
	since time.Time
}

// awaitReceipt notes that the broker has acknowledged events, and begins to wait for
// their receipt.
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
	l.waiting = append(l.waiting, waiting{spanOf(from, to), now})
	if len(l.waiting) == 1 {
		l.wake()
	}
}

// unanswered is the position up to which the broker has acknowledged everything while
// the city does not answer to what goes again; 0 if it does answer. The caller holds the
// mutex.
func (l *ledger) unanswered() uint64 {
	if l.again.tries == 0 || l.acked <= l.cursor {
		return 0
	}
	return l.acked
}

// noteUnanswered calls note with what unanswered returns. Several goroutines call it, and
// the ledger stands still meanwhile: so the last call of note has the latest position.
func (l *ledger) noteUnanswered(note func(pos uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	note(l.unanswered())
}

// due returns the next events that are to go again now, at most so many. Where there
// are none it returns when the next will be, or zero if none will.
func (l *ledger) due(now time.Time, most uint64) (part span, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return noSpan(), time.Time{}
	}
	r := &l.again
	if r.left.From = max(r.left.From, l.cursor+1); r.left.Empty() {
		if next = l.nextPart(now); !next.IsZero() {
			return noSpan(), next
		}
	}
	part = spanOf(r.left.From, min(r.left.To, r.left.From+most-1))
	r.left.From = part.To + 1
	return part, time.Time{}
}

// nextPart sets the next part that goes again, or returns the time before which it is
// too early for one.
func (l *ledger) nextPart(now time.Time) (early time.Time) {
	r := &l.again
	if answered := r.upto != 0 && l.cursor >= r.upto; answered {
		if r.limit == 0 {
			r.limit = l.acked
		}
		if l.cursor < r.limit {
			if r.size *= 2; l.cursor > r.upto {
				r.size = firstRepeats // the city has events behind the part, so it may lack none
			}
			r.left = spanOf(l.cursor+1, min(r.limit, l.cursor+r.size))
			r.upto = r.left.To
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
	r.left = spanOf(l.cursor+1, min(l.acked, l.cursor+firstRepeats))
	*r = repetition{tries: r.tries + 1, at: now, left: r.left, upto: r.left.To, size: firstRepeats}
	return time.Time{}
}
