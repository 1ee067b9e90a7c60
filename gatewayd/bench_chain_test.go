//go:build bench

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/gatewayd/internal/journal/journaltest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

const (
	chainEvents = 60_000
	chainRounds = 9
	// leastChainDrain is how fast a backlog of events with links has to be delivered at
	// least, in the median of the rounds, where 1 is without. Only a quiet machine says it.
	leastChainDrain = 0.95
)

// benchDrain has a whole gateway deliver the same backlog with and without links, in turn,
// and returns the ratios, round by round, of the rates and of what it needs of the
// processors.
func benchDrain(t *testing.T) string {
	origin := newGatewayPeer(t, "127.0.0.1:1", "").(*gatewayPeer) // nobody listens there
	origin.beacon(chainEvents)
	origin.kill()
	if err := os.Remove(filepath.Join(origin.dir, "state", "control.sock")); err != nil {
		t.Fatal(err)
	}
	linked, plain := filepath.Join(origin.dir, "state"), filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(plain, os.DirFS(linked)); err != nil {
		t.Fatal(err)
	}
	removeChain(t, filepath.Join(plain, "journal.db"))
	city := brokertest.Start(t)
	text := strings.Replace(origin.text(), "tcp://127.0.0.1:1", city.URL(), 1)
	measure := func(folder string) (rate, seconds float64) {
		g := newGateway(t, city.URL(), "")
		state := filepath.Join(g.dir, "state")
		if err := os.CopyFS(state, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		g.configure(strings.Replace(text, linked, state, 1))
		arrived := countEvents(t, city.Address(), chainEvents, false)
		g.launch()
		defer g.kill()
		rate = arrived.rate(t, drainBound)
		return rate, processorTime(t, g.cmd.Process.Pid).Seconds()
	}
	var with, without, busyWith, busyWithout []float64
	for round := range chainRounds + 1 {
		rate, seconds := measure(linked)
		rate0, seconds0 := measure(plain)
		if round > 0 { // the first warms up
			with, without = append(with, rate), append(without, rate0)
			busyWith, busyWithout = append(busyWith, seconds), append(busyWithout, seconds0)
		}
	}
	speed, best, busy := ratio(with, without), slices.Max(with)/slices.Max(without), ratio(busyWith, busyWithout)
	if speed < leastChainDrain {
		t.Errorf("events with links are delivered at %.3f of the rate without, at best %.3f", speed, best)
	}
	return fmt.Sprintf("%.2f of %.0f events/s, best %.2f; CPU %.2f of %.0f us",
		speed, median(without), best, busy, median(busyWithout)*1e6/chainEvents)
}

// removeChain makes a journal one of the version before links.
func removeChain(t *testing.T, path string) {
	t.Helper()
	journaltest.Edit(t, path, func(records []presence.Entry) []presence.Entry {
		for i := range records {
			records[i].Chain = presence.Chain{}
		}
		return records
	})
}
