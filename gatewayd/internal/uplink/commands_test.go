package uplink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	scriptscity "presence/scripts/city"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	u := uplink.New(options(b.Address(), newMemory(0)))
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	soon := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	past := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	for i, tc := range []struct {
		name, payload string
		want          string // in the reply; "" is no reply at all
	}{
		{"ping", `{"tx":"%d","expires":"` + soon + `","args":{}}`, `"ok":true,"result":{"pong":true}`},
		{"ping", `{"tx":"%d","expires":"` + past + `","args":{}}`, "expired"},
		{"ping", `{"tx":"%d","expires":"soon","args":{}}`, "RFC 3339"},
		{"ping", `{"tx":"%d","expires":"` + soon + `","args":[1]}`, "want an object"},
		{"reboot", `{"tx":"%d","expires":"` + soon + `"}`, "unknown command"},
		{"ping", `{"tx":"","expires":"` + soon + `"}`, ""},
		{"ping", `{`, ""},
		{"ping", strings.Repeat("x", 20000), ""},
		{"ping", "\xff\xfe", ""},
	} {
		payload := strings.ReplaceAll(tc.payload, "%d", fmt.Sprint("tx", i))
		before := u.Stats().Refused
		city.Publish(prefix+"cmd/"+tc.name, false, []byte(payload))
		if tc.want == "" {
			await(t, fmt.Sprintf("the refusal of %.30q", payload), func() bool { return u.Stats().Refused > before })
			continue
		}
		city.Await(fmt.Sprintf("the reply to %.60s", payload), func(m []brokertest.Message) bool {
			text := ""
			if len(m) > 0 {
				text = string(m[len(m)-1].Payload)
			}
			return strings.Contains(text, fmt.Sprintf(`"tx":"tx%d"`, i)) && strings.Contains(text, tc.want)
		})
	}
}

// TestCommandThatComesAgainIsAnsweredTheSame: QoS 1 may deliver it twice.
func TestCommandThatComesAgainIsAnsweredTheSame(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	o := options(b.Address(), newMemory(0))
	var runs atomic.Int64
	count := func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(fmt.Sprint(runs.Add(1))), nil
	}
	o.Commands["count"], o.Commands["other"] = count, count
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	asked, soon := 0, inAnHour()
	ask := func(name, tx string, result int) {
		t.Helper()
		city.Publish(prefix+"cmd/"+name, false, fmt.Appendf(nil, `{"tx":%q,"expires":%q}`, tx, soon))
		asked++
		m := city.Await("a reply", func(m []brokertest.Message) bool { return len(m) == asked })
		if got := string(m[asked-1].Payload); !strings.Contains(got, fmt.Sprintf(`"ok":true,"result":%d,`, result)) {
			t.Errorf("%s %s is answered %s, want %d", name, tx, got, result)
		}
	}
	ask("count", "a", 1)
	ask("count", "a", 1)
	ask("count", "b", 2)
	ask("other", "a", 3)
	for i := range 40 { // of no more than the latest the answers are remembered
		ask("count", fmt.Sprint("many", i), 4+i)
	}
	city.Publish(prefix+"cmd/count", false, fmt.Appendf(nil, `{"tx":"a","expires":%q}`, soon))
	m := city.Await("a refusal", func(m []brokertest.Message) bool { return len(m) == asked+1 })
	if got := string(m[asked].Payload); !strings.Contains(got, `"ok":false,"result":{}`) || runs.Load() != 43 {
		t.Errorf("answered %s, %d runs", got, runs.Load())
	}
}

// TestCommandWhileTheTimeIsUnknown: of what only asks, nothing is refused but what
// is certainly too old, and nothing is done.
func TestCommandWhileTheTimeIsUnknown(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	o := options(b.Address(), newMemory(0))
	o.Times = unsynced{}
	o.Commands["do"] = o.Commands["ping"]
	o.NotBefore = func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	for i, tc := range []struct{ name, expires, want string }{
		{"ping", "2026-10-31T00:00:00Z", "expired"},
		{"ping", "2026-11-02T00:00:00Z", `"ok":true`},
		{"do", "2026-10-31T00:00:00Z", "expired"},
		{"do", "2026-11-02T00:00:00Z", "does not know the time"},
		{"resync", "2026-11-02T00:00:00Z", "does not know the time"},
	} {
		city.Publish(prefix+"cmd/"+tc.name, false, fmt.Appendf(nil, `{"tx":"%d","expires":%q}`, i, tc.expires))
		m := city.Await("a reply", func(m []brokertest.Message) bool { return len(m) == i+1 })
		if got := string(m[i].Payload); !strings.Contains(got, tc.want) {
			t.Errorf("expires %s: %s", tc.expires, got)
		}
	}
}

// unsynced is a clock that knows nothing.
type unsynced struct{ trusted }

func (unsynced) Timing(presence.Reading) presence.Timing { return presence.Timing{} }

func (unsynced) Revise(published presence.Timing, _ presence.Reading) presence.Timing {
	return published
}

func TestRetainedCommandIsRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	city.Publish(prefix+"cmd/ping", true, fmt.Appendf(nil, `{"tx":"old","expires":%q}`, inAnHour()))
	u := uplink.New(options(b.Address(), newMemory(0)))
	run(t, u)
	await(t, "the refusal", func() bool { return u.Stats().Refused == 1 })
	city.Await("a reply that says so", func(m []brokertest.Message) bool { return replied(m, "old", `"ok":false,"result":{}`) })
}

// inAnHour is the latest instant at which a command may expire.
func inAnHour() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano) }

// TestCommandThatIsKeptDoesNothing: whoever reads along may send it again, or
// have the broker retain it, and a broker does not say of a message that it hands
// on whether it is retained.
func TestCommandThatIsKeptDoesNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	j := newMemory(0)
	var runs atomic.Int64
	start := func() (stop func()) {
		o := options(b.Address(), j)
		o.Commands["do"] = func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(fmt.Sprint(runs.Add(1))), nil
		}
		u := uplink.New(o)
		stop = run(t, u)
		await(t, "the line", func() bool { return u.Stats().Connected })
		return stop
	}
	once := fmt.Appendf(nil, `{"tx":"once","expires":%q}`, inAnHour())
	stop := start()
	city.Publish(prefix+"cmd/do", true, once)
	city.Await("the answer", func(m []brokertest.Message) bool { return replied(m, "once", `"ok":true,"result":1`) })
	city.Publish(prefix+"cmd/ping", false, fmt.Appendf(nil, `{"tx":"p","expires":%q}`, inAnHour()))
	city.Await("pong", func(m []brokertest.Message) bool { return replied(m, "p", `"pong":true`) })
	if n := j.saved(); n != 1 {
		t.Errorf("%d notes for two commands, of which one does something", n)
	}
	for n := range 3 {
		stop()
		before := len(city.Messages())
		stop = start() // gets it retained
		city.Publish(prefix+"cmd/do", false, once)
		city.Publish(prefix+"cmd/ping", false, fmt.Appendf(nil, `{"tx":"p","expires":%q}`, inAnHour()))
		city.Await("three refusals", func(m []brokertest.Message) bool {
			refusals := 0
			for _, one := range m[before:] {
				if strings.Contains(one.Topic, "/reply/") && strings.Contains(string(one.Payload), `"ok":false,"result":{}`) {
					refusals++
				}
			}
			return refusals == 3
		})
		if runs.Load() != 1 {
			t.Fatalf("it ran %d times after %d restarts", runs.Load(), n+1)
		}
	}
}

// TestCommandsThatAreRefused: with a reply where there is a tx, else in the log.
func TestCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	v, err := scriptscity.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	u := uplink.New(options(b.Address(), newMemory(0)))
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for tx, payload := range map[string]string{
		"late":      `{"tx":"late","expires":"` + in(-time.Minute) + `"}`,
		"far":       `{"tx":"far","expires":"` + in(61*time.Minute) + `"}`,
		"undated":   `{"tx":"undated"}`,
		"numbered":  `{"tx":"numbered","expires":5}`,
		"oversized": `{"tx":"oversized","expires":"` + in(time.Minute) + `","args":{"x":"` + strings.Repeat("x", 20_000) + `"}}`,
		"listed":    `{"tx":"listed","expires":"` + in(time.Minute) + `","args":[]}`,
	} {
		city.Publish(prefix+"cmd/ping", false, []byte(payload))
		city.Await("the refusal of "+tx, func(m []brokertest.Message) bool { return replied(m, tx, `"ok":false,"result":{}`) })
	}
	for name, payload := range map[string]string{
		"nobody": `{"expires":"` + in(time.Minute) + `"}`, "broken": `{"tx":"broken`, "binary": "\xff",
		"huge": strings.Repeat("x", 20_000), "long": `{"tx":"` + strings.Repeat("x", 129) + `","expires":"` + in(time.Minute) + `"}`,
	} {
		city.Publish(prefix+"cmd/"+name, false, []byte(payload))
		city.Await("a line of the log about "+name, func(m []brokertest.Message) bool {
			for _, one := range m {
				if one.Topic == prefix+"log" && strings.Contains(string(one.Payload), "cmd/"+name) {
					return true
				}
			}
			return false
		})
	}
	for _, m := range city.Messages() {
		if strings.Contains(m.Topic, "/reply/") || strings.Contains(m.Topic, "/log") {
			if err := v.Validate(m.Topic, m.Payload); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestNoMoreCommandsThanCanBeRemembered are carried out.
func TestNoMoreCommandsThanCanBeRemembered(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	j := newMemory(0)
	o := options(b.Address(), j)
	o.Commands["do"] = func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, nil }
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	const most = 512
	for n := range most + 1 {
		tx := fmt.Sprint("n", n)
		city.Publish(prefix+"cmd/do", false, fmt.Appendf(nil, `{"tx":%q,"expires":%q}`, tx, inAnHour()))
		want := fmt.Sprintf(`"ok":%t`, n < most)
		m := city.Await("a reply", func(m []brokertest.Message) bool { return len(m) == n+1 })
		if got := string(m[n].Payload); !strings.Contains(got, want) {
			t.Fatalf("command %d: %s", n, got)
		}
	}
	if note, _ := j.Load("commands"); len(note) > 10_000 {
		t.Errorf("the note has %d bytes", len(note))
	}
}
