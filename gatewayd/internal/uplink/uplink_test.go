package uplink_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

type trusted struct{}

func (trusted) Changed() <-chan struct{} { return nil }

func (trusted) Final(presence.Reading) bool { return true }

func (trusted) Doubts() uint64 { return 0 }

func (trusted) Timing(r presence.Reading) presence.Timing {
	return presence.Timing{Quality: presence.QualityTrusted, Time: r.WallTime()}
}

func (k trusted) Revise(published presence.Timing, r presence.Reading) presence.Timing {
	return presence.Revise(published, k.Timing(r))
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
		if err := u.Run(ctx); !errors.Is(err, context.Canceled) {
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

func TestRefusedConnectionsSayWhy(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous false")
	u := uplink.New(options(b.Address(), newMemory(1)))
	run(t, u)
	await(t, "the reason", func() bool { return strings.Contains(u.Stats().LastError, "not authorised") })
}

// BenchmarkDrain measures the way from the journal to PUBACKs. cpu-ns/op is what this
// process needs of a processor for each event, the broker apart: on a machine that others
// use as well it says more than the time.
func BenchmarkDrain(b *testing.B) {
	broker := brokertest.Start(b)
	j := newMemory(b.N)
	o := options(broker.Address(), j)
	o.Window = 256
	u := uplink.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	go func() { done <- u.Run(ctx) }()
	u.Drained(ctx)
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.StopTimer()
	cancel()
	<-done
}

// processorTime is what this process has used of the processors so far.
func processorTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
