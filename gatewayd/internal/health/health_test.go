package health_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

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
func TestAlertsStandSinceTheyBegan(t *testing.T) { //nolint:funlen // the life of one alert
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
