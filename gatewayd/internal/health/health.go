package health

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// Conditions are those that no number of the document shows, such as a
	// journal that was found damaged at the start.
	Conditions func() []Condition
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
	// Watch, if set, is shown the document at every look.
	Watch func(presence.Health)
}

// Monitor makes the documents.
type Monitor struct {
	opt     Options
	started time.Time
	seq     atomic.Uint64 // of the last document that was handed on
	disk    trend         // of the free bytes

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
	doc, conditions := m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range conditions {
		doc.AlertTexts = append(doc.AlertTexts, m.alertOf(c, doc.Time))
	}
	slices.SortFunc(doc.AlertTexts, func(a, b presence.Alert) int { return strings.Compare(a.Code, b.Code) })
	return doc
}

func (m *Monitor) look() (presence.Health, []Condition) {
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
	conditions := Judge(doc)
	if s.Conditions != nil {
		conditions = append(conditions, s.Conditions()...)
	}
	doc.Level = presence.LevelOK
	for _, c := range conditions {
		doc.Alerts = append(doc.Alerts, c.Code)
		if rank(c.Level) > rank(doc.Level) {
			doc.Level = c.Level
		}
	}
	slices.Sort(doc.Alerts)
	return doc, conditions
}

func rank(l presence.Level) int {
	return slices.Index([]presence.Level{presence.LevelOK, presence.LevelWarn, presence.LevelFault}, l)
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
		doc, conditions := m.look()
		m.settle(conditions, doc.Time)
		if m.opt.Watch != nil {
			m.opt.Watch(doc)
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
func (m *Monitor) settle(conditions []Condition, now *string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	standing := make(map[string]bool, len(conditions))
	for _, c := range conditions {
		standing[c.Code] = true
		old, known := m.alerts[c.Code]
		if a := m.alertOf(c, now); !known || a != old {
			m.alerts[c.Code] = a
			m.opt.Retain("alert/"+c.Code, encode(a))
		}
	}
	for code := range m.alerts {
		if !standing[code] {
			delete(m.alerts, code)
			m.opt.Retain("alert/"+code, nil)
		}
	}
}

// alertOf is the document of a condition. It stands since its code does.
func (m *Monitor) alertOf(c Condition, now *string) presence.Alert {
	a := presence.Alert{Code: c.Code, Level: c.Level, Since: m.alerts[c.Code].Since, ID: c.ID, EN: c.EN}
	if a.Since == "" && now != nil {
		a.Since = *now
	}
	return a
}

// encode cannot fail: the documents hold nothing that JSON cannot say.
func encode(doc any) []byte {
	b, err := json.Marshal(doc)
	if err != nil {
		panic("encode health: " + err.Error())
	}
	return b
}
