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
	"presence/scripts/brokertest"
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
//
// Not beside other tests: what they write would count too.
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
// gateway is stopped. While the clock contradicts itself, nothing claims to be
// right, and afterwards all is.
func TestUnsyncedTapsGetTheirTime(t *testing.T) {
	t.Parallel()
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

	// The clock goes back by an hour in the middle of the morning, and comes back.
	g.must("sim", "clock", "--synced=true", "--offset=2h")
	fourth := g.timedTap("5A000004")
	g.await("the clock to know of the step", func() bool {
		all := g.exported()
		return all[first.id()].Quality == "bounded" && all[third.id()].Quality == "bounded" && all[fourth.id()].Quality == "bounded"
	})
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	g.await("the clock to know which is right", func() bool {
		all := g.exported()
		return known() && third.right(t, all[third.id()], "synced", ahead) && fourth.right(t, all[fourth.id()], "corrected", ahead)
	})
	g.kill()
	if !known() {
		t.Error("the stopped gateway's journal does not know any more")
	}
	g.start() // unsynced again
	fifth := g.timedTap("5A000005")
	if all := g.exported(); !known() || !fifth.right(t, all[fifth.id()], "corrected", ahead) {
		t.Errorf("what was known is gone after kill -9: %+v", all[fifth.id()])
	}
}

// TestALyingClockIsTakenBack: NTP says another time for a while. What was sent as
// synced is sent again, over both readings, and again when a third agrees with one.
func TestALyingClockIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]string{"years ahead": "87600h", "a month back": "-720h"} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, "allow_anonymous true")
			seen := b.Subscribe("presence/v1/#")
			v := validator(t)
			g := simClock(t, b.URL())
			g.start()
			g.must("sim", "clock", "--synced=true")
			g.await("the time", func() bool { return g.health().Clock.State == "synced" })
			by, err := time.ParseDuration(lie)
			if err != nil {
				t.Fatal(err)
			}
			covers := func(x timed, e event) bool {
				if e.Quality != "bounded" || e.Min == nil || e.Max == nil {
					return false
				}
				lo, errLo := time.Parse(time.RFC3339, *e.Min)
				hi, errHi := time.Parse(time.RFC3339, *e.Max)
				one, other := x.from, x.from.Add(by)
				if other.Before(one) {
					one, other = other, one
				}
				return errLo == nil && errHi == nil && !lo.After(one.Add(time.Second)) && !hi.Before(other)
			}
			latest := func(m []brokertest.Message, x timed) (last event) {
				for _, e := range revisions(t, v, m)[x.id()] {
					if last.ID == "" || e.Rev > last.Rev {
						last = e
					}
				}
				return last
			}
			first := g.timedTap("5A000001")
			seen.Await("a tap", func(m []brokertest.Message) bool { return first.right(t, latest(m, first), "synced", 0) })
			g.must("sim", "clock", "--synced=true", "--offset="+lie)
			second := g.timedTap("5A000002")
			seen.Await("both over both readings", func(m []brokertest.Message) bool {
				return covers(first, latest(m, first)) && covers(second, latest(m, second))
			})
			g.await("the alert", func() bool { return strings.Contains(g.must("status"), "clock-jumped") })
			g.kill()
			g.start()
			third := g.timedTap("5A000003") // nobody knows more of it
			seen.Await("a tap after a restart", func(m []brokertest.Message) bool { return latest(m, third).Quality == "bounded" })
			g.must("sim", "clock", "--synced=true")
			got := seen.Await("all three as they were", func(m []brokertest.Message) bool {
				return first.right(t, latest(m, first), "synced", 0) &&
					second.right(t, latest(m, second), "corrected", 0) && third.right(t, latest(m, third), "corrected", 0)
			})
			for _, x := range []timed{first, second, third} {
				for rev, e := range revisions(t, v, got)[x.id()] {
					if e.Quality == "synced" && !x.right(t, e, "synced", 0) {
						t.Errorf("%s was sent as synced at %s, rev %d", x.id(), *e.Time, rev)
					}
				}
			}
		})
	}
}
