package uplink

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

var streamA, streamB = presence.ID{0xA}, presence.ID{0xB}

// entriesOf are positions from..to of a stream.
func entriesOf(stream presence.ID, from, to uint64) (all []presence.Entry) {
	for pos := from; pos <= to; pos++ {
		all = append(all, presence.Entry{Pos: pos, Record: presence.Record{Stream: stream, Seq: pos}})
	}
	return all
}

func TestEventsThatTheJournalGaveUpDoNotHoldTheCursor(t *testing.T) {
	l := newLedger(usual, earlier{})
	l.begin(0)
	l.enter(append(entriesOf(streamA, 1, 10), entriesOf(streamB, 11, 20)...))
	l.receive(streamA, 8, true)
	l.receive(streamB, 20, true)
	if l.cursor != 8 {
		t.Fatalf("the cursor is at %d", l.cursor)
	}
	if from, to := l.noteGone(spanOf(9, 10)); from != 8 || to != 20 {
		t.Errorf("it went from %d to %d", from, to)
	}
}

func TestStreamThatVanishesBesideAnOlderHoleDoesNotHoldTheCursor(t *testing.T) {
	l := newLedger(usual, earlier{})
	l.begin(0)
	all := append(entriesOf(streamA, 1, 2), entriesOf(streamB, 4, 4)...) // 3 is gone already
	l.enter(append(all, entriesOf(presence.ID{0xC}, 5, 5)...))
	l.receive(streamA, 2, true)
	l.receive(presence.ID{0xC}, 5, true)
	if _, to := l.noteGone(spanOf(4, 4)); to != 5 {
		t.Errorf("the cursor is at %d", to)
	}
}

func TestReceiptBetweenTwoConnectionsIsNotForgotten(t *testing.T) {
	l := newLedger(usual, earlier{})
	l.begin(0)
	l.enter(entriesOf(streamA, 1, 10))
	l.receive(streamA, 7, true) // after the journal's cursor was read
	if at := l.begin(0); at != 7 {
		t.Errorf("the next connection begins behind %d", at)
	}
}

// TestModelCursorFollowsTheCity drives the ledger with a broker that loses what
// it acknowledged, a city that confirms what it has without a hole, streams that
// end, a journal that gives up waiting events, and connections that break. The
// cursor never passes what the city lacks, and once nothing is lost any more
// everything arrives.
func TestModelCursorFollowsTheCity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, ledger: newLedger(usual, earlier{}), have: make(map[uint64]bool)}
		m.ledger.begin(0)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.check() },
			"append": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "new stream") == 0 || len(m.streams) == 0 {
					m.streams = append(m.streams, presence.ID{byte(len(m.streams) + 1)})
				}
				for range rapid.IntRange(1, 20).Draw(t, "events") {
					m.journal = append(m.journal, m.streams[len(m.streams)-1])
				}
			},
			"send":      func(t *rapid.T) { m.send(rapid.IntRange(0, 2).Draw(t, "lose") == 0) },
			"confirm":   func(*rapid.T) { m.confirm() },
			"again":     func(t *rapid.T) { m.again(rapid.Bool().Draw(t, "lose")) },
			"reconnect": func(*rapid.T) { m.reconnect() },
			"give up": func(t *rapid.T) {
				if n := uint64(len(m.journal)); m.ledger.cursor < n {
					m.gone = append(m.gone, rapid.Uint64Range(m.ledger.cursor+1, n).Draw(t, "position"))
				}
			},
		})
		for range 10 + len(m.journal)/firstRepeats {
			m.send(false)
			m.again(false)
			m.confirm()
			m.check()
		}
		if last := m.last(); m.ledger.cursor < last {
			t.Fatalf("the cursor stays at %d of %d", m.ledger.cursor, last)
		}
	})
}

type model struct {
	t       *rapid.T
	ledger  *ledger
	journal []presence.ID // stream by position-1
	streams []presence.ID
	gone    []uint64        // positions that the journal gave up
	have    map[uint64]bool // of the city
	next    uint64          // last position sent on this connection
	later   time.Duration   // by so much it is later than the clock says
}

// entries are what the journal still has of some positions.
func (m *model) entries(from, to uint64) (all []presence.Entry) {
	for pos := from; pos <= to; pos++ {
		if !slices.Contains(m.gone, pos) {
			all = append(all, presence.Entry{Pos: pos, Record: presence.Record{Stream: m.journal[pos-1], Seq: pos}})
		}
	}
	return all
}

func (m *model) last() uint64 {
	if all := m.entries(1, uint64(len(m.journal))); len(all) > 0 {
		return all[len(all)-1].Pos
	}
	return 0
}

func (m *model) send(lose bool) {
	all := m.entries(m.next+1, uint64(len(m.journal)))
	if len(all) == 0 {
		return
	}
	m.next = all[len(all)-1].Pos
	rest, _, _ := m.ledger.enter(all)
	m.deliver(rest, lose)
}

// deliver has the broker acknowledge events, and the city get them or not.
func (m *model) deliver(events []presence.Entry, lose bool) {
	for i := range events {
		m.ledger.awaitReceipt(events[i].Pos, events[i].Pos, time.Now())
		if !lose {
			m.have[events[i].Pos] = true
		}
	}
}

// confirm sends a receipt for each stream, up to the first event that the city
// lacks and that no gap explains.
func (m *model) confirm() {
	for _, stream := range m.streams {
		var upto uint64
		for i, of := range m.journal {
			pos := uint64(i + 1)
			if of != stream {
				continue
			}
			if m.have[pos] {
				upto = pos
			} else if !slices.Contains(m.gone, pos) {
				break
			}
		}
		if upto > 0 {
			m.ledger.receive(stream, upto, true)
		}
	}
}

// again sends what is to go again two hours later.
func (m *model) again(lose bool) {
	m.later += 2 * time.Hour
	for {
		what, _ := m.ledger.due(time.Now().Add(m.later), 1000)
		if what.Empty() {
			return
		}
		pos := what.From - 1
		for _, e := range append(m.entries(what.From, what.To), presence.Entry{Pos: what.To + 1}) {
			if gone := spanOf(pos+1, e.Pos-1); !gone.Empty() {
				m.ledger.noteGone(gone)
			}
			if e.Pos <= what.To {
				m.deliver([]presence.Entry{e}, lose)
			}
			pos = e.Pos
		}
	}
}

func (m *model) reconnect() { m.next = m.ledger.begin(m.ledger.cursor) }

func (m *model) check() {
	for pos := uint64(1); pos <= m.ledger.cursor; pos++ {
		if !m.have[pos] && !slices.Contains(m.gone, pos) {
			m.t.Fatalf("the cursor is at %d, and the city lacks %d", m.ledger.cursor, pos)
		}
	}
}

// TestDefaultLimitsReplaceADeadLineWithin30Seconds: a busy line shows by its
// PUBACKs, an idle one by its pings, for which paho looks every 5 s.
func TestDefaultLimitsReplaceADeadLineWithin30Seconds(t *testing.T) {
	l := Limits{}.withDefaults()
	busy, idle := l.PubAck, l.silenceLimit()
	for name, noticed := range map[string]time.Duration{"busy": busy, "idle": idle} {
		if again := noticed + l.RetryMin; again > 30*time.Second {
			t.Errorf("a dead line that is %s is replaced after %v", name, again)
		}
	}
}

// FuzzReceipt reads anything as a receipt: what is accepted names a stream and a
// sequence number, and nothing is left over.
func FuzzReceipt(f *testing.F) {
	for _, seed := range []string{
		`{"stream":"00000000-0000-4000-8000-000000000001","upto":1}`, `{"upto":1}`, `{}`, `{`, ``, `null`, `[]`,
		`{"stream":"00000000-0000-4000-8000-000000000001","upto":0}`, `{"stream":"00000000-0000-4000-8000-000000000001","upto":-1}`,
		`{"stream":"00000000-0000-4000-8000-000000000001","upto":1.5}`, `{"stream":"00000000-0000-4000-8000-000000000001","upto":18446744073709551616}`,
		`{"stream":"x","upto":1}`, `{"stream":"00000000-0000-4000-8000-000000000001","upto":1}8`, `{"stream":"00000000-0000-4000-8000-000000000001","upto":1,"more":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := parseReceipt(payload)
		if err != nil {
			return
		}
		if r.Stream.IsZero() || r.Upto == 0 || !bytes.HasSuffix(bytes.TrimRight(payload, " \t\r\n"), []byte("}")) {
			t.Errorf("%q was taken as %+v", payload, r)
		}
	})
}
