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

	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
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

// spoil adds a toxic for one direction: "upstream" is towards the broker.
func (l *badLine) spoil(name, kind, direction, attributes string) {
	l.t.Helper()
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, name, kind, direction, attributes)
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
