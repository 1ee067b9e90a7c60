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
type ledger struct {
	changed chan struct{} // has room for one: there is more to send, or room

	mu       sync.Mutex
	cursor   uint64
	moved    time.Time              // when the cursor last moved
	position uint64                 // last new event of this connection
	sent     uint64                 // newest event that was ever sent by this process
	received map[presence.ID]uint64 // up to which position the city has a stream
	runs     []run                  // what this connection sent behind the cursor, by stream
	waiting  []waiting              // PUBACKed and without a receipt, in the order of the PUBACKs
	gaps     []span                 // positions behind the cursor that the journal does not have, in order
	pass     time.Time              // what waits since this instant or longer is to be sent again
	replay   replay
}

// replay is what a resync asked for.
type replay struct {
	span             // still to be sent
	number    int    // of the resync
	confirmed uint64 // PUBACKed before this position
}

// run is an unbroken run of positions of one stream.
type run struct {
	stream presence.ID
	to     uint64
}

// span are positions, both ends included; from 0 is none.
type span struct{ from, to uint64 }

func (s span) empty() bool { return s.from == 0 || s.from > s.to }

// waiting are positions whose receipt is waited for.
type waiting struct {
	span
	since time.Time
}

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}, 1), received: make(map[presence.ID]uint64)}
}

// wake tells the sender to look again.
func (l *ledger) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// begin starts a connection, which sends everything behind the cursor that it
// returns: the journal's, unless a receipt has just moved it.
func (l *ledger) begin(cursor uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursor = max(l.cursor, cursor)
	l.position = l.cursor
	l.runs, l.waiting, l.gaps = nil, nil, nil
	if l.replay.confirmed <= l.replay.to {
		l.replay.from = l.replay.confirmed // 0 is no replay
	}
	return l.cursor
}

// take notes events that are about to be sent and returns those that must be:
// what the city's receipts cover is left out, and moves the cursor.
func (l *ledger) take(entries []presence.Entry) (rest []presence.Entry, from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	for i := range entries {
		e := &entries[i]
		l.gap(span{l.position + 1, e.Pos - 1})
		if n := len(l.runs); n > 0 && l.runs[n-1].stream == e.Stream {
			l.runs[n-1].to = e.Pos
		} else {
			l.runs = append(l.runs, run{e.Stream, e.Pos})
		}
		l.position = e.Pos
	}
	l.advance()
	for len(entries) > 0 && entries[0].Pos <= l.cursor {
		entries = entries[1:]
	}
	if len(entries) > 0 {
		l.sent = max(l.sent, l.position)
	}
	return entries, from, l.cursor
}

// receive notes a receipt, and says from where to where the cursor moves.
func (l *ledger) receive(stream presence.ID, pos uint64) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
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
func (l *ledger) gap(g span) {
	if g.empty() || g.to <= l.cursor {
		return
	}
	i, _ := slices.BinarySearchFunc(l.gaps, g, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	l.gaps = slices.Insert(l.gaps, i, g)
}

// room reports whether new events may be sent ahead of the receipts.
func (l *ledger) room(most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position-min(l.cursor, l.position) < uint64(most)
}

// sentUpto is the newest position that this process ever sent.
func (l *ledger) sentUpto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// sentHere is the newest position that this connection sent, or that the cursor
// had passed before.
func (l *ledger) sentHere() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// await notes that the broker has taken events, whose receipt is due from now.
func (l *ledger) await(from, to uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to <= l.cursor {
		return
	}
	l.waiting = append(l.waiting, waiting{span{from, to}, now})
	if len(l.waiting) == 1 {
		l.wake()
	}
}

// overdue takes a few of the events whose receipt is overdue: they wait since
// before an instant. Where there are none it says since when the next wait, zero
// for nothing.
//
// As long as receipts come, nothing is overdue: a city that is slow would only
// get slower by getting all twice. Once nothing came for long enough, all that
// wait for that long go again, each once, in order, whatever comes meanwhile.
func (l *ledger) overdue(before time.Time, most uint64) (due span, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		first := &l.waiting[0]
		if first.to <= l.cursor {
			l.waiting = l.waiting[1:]
			continue
		}
		if first.since.After(l.pass) {
			since := first.since
			if l.moved.After(since) {
				since = l.moved
			}
			if since.After(before) {
				return span{}, since
			}
			l.pass = before
			l.order()
			continue
		}
		due.from = max(first.from, l.cursor+1)
		due.to = min(first.to, due.from+most-1)
		if first.from = due.to + 1; first.empty() {
			l.waiting = l.waiting[1:]
		}
		return due, time.Time{}
	}
	return span{}, time.Time{}
}

// order sorts by position what is to be sent again.
func (l *ledger) order() {
	n := 0
	for n < len(l.waiting) && !l.waiting[n].since.After(l.pass) {
		n++
	}
	slices.SortFunc(l.waiting[:n], func(a, b waiting) int { return cmp.Compare(a.from, b.from) })
}

// vanish notes that the journal no longer has events which were sent: it made
// room. No receipt for the last of a stream would ever come. It says from where
// to where the cursor moves by that.
func (l *ledger) vanish(gone span) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	l.gap(gone)
	l.advance()
	return from, l.cursor
}

// ask has what was sent so far sent again from a position on. It says how many
// positions that are. Two that ask share the longer way.
func (l *ledger) ask(from uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := max(l.position, l.cursor)
	if from > to {
		return 0 // it comes anyway
	}
	first := from
	if r := l.replay; r.confirmed != 0 && r.confirmed <= r.to {
		first = min(from, r.confirmed)
	}
	l.replay = replay{span{first, to}, l.replay.number + 1, first}
	l.wake()
	return to - from + 1
}

// nextReplay takes the next part of what a resync asked for, and says of which
// resync it is.
func (l *ledger) nextReplay(most uint64) (part span, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.replay
	if r.empty() {
		return span{}, 0
	}
	part = span{r.from, min(r.to, r.from+most-1)}
	r.from = part.to + 1
	return part, r.number
}

// confirm notes that the broker has an event of a resync.
func (l *ledger) confirm(number int, pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number == l.replay.number {
		l.replay.confirmed = pos + 1
	}
}
