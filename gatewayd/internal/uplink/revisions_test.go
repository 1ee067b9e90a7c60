package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/semaphore"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
	"presence/scripts/city/unpack"
)

// wire is a client of a broker that takes what it is given, in order.
type wire struct {
	mqtt.Client
	published [][]byte
	batch     []bool // whether that was a batch
}

func (w *wire) Publish(topic string, _ byte, _ bool, payload any) mqtt.Token {
	w.published = append(w.published, payload.([]byte))
	w.batch = append(w.batch, strings.HasSuffix(topic, BatchTopic))
	return &mqtt.DummyToken{}
}

// events returns the events of the message number i.
func (w *wire) events(i int) [][]byte {
	if !w.batch[i] {
		return w.published[i : i+1]
	}
	r, err := unpack.NewReader()
	if err != nil {
		panic(err)
	}
	all, err := r.Events(w.published[i])
	if err != nil || len(all) < 2 {
		panic(fmt.Sprintf("a batch of %d events: %v", len(all), err))
	}
	return all
}

// publishedEvent is what a city keeps of an event under one rev.
type publishedEvent struct {
	Seq     uint64
	Rev     int
	Stream  string
	ID      string
	Time    *string
	Quality string   `json:"time_quality"`
	Error   *float64 `json:"time_error_ms"`
}

// timesModel runs the part of the uplink that sends events, with crashes, lost
// connections and clocks that learn, and checks what a city gets.
type timesModel struct {
	t       *rapid.T
	journal *notebook
	times   *knowledge
	boot    byte
	batches bool
	crashes int // until the next one within a note; negative: none

	u      *Uplink
	s      *sender // nil: no line
	wire   *wire
	flying chan sent
	taken  int // of what was published on this line, the broker has this much

	city   map[string]map[int]string // by id and rev
	news   map[string]uint64         // highest seq by stream
	ahead  map[string]bool           // ids that were sent ahead of their turn
	handed map[string]bool           // ids that were published, or shown, under rev 0
}

// TestNoTwoTimesUnderOneRevision: whatever happens, a city never gets two different
// times under one id and rev, no correction leaves the interval published before unless
// that proved wrong, and in the end the city has the best timing there is. What a process
// recorded itself begins with rev 0.
func TestNoTwoTimesUnderOneRevision(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newTimesModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"record": func(t *rapid.T) { m.record(t) },
			"work":   func(t *rapid.T) { m.guarded(func() { m.work(rapid.IntRange(1, 4).Draw(t, "steps")) }) },
			"puback": func(t *rapid.T) { m.acknowledge(rapid.IntRange(1, 20).Draw(t, "pubacks")) },
			"commit": func(*rapid.T) { m.journal.commit() },
			"lose the line": func(t *rapid.T) {
				m.arrive(rapid.IntRange(0, 20).Draw(t, "arrived"))
				m.s = nil
			},
			"crash": func(t *rapid.T) {
				m.arrive(rapid.IntRange(0, 20).Draw(t, "arrived"))
				m.restart(rapid.Bool().Draw(t, "power cut"))
			},
			"crash soon": func(t *rapid.T) { m.crashes = rapid.IntRange(0, 3).Draw(t, "notes") },
			"learn": func(t *rapid.T) {
				boot := presence.ID{1, byte(rapid.IntRange(0, int(m.boot)).Draw(t, "boot"))}
				better := rapid.SampledFrom([]time.Duration{time.Hour, 10 * time.Second, 2 * time.Second, 800 * time.Millisecond, 100 * time.Millisecond}).Draw(t, "within")
				if was, ok := m.times.within[boot]; !ok || better < was {
					m.times.within[boot] = better
				}
				m.times.wrong[boot] = m.times.wrong[boot] || rapid.IntRange(0, 3).Draw(t, "contradicted") == 0
				m.times.learn()
			},
			"lie": func(*rapid.T) {
				if boot := (presence.ID{1, m.boot}); m.times.lied[boot] == 0 {
					m.times.lied[boot] = believed
				}
			},
			"contradict": func(*rapid.T) { m.times.doubt(disputed) },
			"decide":     func(*rapid.T) { m.times.doubt(disputed); m.times.doubt(decided) },
			"send ahead": func(t *rapid.T) {
				if n := len(m.journal.entries); n > 0 {
					m.guarded(func() { m.sendAhead(m.journal.entries[rapid.IntRange(0, n-1).Draw(t, "which")]) })
				}
			},
			"show": func(t *rapid.T) {
				if n := len(m.journal.entries); n > 0 {
					from := rapid.IntRange(0, n-1).Draw(t, "from")
					m.guarded(func() { m.show(m.journal.entries[from:min(from+10, n)]) })
				}
			},
		})
		m.crashes = -1
		m.s = nil
		m.times.doubt(decided)
		for range 3 {
			m.work(10 + 4*len(m.journal.entries))
			m.acknowledge(len(m.flying))
		}
		m.check()
	})
}

func newTimesModel(t *rapid.T) *timesModel {
	m := &timesModel{
		t: t, crashes: -1, batches: rapid.Bool().Draw(t, "batches"),
		times: &knowledge{
			within: make(map[presence.ID]time.Duration), wrong: make(map[presence.ID]bool), lied: make(map[presence.ID]lied),
			changed: make(chan struct{}),
		},
		city: make(map[string]map[int]string), news: make(map[string]uint64),
		ahead: make(map[string]bool), handed: make(map[string]bool),
	}
	m.journal = &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool {
		m.crashes--
		return m.crashes == -1
	}}
	m.journal.commit()
	m.restart(false)
	return m
}

// guarded runs something, and starts a new process where the journal crashes.
func (m *timesModel) guarded(work func()) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(errCrash); !ok {
				panic(p)
			}
			m.arrive(len(m.flying))
			m.restart(false)
		}
	}()
	work()
}

func (m *timesModel) restart(powerCut bool) {
	if powerCut {
		m.boot++
	}
	m.crashes = -1
	m.journal.stream[15]++
	m.journal.now = m.journal.disk.clone()
	m.s = nil
	m.u = New(Options{
		Origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
		Batch:  m.batches, BatchMax: 6,
		Journal: m.journal, Times: m.times, Log: slog.New(slog.DiscardHandler),
	})
}

func (m *timesModel) record(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "events") {
		pos := m.journal.End() + 1
		seq := uint64(1)
		if n := len(m.journal.entries); n > 0 && m.journal.entries[n-1].Stream == m.journal.stream {
			seq = m.journal.entries[n-1].Seq + 1
		}
		at := presence.Reading{Boot: presence.ID{1, m.boot}, Boottime: time.Duration(pos) * time.Minute}
		if rapid.Bool().Draw(t, "synced") {
			at.State, at.MaxError = presence.ClockSynced, 60*time.Millisecond
			at.Wall = truth(at).UnixNano()
			if m.times.lied[at.Boot] == believed && rapid.Bool().Draw(t, "a day ahead") {
				at.Wall += int64(aDay)
			}
		}
		m.journal.entries = append(m.journal.entries, presence.Entry{Pos: pos, Record: presence.Record{
			Stream: m.journal.stream, Seq: seq,
			Draft: presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{}},
		}})
	}
}

// connect connects where there is no line.
func (m *timesModel) connect() {
	if m.s == nil {
		cursor := m.u.ledger.begin(m.journal.Cursor())
		m.wire, m.taken = &wire{}, 0
		m.flying = make(chan sent, 100_000)
		m.s = &sender{
			session:    &session{u: m.u, client: m.wire, places: semaphore.NewWeighted(100_000), window: 100_000},
			unsearched: spanOf(1, cursor), inFlight: m.flying,
			batches: m.batches, fit: 256,
		}
		m.s.turn.Store(cursor)
	}
}

// sendAhead sends an event of this process ahead of its turn.
func (m *timesModel) sendAhead(e presence.Entry) {
	m.connect()
	if e.Stream != m.journal.stream || e.Pos <= m.s.turn.Load() {
		return
	}
	m.ahead[fmt.Sprintf("%s-%d", e.Stream, e.Seq)] = true
	before := len(m.wire.published)
	if err := m.s.sendUrgent(context.Background(), e); err != nil {
		m.t.Fatal(err)
	}
	m.notePublished(before)
}

// notePublished looks at the messages that were published from a number on.
func (m *timesModel) notePublished(from int) {
	for i := from; i < len(m.wire.published); i++ {
		for _, event := range m.wire.events(i) {
			var e publishedEvent
			if err := json.Unmarshal(event, &e); err != nil {
				m.t.Fatal(err)
			}
			if e.Rev == 0 {
				m.handed[e.ID] = true
			} else if e.Stream == m.journal.stream.String() && !m.handed[e.ID] {
				m.t.Fatalf("%s begins with rev %d", e.ID, e.Rev)
			}
		}
	}
}

// work sends what there is to send.
func (m *timesModel) work(steps int) {
	ctx := context.Background()
	m.connect()
	for range steps {
		before := len(m.wire.published)
		if at := m.u.ledger.sentHere(); at < m.journal.End() {
			entries, _ := m.journal.Next(ctx, at, 8)
			if err := m.s.sendNew(ctx, entries); err != nil {
				m.t.Fatal(err)
			}
		}
		if _, err := m.s.correct(ctx, m.times.Changed()); err != nil {
			m.t.Fatal(err)
		}
		m.notePublished(before)
	}
}

// arrive lets the broker have the next few messages of the line.
func (m *timesModel) arrive(n int) {
	if m.s == nil {
		return
	}
	for ; n > 0 && m.taken < len(m.wire.published); n-- {
		m.taken++
		for _, event := range m.wire.events(m.taken - 1) {
			var e publishedEvent
			if err := json.Unmarshal(event, &e); err != nil {
				m.t.Fatal(err)
			}
			switch next := m.news[e.Stream] + 1; {
			case e.Seq <= next:
				m.news[e.Stream] = max(m.news[e.Stream], e.Seq)
			case !m.ahead[e.ID]:
				m.t.Fatalf("%s comes first after %d", e.ID, m.news[e.Stream])
			}
			m.keep(e)
		}
	}
}

// keep is a city, or somebody with an export, that keeps what was published.
func (m *timesModel) keep(e publishedEvent) {
	text := e.Quality
	if e.Time != nil {
		text = fmt.Sprintf("%s %s %v", e.Quality, *e.Time, *e.Error)
	}
	if m.city[e.ID] == nil {
		m.city[e.ID] = make(map[int]string)
	}
	if before, ok := m.city[e.ID][e.Rev]; ok && before != text {
		m.t.Fatalf("%s rev %d is %q and %q", e.ID, e.Rev, before, text)
	}
	m.city[e.ID][e.Rev] = text
}

// acknowledge brings PUBACKs of the next few messages.
func (m *timesModel) acknowledge(n int) {
	if m.s == nil {
		return
	}
	c := collector{u: m.u}
	for ; n > 0 && len(m.flying) > 0; n-- {
		if len(m.wire.published)-m.taken == len(m.flying) {
			m.arrive(1)
		}
		e := <-m.flying
		c.add(&e)
	}
	c.account()
}

func (m *timesModel) show(entries []presence.Entry) {
	all, err := m.u.RevisionsOutOfTurn(context.Background(), entries)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, s := range all {
		b, err := m.u.opt.Origin.Event(&entries[i].Record, s.Timing)
		if err != nil {
			m.t.Fatal(err)
		}
		var e publishedEvent
		if err := json.Unmarshal(b, &e); err != nil {
			m.t.Fatal(err)
		}
		m.keep(e)
		m.handed[e.ID] = m.handed[e.ID] || e.Rev == 0
	}
}

// check looks at what the city has in the end.
func (m *timesModel) check() {
	for _, e := range m.journal.entries {
		revs := m.city[fmt.Sprintf("%s-%d", e.Stream, e.Seq)]
		var last presence.Timing
		for i, rev := range slices.Sorted(maps.Keys(revs)) {
			now := parsePublished(m.t, revs[rev])
			if i > 0 && !last.Time.IsZero() && m.times.lied[e.At.Boot] == 0 {
				if out := now.Time.Sub(last.Time).Abs() + now.Error - last.Error; now.Time.IsZero() || out > 2*time.Millisecond {
					m.t.Fatalf("position %d went from %q to %q", e.Pos, last.Time, revs[rev])
				}
			}
			last = now
		}
		if last.Quality == "" {
			m.t.Fatalf("position %d never came", e.Pos)
		}
		if !last.Time.IsZero() && truth(e.At).Sub(last.Time).Abs() > last.Error+time.Millisecond {
			m.t.Fatalf("position %d was at %s and not at %s", e.Pos, truth(e.At), last.Time)
		}
		if best := m.times.Timing(e.At); best.Improves(last) && (last.Time.IsZero() || last.Error-best.Error > worthMore) || best.Withdraws(last) {
			m.t.Fatalf("position %d: the city has %+v, and %+v is known", e.Pos, last, best)
		}
	}
}

// worthMore is by how much an error bound must shrink for a correction to be due: as
// presence has it, and the rounding to milliseconds in events.
const worthMore = 252 * time.Millisecond

func parsePublished(t *rapid.T, text string) presence.Timing {
	var quality, at string
	var ms float64
	n, _ := fmt.Sscan(text, &quality, &at, &ms)
	timing := presence.Timing{Quality: presence.Quality(quality)}
	if n == 1 {
		return timing
	}
	when, err := time.Parse(presence.TimeLayout, at)
	if err != nil {
		t.Fatal(err)
	}
	timing.Time, timing.Error = when, time.Duration(ms*float64(time.Millisecond))
	return timing
}
