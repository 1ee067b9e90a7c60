package lightgateway_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/scripts/city/internal/lightgateway"
	"presence/scripts/city/internal/realfleet"
)

const prefix = "presence/v1/dinkes/dinkes-01/"

// A light gateway says the same to a broker and a city as a real one, in the same order:
// through the greeting, a window of events, receipts, lost lines, a resync, commands and
// the goodbye. Every message of both is as the AsyncAPI document says.
func TestLikeARealGateway(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gatewayd")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "presence/gatewayd")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gatewayd: %v\n%s", err, out)
	}
	var light, daemon []string
	t.Run("light", func(t *testing.T) { light = script(t, lightSubject(t)) })
	t.Run("real", func(t *testing.T) { daemon = script(t, realSubject(t, binary)) })
	if diff := cmp.Diff(daemon, light); diff != "" {
		t.Errorf("a light gateway behaves in another way than a real one (-real +light):\n%s", diff)
	}
	for _, line := range light {
		t.Log(line)
	}
}

// place is where the nth tag is.
func place(n int) (lat, lon float64) { return -7.97 + float64(n)/6000, 112.63 }

func lightSubject(t *testing.T) subject {
	t.Helper()
	b := newScriptedBroker(t)
	g, err := lightgateway.New(lightgateway.Options{
		Dinas: "dinkes", Gateway: "dinkes-01", Brokers: []string{b.address()}, Receipts: true,
		RetryMin: 50 * time.Millisecond, RetryMax: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	heard := 0
	record := func(events int) {
		g.Tap(time.Now(), "04A1B2C3D4E5F6", false)
		for range events - 1 {
			lat, lon := place(heard)
			g.Tag(time.Now(), fmt.Sprintf("kenwood:100-%d", 1000+heard), lat, lon, "", false)
			heard++
		}
	}
	record(recordedBefore - 1) // the stream begins with its start event
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	end := func() {
		stop()
		<-done
		done <- nil
	}
	t.Cleanup(end)
	return subject{broker: b, prefix: prefix, record: record, stop: end}
}

func realSubject(t *testing.T, binary string) subject {
	t.Helper()
	b := newScriptedBroker(t)
	line := newGate(t, b.address())
	g, err := realfleet.New(realfleet.Options{
		Binary: binary, Dir: t.TempDir(), Dinas: "dinkes", Gateway: "dinkes-01",
		Broker: "tcp://" + line.address(), Receipts: true, Radio: true, Poll: "10ms",
		Badges: `repeat_window = "1s"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	if err := g.Start(ctx); err != nil {
		t.Fatal(err)
	}
	heard, recorded := 0, int64(1) // the start event
	record := func(events int) {
		t.Helper()
		if r, err := g.Tap(ctx, "04A1B2C3D4E5F6", 1); err != nil || r[0].Outcome != "accepted" {
			t.Fatalf("tap: %+v, %v", r, err)
		}
		var reports []realfleet.Report
		for range events - 1 {
			lat, lon := place(heard)
			reports = append(reports, realfleet.Report{Fleet: 100, Unit: 1000 + heard, Lat: lat, Lon: lon, At: time.Now()})
			heard++
		}
		if err := g.Hear(reports...); err != nil {
			t.Fatal(err)
		}
		recorded += int64(events)
		for deadline := time.Now().Add(wait); ; <-time.After(20 * time.Millisecond) {
			h, err := g.Health(ctx)
			if err == nil && h.Journal.Events == recorded {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d events in the journal, want %d (%v)", h.Journal.Events, recorded, err)
			}
		}
	}
	record(recordedBefore - 1)
	line.open()
	return subject{broker: b, prefix: prefix, record: record, stop: func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	}}
}
