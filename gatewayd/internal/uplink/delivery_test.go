package uplink_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// confirmAll is a city that confirms what it has without a hole, until that are n
// events and the cursor is there.
func confirmAll(t *testing.T, city *brokertest.City, j *memory, n uint64) {
	t.Helper()
	have := make(map[uint64]bool)
	var upto uint64
	for seen := 0; upto < n; {
		got := city.Await(fmt.Sprintf("more than %d of %d events", upto, n), func(m []brokertest.Message) bool { return len(m) > seen })
		for _, s := range seqs(got[seen:]) {
			have[s] = true
		}
		seen = len(got)
		for have[upto+1] {
			upto++
		}
		if upto > 0 {
			city.Publish(prefix+"receipt", true, receiptFor(stream, upto))
		}
	}
	await(t, "the cursor", func() bool { return j.Cursor() == n })
}

// TestBrokerThatDropsWhatItAcknowledged: a city on a slow line, for which the
// broker keeps few messages and drops the others, gets everything all the same.
func TestBrokerThatDropsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous true", "max_queued_messages 40", "max_inflight_messages 10")
	line := newBadLine(t, b.Address())
	line.spoil("slow", "latency", "downstream", `"latency":30`)
	city := b.Subscribe(prefix+"event/#", func(o *mqtt.ClientOptions) {
		o.Servers = nil
		o.AddBroker("tcp://" + line.proxy.Listen)
	})
	const n = 300
	j := newMemory(n)
	o := confirming(b.Address(), j)
	o.Limits.Receipt = 200 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	await(t, "PUBACKs for all", func() bool { return u.Stats().Acked >= n })
	confirmAll(t, city, j, n)
	if s := u.Stats(); s.Published < n+n/2 || s.Reconnects != 0 || s.ReceivedReceipt != n {
		t.Errorf("the broker was to drop half: %+v", s)
	}
}

func TestReceiptsOutliveBrokersThatForget(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(200)
	o := confirming(b.Address(), j)
	o.Limits.Receipt = 200 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	for range 3 {
		confirmAll(t, city, j, j.End())
		b.Kill()
		j.add(200)
		b.Restart()
	}
	confirmAll(t, city, j, 800)
}

// TestReceiptsBoundWhatIsSentAhead: a city that confirms nothing is not sent
// everything.
func TestReceiptsBoundWhatIsSentAhead(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(2000)
	o := confirming(b.Address(), j)
	o.Limits.Unreceipted = 300
	o.Limits.Receipt = 300 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	// Once that many have come and some of them again, the sender has gone as far as it may.
	got := city.Await("the first again", func(m []brokertest.Message) bool {
		all := seqs(m)
		n := distinct(t, all)
		return n >= 300 && n < len(all)
	})
	if n := distinct(t, seqs(got)); n > 300+256 {
		t.Errorf("%d events were sent ahead", n)
	}
	// It is in the journal, but nobody outside can have it.
	city.Publish(prefix+"receipt", false, receiptFor(stream, 1999))
	await(t, "the refusal", func() bool { return u.Stats().Refused == 1 })
	if c := j.Cursor(); c != 0 {
		t.Errorf("a receipt for what was not sent moved the cursor to %d", c)
	}
	confirmAll(t, city, j, 2000)
}

// TestNewEventsDoNotWaitForAResync has a long resync over a slow line, which
// breaks before it is done: what is new comes in between, and the resync goes on
// where it was.
func TestNewEventsDoNotWaitForAResync(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	line := newBadLine(t, b.Address())
	city := b.Subscribe(prefix + "#")
	const n = 2000
	j := newMemory(n)
	u := uplink.New(options(line.proxy.Listen, j))
	run(t, u)
	await(t, "the first delivery", func() bool { return j.Cursor() == n })
	city.Await("the city to have it", func(m []brokertest.Message) bool { return len(seqs(m)) >= n })
	line.spoil("slow", "bandwidth", "upstream", `"rate":100`) // KB/s
	city.Publish(prefix+"cmd/resync", false, fmt.Appendf(nil, `{"tx":"r","expires":%q,"args":{"stream":"%s","seq":1}}`, inAnHour(), stream))
	city.Await("the resync to begin", func(m []brokertest.Message) bool {
		return len(seqs(m)) > n && replied(m, "r", fmt.Sprintf(`"events":%d`, n))
	})
	j.add(1)
	await(t, "the new event", func() bool { return j.Cursor() == n+1 })
	again := len(seqs(city.Messages())) - n
	if again >= n {
		t.Errorf("the new event came after %d repeated ones", again)
	}
	line.spoil("cut", "reset_peer", "upstream", `"timeout":0`)
	await(t, "the line to break", func() bool { return !u.Stats().Connected || u.Stats().Reconnects > 0 })
	line.mend("cut", "slow")
	got := city.Await("the end of the resync", func(m []brokertest.Message) bool {
		all := seqs(m)
		return len(all) >= 2*n && all[len(all)-1] == n
	})
	times := make(map[uint64]int)
	for _, s := range seqs(got) {
		times[s]++
	}
	for s := uint64(1); s <= n; s++ {
		if times[s] < 2 {
			t.Fatalf("event %d did not come again", s)
		}
	}
	if c := j.Cursor(); c != n+1 {
		t.Errorf("the cursor is at %d", c)
	}
}

// TestNameThatStopsResolving loses the broker's name while it works.
func TestNameThatStopsResolving(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	j := newMemory(10)
	var lost atomic.Bool
	o := options(b.Address(), j)
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		if lost.Load() {
			return nil, &net.DNSError{Err: "no such host", Name: "mqtt.example.go.id", IsNotFound: true}
		}
		return new(net.Dialer).DialContext(ctx, "tcp", b.Address())
	}
	u := uplink.New(o)
	run(t, u)
	await(t, "a good beginning", func() bool { return j.Cursor() == 10 })
	lost.Store(true)
	b.Kill()
	b.Restart()
	j.add(10)
	await(t, "the error", func() bool { return strings.Contains(u.Stats().LastError, "no such host") })
	if c := j.Cursor(); c != 10 {
		t.Errorf("the cursor is at %d", c)
	}
	lost.Store(false)
	await(t, "the rest", func() bool { return j.Cursor() == 20 })
}

// TestStatusIsOnlineAfterEveryLostLine: the broker sends the will of a broken
// connection when it notices, which may be after the next one has begun.
func TestStatusIsOnlineAfterEveryLostLine(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "status")
	first, second := newBadLine(t, b.Address()), newBadLine(t, b.Address())
	var dials atomic.Int64
	o := impatient(options("", newMemory(0)))
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		line := first
		if dials.Add(1) > 1 {
			line = second
		}
		return new(net.Dialer).DialContext(ctx, "tcp", line.proxy.Listen)
	}
	u := uplink.New(o)
	run(t, u)
	city.Await("birth", func(m []brokertest.Message) bool { return last(m, "status", `"online"`) })
	// The city can see the birth before its PUBACK is here; a line that breaks
	// in between was never up, and the next one is no reconnect.
	await(t, "the first line", func() bool { return u.Stats().Connected })
	// The broker hears nothing of the end of the first line until the second
	// has begun.
	first.spoil("silent", "timeout", "downstream", `"timeout":0`)
	await(t, "the second line", func() bool { return u.Stats().Reconnects > 0 })
	city.Await("the will, and online after it", func(m []brokertest.Message) bool {
		isWill := func(m brokertest.Message) bool { return strings.Contains(string(m.Payload), `"lost"`) }
		return slices.ContainsFunc(m, isWill) && last(m, "status", `"online"`)
	})
	if u.Rival() {
		t.Error("its own will is taken for another gateway")
	}
	late := b.Subscribe(prefix + "status")
	late.Await("the retained status", func(m []brokertest.Message) bool { return last(m, "status", `"online"`) })
}

// TestNothingOutlivesRun ends uplinks in the middle of everything.
func TestNothingOutlivesRun(t *testing.T) {
	b := brokertest.Start(t)
	silent := newSilentBroker(t)
	nobody := newBadLine(t, b.Address())
	nobody.spoil("silent", "timeout", "downstream", `"timeout":0`)
	for name, tc := range map[string]struct {
		address string
		until   func(u *uplink.Uplink, j *memory) bool
	}{
		"at the start":             {b.Address(), func(*uplink.Uplink, *memory) bool { return true }},
		"while it connects":        {nobody.proxy.Listen, func(*uplink.Uplink, *memory) bool { return true }},
		"while it sends":           {b.Address(), func(_ *uplink.Uplink, j *memory) bool { return j.Cursor() > 100 }},
		"while it waits":           {b.Address(), func(_ *uplink.Uplink, j *memory) bool { return j.Cursor() == j.End() }},
		"without PUBACKs":          {silent.address, func(u *uplink.Uplink, _ *memory) bool { return u.Stats().Connected }},
		"after many connections":   {silent.address, func(u *uplink.Uplink, _ *memory) bool { return u.Stats().Reconnects > 3 }},
		"while nobody answers":     {nobody.proxy.Listen, func(u *uplink.Uplink, _ *memory) bool { return u.Stats().LastError != "" }},
		"while nothing can be had": {"127.0.0.1:1", func(u *uplink.Uplink, _ *memory) bool { return u.Stats().LastError != "" }},
	} {
		t.Run(name, func(t *testing.T) {
			j := newMemory(5000)
			o := impatient(options(tc.address, j))
			o.Limits.PubAck, o.Limits.Connect = 100*time.Millisecond, 200*time.Millisecond
			o.Limits.Goodbye = 200 * time.Millisecond
			u := uplink.New(o)
			stop := run(t, u)
			await(t, "the moment", func() bool { return tc.until(u, j) })
			stop()
			// One that has said that it ends may still be on its last instruction.
			await(t, "the end of all goroutines", func() bool { return ours() == "" })
		})
	}
}

// ours are the goroutines of this package and of paho that wait for something. One
// that has told its end is not gone for an instant, but waits for nothing.
func ours() string {
	buf := make([]byte, 1<<20)
	var left []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if state, _, _ := strings.Cut(g, "\n"); strings.Contains(state, "[runnable") || strings.Contains(state, "[running") {
			continue
		}
		if strings.Contains(g, "paho") || strings.Contains(g, "uplink.(*") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// TestNoTestIsSlowedBySleeping: waiting in tests is for a condition, with a
// bound; only the virtual clock of synctest may be slept on.
func TestNoTestIsSlowedBySleeping(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() || !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		sleep := "time." + "Sleep("
		if text := string(b); strings.Contains(text, sleep) && !strings.Contains(text, "synctest.Test(") && !strings.Contains(text, "runScripted(") {
			t.Errorf("%s sleeps", f.Name())
		}
	}
}
