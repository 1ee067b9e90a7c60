package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/scripts/city/internal/lightfleet"
	"presence/scripts/city/internal/lightgateway"
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
type processors struct{ recorder, database, broker, simulator time.Duration }

// since is what they have taken since an earlier time.
func (p processors) since(before processors) processors {
	return processors{p.recorder - before.recorder, p.database - before.database, p.broker - before.broker, p.simulator - before.simulator}
}

func (p processors) sum() time.Duration { return p.recorder + p.database + p.broker + p.simulator }

func (c *theCity) processors() (p processors) {
	c.t.Helper()
	read := func(pid int) time.Duration {
		d, err := realfleet.ProcessorTime(pid)
		if err != nil {
			c.t.Fatal(err)
		}
		return d
	}
	// Those of PostgreSQL's processes that still run: the recorder's sessions do.
	database := read(c.db.PID())
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.db.PID()))
	if err != nil {
		c.t.Fatal(err)
	}
	for child := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(child)
		if err != nil {
			c.t.Fatal(err)
		}
		if d, err := realfleet.ProcessorTime(pid); err == nil { // it may just have ended
			database += d
		}
	}
	return processors{read(c.recorder.Process.Pid), database, read(c.brokers[0].PID()), read(os.Getpid())}
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
	spent := c.processors().since(before)
	has := c.prove(fleet)
	memory, err := realfleet.Memory(c.recorder.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("| %d gateways, %d events waiting at each | %d events in %.1f s: %.0f/s; %d rows, %d missing; processor time: recorder %.1f s, PostgreSQL %.1f s, mosquitto %.1f s, simulator %.1f s, so %.0f/s at most on %d processors; recorder %d MB |\n",
		gateways, events, has.events, took.Seconds(), float64(has.events)/took.Seconds(), has.distinct, has.holes,
		spent.recorder.Seconds(), spent.database.Seconds(), spent.broker.Seconds(), spent.simulator.Seconds(),
		float64(has.events)*float64(runtime.NumCPU())/spent.sum().Seconds(), runtime.NumCPU(), memory>>20)
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
	stalls := watchStalls(ctx)
	fleet.Live(ctx, lightfleet.Peak())
	late := <-stalls
	spent := c.processors().since(before)
	c.awaitConfirmed(fleet, 2*time.Minute)
	made := fleet.Totals()
	has := c.prove(fleet)
	p99 := made.Latencies.Quantile(0.99)
	fmt.Printf("| morning of %d gateways, %v at life speed | %.0f events/s; receipt after the event p50 %v, p99 %v, most %v; the machine itself was late by p99 %v, most %v; %d rows, %d missing; processors: recorder %.0f %%, PostgreSQL %.0f %%, mosquitto %.0f %%, simulator %.0f %% |\n",
		gateways, length, float64(made.Latencies.Count())/length.Seconds(),
		made.Latencies.Quantile(0.5).Round(time.Millisecond), p99.Round(time.Millisecond), made.Latencies.Max().Round(time.Millisecond),
		late.Quantile(0.99).Round(time.Millisecond), late.Max().Round(time.Millisecond), has.distinct, has.holes,
		share(spent.recorder, length), share(spent.database, length), share(spent.broker, length), share(spent.simulator, length))
	if p99 > time.Second && late.Max() < time.Second {
		t.Errorf("receipts come %v after the event (p99), want 1 s", p99)
	}
}

// watchStalls measures until the context ends how late the machine wakes who sleeps: what
// it does beside makes everything that late.
func watchStalls(ctx context.Context) <-chan *lightgateway.Latencies {
	done := make(chan *lightgateway.Latencies, 1)
	go func() {
		late := new(lightgateway.Latencies)
		const nap = 10 * time.Millisecond
		for ctx.Err() == nil {
			began := time.Now()
			<-time.After(nap)
			late.Add(time.Since(began) - nap)
		}
		done <- late
	}()
	return done
}

func share(d, of time.Duration) float64 { return 100 * d.Seconds() / of.Seconds() }
