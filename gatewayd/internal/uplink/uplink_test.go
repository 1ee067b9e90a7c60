package uplink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	scriptscity "presence/scripts/city"
)

// memory is a journal without a disk.
type memory struct {
	mu        sync.Mutex
	entries   []presence.Entry
	cursor    uint64
	grown     chan struct{}
	revisions map[uint64]presence.Revision
	finalUpto uint64
	sent      uint64
	silent    uint64
	gone      map[uint64]bool // removed
	notes     map[string][]byte
	saves     int
}

var stream = presence.ID{1, 2, 3}

func newMemory(n int) *memory {
	m := &memory{grown: make(chan struct{}), revisions: make(map[uint64]presence.Revision)}
	m.add(n)
	return m
}

func (m *memory) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		pos := uint64(len(m.entries) + 1)
		m.entries = append(m.entries, presence.Entry{Pos: pos, Record: presence.Record{
			Stream: stream, Seq: pos,
			Draft: presence.Draft{
				Kind:  presence.KindBadge,
				At:    presence.Reading{State: presence.ClockTrusted, Wall: int64(pos) * int64(time.Second)},
				Badge: &presence.Badge{Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "mifare-classic-1k", Assurance: "uid"},
			},
		}})
	}
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) Cursor() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursor
}

func (m *memory) End() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.entries))
}

func (m *memory) Ack(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor = max(m.cursor, pos)
}

func (m *memory) Next(ctx context.Context, after uint64, most int) ([]presence.Entry, error) {
	for {
		m.mu.Lock()
		rest, grown := m.entries[after:], m.grown
		if len(m.gone) > 0 {
			rest = slices.DeleteFunc(slices.Clone(rest), func(e presence.Entry) bool { return m.gone[e.Pos] })
		}
		m.mu.Unlock()
		if len(rest) > 0 {
			return rest[:min(most, len(rest))], nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *memory) Stream() presence.ID { return stream }

func (m *memory) Place(of presence.ID, seq uint64) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq == 0 || seq > uint64(len(m.entries)) {
		return 0, false
	}
	return seq, m.entries[seq-1].Stream == of // which are numbered on
}

func (m *memory) Oldest() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := uint64(1)
	for m.gone[oldest] {
		oldest++
	}
	return oldest
}

func (m *memory) Save(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes == nil {
		m.notes = make(map[string][]byte)
	}
	m.notes[name] = slices.Clone(data)
	m.saves++
	return nil
}

func (m *memory) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.notes[name], nil
}

// saved is how many notes were made durable.
func (m *memory) saved() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

func (m *memory) Sent() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent
}

func (m *memory) NoteSent(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = max(m.sent, pos)
}

func (m *memory) Unanswered() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent
}

func (m *memory) NoteUnanswered(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = pos
}

func (m *memory) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := maps.Clone(m.revisions)
	maps.DeleteFunc(found, func(pos uint64, _ presence.Revision) bool { return pos < from || pos > to })
	return found, nil
}

func (m *memory) SaveRevisions(_ context.Context, all []presence.Revision) error {
	m.QueueRevisions(all)
	return nil
}

func (m *memory) QueueRevisions(all []presence.Revision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all {
		m.revisions[s.Pos] = s
	}
}

func (m *memory) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pos := range slices.Sorted(maps.Keys(m.revisions)) {
		if s := m.revisions[pos]; s.Open && after < pos && pos <= upto {
			open = append(open, s)
		}
	}
	return open, upto, nil
}

func (m *memory) FinalUpto() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finalUpto
}

func (m *memory) SetFinalUpto(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finalUpto = max(m.finalUpto, pos)
}

type trusted struct{}

func (trusted) Changed() <-chan struct{} { return nil }

func (trusted) Final(presence.Reading) bool { return true }

func (trusted) Doubts() uint64 { return 0 }

func (trusted) Timing(r presence.Reading) presence.Timing {
	return presence.Timing{Quality: presence.QualityTrusted, Time: r.WallTime()}
}

const prefix = "presence/v1/dinkes/dinkes-01/"

func options(address string, j uplink.Journal) uplink.Options {
	return uplink.Options{
		Origin:  presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
		Session: presence.ID{9},
		Address: address, Window: 64,
		Journal: j, Times: trusted{},
		Now: func() presence.Reading {
			return presence.Reading{State: presence.ClockTrusted, Wall: time.Now().UnixNano()}
		},
		Commands: map[string]uplink.CommandFunc{
			"ping": func(context.Context, json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(`{"pong":true}`), nil
			},
		},
		Log:    slog.New(slog.DiscardHandler),
		Limits: uplink.Limits{RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond},
	}
}

// run runs an uplink until the test ends or stop is called.
func run(t *testing.T, u *uplink.Uplink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := u.Run(ctx); err != context.Canceled {
			t.Errorf("run ended with %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("the uplink did not stop within 5 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

// seqs are the sequence numbers of the badge events among messages.
func seqs(messages []brokertest.Message) (all []uint64) {
	for _, m := range messages {
		var e struct{ Seq uint64 }
		if strings.HasSuffix(m.Topic, "/event/badge") && json.Unmarshal(m.Payload, &e) == nil {
			all = append(all, e.Seq)
		}
	}
	return all
}

// distinct counts different numbers and fails if one comes for the first time
// after a higher one.
func distinct(t *testing.T, all []uint64) int {
	t.Helper()
	var highest uint64
	seen := make(map[uint64]bool)
	for _, n := range all {
		if !seen[n] && n != highest+1 {
			t.Fatalf("event %d came first after %d", n, highest)
		}
		seen[n] = true
		highest = max(highest, n)
	}
	return len(seen)
}

func TestEventsArriveInOrderAndTheCursorFollows(t *testing.T) {
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(1000)
	run(t, uplink.New(options(b.Address(), j)))
	j.add(1000)
	got := city.Await("2,000 events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 2000 })
	if n := distinct(t, seqs(got)); n != 2000 {
		t.Errorf("%d different events", n)
	}
	await(t, "the cursor", func() bool { return j.Cursor() == 2000 })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(brokertest.Wait)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestBrokerThatComesLateAndDiesOftenLosesNothing(t *testing.T) {
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	b.Stop()
	j := newMemory(3000)
	u := uplink.New(options(b.Address(), j))
	run(t, u)
	await(t, "a failed attempt", func() bool { return u.Stats().LastError != "" })
	for round := range 4 {
		b.Restart()
		await(t, "some progress", func() bool { return j.Cursor() >= uint64(700*(round+1)) })
		b.Kill()
	}
	b.Restart()
	j.add(100)
	await(t, "the cursor", func() bool { return j.Cursor() == 3100 })
	// The city's subscription does not outlive a killed broker, so it may miss
	// events; but none may come out of order or be confirmed and not exist.
	distinctAtMost(t, seqs(city.Messages()), 3100)
	if u.Stats().Reconnects == 0 {
		t.Error("no reconnect was counted")
	}
}

func distinctAtMost(t *testing.T, all []uint64, n uint64) {
	t.Helper()
	for _, s := range all {
		if s == 0 || s > n {
			t.Fatalf("event %d was never recorded", s)
		}
	}
}

// TestPromise4DeliveredMeansDelivered: a broker that takes everything and
// acknowledges nothing moves no cursor, and its connection is replaced.
func TestPromise4DeliveredMeansDelivered(t *testing.T) {
	silent := newSilentBroker(t)
	j := newMemory(500)
	o := options(silent.address, j)
	o.Limits.PubAck = 300 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	await(t, "three connections", func() bool { return silent.count() >= 3 })
	if c := j.Cursor(); c != 0 {
		t.Errorf("the cursor moved to %d without a PUBACK", c)
	}
	if a := u.Stats().Acked; a != 0 {
		t.Errorf("%d events count as acknowledged", a)
	}
}

// silentBroker speaks MQTT 3.1.1 just far enough: it accepts, grants
// subscriptions, acknowledges retained publications, and swallows events.
type silentBroker struct {
	address string
	granted byte // the code of its SUBACKs

	mu          sync.Mutex
	connections int
}

func newSilentBroker(t *testing.T) *silentBroker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &silentBroker{address: l.Addr().String(), granted: 1}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.connections++
			b.mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				b.serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return b
}

func (b *silentBroker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connections
}

func (b *silentBroker) serve(c net.Conn) {
	for {
		var head [1]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		length, shift := 0, 0
		for {
			var digit [1]byte
			if _, err := io.ReadFull(c, digit[:]); err != nil {
				return
			}
			length |= int(digit[0]&0x7F) << shift
			shift += 7
			if digit[0]&0x80 == 0 {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		var reply []byte
		switch head[0] >> 4 {
		case 1: // CONNECT
			reply = []byte{0x20, 2, 0, 0}
		case 3: // PUBLISH
			n := int(body[0])<<8 | int(body[1])
			if topic := string(body[2 : 2+n]); !strings.Contains(topic, "/event/") {
				reply = []byte{0x40, 2, body[2+n], body[3+n]}
			}
		case 8: // SUBSCRIBE: the four filters of a gateway
			reply = []byte{0x90, 6, body[0], body[1], b.granted, b.granted, b.granted, b.granted}
		case 12: // PINGREQ
			reply = []byte{0xD0, 0}
		case 14: // DISCONNECT
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

func TestStatusBirthWillAndGoodbye(t *testing.T) {
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
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "alert/#")
	city.Publish(prefix+"alert/old", true, []byte(`{"code":"old"}`))
	run(t, uplink.New(options(b.Address(), newMemory(0))))
	city.Await("the old alert's end", func(m []brokertest.Message) bool { return lastIs(m, "alert/old", "") })
}

func TestCommands(t *testing.T) {
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

func TestRetainedCommandIsRefused(t *testing.T) {
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

func TestRefusedConnectionsSayWhy(t *testing.T) {
	b := brokertest.Start(t, "allow_anonymous false")
	u := uplink.New(options(b.Address(), newMemory(1)))
	run(t, u)
	await(t, "the reason", func() bool { return strings.Contains(u.Stats().LastError, "not authorised") })
}

func BenchmarkDrain(b *testing.B) {
	broker := brokertest.Start(b)
	j := newMemory(b.N)
	o := options(broker.Address(), j)
	o.Window = 256
	u := uplink.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- u.Run(ctx) }()
	u.Drained(ctx)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.StopTimer()
	cancel()
	<-done
}

// TestTwoGatewaysUnderOneIDTakeTheirTime: they throw each other off the broker,
// however long each connection held before.
func TestTwoGatewaysUnderOneIDTakeTheirTime(t *testing.T) {
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
				thief := b.Subscribe(prefix+"none", func(o *mqtt.ClientOptions) { // what the other does
					o.SetClientID("dinkes-01").SetAutoReconnect(false).SetConnectRetry(false)
				})
				longest = max(longest, <-pauses)
				thief.Disconnect()
			}
			if slow := longest > 100*time.Millisecond; slow != rival {
				t.Errorf("the longest pause between two attempts was %v", longest)
			}
		})
	}
}

// pauseLog tells how long the uplink waits between two connections.
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
