package main

import (
	"context"
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
