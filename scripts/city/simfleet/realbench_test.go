package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/realfleet"
)

// realPoll is how often each gateway's reader looks for a card. The mocked chip takes more
// of a processor than a chip does: at the default of 50 ms 400 of them would take all of
// a small machine.
const realPoll = "200ms"

// TestBenchRealGateways measures what a real gateway takes beside the city's programs, and
// how fast what waited at all of them is stored: REAL_GATEWAYS (400), REAL_EVENTS (100).
func TestBenchRealGateways(t *testing.T) {
	onlyInBench(t)
	n, events := setting(t, "REAL_GATEWAYS", 400), setting(t, "REAL_EVENTS", 100)
	c := newCity(t, brokertest.Start(t, asTheKit(t)...)) // which keeps the recorder's session over a restart
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	fleet := c.realFleet(n)
	if err := fleet.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.AwaitConfirmed(ctx); err != nil {
		t.Fatal(err)
	}

	// What they take while nothing happens.
	const idle = 20 * time.Second
	before, err := fleet.Cost()
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(idle)
	after, err := fleet.Cost()
	if err != nil {
		t.Fatal(err)
	}

	// The broker is away, tags are heard, and the broker comes back.
	c.brokers[0].Stop()
	err = fleet.Each(func(g *realfleet.Gateway) error {
		var reports []realfleet.Report
		for unit := range events {
			reports = append(reports, realfleet.Report{Fleet: 100, Unit: 1000 + unit, Lat: -7.97, Lon: 112.63 + float64(unit)/1000, At: time.Now()})
		}
		return g.Hear(reports...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.AwaitRecorded(ctx, int64(events)+1); err != nil {
		t.Fatal(err)
	}
	sessions := c.sessions()
	began := time.Now()
	c.brokers[0].Restart()
	c.awaitSessions(sessions + 1)
	recorded, err := fleet.AwaitConfirmed(ctx)
	if err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	has := c.count()
	fmt.Printf("| %d real gateways, mocked readers that look every %s | each: %.1f MB anonymous memory (most %.1f MB), idle %.2f %% of a processor; %d events that waited at each confirmed %.1f s after the broker is back (gateways try again after up to a minute): %.0f/s; %d rows, %d missing, %d doubled |\n",
		n, realPoll, float64(after.Memory)/float64(n)/1e6, float64(after.Most)/1e6, share(after.Processor-before.Processor, idle)/float64(n),
		events, took.Seconds(), float64(n*events)/took.Seconds(), has.distinct, has.holes, has.events-has.distinct)
	if has.distinct != recorded || recorded < int64(n*(events+1)) || has.holes != 0 || has.events != has.distinct {
		t.Errorf("the database has %+v, and the gateways recorded %d events", has, recorded)
	}
}

// realFleet makes real gateways, which are closed when the test ends.
func (c *theCity) realFleet(n int, tables ...string) realfleet.Fleet {
	c.t.Helper()
	fleet, err := realfleet.NewFleet(realfleet.Options{
		Binary: program(c.t, "gatewayd"), Dir: c.t.TempDir(), Dinas: "dinkes", Broker: c.brokers[0].URL(), Receipts: true, Radio: true, Poll: realPoll,
		Tables: strings.Join(tables, ""),
	}, "real", n)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return fleet
}
