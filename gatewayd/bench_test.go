//go:build bench

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

// TestBench measures a whole gatewayd process and prints a table. `make bench`
// runs it; every figure comes out of this run on this machine. How it does beside other
// programs is TestPeers.
func TestBench(t *testing.T) {
	var rows [][3]string
	row := func(what, figure, aim string) { rows = append(rows, [3]string{what, figure, aim}) }

	t.Run("taps", func(t *testing.T) {
		idle, busy := benchTaps(t)
		row("tap to green, idle", idle, "")
		row("tap to green, under 500 tag events/s", busy, "")
	})
	t.Run("written", func(t *testing.T) {
		perTap, perTag := benchWritten(t)
		row("written per lone tap", perTap, "at most 16 KiB")
		row("written per tag event at 50/s", perTag, "at most 1 KiB")
	})
	t.Run("waiting", func(t *testing.T) {
		g := newGatewayPeer(t, "127.0.0.1:1", "").(*gatewayPeer) // nobody listens there
		g.beacon(backlog)
		anonymous, file := g.rss()
		row("RssAnon with 100,000 waiting", fmt.Sprintf("%.1f MB (RssFile %.1f MB)", float64(anonymous)/1e6, float64(file)/1e6), "under 25 MB")
	})
	t.Run("ready", func(t *testing.T) {
		empty, full := benchReady(t)
		row("exec to ready, empty journal", empty, "200 ms")
		row("exec to ready, 1,000,000 events", full, "200 ms")
	})

	t.Run("drain", func(t *testing.T) {
		row("drain with links, of that without", benchDrain(t), "at least 0.95")
	})

	for _, r := range rows {
		fmt.Printf("%-42s %-44s %s\n", r[0], r[1], r[2])
	}
}

// quantiles prints the median and the 99th percentile of milliseconds.
func quantiles(ms []float64) string {
	slices.Sort(ms)
	return fmt.Sprintf("%.1f ms median, %.1f ms p99 of %d", ms[len(ms)/2], ms[len(ms)*99/100], len(ms))
}

// latencies taps n times and returns how long the lamp took each time.
func latencies(g *gateway, uid string, n int) (ms []float64) {
	out := g.must("sim", "tap", "--reader", "door", "--uid", uid, "--count", strconv.Itoa(n), "--every", "60ms", "--hold", "0s")
	for line := range strings.Lines(out) {
		var a struct {
			LatencyMS float64 `json:"latency_ms"`
		}
		if json.Unmarshal([]byte(line), &a) == nil {
			ms = append(ms, a.LatencyMS)
		}
	}
	return ms
}

// beacons writes a line at a rate until the context ends.
func beacons(ctx context.Context, radio io.Writer, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			_, _ = io.WriteString(radio, beacontest.PKLDS(100+i/9000%900, 1000+i%9000, -7.9+float64(i%100000)/1e6, 112.6, time.Now()))
		case <-ctx.Done():
			return
		}
	}
}

// during does something while beacons come at a rate.
func during(radio io.Writer, perSecond int, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() { beacons(ctx, radio, perSecond) })
	do()
	cancel()
	sending.Wait()
}

func benchTaps(t *testing.T) (idle, busy string) {
	b := brokertest.Start(t)
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port))
	g.start()
	defer g.kill()
	idle = quantiles(latencies(g, "04A00000000000", 200))
	during(radio, 500, func() { busy = quantiles(latencies(g, "04B00000000000", 200)) })
	return idle, busy
}

// written is what the kernel has sent to storage for the daemon so far
// (proc(5), io: write_bytes).
func (g *gateway) written() int64 {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				g.t.Fatal(err)
			}
			return n
		}
	}
	g.t.Fatal("no write_bytes in /proc/PID/io")
	return 0
}

func benchWritten(t *testing.T) (perTap, perTag string) {
	b := brokertest.Start(t)
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port))
	g.start()
	defer g.kill()
	const taps = 60
	before := g.written()
	g.must("sim", "tap", "--reader", "door", "--uid", "04C00000000000", "--count", strconv.Itoa(taps), "--every", "500ms", "--hold", "0s")
	perTap = fmt.Sprintf("%.1f KiB", float64(g.written()-before)/taps/1024)
	events, before := g.health().Journal.Events, g.written()
	during(radio, 50, func() { <-time.After(20 * time.Second) })
	g.await("the last commit", func() bool { return g.health().Journal.Pending == 0 })
	perTag = fmt.Sprintf("%.2f KiB", float64(g.written()-before)/float64(g.health().Journal.Events-events)/1024)
	return perTap, perTag
}

const backlog = 100_000

// benchReady measures from exec to the first answer on the control socket.
func benchReady(t *testing.T) (empty, full string) {
	measure := func(fill int) string {
		g := newGateway(t, "tcp://127.0.0.1:1", "[journal]\nmax_mb = 1024\n")
		state := filepath.Join(g.dir, "state")
		if fill > 0 {
			fillJournal(t, state, fill)
		}
		var ms []float64
		for range 5 {
			started := time.Now()
			g.launch()
			for {
				conn, err := net.Dial("unix", filepath.Join(state, "control.sock"))
				if err == nil {
					_ = conn.Close()
					if _, code := g.try("status", "--json"); code == 0 {
						break
					}
				}
				<-time.After(time.Millisecond)
			}
			ms = append(ms, float64(time.Since(started).Microseconds())/1000)
			g.kill()
		}
		slices.Sort(ms)
		return fmt.Sprintf("%.0f ms median of %d", ms[len(ms)/2], len(ms))
	}
	return measure(0), measure(1_000_000)
}

func fillJournal(t *testing.T, state string, n int) {
	if err := os.MkdirAll(state, 0o750); err != nil {
		t.Fatal(err)
	}
	source, err := clock.NewTrusted()
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{
		Path: filepath.Join(state, "journal.db"), Keep: 36 * 24 * time.Hour, MaxBytes: 1 << 30,
		CommitInterval: time.Second, Now: source.Now, Version: "bench", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	lat, lon := -7.9, 112.6
	for i := range n {
		// Over the 35 days that a journal keeps.
		at := source.Now()
		age := time.Duration(n-i) * 35 * 24 * time.Hour / time.Duration(n)
		at.Boottime -= age
		at.Wall -= int64(age)
		d := presence.Draft{Kind: presence.KindTag, At: at, Tag: &presence.Tag{
			Receiver: "yard", Tag: fmt.Sprintf("kenwood:100-%d", 1000+i%60), Lat: &lat, Lon: &lon, FixTime: time.Now().UnixMilli(),
		}}
		if err := j.Enqueue(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
