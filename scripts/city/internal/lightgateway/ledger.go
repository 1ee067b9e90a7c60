package lightgateway

import "time"

// span is a run of positions, both ends included.
type span struct{ from, to uint64 }

func (s span) empty() bool { return s.from > s.to }

// noSpan is a span without a position.
func noSpan() span { return span{1, 0} }

// ledger knows which events were sent and are not yet confirmed, and which go again. It
// follows the rules of the real gateway's ledger.
type ledger struct {
	receipts bool          // an event is confirmed by a receipt, not by its PUBACK
	patience time.Duration // without a receipt before the oldest events go again
	longest  time.Duration // the same while the city does not answer to that

	cursor   uint64            // up to here everything is confirmed
	moved    time.Time         // when the cursor last moved
	position uint64            // newest event that this connection has sent, or needed not send
	sent     uint64            // newest event that was ever sent
	received map[string]uint64 // by stream, up to which position the city has it, where that is behind the cursor
	acked    uint64            // the broker has acknowledged everything up to here
	waiting  []waiting         // what lies between cursor and acked, in order
	again    repetition
	replay   replay
}

// waiting is a run of positions that the broker has acknowledged and the city has not
// confirmed.
type waiting struct {
	span
	since time.Time
}

// together is within what time the broker's acknowledgements count as one.
const together = 50 * time.Millisecond

// replay is the events that go again because a resync asked for them.
type replay struct {
	span             // what is still to be sent
	confirmed uint64 // the broker has acknowledged what lies before this position; 0: there was no resync
}

// begin starts a connection. Everything behind the cursor goes again, because a broker
// that was restarted may have lost what it acknowledged; but while the city is silent
// what the broker acknowledged is left out, and only the oldest few go again.
func (l *ledger) begin(now time.Time) {
	r := &l.again
	silent := r.tries > 0
	if l.acked > l.cursor {
		*r = repetition{tries: 1, at: r.at} // the pauses begin anew at each connection
		if r.at.IsZero() || !silent {
			r.at = now
		}
	}
	l.position = l.cursor
	l.waiting = nil
	if silent && l.acked > l.cursor {
		l.waiting = []waiting{{span{l.cursor + 1, l.acked}, r.at}}
	} else {
		l.acked = l.cursor
	}
	if l.replay.confirmed != 0 && l.replay.confirmed <= l.replay.to {
		l.replay.from = l.replay.confirmed
	}
}

// receive enters a receipt for a stream up to a position. Live tells that it is not a
// retained one: the city is there.
func (l *ledger) receive(j *journal, stream string, pos uint64, live bool, now time.Time) {
	if live {
		l.again.tries = 0
	}
	if pos <= l.cursor {
		return
	}
	l.received[stream] = max(l.received[stream], pos)
	l.advance(j, now)
}

// advance moves the cursor as far as the receipts allow: over the events of a stream only
// where no event before them is unconfirmed.
func (l *ledger) advance(j *journal, now time.Time) {
	before := l.cursor
	for i, s := range j.streams {
		to := l.position // of what this connection has sent
		if i+1 < len(j.streams) {
			to = min(to, j.streams[i+1].from-1)
		}
		if to <= l.cursor {
			continue
		}
		l.cursor = max(l.cursor, min(l.received[s.id], to))
		if l.cursor < to {
			break
		}
	}
	if l.cursor == before {
		return
	}
	l.moved = now
	for stream, pos := range l.received {
		if pos <= l.cursor {
			delete(l.received, stream)
		}
	}
	for len(l.waiting) > 0 && l.waiting[0].to <= l.cursor {
		l.waiting = l.waiting[1:]
	}
}

// acknowledged enters that the broker has acknowledged an event that was sent for its
// delivery.
func (l *ledger) acknowledged(pos uint64, now time.Time) {
	if pos <= l.acked {
		return // it went again
	}
	l.acked = pos
	switch {
	case pos <= l.cursor:
	case !l.receipts:
		l.cursor, l.moved = pos, now
	case len(l.waiting) > 0 && now.Sub(l.waiting[len(l.waiting)-1].since) < together:
		l.waiting[len(l.waiting)-1].to = pos
	default:
		l.waiting = append(l.waiting, waiting{span{pos, pos}, now})
	}
}

// replayFrom has everything that was sent sent again from a position on, and returns how
// many positions those are. One replay serves this demand and an earlier one.
func (l *ledger) replayFrom(from uint64) uint64 {
	to := max(l.position, l.cursor)
	if from > to {
		return 0 // it comes anyway
	}
	first := from
	if r := l.replay; r.confirmed != 0 && r.confirmed <= r.to {
		first = min(from, r.confirmed)
	}
	l.replay = replay{span{first, to}, first}
	return to - from + 1
}
