package uplink

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

// errCrash is the end of a process at the worst moment.
type errCrash struct{}

// kept is what a journal has on its disk.
type kept struct {
	cursor, finalUpto uint64
	revisions         map[uint64]presence.Revision
}

func (k kept) clone() kept { return kept{k.cursor, k.finalUpto, maps.Clone(k.revisions)} }

// notebook is a journal whose writes become durable when the test wants.
type notebook struct {
	entries []presence.Entry
	stream  presence.ID
	now     kept
	disk    kept
	crash   func() bool // at the next note that must be durable
}

func (n *notebook) commit() { n.disk = n.now.clone() }

func (n *notebook) Cursor() uint64          { return n.now.cursor }
func (n *notebook) End() uint64             { return uint64(len(n.entries)) }
func (n *notebook) Ack(pos uint64)          { n.now.cursor = max(n.now.cursor, pos) }
func (n *notebook) Stream() presence.ID     { return n.stream }
func (n *notebook) FinalUpto() uint64       { return n.now.finalUpto }
func (n *notebook) SetFinalUpto(pos uint64) { n.now.finalUpto = max(n.now.finalUpto, pos) }

func (n *notebook) Place(presence.ID, uint64) (uint64, bool) { return 0, false }
func (n *notebook) Save(string, []byte) error                { return nil }
func (n *notebook) Load(string) ([]byte, error)              { return nil, nil }
func (n *notebook) Oldest() uint64                           { return 1 }
func (n *notebook) Sent() uint64                             { return 0 }
func (n *notebook) NoteSent(uint64)                          {}
func (n *notebook) Unanswered() uint64                       { return 0 }
func (n *notebook) NoteUnanswered(uint64)                    {}

func (n *notebook) Next(_ context.Context, after uint64, most int) ([]presence.Entry, error) {
	rest := n.entries[after:]
	return rest[:min(most, len(rest))], nil
}

func (n *notebook) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	found := maps.Clone(n.now.revisions)
	maps.DeleteFunc(found, func(pos uint64, _ presence.Revision) bool { return pos < from || pos > to })
	return found, nil
}

func (n *notebook) QueueRevisions(all []presence.Revision) {
	for _, s := range all {
		n.now.revisions[s.Pos] = s
	}
}

func (n *notebook) SaveRevisions(_ context.Context, all []presence.Revision) error {
	n.QueueRevisions(all)
	if n.crash() {
		panic(errCrash{})
	}
	n.commit()
	if n.crash() {
		panic(errCrash{})
	}
	return nil
}

// OpenCorrections looks at so few that there are several parts.
func (n *notebook) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	for _, pos := range slices.Sorted(maps.Keys(n.now.revisions)) {
		if pos <= after || pos > upto {
			continue
		}
		if looked > 0 && pos > looked+3 {
			return open, looked, nil
		}
		looked = pos
		if s := n.now.revisions[pos]; s.Open {
			open = append(open, s)
		}
	}
	return open, upto, nil
}

// knowledge is what a clock knows of boots: within how much, by boot. It is durable
// at once, and only gets better but where a clock that lied is contradicted.
type knowledge struct {
	within  map[presence.ID]time.Duration
	wrong   map[presence.ID]bool // the system's clock is contradicted
	lied    map[presence.ID]lied
	doubts  uint64
	changed chan struct{}
}

// lied is what is known of a boot whose clock was a day ahead for a while.
type lied int

const (
	believed lied = iota + 1
	disputed      // both may be right
	decided       // and the lie is known as one
)

const aDay = 24 * time.Hour

var origin = time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)

// truth is when the event with a reading really happened.
func truth(r presence.Reading) time.Time { return origin.Add(r.Boottime) }

func (k *knowledge) Timing(r presence.Reading) presence.Timing {
	raw := presence.Raw(r)
	within, known := k.within[r.Boot]
	switch k.lied[r.Boot] {
	case disputed:
		lo, hi := truth(r).Add(-time.Second), truth(r).Add(aDay)
		return presence.Timing{
			Quality: presence.QualityBounded, Time: lo.Add(hi.Sub(lo) / 2), Error: hi.Sub(lo) / 2, Min: lo, Max: hi, Disputed: true,
		}
	case decided:
		raw.Disputed = true
		if r.State != presence.ClockSynced || r.Wall != truth(r).UnixNano() {
			return presence.Timing{Quality: presence.QualityCorrected, Time: truth(r), Error: 50 * time.Millisecond, Disputed: true}
		}
		return raw
	}
	switch {
	case r.State == presence.ClockSynced && k.wrong[r.Boot]:
		raw.Error += 3 * time.Second // both may be right
		return raw
	case r.State == presence.ClockSynced || !known:
		return raw
	}
	return presence.Timing{Quality: presence.QualityCorrected, Time: truth(r).Add(within / 4), Error: within}
}

// doubt moves what is known of all boots that were lied to.
func (k *knowledge) doubt(to lied) {
	for boot, now := range k.lied {
		if now < to {
			k.lied[boot] = to
			k.doubts++
		}
	}
	k.learn()
}

func (k *knowledge) Final(presence.Reading) bool { return false }
func (k *knowledge) Doubts() uint64              { return k.doubts }
func (k *knowledge) Changed() <-chan struct{}    { return k.changed }
func (k *knowledge) learn()                      { close(k.changed); k.changed = make(chan struct{}) }

// wire is a client of a broker that takes what it is given, in order.
type wire struct {
	mqtt.Client
	published [][]byte
}

func (w *wire) Publish(_ string, _ byte, _ bool, payload any) mqtt.Token {
	w.published = append(w.published, payload.([]byte))
	return &mqtt.DummyToken{}
}

// told is what a city keeps of an event under one rev.
type publishedEvent struct {
	Seq     uint64
	Rev     int
	Stream  string
	ID      string
	Time    *string
	Quality string   `json:"time_quality"`
	Error   *float64 `json:"time_error_ms"`
}

// timesModel drives what sends events with crashes, lost lines and clocks that
// learn, and holds against it what a city gets.
type timesModel struct {
	t       *rapid.T
	journal *notebook
	times   *knowledge
	boot    byte
	crashes int // until the next one within a note; negative: none

	u      *Uplink
	s      *sender // nil: no line
	wire   *wire
	flying chan sent
	taken  int // of what was published on this line, the broker has this much

	city map[string]map[int]string // by id and rev
	news map[string]uint64         // highest seq by stream
}

// TestNoTimeIsToldTwice: whatever happens, a city never gets two different
// times under one id and rev, no later answer leaves the interval given before
// unless that proved untrue, and in the end it has the best answer there is.
func TestNoTimeIsToldTwice(t *testing.T) {
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
		t: t, crashes: -1,
		times: &knowledge{
			within: make(map[presence.ID]time.Duration), wrong: make(map[presence.ID]bool), lied: make(map[presence.ID]lied),
			changed: make(chan struct{}),
		},
		city: make(map[string]map[int]string), news: make(map[string]uint64),
	}
	m.journal = &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool {
		m.crashes--
		return m.crashes == -1
	}}
	m.journal.commit()
	m.restart(false)
	return m
}

// guarded ends the process where a note says so.
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
		Origin:  presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
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

// work connects where there is no line, and sends what there is to send.
func (m *timesModel) work(steps int) {
	ctx := context.Background()
	if m.s == nil {
		cursor := m.u.ledger.begin(m.journal.Cursor())
		m.wire, m.taken = &wire{}, 0
		m.flying = make(chan sent, 100_000)
		m.s = &sender{
			session: &session{u: m.u, client: m.wire, places: make(chan struct{}, 100_000)},
			again:   span{1, cursor}, flying: m.flying,
		}
	}
	for range steps {
		if at := m.u.ledger.sentHere(); at < m.journal.End() {
			entries, _ := m.journal.Next(ctx, at, 8)
			if err := m.s.first(ctx, entries); err != nil {
				m.t.Fatal(err)
			}
		}
		if _, err := m.s.correct(ctx, m.times.Changed()); err != nil {
			m.t.Fatal(err)
		}
	}
}

// arrive lets the broker have the next few messages of the line.
func (m *timesModel) arrive(n int) {
	if m.s == nil {
		return
	}
	for ; n > 0 && m.taken < len(m.wire.published); n-- {
		var e publishedEvent
		if err := json.Unmarshal(m.wire.published[m.taken], &e); err != nil {
			m.t.Fatal(err)
		}
		m.taken++
		if e.Seq > m.news[e.Stream]+1 {
			m.t.Fatalf("%s comes first after %d", e.ID, m.news[e.Stream])
		}
		m.news[e.Stream] = max(m.news[e.Stream], e.Seq)
		m.keep(e)
	}
}

// keep is a city, or somebody with an export, that reads what it is told.
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
		c.add(<-m.flying)
	}
	c.settle()
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
	}
}

// judge looks at what the city has in the end.
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

// worthMore is a gain that must be told: what is, and the rounding of the wire.
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

func TestUnionJoinsWhatTouches(t *testing.T) {
	got := union([]span{{9, 9}, {1, 3}, {4, 5}, {2, 2}, {7, 7}})
	if !slices.Equal(got, []span{{1, 5}, {7, 7}, {9, 9}}) || !slices.IsSortedFunc(got, func(a, b span) int { return cmp.Compare(a.from, b.from) }) {
		t.Errorf("%v", got)
	}
}

// TestWhatMayBeUntrueIsLookedAtAgain: all that was sent, whatever was settled.
func TestWhatMayBeUntrueIsLookedAtAgain(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 300, 300)
	if s := r.next(300); !s.empty() {
		t.Errorf("nothing is in doubt, and %v is looked at", s)
	}
	r.begin(make(chan struct{}), 1, 300, 300)
	if s := r.next(300); s != (span{1, 300}) {
		t.Errorf("when clocks contradict each other: %v", s)
	}
	r = review{}
	r.begin(make(chan struct{}), 1, 300, 320)
	if s := r.next(320); s != (span{1, 320}) {
		t.Errorf("after a restart: %v", s)
	}
}

// TestCorrectionsStayBehindTheLine: what this connection has not sent yet, it
// sends in order, and with what is known then.
func TestCorrectionsStayBehindTheLine(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 0, 300)
	if s := r.next(100); s != (span{1, 100}) {
		t.Errorf("at 100: %v", s)
	}
	r.reviewed(100, []uint64{40, 90})
	if s := r.next(100); !s.empty() {
		t.Errorf("at 100 again: %v", s)
	}
	if _, known := r.finalUpto(); known {
		t.Error("it is settled before all was looked at")
	}
	r.reviewed(300, nil)
	if pos, known := r.finalUpto(); !known || pos != 39 {
		t.Errorf("settled up to %d, %v", pos, known)
	}
	r.begin(make(chan struct{}), 0, 39, 400)
	if s := r.next(1000); s != (span{40, 90}) {
		t.Errorf("what was in doubt: %v", s)
	}
	r.reviewed(90, nil)
	if s := r.next(1000); s != (span{301, 400}) {
		t.Errorf("what is new: %v", s)
	}
}

// TestLatePUBACKClosesNoBetterCorrection: two corrections of an event are on
// their way, and the PUBACK of the first comes.
func TestLatePUBACKClosesNoBetterCorrection(t *testing.T) {
	n := &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool { return false }}
	times := &knowledge{within: make(map[presence.ID]time.Duration), wrong: make(map[presence.ID]bool), changed: make(chan struct{})}
	event := presence.Entry{Pos: 1, Record: presence.Record{Draft: presence.Draft{At: presence.Reading{Boot: presence.ID{1}}}}}
	a := newRevisions(n, times)
	correct := func(within time.Duration) presence.Revision {
		t.Helper()
		times.within[presence.ID{1}] = within
		all, err := a.revise(t.Context(), []presence.Entry{event}, allPositions, bestKnown)
		if err != nil || !all[0].Open {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0]
	}
	first := correct(time.Hour)
	second := correct(time.Second)
	a.acknowledge([]presence.Revision{first})
	if s := n.now.revisions[1]; s != second {
		t.Errorf("the journal has %+v", s)
	}
	if again, _, err := a.openCorrections(0, 1); err != nil || len(again) != 1 {
		t.Errorf("to be sent again: %v, %v", again, err)
	}
	a.acknowledge([]presence.Revision{second})
	if again, _, err := a.openCorrections(0, 1); err != nil || len(again) != 0 || n.now.revisions[1].Open {
		t.Errorf("after all: %v, %v, %+v", again, err, n.now.revisions[1])
	}
}
