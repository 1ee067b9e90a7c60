package health_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

func TestWhatTheNumbersOfADocumentRaise(t *testing.T) {
	reader := func(state string) presence.Health {
		return presence.Health{Readers: []presence.ReaderHealth{{Name: "door", State: state}}}
	}
	receiver := func(r presence.ReceiverHealth) presence.Health {
		r.Name = "yard"
		return presence.Health{Receivers: []presence.ReceiverHealth{r}}
	}
	board := func(p presence.PiHealth) presence.Health {
		return presence.Health{Pi: p, MQTT: presence.MQTTHealth{Connected: true}}
	}
	num := func(n int64) *int64 { return &n }
	days := func(n float64) *float64 { return &n }
	yes := true
	for name, tc := range map[string]struct {
		doc  presence.Health
		want []string
	}{
		"line down a moment": {presence.Health{MQTT: presence.MQTTHealth{DisconnectedS: 200}}, nil},
		"line down":          {presence.Health{MQTT: presence.MQTTHealth{DisconnectedS: 300}}, []string{"broker-away"}},
		"line back":          {presence.Health{MQTT: presence.MQTTHealth{Connected: true}}, nil},
		"room enough":        {board(presence.PiHealth{DiskFreeBytes: num(65 << 20), DiskDaysLeft: days(8)}), nil},
		"disk almost full":   {board(presence.PiHealth{DiskFreeBytes: num(63 << 20)}), []string{"disk-low"}},
		"disk full soon":     {board(presence.PiHealth{DiskFreeBytes: num(10 << 30), DiskDaysLeft: days(6)}), []string{"disk-low"}},
		"no card errors":     {board(presence.PiHealth{SDErrors: num(0), RootReadonly: &yes}), nil},
		"card errors":        {board(presence.PiHealth{SDErrors: num(1)}), []string{"sd-errors"}},
		"card dead":          {board(presence.PiHealth{SDErrors: num(1), RootReadonly: &yes}), []string{"sd-errors"}},

		"all well":         {reader("ok"), nil},
		"bus dead":         {reader("bus-dead"), []string{"reader-door"}},
		"deaf":             {reader("deaf"), []string{"reader-door"}},
		"quiet tags":       {receiver(presence.ReceiverHealth{State: "silent"}), nil},
		"unplugged":        {receiver(presence.ReceiverHealth{State: "gone"}), []string{"receiver-yard"}},
		"few bad frames":   {receiver(presence.ReceiverHealth{State: "ok", Bad: map[string]int64{"checksum": 99}}), nil},
		"mostly bad":       {receiver(presence.ReceiverHealth{State: "ok", Frames: 90, Bad: map[string]int64{"checksum": 60, "range": 40}}), []string{"receiver-noisy-yard"}},
		"broker restarted": {presence.Health{Journal: presence.JournalHealth{Pending: 5, OldestPendingS: 20}}, nil},
		"broker gone":      {presence.Health{Journal: presence.JournalHealth{Pending: 5, OldestPendingS: 400}}, []string{"delivery-late"}},
		"late sync":        {presence.Health{Clock: presence.ClockHealth{UnsyncedS: 4*3600 - 1}}, nil},
		"no sync":          {presence.Health{Clock: presence.ClockHealth{UnsyncedS: 4 * 3600}}, []string{"clock-unsynced"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range health.Evaluate(tc.doc, time.Now(), new(alerts.Gates)) {
				got = append(got, c.Code())
				if c.ID() == "" || c.EN() == "" || c.Level() == "" {
					t.Errorf("%s lacks a text or a level", c.Code())
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// A clock that nobody sets is a matter for the level only while the time is not
// known otherwise; that there is no clock chip is worth saying there.
func TestUnsyncedClock(t *testing.T) {
	for _, tc := range []struct {
		known float64 // within so many ms; 0: unknown
		rtc   bool
		level presence.Level
		says  string
	}{
		{0, true, presence.LevelWarn, "corrected later"},
		{0, false, presence.LevelWarn, "RTC"},
		{30_000, true, presence.LevelWarn, "corrected later"},
		{80, true, presence.LevelOK, "from the broker"},
	} {
		doc := presence.Health{Clock: presence.ClockHealth{UnsyncedS: 5 * 3600, RTC: tc.rtc}}
		if tc.known > 0 {
			doc.Clock.ErrorMS = &tc.known
		}
		cs := health.Evaluate(doc, time.Now(), new(alerts.Gates))
		if len(cs) != 1 || cs[0].Level() != alerts.Level(tc.level) || !strings.Contains(cs[0].EN(), tc.says) ||
			strings.Contains(cs[0].EN(), "RTC") == tc.rtc || strings.Contains(cs[0].ID(), "RTC") == tc.rtc {
			t.Errorf("%+v: %+v", tc, cs)
		}
	}
}

// A receiver that hears noise says so, and not that it is gone; and it says so
// no longer than it is so.
func TestNoiseIsJudgedByWhatWasHeardLast(t *testing.T) {
	gates, now := new(alerts.Gates), time.Now()
	r := presence.ReceiverHealth{Name: "yard", State: "ok", Bad: map[string]int64{}}
	hear := func(good, bad int64, passed time.Duration) string {
		t.Helper()
		r.Frames += good
		r.Bad["checksum"] += bad
		now = now.Add(passed)
		found := ""
		for _, a := range health.Evaluate(presence.Health{Receivers: []presence.ReceiverHealth{r}}, now, gates) {
			if _, outage := a.Outage(); outage != (a.Code() == "receiver-yard") {
				t.Errorf("%s is an outage: %v", a.Code(), outage)
			}
			found += a.Code()
		}
		return found
	}
	const noisy = "receiver-noisy-yard"
	for i, step := range []struct {
		good, bad int64
		passed    time.Duration
		want      string
	}{
		{100_000, 0, time.Hour, ""}, // a quiet month
		{0, 99, time.Minute, ""},
		{0, 60, time.Minute, noisy}, // however much was well before
		{60, 0, time.Minute, noisy}, // not yet well
		{150, 0, time.Minute, ""},
		{30, 30, time.Minute, ""}, // half is not most
		{0, 150, time.Minute, noisy},
		{0, 0, 11 * time.Minute, ""}, // silent: nothing is known of its noise
		{10, 0, time.Minute, ""},
	} {
		if got := hear(step.good, step.bad, step.passed); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	hear(0, 200, time.Second)
	r.State = "gone"
	if got := hear(0, 0, time.Second); got != "receiver-yard" {
		t.Errorf("unplugged while noisy: %q", got)
	}
}

// A reader that loses the cards that lie there is weak; one whose cards come and
// go is not.
func TestAReaderThatLosesCardsIsWeak(t *testing.T) {
	gates, now := new(alerts.Gates), time.Now()
	r := presence.ReaderHealth{Name: "door", State: "ok"}
	look := func(seen, misses int64, passed time.Duration) bool {
		r.Seen += seen
		r.Misses += misses
		now = now.Add(passed)
		as := health.Evaluate(presence.Health{Readers: []presence.ReaderHealth{r}}, now, gates)
		return len(as) == 1 && as[0].Code() == "reader-weak-door" && as[0].Level() == alerts.Warn
	}
	for i, step := range []struct {
		seen, misses int64
		passed       time.Duration
		want         bool
	}{
		{0, 0, 0, false},
		{3000, 40, 30 * time.Minute, false}, // a busy morning: a look at the edge now and then
		{10, 5, 31 * time.Minute, false},    // few looks prove nothing
		{400, 60, 40 * time.Minute, true},
		{400, 4, 30 * time.Minute, true},    // the hour is still bad
		{4000, 20, 61 * time.Minute, false}, // and is over
		{0, 0, 2 * time.Hour, false},
	} {
		if got := look(step.seen, step.misses, step.passed); got != step.want {
			t.Errorf("step %d: weak %v", i, got)
		}
	}
}

// desk collects what the monitor hands on.
type desk struct {
	mu  sync.Mutex
	got map[string][]string
}

func (d *desk) retain(topic string, payload []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got[topic] = append(d.got[topic], string(payload))
}

// texts is what was handed on for a topic.
func (d *desk) texts(topic string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got[topic])
}

func (d *desk) count(topic string) int { return len(d.texts(topic)) }

func TestLevelChangeIsToldAtOnceAndAlertsClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		state := "ok"
		set := func(s string) { mu.Lock(); state = s; mu.Unlock() }
		d := &desk{got: make(map[string][]string)}
		m := health.New(health.Options{
			Interval: time.Minute,
			Time:     func() *string { s := "2026-11-23T07:30:00.000+07:00"; return &s },
			Retain:   d.retain,
			Sources: health.Sources{Readers: func() []presence.ReaderHealth {
				mu.Lock()
				defer mu.Unlock()
				return []presence.ReaderHealth{{Name: "door", State: state}}
			}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()

		synctest.Wait()
		if d.count("health") != 1 {
			t.Fatalf("%d documents at the start, want 1", d.count("health"))
		}
		set("deaf")
		time.Sleep(1100 * time.Millisecond)
		if d.count("health") != 2 || d.count("alert/reader-door") != 1 {
			t.Fatalf("a fault was told %d times, its alert %d times", d.count("health"), d.count("alert/reader-door"))
		}
		var doc presence.Health
		if err := json.Unmarshal([]byte(d.texts("health")[1]), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Level != presence.LevelFault || doc.Seq != 2 {
			t.Errorf("level %s, seq %d", doc.Level, doc.Seq)
		}
		set("ok")
		time.Sleep(1100 * time.Millisecond)
		if got := d.texts("alert/reader-door"); len(got) != 2 || got[1] != "" {
			t.Errorf("the alert was not cleared: %q", got)
		}
		before := d.count("health")
		time.Sleep(10 * time.Minute)
		if n := d.count("health") - before; n < 9 || n > 11 {
			t.Errorf("%d documents in 10 quiet minutes", n)
		}
	})
}

// Documents come at the interval to the moment, however long a look takes and
// whatever is told in between.
func TestIntervalsAreExact(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 1500 * time.Millisecond, 10 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var at []time.Duration
			began := time.Now()
			connected := false
			m := health.New(health.Options{
				Interval: interval,
				Time:     func() *string { time.Sleep(7 * time.Millisecond); return nil },
				Retain: func(topic string, payload []byte) {
					mu.Lock()
					defer mu.Unlock()
					if topic == "health" {
						at = append(at, time.Since(began))
					}
				},
				Sources: health.Sources{MQTT: func() presence.MQTTHealth {
					return presence.MQTTHealth{Connected: connected}
				}},
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			time.Sleep(time.Hour + 500*time.Millisecond)
			cancel()
			<-done
			mu.Lock()
			defer mu.Unlock()
			want := int(time.Hour/interval) + 1
			if len(at) != want {
				t.Errorf("every %v: %d documents in an hour, want %d", interval, len(at), want)
			}
			for i, d := range at {
				if late := d - time.Duration(i)*interval; late < 0 || late > 20*time.Millisecond {
					t.Fatalf("every %v: document %d came at %v", interval, i, d)
				}
			}
		})
	}
}

// alertsOf is what was handed on for a code.
func alertsOf(t *testing.T, d *desk, code string) []presence.Alert {
	t.Helper()
	var all []presence.Alert
	for _, text := range d.texts("alert/" + code) {
		var a presence.Alert
		if text != "" {
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, a)
	}
	return all
}

// An alert stands since it began: not since the time became known, nor since the
// last look, and what was said once is not said again because the clock is known
// a little better.
func TestAlertsStandSinceTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		state, known, off := "ok", false, time.Duration(0)
		within := 40 * time.Millisecond
		set := func(do func()) { mu.Lock(); defer mu.Unlock(); do() }
		d := &desk{got: make(map[string][]string)}
		m := health.New(health.Options{
			Interval: time.Minute,
			Time: func() *string {
				mu.Lock()
				defer mu.Unlock()
				if !known {
					return nil
				}
				s := time.Now().UTC().Format(presence.TimeLayout)
				return &s
			},
			Now: func() presence.Reading { return presence.Reading{Boottime: time.Since(began)} },
			Timing: func(r presence.Reading) presence.Timing {
				mu.Lock()
				defer mu.Unlock()
				if !known {
					return presence.Timing{Quality: presence.QualityUnsynced}
				}
				return presence.Timing{Quality: presence.QualityCorrected, Time: began.Add(r.Boottime + off), Error: within}
			},
			Retain: d.retain,
			Sources: health.Sources{Readers: func() []presence.ReaderHealth {
				mu.Lock()
				defer mu.Unlock()
				return []presence.ReaderHealth{{Name: "door", State: state}}
			}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()

		time.Sleep(10500 * time.Millisecond)
		set(func() { state = "deaf" })
		time.Sleep(time.Hour)
		synctest.Wait()
		if all := alertsOf(t, d, "reader-door"); len(all) != 1 || all[0].Since != "" {
			t.Fatalf("while nobody knows the time: %+v", all)
		}
		set(func() { known, within = true, 10*time.Second })
		time.Sleep(time.Hour)
		want := began.Add(11 * time.Second).UTC().Format(presence.TimeLayout)
		all := alertsOf(t, d, "reader-door")
		if len(all) != 2 || all[1].Since != want {
			t.Fatalf("when it is known: %+v, want %s", all, want)
		}
		set(func() { off = 3 * time.Millisecond })
		time.Sleep(time.Hour)
		set(func() { off, within = 50*time.Millisecond, 9*time.Second })
		time.Sleep(time.Hour)
		if all := alertsOf(t, d, "reader-door"); len(all) != 2 {
			t.Errorf("a little better is not worth saying: %+v", all[2:])
		}
		set(func() { off, within = time.Second, 20*time.Millisecond })
		time.Sleep(time.Hour)
		if all := alertsOf(t, d, "reader-door"); len(all) != 3 || all[2].Since != began.Add(12*time.Second).UTC().Format(presence.TimeLayout) {
			t.Errorf("much better is: %+v", all)
		}
		if texts := m.Snapshot().AlertTexts; len(texts) != 1 || texts[0].Since != began.Add(12*time.Second).UTC().Format(presence.TimeLayout) {
			t.Errorf("who asks is told %+v", texts)
		}
		// The next one is another.
		set(func() { state = "ok" })
		time.Sleep(10 * time.Second)
		set(func() { state, off = "deaf", 0 })
		second := time.Now()
		time.Sleep(time.Minute)
		all = alertsOf(t, d, "reader-door")
		last := all[len(all)-1]
		at, err := time.Parse(presence.TimeLayout, last.Since)
		if err != nil || at.Before(second) || at.Sub(second) > time.Second {
			t.Errorf("the next one stands since %q, it began at %v", last.Since, second)
		}
		if slices.Compare(last.About, []string{"door"}) != 0 {
			t.Errorf("it is about %q", last.About)
		}
	})
}

// What a connection publishes first says that there is one.
func TestRefreshSaysHowItIsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		connected, version := false, ""
		d := &desk{got: make(map[string][]string)}
		m := health.New(health.Options{
			Interval: time.Hour, Time: func() *string { return nil }, Retain: d.retain,
			Sources: health.Sources{
				MQTT: func() presence.MQTTHealth {
					mu.Lock()
					defer mu.Unlock()
					return presence.MQTTHealth{Connected: connected}
				},
				Readers: func() []presence.ReaderHealth {
					mu.Lock()
					defer mu.Unlock()
					return []presence.ReaderHealth{{Name: "door", State: "ok", Version: version}}
				},
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()
		last := func() (h presence.Health) {
			t.Helper()
			synctest.Wait()
			all := d.texts("health")
			if err := json.Unmarshal([]byte(all[len(all)-1]), &h); err != nil {
				t.Fatal(err)
			}
			return h
		}
		time.Sleep(time.Minute + time.Millisecond)
		mu.Lock()
		connected = true
		mu.Unlock()
		m.Refresh()
		if h := last(); !h.MQTT.Connected || h.Seq != 2 {
			t.Errorf("renewed, it says %+v", h)
		}
		time.Sleep(10 * time.Second)
		if h := last(); h.Seq != 2 {
			t.Errorf("nothing has changed, and document %d came", h.Seq)
		}
		mu.Lock()
		version = "92"
		mu.Unlock()
		time.Sleep(time.Second)
		if h := last(); h.Readers[0].Version != "92" || h.Seq != 3 {
			t.Errorf("a chip that answers now is not said: %+v", h)
		}
	})
}
