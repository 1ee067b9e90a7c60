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
	Batteries func() map[string]int
	Roster    func() presence.RosterHealth
	Hours     func() presence.HoursHealth
	Badges    func() *presence.BadgesHealth // which may return nil
	Pi        func() presence.PiHealth
	// Conditions are the alerts that do not follow from the document itself, such
	// as that of a journal which was found damaged at the start.
	Conditions func() []alerts.Alert
}

// Options is what a monitor needs.
type Options struct {
	Sources  Sources
	Interval time.Duration // between two documents while nothing changes
	// QuietInterval, if it is longer, is how long a document may wait that says nothing
	// new (see saysNothingNew).
	QuietInterval time.Duration
	Boot          presence.ID
	Boots         int
	Unclean       int
	Simulated     bool
	// Time prints the present time for the documents, nil while it is unknown.
	Time func() *string
	// Now reads the clocks, and Timing says what is known of the instant of a
	// reading: an alert that began before anybody knew the time says later when
	// that was. Without them it says when it was first seen, if that was known.
	Now    func() presence.Reading
	Timing func(presence.Reading) presence.Timing
	// Location is the office's, for the times of alerts.
	Location *time.Location
	// Retain hands a document on: the topic behind the gateway's prefix
	// ("health", "alert/<code>") and its JSON, empty to clear.
	Retain func(topic string, payload []byte)
	// Beat, if set, is told at each step within what time the next one comes:
	// 0 before work, the length of a pause before a pause.
	Beat func(next time.Duration)
	// Watch, if set, is shown every snapshot of the document, and the alerts that
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

	publishing sync.Mutex      // held from a snapshot until it is handed on
	last       presence.Health // as handed on last
	handedOn   time.Time       // when that was

	mu     sync.Mutex
	alerts map[string]*standing // by code
}

// standing is an alert that stands.
type standing struct {
	published presence.Alert   // as handed on last
	began     presence.Reading // when it was first seen
	since     presence.Timing  // of began, as said last
}

// New makes a monitor; Run makes it work.
func New(opt Options) *Monitor {
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	if opt.Interval <= 0 {
		opt.Interval = snapshotEvery
	}
	return &Monitor{opt: opt, started: time.Now(), alerts: make(map[string]*standing)}
}

// Snapshot is the document as of now, with the texts of the alerts. It may be called
// from any goroutine.
func (m *Monitor) Snapshot() presence.Health {
	doc, standing := m.snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	doc.AlertTexts = m.messages(standing, doc.Time)
	return doc
}

// snapshot is the document as of now without those, and the alerts that stand.
func (m *Monitor) snapshot() (presence.Health, []alerts.Alert) {
	s := m.opt.Sources
	doc := presence.Health{
		V: 1, Seq: m.seq.Load(), IntervalS: m.longest().Seconds(), Time: m.opt.Time(),
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
	if s.Batteries != nil {
		doc.Batteries = s.Batteries()
	}
	if s.Roster != nil {
		doc.Roster = s.Roster()
	}
	if s.Hours != nil {
		doc.Hours = s.Hours()
	}
	if s.Badges != nil {
		doc.Badges = s.Badges()
	}
	if s.Pi != nil {
		doc.Pi = s.Pi()
		if free := doc.Pi.DiskFreeBytes; free != nil {
			doc.Pi.DiskDaysLeft = m.disk.left(time.Now(), *free)
		}
	}
	standing := Evaluate(doc, time.Now(), &m.gates)
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

// snapshotEvery is how soon a change of level or an alert is noticed.
const snapshotEvery = time.Second

// Run hands on a document at every interval, and at once when the level, the
// standing alerts or the state of something change, until the context ends.
//
// The intervals are counted from the start: a snapshot that comes late delays no
// later document.
func (m *Monitor) Run(ctx context.Context) error {
	beat := m.opt.Beat
	if beat == nil {
		beat = func(time.Duration) {}
	}
	next, due := time.Now(), time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		beat(0)
		m.step(&due)
		now := time.Now()
		next = after(next, snapshotEvery, now)
		pause := max(0, min(next.Sub(now), due.Sub(now)))
		beat(pause)
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// after is the first of a sequence of instants, so far apart, that lies after
// now.
func after(at time.Time, apart time.Duration, now time.Time) time.Time {
	if behind := now.Sub(at); behind >= 0 {
		at = at.Add(behind - behind%apart + apart)
	}
	return at
}

// step takes a snapshot, hands on what is due or has changed, and shows it to who
// watches.
func (m *Monitor) step(due *time.Time) {
	doc, standing := m.handOnNews(due)
	if m.opt.Watch != nil {
		m.opt.Watch(doc, standing)
	}
}

// handOnNews takes a snapshot and hands on what is due or has changed.
func (m *Monitor) handOnNews(due *time.Time) (presence.Health, []alerts.Alert) {
	m.publishing.Lock()
	defer m.publishing.Unlock()
	doc, standing := m.snapshot()
	m.updateAlerts(standing, doc.Time)
	now := time.Now()
	regular := !now.Before(*due)
	if regular {
		*due = after(*due, m.opt.Interval, now)
	}
	if changed(doc, m.last) || regular && !m.mayWait(doc, *due) {
		m.handOn(doc)
	}
	return doc, standing
}

// Refresh hands on a document as of now. Whoever is about to publish the last one
// calls it first: after a silence, what that says of the line is surely wrong.
func (m *Monitor) Refresh() {
	m.publishing.Lock()
	defer m.publishing.Unlock()
	doc, _ := m.snapshot()
	m.handOn(doc)
}

// handOn hands on a document. The caller holds publishing.
func (m *Monitor) handOn(doc presence.Health) {
	doc.Seq = m.seq.Add(1)
	m.opt.Retain("health", encode(doc))
	m.last, m.handedOn = doc, time.Now()
}

// longest is the most time between two documents.
func (m *Monitor) longest() time.Duration { return max(m.opt.Interval, m.opt.QuietInterval) }

// mayWait reports whether a document need not be handed on before the next is due. The
// caller holds publishing.
func (m *Monitor) mayWait(doc presence.Health, due time.Time) bool {
	return m.opt.QuietInterval > m.opt.Interval && due.Sub(m.handedOn) <= m.longest() && saysNothingNew(doc, m.last)
}

// changed tells whether a document says something new that cannot wait for the
// next interval.
func changed(doc, last presence.Health) bool {
	if doc.Level != last.Level || !slices.Equal(doc.Alerts, last.Alerts) || doc.MQTT.Connected != last.MQTT.Connected {
		return true
	}
	return !slices.EqualFunc(doc.Readers, last.Readers, func(a, b presence.ReaderHealth) bool {
		return a.State == b.State && a.Version == b.Version
	}) || !slices.EqualFunc(doc.Receivers, last.Receivers, func(a, b presence.ReceiverHealth) bool {
		return a.State == b.State
	})
}

// updateAlerts hands on the alerts that came or changed, and clears those that went.
func (m *Monitor) updateAlerts(as []alerts.Alert, now *string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stands := make(map[string]bool, len(as))
	for _, a := range as {
		if stands[a.Code()] = true; m.alerts[a.Code()] == nil {
			s := &standing{}
			if m.opt.Now != nil {
				s.began = m.opt.Now()
			}
			m.alerts[a.Code()] = s
		}
	}
	for code := range m.alerts {
		if !stands[code] {
			delete(m.alerts, code)
			m.opt.Retain("alert/"+code, nil)
		}
	}
	for _, a := range m.messages(as, now) {
		if s := m.alerts[a.Code]; !reflect.DeepEqual(a, s.published) {
			s.published = a
			m.opt.Retain("alert/"+a.Code, encode(a))
		}
	}
}

// since prints when an alert began, "" while nobody knows. What was said once
// changes only where the instant is known much better. The caller holds the
// mutex.
func (m *Monitor) since(code string, now *string) string {
	s := m.alerts[code]
	if s == nil { // it was not there at the last snapshot
		if now == nil {
			return ""
		}
		return *now
	}
	if m.opt.Now == nil || m.opt.Timing == nil {
		if s.published.Since == "" && now != nil {
			return *now
		}
		return s.published.Since
	}
	s.since = presence.Revise(s.since, m.opt.Timing(s.began))
	if s.since.Time.IsZero() {
		return ""
	}
	return s.since.Time.In(m.opt.Location).Format(presence.TimeLayout)
}

// messages are the documents of alerts, by code. Alerts that share a code are
// one document, as bad as the worst, that says what each of them says. An alert
// stands since its code does.
func (m *Monitor) messages(as []alerts.Alert, now *string) []presence.Alert {
	byCode := make(map[string]presence.Alert)
	for _, a := range as {
		next := presence.Alert{
			Code: a.Code(), Level: presence.Level(a.Level()), Since: m.since(a.Code(), now),
			About: a.About(), ID: a.ID(), EN: a.EN(),
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
