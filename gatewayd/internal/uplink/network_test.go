package uplink_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// badLine is a proxy before a broker that can be made to misbehave.
type badLine struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newBadLine(t *testing.T, upstream string) *badLine {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &badLine{t, p}
}

// cut ends all connections. The port is the same afterwards: if somebody else's connection
// has been given it meanwhile, that is tried again for a while.
func (l *badLine) cut() {
	l.t.Helper()
	l.proxy.Stop()
	err := l.proxy.Start()
	for deadline := time.Now().Add(brokertest.Wait); err != nil && time.Now().Before(deadline); err = l.proxy.Start() {
		<-time.After(100 * time.Millisecond)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// spoil adds a toxic for one direction: "upstream" is towards the broker.
func (l *badLine) spoil(name, kind, direction, attributes string) {
	l.t.Helper()
	l.spoilSome(name, kind, direction, 1, attributes)
}

// spoilSome is spoil for a part of the connections only.
func (l *badLine) spoilSome(name, kind, direction string, part float64, attributes string) {
	l.t.Helper()
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"toxicity":%v,"attributes":{%s}}`, name, kind, direction, part, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *badLine) mend(names ...string) {
	l.t.Helper()
	for _, name := range names {
		if err := l.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			l.t.Fatal(err)
		}
	}
}

// impatient shortens the waiting, so that a stalled line is replaced in the time
// of a test.
func impatient(o uplink.Options) uplink.Options {
	o.Limits.PubAck = 500 * time.Millisecond
	o.Limits.Connect = time.Second
	o.Limits.KeepAlive = time.Second
	o.Limits.Ping = 500 * time.Millisecond
	return o
}

func TestBadNetworksLoseNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil   func(l *badLine)
		toxics  []string
		patient bool // the line is bad, but works
	}{
		"half-open towards the broker": {func(l *badLine) { l.spoil("a", "timeout", "upstream", `"timeout":0`) }, []string{"a"}, false},
		"half-open towards us":         {func(l *badLine) { l.spoil("a", "timeout", "downstream", `"timeout":0`) }, []string{"a"}, false},
		"reset in the middle of a packet": {func(l *badLine) {
			l.spoil("a", "limit_data", "upstream", `"bytes":3333`)
		}, []string{"a"}, false},
		"reset by the peer": {func(l *badLine) { l.spoil("a", "reset_peer", "upstream", `"timeout":50`) }, []string{"a"}, false},
		"one byte at a time": {func(l *badLine) {
			l.spoil("a", "slicer", "upstream", `"average_size":1,"size_variation":0,"delay":1`)
			l.spoil("b", "slicer", "downstream", `"average_size":1,"size_variation":0,"delay":1`)
		}, []string{"a", "b"}, true},
		"latency of 600 ms that varies": {func(l *badLine) {
			l.spoil("a", "latency", "upstream", `"latency":300,"jitter":100`)
			l.spoil("b", "latency", "downstream", `"latency":300,"jitter":100`)
		}, []string{"a", "b"}, true},
		"a trickle": {func(l *badLine) { l.spoil("a", "bandwidth", "upstream", `"rate":20`) }, []string{"a"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			city := b.Subscribe(prefix + "event/#")
			line := newBadLine(t, b.Address())
			j := newMemory(100)
			o := options(line.proxy.Listen, j)
			if !tc.patient {
				o = impatient(o)
			}
			u := uplink.New(o)
			run(t, u)
			await(t, "a good beginning", func() bool { return j.Cursor() == 100 })
			tc.spoil(line)
			j.add(100)
			if !tc.patient {
				await(t, "the line to be given up", func() bool { return !u.Stats().Connected || u.Stats().Reconnects > 0 })
				// What the cursor passed, the broker has, and the city soon.
				passed := int(j.Cursor())
				city.Await("what the cursor passed", func(m []brokertest.Message) bool { return different(seqs(m)) >= passed })
				line.mend(tc.toxics...)
			}
			await(t, "all to be delivered", func() bool { return j.Cursor() == 200 })
			got := city.Await("all 200 at the city", func(m []brokertest.Message) bool { return different(seqs(m)) >= 200 })
			distinct(t, seqs(got)) // and each for the first time in its order
		})
	}
}

// different counts different numbers.
func different(all []uint64) int {
	seen := make(map[uint64]bool, len(all))
	for _, n := range all {
		seen[n] = true
	}
	return len(seen)
}

func TestBadNetworkUnderTLS(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := secure(t, ca, "broker", time.Now().Add(time.Hour))
	line := newBadLine(t, b.Address())
	j := newMemory(100)
	o := impatient(options(line.proxy.Listen, j))
	o.TLS, o.CAFile = true, ca.File
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	u := uplink.New(o)
	run(t, u)
	await(t, "a good beginning", func() bool { return j.Cursor() == 100 })
	for name, spoil := range map[string][2]string{
		"half-open": {"timeout", `"timeout":0`}, "cut": {"limit_data", `"bytes":2000`}, "reset": {"reset_peer", `"timeout":20`},
	} {
		before := u.Stats().Reconnects
		line.spoil("a", spoil[0], "upstream", spoil[1])
		j.add(50)
		await(t, name+" to be noticed", func() bool { return !u.Stats().Connected || u.Stats().Reconnects > before })
		line.mend("a")
		await(t, "all after "+name, func() bool { return j.Cursor() == j.End() })
	}
}

func TestNameThatDoesNotResolveIsTriedAgain(t *testing.T) {
	o := options("no-such-broker.invalid:1883", newMemory(1))
	u := uplink.New(o)
	run(t, u)
	await(t, "the error", func() bool { return strings.Contains(u.Stats().LastError, "no-such-broker.invalid") })
	if o.Journal.Cursor() != 0 {
		t.Error("the cursor moved")
	}
}

// TestSecondGatewayWithTheSameIDIsNoFightAtFullSpeed: the broker throws one of
// them off whenever the other comes. Both stay away longer each time, and know.
func TestSecondGatewayWithTheSameIDIsNoFightAtFullSpeed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var connections atomic.Int64
	gateway := func(session byte) *uplink.Uplink {
		o := options(b.Address(), newMemory(0))
		o.Session = presence.ID{session}
		o.Limits.RetryMin, o.Limits.RetryMax = 50*time.Millisecond, time.Minute
		u := uplink.New(o)
		run(t, u)
		return u
	}
	one := gateway(1)
	await(t, "the first gateway", func() bool { return one.Stats().Connected })
	two := gateway(2)
	await(t, "both to know", func() bool { return one.Rival() && two.Rival() })
	connections.Store(one.Stats().Reconnects + two.Stats().Reconnects)
	// The waits double: 50, 100, ... ms. Within the next two seconds there is
	// room for a few rounds, not for hundreds.
	<-time.After(2 * time.Second)
	if n := one.Stats().Reconnects + two.Stats().Reconnects - connections.Load(); n > 20 {
		t.Errorf("%d connections in 2 s", n)
	}
}

// TestSlowLineThatStalls has 300 ms on the way there and back, a line that is cut a
// few times, and stalls in 30 % of the connections.
func TestSlowLineThatStalls(t *testing.T) {
	t.Parallel()
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secured), func(t *testing.T) {
			t.Parallel()
			slowLineThatStalls(t, secured)
		})
	}
}

func slowLineThatStalls(t *testing.T, secured bool) {
	ca := brokertest.NewCA(t)
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	city := b.Subscribe(prefix + "event/#")
	if !secured {
		address = b.Address()
	}
	line := newBadLine(t, address)
	line.spoil("there", "latency", "upstream", `"latency":150`)
	line.spoil("back", "latency", "downstream", `"latency":150`)
	line.spoilSome("stall", "timeout", "downstream", 0.3, `"timeout":0`)
	j := newMemory(0)
	o := options(line.proxy.Listen, j)
	if o.TLS = secured; secured {
		o.CAFile = ca.File
		o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	}
	o.Limits.PubAck, o.Limits.Connect = time.Second, 1500*time.Millisecond
	u := uplink.New(o)
	run(t, u)
	const n, each = 40, 5
	for round := range n / each {
		began := time.Now()
		j.add(each)
		u.Retain("health", []byte(`{}`))
		// On a busy machine it may take a moment; that it waits for no line at all, a line
		// without an end shows (TestStalledLineKeepsNobodyWaiting).
		if took := time.Since(began); took > brokertest.Wait/3 {
			t.Errorf("who records waited %v for the line", took)
		}
		<-time.After(350 * time.Millisecond) // people come one after the other
		if round%3 == 2 {
			line.cut()
		}
	}
	got := city.Await("all events", func(m []brokertest.Message) bool { return different(seqs(m)) == n })
	if d := distinct(t, seqs(got)); d != n { // each for the first time in its order
		t.Errorf("%d different events", d)
	}
	await(t, "the cursor", func() bool { return j.Cursor() == n })
}

// TestWhyThereIsNoLineIsSaidInWords: a technician reads it.
func TestWhyThereIsNoLineIsSaidInWords(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	_, secured := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	for address, says := range map[string]string{
		"127.0.0.1:1":                 "connect to 127.0.0.1:1: connection refused",
		"no-such-broker.invalid:1883": "connect to no-such-broker.invalid:1883: lookup no-such-broker.invalid",
		secured:                       "the broker closed the connection before it answered: it may want TLS",
	} {
		t.Run(address, func(t *testing.T) {
			u := uplink.New(options(address, newMemory(0)))
			run(t, u)
			await(t, "the reason", func() bool { return u.Stats().LastError != "" })
			if text := u.Stats().LastError; !strings.Contains(text, says) || strings.Contains(text, "network Error") {
				t.Errorf("it says %q, want %q", text, says)
			}
		})
	}
}
