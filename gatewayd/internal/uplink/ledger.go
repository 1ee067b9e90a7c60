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
	taken     uint64                 // the broker acknowledged everything up to here
	waiting   []waiting              // what lies between cursor and taken, in order
	gaps      []span                 // positions behind the cursor that the journal does not have, in order
	again     repetition
	replay    replay
}

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
const few = 32

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

// newLedger makes the ledger of a process: sent is the newest position that any
// process before it is known to have sent, unanswered the one up to which the
// broker had everything although the city did not answer when some of it went
// again; 0 where it did.
func newLedger(patient patience, sent, unanswered uint64) *ledger {
	return &ledger{
		changed: make(chan struct{}, 1), patient: patient,
		sent: sent, taken: unanswered,
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
	outstanding := l.taken > l.cursor
	first := !l.begun
	if first {
		l.begun = true
		silent = outstanding // as the process before found out
		outstanding = max(l.sent, l.taken) > l.cursor
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
	if silent && l.taken > l.cursor {
		l.waiting = []waiting{{span{l.cursor + 1, l.taken}, r.at}}
	} else {
		l.taken = l.cursor
	}
	if l.replay.confirmed <= l.replay.to {
		l.replay.from = l.replay.confirmed // 0 is no replay
	}
	return l.cursor
}

// take notes events that are about to be sent and returns those that must be:
// what the city's receipts cover is left out, and moves the cursor, and so is
// what the broker has and waits for its receipt.
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
	for len(entries) > 0 && entries[0].Pos <= max(l.cursor, l.taken) {
		entries = entries[1:]
	}
	if len(entries) > 0 {
		l.published = max(l.published, l.position)
	}
	return entries, from, l.cursor
}

// sending notes that an event is about to be sent for the first time: a receipt
// for it can be true from now on.
func (l *ledger) sending(pos uint64) {
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

// await notes that the broker has taken events, whose receipt is due from now.
func (l *ledger) await(from, to uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = max(from, l.taken+1) // what went again waits already
	if from > to {
		return
	}
	l.taken = to
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
	if l.again.tries == 0 || l.taken <= l.cursor {
		return 0
	}
	return l.taken
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
			r.limit = l.taken
		}
		if l.cursor < r.limit {
			if r.size *= 2; l.cursor > r.upto {
				r.size = few // it has the next ones without that
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
	r.left = span{l.cursor + 1, min(l.taken, l.cursor+few)}
	*r = repetition{tries: r.tries + 1, at: now, left: r.left, upto: r.left.to, size: few}
	return time.Time{}
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
