//go:build bench

package main_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"presence/gatewayd/internal/telegraftest"
	"presence/scripts/brokertest"
)

// drainBound is how long a backlog may take to arrive, and silence after how long without
// an event the rest counts as lost.
const (
	drainBound = 3 * time.Minute
	silence    = 20 * time.Second
)

// contender is a program, or a setting of one, and what was measured of it.
type contender struct {
	name string
	run  func(t testing.TB, city string) peer
	slow bool // it is measured once, and not in every round

	accepted int       // events that it took in
	rates    []float64 // events/s, one for each round
	bytes    []float64 // on the wire for each event
	taking   []float64 // CPU seconds for 100,000 events until they waited
	sending  []float64 // and until they had arrived
	memory   []float64 // RssAnon in MB while they waited
	killed   bool      // it was measured what SIGKILL costs
	lost     int       // of those that it had accepted, at SIGKILL in the middle of it
	of       int       // of so many
}

// TestPeers has gatewayd and other programs take in the same events and deliver them to a
// broker at the other end of a line that was cut, in turn, and prints a table. `make
// bench-peers` runs it. On a machine that others use as well only the ratios within a run
// say anything.
//
// PEERS_ROUNDS says how often each is measured (default 3), PEERS_EVENTS with how many
// events (default 100,000), PEERS which by a regular expression (default all).
func TestPeers(t *testing.T) {
	rounds, n := number(t, "PEERS_ROUNDS", 3), number(t, "PEERS_EVENTS", backlog)
	contenders := selectPeers(t, os.Getenv("PEERS"))
	events := sampleEvents(t, n)
	reference := &contender{name: "a client that keeps nothing"}
	for round := range rounds {
		measureClient(t, reference, events)
		for _, c := range contenders {
			if c.slow && round > 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", c.name, round+1), func(t *testing.T) { c.measure(t, events) })
		}
	}
	for _, c := range contenders {
		t.Run(c.name+"/killed", func(t *testing.T) { c.measureLoss(t, events) })
	}
	if t.Failed() {
		return
	}
	printPeers(append([]*contender{reference}, contenders...), n, rounds)
}

// bridgeName is the contender whom the others are compared with.
const bridgeName = "mosquitto bridge"

// selectPeers are the contenders whose names a regular expression matches.
func selectPeers(t *testing.T, names string) []*contender {
	telegraf := ""
	all := []*contender{
		{name: "gatewayd", run: func(t testing.TB, city string) peer { return newGatewayPeer(t, city, "") }},
		{name: "gatewayd, zstd", run: func(t testing.TB, city string) peer { return newGatewayPeer(t, city, "batch = \"zstd\"\n") }},
		{name: bridgeName, run: func(t testing.TB, city string) peer { return newBridgePeer(t, city) }},
		{name: "mosquitto bridge that saves each change", slow: true, run: func(t testing.TB, city string) peer {
			return newBridgePeer(t, city, "autosave_on_changes true", "autosave_interval 1")
		}},
		{name: "Telegraf with a disk buffer", slow: true, run: func(t testing.TB, city string) peer {
			if telegraf == "" {
				t.Fatal("there is no Telegraf")
			}
			return newTelegrafPeer(t, city, telegraf)
		}},
	}
	wanted, err := regexp.Compile(names)
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(c *contender) bool { return !wanted.MatchString(c.name) })
	if slices.ContainsFunc(all, func(c *contender) bool { return strings.HasPrefix(c.name, "Telegraf") }) {
		telegraf = telegraftest.Build(t, telegrafPlugins...)
	}
	return all
}

// sampleEvents are events of a gateway as it publishes them, for the others to carry.
func sampleEvents(t *testing.T, n int) []string {
	g := newGatewayPeer(t, "127.0.0.1:1", "").(*gatewayPeer) // nobody listens there
	g.beacon(n)
	events := tagEvents(g.must("export"))
	g.kill()
	if len(events) != n {
		t.Fatalf("a gateway made %d events of %d positions", len(events), n)
	}
	return events
}

// measureClient measures what the city's broker takes at most from one client on this
// machine: one that has all packets ready, and keeps nothing.
func measureClient(t *testing.T, c *contender, events []string) {
	city := brokertest.Start(t)
	defer city.Stop()
	line := newCountedLine(t, city.Address())
	arrived := countEvents(t, city.Address(), len(events), false)
	line.mend()
	if n := publishEvents(t, line.address(), events, drainBound); n != len(events) {
		t.Fatalf("the broker acknowledged %d of %d events", n, len(events))
	}
	c.accepted = len(events)
	c.rates = append(c.rates, arrived.rate(t, drainBound))
	c.bytes = append(c.bytes, float64(line.cut())/float64(len(events)))
}

// measure measures one round.
func (c *contender) measure(t *testing.T, events []string) {
	city := brokertest.Start(t)
	line := newCountedLine(t, city.Address())
	line.mend()
	p := c.run(t, line.address())
	defer p.kill()
	greeting := line.cut()
	c.accepted = p.fill(events)
	if c.accepted == 0 {
		t.Fatal("it takes in nothing")
	}
	anonymous, _ := rssOf(t, p.pid())
	before := processorTime(t, p.pid())
	arrived := countEvents(t, city.Address(), c.accepted, false)
	line.mend()
	p.connect()
	c.rates = append(c.rates, arrived.rate(t, drainBound))
	after := processorTime(t, p.pid())
	c.bytes = append(c.bytes, float64(line.cut()-greeting)/float64(c.accepted))
	c.taking = append(c.taking, before.Seconds()*backlog/float64(c.accepted))
	c.sending = append(c.sending, (after-before).Seconds()*backlog/float64(c.accepted))
	c.memory = append(c.memory, float64(anonymous)/1e6)
}

// measureLoss kills it when a tenth of the events have arrived, starts it again, and
// counts what never comes. By then it may have sent far more than a tenth.
func (c *contender) measureLoss(t *testing.T, events []string) {
	city := brokertest.Start(t)
	line := newCountedLine(t, city.Address())
	line.mend()
	p := c.run(t, line.address())
	defer p.kill()
	line.cut()
	c.of = p.fill(events)
	arrived := countEvents(t, city.Address(), max(c.of/10, 1), true)
	line.mend()
	p.connect()
	arrived.rate(t, drainBound)
	p.kill()
	p.restart()
	// One that was cut off while it took in may have more than it has acknowledged.
	c.killed, c.lost = true, max(0, c.of-arrived.different(c.of, silence))
}

// median returns the middle of some figures.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// ratio returns the median of the ratios between two contenders round by round.
func ratio(a, b []float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return median(all)
}

// printPeers prints what was measured, and a closing line.
func printPeers(all []*contender, n, rounds int) {
	var bridge *contender
	for _, c := range all {
		if c.name == bridgeName {
			bridge = c
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "|\t| events/s\t| x bridge\t| bytes/event\t| CPU s taking in\t| CPU s sending\t| RssAnon MB\t| lost at SIGKILL\t|")
	fmt.Fprintln(table, "|---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	closing := fmt.Sprintf("bench-peers: events=%d rounds=%d", n, rounds)
	for _, c := range all {
		name := c.name
		if c.accepted < n {
			name += fmt.Sprintf(" (%d events)", c.accepted)
		}
		beside, taking, sending, memory, lost := "", "", "", "", ""
		if bridge != nil {
			beside = fmt.Sprintf("%.2f", ratio(c.rates, bridge.rates))
			closing += fmt.Sprintf(" %q=%s", c.name, beside)
		}
		if len(c.taking) > 0 {
			taking, sending = fmt.Sprintf("%.2f", median(c.taking)), fmt.Sprintf("%.2f", median(c.sending))
			memory = fmt.Sprintf("%.1f", median(c.memory))
		}
		if c.killed {
			lost = fmt.Sprintf("%d of %d", c.lost, c.of)
		}
		fmt.Fprintf(table, "| %s\t| %.0f\t| %s\t| %.0f\t| %s\t| %s\t| %s\t| %s\t|\n",
			name, median(c.rates), beside, median(c.bytes), taking, sending, memory, lost)
	}
	_ = table.Flush() // to the standard output
	fmt.Println(closing)
}
