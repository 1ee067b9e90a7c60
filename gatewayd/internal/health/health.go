package health

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// Sources are the rooms that are asked. A nil one is left out.
type Sources struct {
	Clock     func() presence.ClockHealth
	Journal   func() presence.JournalHealth
	MQTT      func() presence.MQTTHealth
	Readers   func() []presence.ReaderHealth
	Receivers func() []presence.ReceiverHealth
	Roster    func() presence.RosterHealth
	Hours     func() presence.HoursHealth
	Pi        func() presence.PiHealth
	// Conditions are the alerts that no number of the document shows, such as
	// that of a journal which was found damaged at the start.
	Conditions func() []alerts.Alert
}

// Options is what a monitor needs.
type Options struct {
	Sources   Sources
	Interval  time.Duration // between two documents while nothing changes
	Boot      presence.ID
	Boots     int
	Unclean   int
	Simulated bool
	// Time prints the present time for the documents, nil while it is unknown.
	Time func() *string
	// Retain hands a document on: the topic behind the gateway's prefix
	// ("health", "alert/<code>") and its JSON, empty to clear.
	Retain func(topic string, payload []byte)
	// Beat, if set, is told at each step within what time the next one comes:
	// 0 before work, the length of a pause before a pause.
	Beat func(next time.Duration)
	// Watch, if set, is shown the document at every look, and the alerts that
	// stand.
	Watch func(presence.Health, []alerts.Alert)
}

// Monitor makes the documents.
type Monitor struct {
	opt     Options
	started time.Time
	seq     atomic.Uint64 // of the last document that was handed on
	disk    trend         // of the free bytes
	gates   alerts.Gates  // of the alerts that come from the document's numbers

	mu     sync.Mutex
	alerts map[string]presence.Alert // that stand
}

// New makes a monitor; Run makes it work.
func New(opt Options) *Monitor {
	return &Monitor{opt: opt, started: time.Now(), alerts: make(map[string]presence.Alert)}
}

// Look is the document as of now, with the texts of the alerts. It may be called
// from any goroutine.
func (m *Monitor) Look() presence.Health {
	doc, standing := m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	doc.AlertTexts = m.messages(standing, doc.Time)
	return doc
}

func (m *Monitor) look() (presence.Health, []alerts.Alert) {
	s := m.opt.Sources
	doc := presence.Health{
		V: 1, Seq: m.seq.Load(), IntervalS: m.opt.Interval.Seconds(), Time: m.opt.Time(),
		UptimeS: int64(time.Since(m.started).Seconds()),
		Boot:    m.opt.Boot, Boots: m.opt.Boots, Unclean: m.opt.Unclean,
		Readers:   []presence.ReaderHealth{},
		Receivers: []presence.ReceiverHealth{},
		Alerts:    []string{},
		Simulated: m.opt.Simulated,
	}
	if s.Clock != nil {
		doc.Clock = s.Clock()
	}
	if s.Journal != nil {
		doc.Journal = s.Journal()
	}
	if s.MQTT != nil {
		doc.MQTT = s.MQTT()
	}
	if s.Readers != nil {
		doc.Readers = append(doc.Readers, s.Readers()...)
	}
	if s.Receivers != nil {
		doc.Receivers = append(doc.Receivers, s.Receivers()...)
	}
	if s.Roster != nil {
		doc.Roster = s.Roster()
	}
	if s.Hours != nil {
		doc.Hours = s.Hours()
	}
	if s.Pi != nil {
		doc.Pi = s.Pi()
		if free := doc.Pi.DiskFreeBytes; free != nil {
			doc.Pi.DiskDaysLeft = m.disk.left(time.Now(), *free)
		}
	}
	standing := Judge(doc, time.Now(), &m.gates)
	if s.Conditions != nil {
		standing = append(standing, s.Conditions()...)
	}
	doc.Level = presence.LevelOK
	for _, a := range standing {
		doc.Alerts = append(doc.Alerts, a.Code())
		doc.Level = worse(doc.Level, presence.Level(a.Level()))
	}
	slices.Sort(doc.Alerts)
	doc.Alerts = slices.Compact(doc.Alerts)
	return doc, standing
}

func worse(a, b presence.Level) presence.Level {
	rank := []presence.Level{presence.LevelOK, presence.LevelWarn, presence.LevelFault}
	if slices.Index(rank, b) > slices.Index(rank, a) {
		return b
	}
	return a
}

// lookEvery is how soon a change of level or an alert is noticed.
const lookEvery = time.Second

// Run hands on a document at every interval, and at once when the level or the
// standing alerts change, until the context ends.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last presence.Health
	var sent time.Time
	beat := m.opt.Beat
	if beat == nil {
		beat = func(time.Duration) {}
	}
	for {
		beat(0)
		doc, standing := m.look()
		m.settle(standing, doc.Time)
		if m.opt.Watch != nil {
			m.opt.Watch(doc, standing)
		}
		if sent.IsZero() || time.Since(sent) >= m.opt.Interval ||
			doc.Level != last.Level || !slices.Equal(doc.Alerts, last.Alerts) {
			doc.Seq = m.seq.Add(1)
			m.opt.Retain("health", encode(doc))
			last, sent = doc, time.Now()
		}
		beat(lookEvery)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// settle raises the alerts that came and clears those that went.
func (m *Monitor) settle(as []alerts.Alert, now *string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	standing := make(map[string]bool, len(as))
	for _, a := range m.messages(as, now) {
		standing[a.Code] = true
		old, known := m.alerts[a.Code]
		if !known || !reflect.DeepEqual(a, old) {
			m.alerts[a.Code] = a
			m.opt.Retain("alert/"+a.Code, encode(a))
		}
	}
	for code := range m.alerts {
		if !standing[code] {
			delete(m.alerts, code)
			m.opt.Retain("alert/"+code, nil)
		}
	}
}

// messages are the documents of alerts, by code. Alerts that share a code are
// one document, as bad as the worst, that says what each of them says. An alert
// stands since its code does.
func (m *Monitor) messages(as []alerts.Alert, now *string) []presence.Alert {
	byCode := make(map[string]presence.Alert)
	for _, a := range as {
		next := presence.Alert{
			Code: a.Code(), Level: presence.Level(a.Level()), Since: m.alerts[a.Code()].Since,
			About: a.About(), ID: a.ID(), EN: a.EN(),
		}
		if next.Since == "" && now != nil {
			next.Since = *now
		}
		if before, ok := byCode[a.Code()]; ok {
			next.Level = worse(before.Level, next.Level)
			next.ID, next.EN = before.ID+" "+next.ID, before.EN+" "+next.EN
			for _, name := range before.About {
				if !slices.Contains(next.About, name) {
					next.About = append(next.About, name)
				}
			}
			slices.Sort(next.About)
		}
		byCode[a.Code()] = next
	}
	list := make([]presence.Alert, 0, len(byCode))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		list = append(list, byCode[code])
	}
	return list
}

// encode cannot fail: the documents hold nothing that JSON cannot say.
func encode(doc any) []byte {
	b, err := json.Marshal(doc)
	if err != nil {
		panic("encode health: " + err.Error())
	}
	return b
}
