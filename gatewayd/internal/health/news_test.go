package health_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// lively are sources whose figures a test changes.
type lively struct {
	mu  sync.Mutex
	doc presence.Health
}

func (l *lively) change(how func(*presence.Health)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	how(&l.doc)
}

func (l *lively) get() presence.Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doc
}

func (l *lively) sources() health.Sources {
	return health.Sources{
		Clock:   func() presence.ClockHealth { return l.get().Clock },
		Journal: func() presence.JournalHealth { return l.get().Journal },
		MQTT:    func() presence.MQTTHealth { return l.get().MQTT },
		Readers: func() []presence.ReaderHealth { return append([]presence.ReaderHealth(nil), l.get().Readers...) },
		Receivers: func() []presence.ReceiverHealth {
			return append([]presence.ReceiverHealth(nil), l.get().Receivers...)
		},
		Batteries: func() map[string]int { return l.get().Batteries },
		Roster:    func() presence.RosterHealth { return l.get().Roster },
		Hours:     func() presence.HoursHealth { return l.get().Hours },
		Badges:    func() *presence.BadgesHealth { return l.get().Badges },
		Pi:        func() presence.PiHealth { return l.get().Pi },
	}
}

func to[T any](v T) *T { return &v }

// moveByItself moves the figures that move while nothing happens.
func moveByItself(h *presence.Health) {
	h.Clock.ErrorMS, h.Clock.UnsyncedS = to(*h.Clock.ErrorMS+1), h.Clock.UnsyncedS+1
	h.Journal.CommitMSP50, h.Journal.CommitMSP99 = h.Journal.CommitMSP50+1, h.Journal.CommitMSP99+1
	h.Journal.WrittenBytesDay, h.Journal.Bytes = h.Journal.WrittenBytesDay+4096, h.Journal.Bytes+4096
	h.Journal.FreeBytes -= 1 << 10
	h.MQTT.BytesSent, h.MQTT.BytesReceived, h.MQTT.BytesDay = h.MQTT.BytesSent+9, h.MQTT.BytesReceived+9, h.MQTT.BytesDay+18
	r := append([]presence.ReaderHealth(nil), h.Readers...)
	r[0].LooksPerS, r[0].Seen, r[0].Misses, r[0].BadFrames = 19.9, r[0].Seen+1, r[0].Misses+1, r[0].BadFrames+1
	v := append([]presence.ReceiverHealth(nil), h.Receivers...)
	v[0].Frames, v[0].OutsideHours, v[0].Bad, v[0].LastS = v[0].Frames+1, v[0].OutsideHours+1, map[string]int64{"checksum": v[0].Frames}, to(v[0].Frames)
	h.Readers, h.Receivers = r, v
	older := *h.Badges
	older.Revoked = &presence.BadgeDocumentHealth{Serial: h.Badges.Revoked.Serial, AgeS: to(*h.Badges.Revoked.AgeS + 1)}
	h.Badges = &older
	h.Pi.TempC = to(96 - *h.Pi.TempC + 0.01) // up and down by less than a degree
	h.Pi.DiskFreeBytes = to(*h.Pi.DiskFreeBytes - 1<<20)
}

// news are changes that somebody would act on.
func news() map[string]func(*presence.Health) {
	return map[string]func(*presence.Health){
		"a tap":             func(h *presence.Health) { h.Readers[0].Taps++ },
		"an error":          func(h *presence.Health) { h.Readers[0].Errors++ },
		"an event":          func(h *presence.Health) { h.Journal.Events++ },
		"a delivery":        func(h *presence.Health) { h.MQTT.Acked++ },
		"a clock":           func(h *presence.Health) { h.Clock.State = "holdover" },
		"a warmer board":    func(h *presence.Health) { h.Pi.TempC = to(*h.Pi.TempC + 6) },
		"an empty battery":  func(h *presence.Health) { h.Batteries = map[string]int{"mesh:1c2f13fc": 60} },
		"another tag":       func(h *presence.Health) { h.Batteries = map[string]int{"mesh:00000001": 71} },
		"a roster":          func(h *presence.Health) { h.Roster.Serial++ },
		"the end of a day":  func(h *presence.Health) { h.Hours.Open = to(false) },
		"a third of a disk": func(h *presence.Health) { h.Pi.DiskFreeBytes = to(*h.Pi.DiskFreeBytes * 2 / 3) },
		"an undervoltage":   func(h *presence.Health) { h.Pi.Undervoltage = to(int64(1)) },
		"a smaller journal": func(h *presence.Health) { h.Journal.FreeBytes /= 2 },
		"a list of losses": func(h *presence.Health) {
			b := *h.Badges
			b.Revoked = &presence.BadgeDocumentHealth{Serial: 9, AgeS: b.Revoked.AgeS}
			h.Badges = &b
		},
		"a refused document": func(h *presence.Health) { h.Roster.Refused++ },
	}
}

// TestADocumentThatSaysNothingNewWaits until the quiet interval is over, and one that says
// something new until the usual one is; interval_s is what a reader may rely on. A change
// of level is told at once, as ever.
func TestADocumentThatSaysNothingNewWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lively{doc: presence.Health{
			Clock:   presence.ClockHealth{State: "synced", Quality: "synced", ErrorMS: to(1.5)},
			Journal: presence.JournalHealth{Events: 10, FreeBytes: 100 << 20}, MQTT: presence.MQTTHealth{Connected: true},
			Readers:   []presence.ReaderHealth{{Name: "door", State: "ok", Taps: 3}},
			Receivers: []presence.ReceiverHealth{{Name: "yard", State: "ok", Frames: 9, LastS: to(int64(3))}},
			Batteries: map[string]int{"mesh:1c2f13fc": 71},
			Badges:    &presence.BadgesHealth{Revoked: &presence.BadgeDocumentHealth{Serial: 8, AgeS: to(int64(1))}},
			Pi:        presence.PiHealth{TempC: to(48.0), DiskFreeBytes: to(int64(20 << 30))},
		}}
		d := &desk{got: make(map[string][]string)}
		var at []time.Time
		m := health.New(health.Options{
			Interval: 5 * time.Minute, QuietInterval: time.Hour, Sources: l.sources(),
			Time: func() *string { s := time.Now().Format(presence.TimeLayout); return &s },
			Retain: func(topic string, payload []byte) {
				if d.retain(topic, payload); topic == "health" {
					d.mu.Lock()
					at = append(at, time.Now())
					d.mu.Unlock()
				}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()

		pass := func(long time.Duration) (documents int) {
			before := d.count("health")
			for range int(long / time.Minute) {
				time.Sleep(time.Minute)
				l.change(moveByItself)
			}
			return d.count("health") - before
		}
		pass(30 * time.Second)
		time.Sleep(30 * time.Second)
		if n := pass(4 * time.Hour); n != 4 {
			t.Errorf("%d documents in 4 hours without news", n)
		}
		for name, change := range news() {
			l.change(change)
			if n := pass(5 * time.Minute); n < 1 {
				t.Errorf("%s was not told in time", name)
			}
			pass(time.Hour)
		}
		l.change(func(h *presence.Health) { h.Readers[0].State = "deaf" })
		before := d.count("health")
		time.Sleep(1100 * time.Millisecond)
		if d.count("health") != before+1 {
			t.Error("a fault was not told at once")
		}
		var doc presence.Health
		if err := json.Unmarshal([]byte(d.texts("health")[before]), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.IntervalS != 3600 || doc.Level != presence.LevelFault {
			t.Errorf("interval_s %v, level %s", doc.IntervalS, doc.Level)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		for i := 1; i < len(at); i++ {
			if apart := at[i].Sub(at[i-1]); apart > time.Hour+time.Second {
				t.Errorf("document %d came %v after the one before it", i, apart)
			}
		}
	})
}
