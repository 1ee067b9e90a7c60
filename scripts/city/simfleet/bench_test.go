package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"presence/scripts/city/internal/lightfleet"
	"presence/scripts/city/internal/realfleet"
)

// setting is a number from the environment.
func setting(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// onlyInBench skips a test outside of make city-bench.
func onlyInBench(t *testing.T) {
	t.Helper()
	if os.Getenv("CITY_BENCH") == "" {
		t.Skip("it measures: make city-bench")
	}
}

// processors is the processor time that the city's programs have taken.
type processors struct{ recorder, broker, simulator time.Duration }

func (c *theCity) processors() (p processors) {
	c.t.Helper()
	read := func(pid int) time.Duration {
		d, err := realfleet.ProcessorTime(pid)
		if err != nil {
			c.t.Fatal(err)
		}
		return d
	}
	return processors{read(c.recorder.Process.Pid), read(c.brokers[0].PID()), read(os.Getpid())}
}

// TestBenchBacklog measures how fast what waited at gateways gets into the table, receipts
// sent: GATEWAYS of them (500) with EVENTS each (400).
func TestBenchBacklog(t *testing.T) {
	onlyInBench(t)
	gateways, events := setting(t, "GATEWAYS", 500), setting(t, "EVENTS", 400)
	c := newCity(t)
	fleet := c.newFleet(gateways)
	fleet.Record(events - 1) // and the start event
	before := c.processors()
	began := time.Now()
	fleet.Start(t.Context(), 0)
	c.awaitConfirmed(fleet, 5*time.Minute)
	took := time.Since(began)
	after := c.processors()
	has := c.prove(fleet)
	memory, err := realfleet.Memory(c.recorder.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("| %d gateways, %d events waiting at each | %d events in %.1f s: %.0f/s; %d rows, %d missing; processor time: recorder %.1f s, mosquitto %.1f s, simulator %.1f s; recorder %d MB |\n",
		gateways, events, has.events, took.Seconds(), float64(has.events)/took.Seconds(), has.distinct, has.holes,
		(after.recorder - before.recorder).Seconds(), (after.broker - before.broker).Seconds(), (after.simulator - before.simulator).Seconds(), memory>>20)
}

// TestBenchMorning measures how long after an event its receipt comes on a morning's peak
// at life speed: PEAK_GATEWAYS (2,000), PEAK_SECONDS (90).
func TestBenchMorning(t *testing.T) {
	onlyInBench(t)
	gateways, length := setting(t, "PEAK_GATEWAYS", 2000), time.Duration(setting(t, "PEAK_SECONDS", 90))*time.Second
	c := newCity(t)
	fleet := c.newFleet(gateways)
	fleet.Start(t.Context(), 10*time.Second)
	c.awaitConfirmed(fleet, wait)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	before := c.processors()
	fleet.Live(ctx, lightfleet.Peak())
	after := c.processors()
	c.awaitConfirmed(fleet, 2*time.Minute)
	made := fleet.Totals()
	has := c.prove(fleet)
	p99 := made.Latencies.Quantile(0.99)
	fmt.Printf("| morning of %d gateways, %v at life speed | %.0f events/s; receipt after the event p50 %v, p99 %v, most %v; %d rows, %d missing; processors: recorder %.0f %%, mosquitto %.0f %%, simulator %.0f %% |\n",
		gateways, length, float64(made.Latencies.Count())/length.Seconds(),
		made.Latencies.Quantile(0.5).Round(time.Millisecond), p99.Round(time.Millisecond), made.Latencies.Max().Round(time.Millisecond), has.distinct, has.holes,
		share(after.recorder-before.recorder, length), share(after.broker-before.broker, length), share(after.simulator-before.simulator, length))
	if p99 > time.Second {
		t.Errorf("receipts come %v after the event (p99), want 1 s", p99)
	}
}

func share(d, of time.Duration) float64 { return 100 * d.Seconds() / of.Seconds() }
