package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// bubbleClock is a clock on the time of a synctest bubble.
type bubbleClock struct {
	start time.Time
	state presence.ClockState
}

func (b bubbleClock) Now() presence.Reading {
	now := time.Now()
	r := presence.Reading{Boot: presence.ID{1}, Boottime: now.Sub(b.start), Wall: now.UnixNano(), State: b.state}
	if r.State == presence.ClockSynced {
		r.MaxError = 50 * time.Millisecond
	}
	return r
}

func (b bubbleClock) Steps(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// handedToWrite is how many bytes this process has handed to write calls
// (proc(5), wchar): what the journal writes, whatever disk is under it.
func handedToWrite(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("proc does not tell what was written")
	return 0
}

// Keeping the time costs under 3 MB of writing a day, in sync or never in sync,
// also after months of power cuts.
func TestIdleWritingOfTheClock(t *testing.T) {
	const most = 3_000_000
	for _, state := range []presence.ClockState{presence.ClockSynced, presence.ClockUnsynced} {
		for _, boots := range []int{0, 40} {
			synctest.Test(t, func(t *testing.T) {
				source := bubbleClock{time.Now(), state}
				j, err := journal.Open(journal.Options{
					Path: filepath.Join(t.TempDir(), "journal.db"),
					Keep: 35 * 24 * time.Hour, MaxBytes: 256 << 20, CommitInterval: time.Second,
					Now: source.Now, Version: "test", Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				c := clock.New(source)
				if err := c.Attach(j); err != nil {
					t.Fatal(err)
				}
				for k := range boots {
					for i := range 20 {
						at := presence.Reading{Boot: presence.ID{2, byte(k)}, Boottime: time.Duration(i) * time.Hour}
						c.AddAnchor(clock.SourceSystem, at, time.Now().Add(time.Duration(k*24+i-10_000)*time.Hour), 20123456)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- c.Run(ctx) }()
				for day := 1; day <= 2; day++ {
					before, commits := handedToWrite(t), j.Stats().Commits
					time.Sleep(24 * time.Hour)
					synctest.Wait()
					written := handedToWrite(t) - before
					t.Logf("state %d, %d boots known, day %d: %d commits, %d bytes", state, boots, day, j.Stats().Commits-commits, written)
					if written > most {
						t.Errorf("%d bytes in a day", written)
					}
				}
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := j.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// simClock makes a gateway's clock one that nobody has set yet.
func simClock(t testing.TB, broker string) *gateway {
	t.Helper()
	g := newGateway(t, broker, "")
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	g.configure(strings.Replace(string(text), `source = "trust"`, `source = "sim"`, 1))
	return g
}

// timed is a tap and when it must have been.
type timed struct {
	answer
	from, to time.Time
}

func (g *gateway) timedTap(uid string) timed {
	g.t.Helper()
	from := time.Now()
	a := g.tap("--uid", uid)[0]
	if a.Outcome != "accepted" {
		g.t.Fatalf("%+v", a)
	}
	return timed{a, from, time.Now()}
}

// right tells whether an event has the time of a tap, on a clock that is ahead
// by so much, to 50 ms.
func (x timed) right(t testing.TB, e event, quality string, ahead time.Duration) bool {
	t.Helper()
	if e.ID != x.id() || e.Quality != quality || e.Time == nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, *e.Time)
	if err != nil {
		t.Fatal(err)
	}
	const near = 50 * time.Millisecond
	at = at.Add(-ahead)
	return !at.Before(x.from.Add(-near)) && !at.After(x.to.Add(near)) && e.ErrorMS != nil && *e.ErrorMS <= 50
}

// exported are the events that `gatewayd export` prints, by id.
func (g *gateway) exported() map[string]event {
	g.t.Helper()
	all := make(map[string]event)
	for line := range strings.Lines(g.must("export")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			g.t.Fatal(err)
		}
		all[e.ID] = e
	}
	return all
}

// What was tapped while nobody knew the time has its time as soon as somebody
// does: in the same process, after kill -9, and out of the file when the
// gateway is stopped. A step of the clock changes nothing about events before
// it.
func TestUnsyncedTapsGetTheirTime(t *testing.T) {
	g := simClock(t, "tcp://127.0.0.1:1")
	g.start()
	first := g.timedTap("5A000001")
	if e := g.exported()[first.id()]; e.Quality != "unsynced" || e.Time != nil {
		t.Errorf("before anybody knew the time: %+v", e)
	}
	g.kill()
	g.start()
	second := g.timedTap("5A000002")
	const ahead = 3 * time.Hour
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	known := func() bool {
		all := g.exported()
		return first.right(t, all[first.id()], "corrected", ahead) && second.right(t, all[second.id()], "corrected", ahead)
	}
	g.await("the taps to get their time", known)
	if h := g.health().Clock; h.State != "synced" || h.UnsyncedS != 0 {
		t.Errorf("%+v", h)
	}
	third := g.timedTap("5A000003")

	// Somebody sets the clock back by an hour in the middle of the morning.
	g.must("sim", "clock", "--synced=true", "--offset=2h")
	fourth := g.timedTap("5A000004")
	g.await("the clock to know of the step", func() bool {
		return fourth.right(t, g.exported()[fourth.id()], "synced", ahead-time.Hour)
	})
	if !known() || !third.right(t, g.exported()[third.id()], "synced", ahead) {
		t.Error("taps before the step moved with it")
	}
	g.kill()
	if !known() {
		t.Error("the stopped gateway's journal does not know any more")
	}
	g.start() // unsynced again
	fifth := g.timedTap("5A000005")
	if all := g.exported(); !known() || !fifth.right(t, all[fifth.id()], "corrected", ahead-time.Hour) {
		t.Errorf("what was known is gone after kill -9: %+v", all[fifth.id()])
	}
}
