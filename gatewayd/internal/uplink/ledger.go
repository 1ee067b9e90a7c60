package uplink

import (
	"sync"
	"time"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

// ledger knows which events were sent and are not yet confirmed, and which are to be
// sent again.
//
// A receipt is about one stream, the journal's cursor about all of them. A broker can
// lose the end of one stream and still deliver the next, so a receipt moves the
// cursor over the events of its stream only where no event before them is
// unconfirmed.
//
// An event without a receipt may be lost, or the city may be away. As long as
// receipts come, nothing is sent again: that would only make a slow city slower. Once
// none come, the oldest few events go again, at intervals that grow (see repetition);
// the city's answer shows whether the others have to follow.
type ledger struct {
	changed chan struct{} // has room for one: there is more to send, or room for it
	patient patience

	mu        sync.Mutex
	begun     bool // there was a connection
	cursor    uint64
	moved     time.Time              // when the cursor last moved
	position  uint64                 // the last event that this connection entered
	sent      uint64                 // newest event that any process has sent, or is about to
	published uint64                 // newest event that this process has sent, or is about to
	received  map[presence.ID]uint64 // by stream, up to which position the city has it, where that is behind the cursor
	runs      []run                  // what lies between cursor and position, by stream
	acked     uint64                 // the broker acknowledged everything up to here
	waiting   []waiting              // what lies between cursor and acked, in order
	holes     interval.Set[uint64]   // positions behind the cursor that the journal has no record at
	again     repetition
	replay    replay
}

// run is an unbroken run of positions of one stream, which begins where the run
// before it ends.
type run struct {
	stream presence.ID
	to     uint64
}

// span is a run of positions in the journal. The first position is 1.
type span = interval.Interval[uint64]

func spanOf(from, to uint64) span { return span{From: from, To: to} }

// noSpan is a span without a position.
func noSpan() span { return span{From: 1, To: 0} }

// earlier is what is known of the processes before this one.
type earlier struct {
	cursor uint64 // up to here everything is delivered
	sent   uint64 // up to here everything was sent, and more perhaps
	// unanswered is the position up to which the broker had acknowledged everything,
	// while some of it was sent again for want of a receipt and the city did not answer;
	// 0 where the city did.
	unanswered uint64
}

// newLedger makes the ledger of a process.
func newLedger(patient patience, before earlier) *ledger {
	return &ledger{
		changed: make(chan struct{}, 1), patient: patient,
		cursor: before.cursor, sent: before.sent, acked: before.unanswered,
		received: make(map[presence.ID]uint64),
		replay:   replay{span: noSpan()},
	}
}

// wake has the sender look again for something to send.
func (l *ledger) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// begin starts a connection. It returns the cursor behind which the connection
// starts to read the journal: the journal's own, unless a receipt has just moved it.
//
// Everything behind the cursor goes again, in order, because a broker that was
// restarted has lost what it acknowledged. But it goes again only once while the city
// is silent: with a line that breaks every minute, everything would be sent every
// minute. After that, what the broker acknowledged is left out, and only the oldest
// few events go again, with pauses that begin anew at each connection.
func (l *ledger) begin(cursor uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursor = max(l.cursor, cursor)
	l.position = l.cursor
	l.runs, l.waiting, l.holes = nil, nil, nil
	r := &l.again
	silent := r.tries > 0
	outstanding := l.acked > l.cursor
	first := !l.begun
	if first {
		l.begun = true
		silent = outstanding // the process before found that out
		outstanding = max(l.sent, l.acked) > l.cursor
	}
	now := time.Now()
	if outstanding {
		// The pauses begin anew: the broker may have been away, and the city is back with
		// it. On a line that breaks all the time this is 32 events each 4 minutes.
		*r = repetition{tries: 1, at: r.at}
		if r.at.IsZero() || !silent {
			r.at = now
		}
		if first && silent {
			// Nobody knows how long this gateway was off, and the city may be back: the
			// oldest few go again at once. That is little even if the gateway starts
			// over and over.
			r.at = now.Add(-l.patient.pause(r.tries))
		}
	}
	if silent && l.acked > l.cursor {
		l.waiting = []waiting{{spanOf(l.cursor+1, l.acked), r.at}}
	} else {
		l.acked = l.cursor
	}
	l.replay.rewind()
	return l.cursor
}

// enter enters the next events of the journal, and returns those that have to be
// sent. Left out are those that receipts cover already, over which the cursor moves,
// from one position to another, and those that the broker has acknowledged and that
// wait for their receipt.
func (l *ledger) enter(entries []presence.Entry) (rest []presence.Entry, from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	for i := range entries {
		e := &entries[i]
		l.addHole(spanOf(l.position+1, e.Pos-1))
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

// noteSending notes that an event is about to be sent for the first time: from now on
// the city can have it, and a receipt for it can be right.
func (l *ledger) noteSending(pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = max(l.sent, pos)
}

// sentUpto is the newest position that is known to have been sent. After a crash more
// may have been sent; those events go again.
func (l *ledger) sentUpto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.sent, l.cursor)
}

// receive enters a receipt for a stream's events up to a position, and returns from
// where to where the cursor moves by it. A receipt that is not a retained one was sent
// just now, and shows that the city is there.
func (l *ledger) receive(stream presence.ID, pos uint64, live bool) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	if live && l.again.tries > 0 {
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
		for len(l.holes) > 0 && l.holes[0].From <= l.cursor+1 {
			l.cursor = max(l.cursor, l.holes[0].To)
			l.holes = l.holes[1:]
		}
		if l.cursor < first.to || len(l.runs) == 1 { // the last stream may go on
			break
		}
		l.runs = l.runs[1:]
	}
	for stream, pos := range l.received {
		if pos <= l.cursor {
			delete(l.received, stream)
		}
	}
	for len(l.waiting) > 0 && l.waiting[0].To <= l.cursor {
		l.waiting = l.waiting[1:]
	}
}

// addHole enters positions at which the journal has no record: the cursor steps over them.
func (l *ledger) addHole(h span) {
	if h.Empty() || h.To <= l.cursor {
		return
	}
	l.holes = l.holes.Add(h)
}

// hasRoom reports whether new events may be sent: at most so many positions may lie
// between the last receipt and the newest event that was sent.
func (l *ledger) hasRoom(most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position-min(l.cursor, l.position) < uint64(most)
}

// publishedUpto is the newest position that this process has sent.
func (l *ledger) publishedUpto() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published
}

// sentHere is the newest position that this connection has sent, or that needed no
// sending: at the beginning of a connection it is the cursor.
func (l *ledger) sentHere() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// noteGone enters events that were sent and are no longer in the journal, which made
// room for others. The city may wait for the last events of a stream in vain and
// never send a receipt for them, so the cursor steps over them. It returns from where
// to where the cursor moves.
func (l *ledger) noteGone(gone span) (from, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = l.cursor
	l.addHole(gone)
	l.advance()
	return from, l.cursor
}
