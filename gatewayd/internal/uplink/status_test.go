package uplink_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

func TestStatusBirthWillAndGoodbye(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	u := uplink.New(options(b.Address(), newMemory(0)))
	u.Retain("info", []byte(`{"v":1}`))
	stop := run(t, u)
	city.Await("birth and info", func(m []brokertest.Message) bool {
		return last(m, "status", `"online"`) && last(m, "info", `"v":1`)
	})
	u.Retain("alert/reader-door", []byte(`{"code":"reader-door"}`))
	city.Await("the alert", func(m []brokertest.Message) bool { return last(m, "alert/reader-door", "reader-door") })
	u.Retain("alert/reader-door", nil)
	city.Await("its end", func(m []brokertest.Message) bool { return lastIs(m, "alert/reader-door", "") })
	stop()
	city.Await("goodbye", func(m []brokertest.Message) bool {
		return last(m, "status", `"offline"`) && last(m, "status", `"stop"`)
	})
	late := b.Subscribe(prefix + "#")
	late.Await("what is retained", func(m []brokertest.Message) bool {
		return last(m, "status", `"stop"`) && last(m, "info", `"v":1`)
	})
}

// last reports whether the newest message of a topic holds a text.
func last(messages []brokertest.Message, topic, text string) bool {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Topic == prefix+topic {
			return strings.Contains(string(messages[i].Payload), text)
		}
	}
	return false
}

func lastIs(messages []brokertest.Message, topic, text string) bool {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Topic == prefix+topic {
			return string(messages[i].Payload) == text
		}
	}
	return false
}

func TestLateWillIsContradicted(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "status")
	run(t, uplink.New(options(b.Address(), newMemory(0))))
	city.Await("birth", func(m []brokertest.Message) bool { return last(m, "status", `"online"`) })
	city.Publish(prefix+"status", true, []byte(`{"state":"offline","session":"00000000-0000-4000-8000-000000000001","reason":"lost","time":null}`))
	city.Await("online again", func(m []brokertest.Message) bool {
		return len(m) >= 3 && last(m, "status", `"online"`)
	})
}

func TestAlertOfAnEarlierProcessIsCleared(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "alert/#")
	city.Publish(prefix+"alert/old", true, []byte(`{"code":"old"}`))
	run(t, uplink.New(options(b.Address(), newMemory(0))))
	city.Await("the old alert's end", func(m []brokertest.Message) bool { return lastIs(m, "alert/old", "") })
}

// TestTwoGatewaysUnderOneIDTakeTheirTime: they throw each other off the broker,
// however long each connection held before.
func TestTwoGatewaysUnderOneIDTakeTheirTime(t *testing.T) {
	t.Parallel()
	for _, rival := range []bool{true, false} {
		t.Run(fmt.Sprintf("rival %t", rival), func(t *testing.T) {
			b := brokertest.Start(t)
			o := options(b.Address(), newMemory(0))
			pauses := make(chan time.Duration, 1000)
			o.Log = slog.New(pauseLog{slog.DiscardHandler, pauses})
			o.Limits.RetryMin, o.Limits.RetryMax = 5*time.Millisecond, 400*time.Millisecond
			o.Limits.Held = time.Nanosecond // any connection did
			u := uplink.New(o)
			run(t, u)
			city := b.Subscribe(prefix + "none")
			other := fmt.Appendf(nil, `{"state":"online","session":"%s","reason":"start","time":null}`, presence.ID{8})
			longest := time.Duration(0)
			for range 10 {
				await(t, "the line", func() bool { return u.Stats().Connected })
				if rival {
					city.Publish(prefix+"status", false, other)
					await(t, "the other to be seen", u.Rival)
				}
				// What the other gateway does. It is thrown off in turn as soon as the first
				// is back, which may be before it could subscribe to anything.
				thief := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(b.URL()).SetClientID("dinkes-01").SetAutoReconnect(false))
				if connect := thief.Connect(); !connect.WaitTimeout(brokertest.Wait) || connect.Error() != nil {
					t.Fatalf("the other gateway: %v", connect.Error())
				}
				longest = max(longest, <-pauses)
				thief.Disconnect(100)
			}
			if slow := longest > 100*time.Millisecond; slow != rival {
				t.Errorf("the longest pause between two attempts was %v", longest)
			}
		})
	}
}

// pauseLog passes on how long the uplink waits between two connections.
type pauseLog struct {
	slog.Handler
	pauses chan<- time.Duration
}

func (p pauseLog) Enabled(context.Context, slog.Level) bool { return true }

func (p pauseLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "wait" {
			p.pauses <- a.Value.Duration()
		}
		return true
	})
	return nil
}
