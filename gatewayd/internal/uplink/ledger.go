package uplink

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// ledger knows what was sent and not yet received, and what is to be sent again.
//
// A receipt speaks of one stream, and the journal's cursor of all of them. A
// broker can lose the end of one stream and deliver the next, so the cursor
// moves over a stream's events only when nothing before them is missing.
//
// What has no receipt may be lost, and the city may be away. As long as receipts
// come, nothing goes again: a city that is slow would only get slower by getting
// all twice. Once nothing comes, the oldest few go again, later and later (see
// repetition); the answer tells whether the rest has to.
type ledger struct {
	changed chan struct{} // has room for one: there is more to send, or room
	patient patience

	mu        sync.Mutex
	begun     bool // there was a connection
	cursor    uint64
	moved     time.Time              // when the cursor last moved
	position  uint64                 // last new event that this connection looked at
	sent      uint64                 // newest event that was ever sent, or is about to be
	published uint64                 // the same of this process
	received  map[presence.ID]uint64 // up to which position the city has a stream
	runs      []run                  // what lies between cursor and position, by stream
	acked     uint64                 // the broker acknowledged everything up to here
	waiting   []waiting              // what lies between cursor and taken, in order
	gaps      []span                 // positions behind the cursor that the journal does not have, in order
	again     repetition
	replay    replay
}

// run is an unbroken run of positions of one stream.
type run struct {
	stream presence.ID
	to     uint64
}

// span are positions, both ends included; from 0 is none.
type span struct{ from, to uint64 }

func (s span) empty() bool { return s.from == 0 || s.from > s.to }

// newLedger makes the ledger of a process: sent is the newest position that any
// process before it is known to have sent, unanswered the one up to which the
// broker had everything although the city did not answer when some of it went
// again; 0 where it did.
func newLedger(patient patience, sent, unanswered uint64) *ledger {
	return &ledger{
		changed: make(chan struct{}, 1), patient: patient,
		sent: sent, acked: unanswered,
		received: make(map[presence.ID]uint64),
	}
}

// wake tells the sender to look again.
func (l *ledger) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// begin starts a connection, at which everything behind the cursor that it
// returns is looked at: the journal's, unless a receipt has just moved it.
//
// All of that goes again, in order, for a broker that was started anew has lost
// what it acknowledged. It goes again once: if the city does not answer to that,
// or did not before, a line that breaks every minute must not have everything
// sent every minute. Then what the broker acknowledged is left out, and only the
// oldest few go again when it is their time.
func (l *ledger) begin(cursor uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursor = max(l.cursor, cursor)
	l.position = l.cursor
	l.runs, l.waiting, l.gaps = nil, nil, nil
	r := &l.again
	silent := r.tries > 0
	outstanding := l.acked > l.cursor
	first := !l.begun
	if first {
		l.begun = true
		silent = outstanding // as the process before found out
		outstanding = max(l.sent, l.acked) > l.cursor
	}
	now := time.Now()
	if outstanding {
		*r = repetition{tries: max(r.tries, 1), at: r.at}
		if r.at.IsZero() || !silent {
			r.at = now
		}
		if first && silent {
			// Nobody knows for how long this gateway was off, and the city may be
			// back: a few are asked for at once. That costs little even if the
			// gateway starts over and over.
			r.at = now.Add(-l.patient.pause(r.tries))
		}
	}
	if silent && l.acked > l.cursor {
		l.waiting = []waiting{{span{l.cursor + 1, l.acked}, r.at}}
	} else {
		l.acked = l.cursor
	}
	if l.replay.confirmed <= l.replay.to {
		l.replay.from = l.replay.confirmed // 0 is no replay
	}
	return l.cursor
}

// take notes events that are about to be sent and returns those that must be:
// what the city's receipts cover is left out, and moves the cursor, and so is
// what the broker has and waits for its receipt.
func (l *ledger) enter(entries []presence.Entry) (rest []presence.Entry, from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	for i := range entries {
		e := &entries[i]
		l.addGap(span{l.position + 1, e.Pos - 1})
		if n := len(l.runs); n > 0 && l.runs[n-1].stream == e.Stream {
			l.runs[n-1].to = e.Pos
		} else {
			l.runs = append(l.runs, run{e.Stream, e.Pos})
		}
		l.position = e.Pos
	}
	l.advance()
	for len(entries) > 0 && entries[0].Pos <= max(l.cursor, l.acked) {
		entries = entries[1:]
	}
	if len(entries) > 0 {
		l.published = max(l.published, l.position)
	}
	return entries, from, l.cursor
}

// sending notes that an event is about to be sent for the first time: a receipt
// for it can be true from now on.
func (l *ledger) noteSending(pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = max(l.sent, pos)
}

// sentUpto is the newest position that was ever sent, as far as is known: after
// a crash it may be less than what was sent, and the rest is sent again.
func (l *ledger) sentUpto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.sent, l.cursor)
}

// receive notes a receipt, and says from where to where the cursor moves. One
// that was sent just now shows that the city is there.
func (l *ledger) receive(stream presence.ID, pos uint64, now bool) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	if now && l.again.tries > 0 {
		l.again.tries = 0
		l.wake()
	}
	if pos <= l.cursor {
		return from, from
	}
	l.received[stream] = max(l.received[stream], pos)
	l.advance()
	if l.cursor > from {
		l.wake()
	}
	return from, l.cursor
}

// advance moves the cursor as far as the receipts allow.
func (l *ledger) advance() {
	before := l.cursor
	defer func() {
		if l.cursor > before {
			l.moved = time.Now()
		}
	}()
	for len(l.runs) > 0 {
		first := l.runs[0]
		l.cursor = max(l.cursor, min(l.received[first.stream], first.to))
		for len(l.gaps) > 0 && l.gaps[0].from <= l.cursor+1 {
			l.cursor = max(l.cursor, l.gaps[0].to)
			l.gaps = l.gaps[1:]
		}
		if l.cursor < first.to {
			break
		}
		if len(l.runs) == 1 {
			break // the stream may go on
		}
		l.runs = l.runs[1:]
	}
	for stream, pos := range l.received {
		if pos <= l.cursor {
			delete(l.received, stream)
		}
	}
	for len(l.waiting) > 0 && l.waiting[0].to <= l.cursor {
		l.waiting = l.waiting[1:]
	}
}

// gap notes positions that the journal does not have: the cursor steps over them.
func (l *ledger) addGap(g span) {
	if g.empty() || g.to <= l.cursor {
		return
	}
	i, _ := slices.BinarySearchFunc(l.gaps, g, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	l.gaps = slices.Insert(l.gaps, i, g)
}

// room reports whether new events may be sent ahead of the receipts.
func (l *ledger) hasRoom(most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position-min(l.cursor, l.position) < uint64(most)
}

// toldUpto is the newest position that this process ever sent.
func (l *ledger) publishedUpto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published
}

// sentHere is the newest position that this connection sent, or that the cursor
// had passed before.
func (l *ledger) sentHere() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// vanish notes that the journal no longer has events which were sent: it made
// room. No receipt for the last of a stream would ever come. It says from where
// to where the cursor moves by that.
func (l *ledger) noteGone(gone span) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	l.addGap(gone)
	l.advance()
	return from, l.cursor
}
