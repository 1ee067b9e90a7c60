package supervise_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/supervise/supervisetest"
)

func watched(t *testing.T, interval time.Duration) (*supervise.Systemd, *supervisetest.Manager) {
	t.Helper()
	m := supervisetest.Listen(t, interval)
	for k, v := range m.Env() {
		t.Setenv(k, v)
	}
	s, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { s.Watch(ctx) })
	t.Cleanup(func() { cancel(); watch.Wait() })
	return s, m
}

func TestManagerIsToldStates(t *testing.T) {
	s, m := watched(t, time.Hour)
	m.Await("WATCHDOG=1")
	s.Ready()
	m.Await("READY=1")
	s.Reloading()
	m.Await("RELOADING=1\nMONOTONIC_USEC=")
	s.Stopping()
	m.Await("STOPPING=1")
}

func TestOverdueBeatStopsTheFeedingWithinTheInterval(t *testing.T) {
	const interval = 400 * time.Millisecond
	s, m := watched(t, interval)
	if fed := m.Feeds(2 * interval); fed < 2*interval {
		t.Fatalf("nobody hangs, but the watchdog was fed for %v only", fed)
	}
	hanging := s.Pulse("hanging")
	hanging.Beat(0)
	if fed := m.Feeds(10 * interval); fed > interval {
		t.Errorf("fed for %v although a task hangs", fed)
	}
	hanging.Beat(-1)
	if fed := m.Feeds(2 * interval); fed < 2*interval {
		t.Errorf("the task goes on, but the watchdog was fed for %v only", fed)
	}
}

func TestWaitingOnPurposeIsNoHanging(t *testing.T) {
	const interval = 200 * time.Millisecond
	s, m := watched(t, interval)
	s.Pulse("new")
	s.Pulse("waits for a tag").Beat(-1)
	s.Pulse("pauses").Beat(time.Hour)
	s.Pulse("pauses for ever").Beat(1<<63 - 1)
	if fed := m.Feeds(5 * interval); fed < 5*interval {
		t.Errorf("fed for %v only", fed)
	}
}

func TestTaskThatFailedIsNotExpectedToBeat(t *testing.T) {
	const interval = 200 * time.Millisecond
	s, m := watched(t, interval)
	pulse := s.Pulse("failing")
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		_ = run(ctx, supervise.Task{
			Name: "failing", Pulse: pulse,
			Run: func(context.Context) error { pulse.Beat(0); return errors.New("no") },
		})
	})
	defer tasks.Wait()
	defer cancel()
	// It is started again every 0.25 to 2 s meanwhile.
	if fed := m.Feeds(10 * interval); fed < 10*interval {
		t.Errorf("fed for %v only", fed)
	}
}

func TestTaskThatHangsBeforeItsFirstBeat(t *testing.T) {
	const interval = 400 * time.Millisecond
	s, m := watched(t, interval)
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		_ = run(ctx, supervise.Task{
			Name: "hanging", Pulse: s.Pulse("hanging"),
			Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		})
	})
	defer tasks.Wait()
	defer cancel()
	if fed := m.Feeds(10 * interval); fed > 2*interval {
		t.Errorf("fed for %v", fed)
	}
}

func TestNobodyWatches(t *testing.T) {
	var s *supervise.Systemd
	s.Ready()
	s.Stopping()
	s.Pulse("any").Beat(0)
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := supervise.NewSystemd(slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a wrong interval was taken")
	}
}

func TestTaskThatDoesNotEndIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		freed := make(chan struct{})
		err := run(ctx,
			supervise.Task{Name: "steady", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			supervise.Task{Name: "reader door", Run: func(context.Context) error { <-freed; return nil }},
		)
		if !errors.Is(err, supervise.ErrStuck) || !strings.Contains(err.Error(), "reader door") || strings.Contains(err.Error(), "steady") {
			t.Errorf("got %v", err)
		}
		close(freed)
	})
}

// A task that cannot be mended by starting it again leaves a new process to be
// tried.
func TestHopelessTaskStopsTheFeeding(t *testing.T) {
	m := supervisetest.Listen(t, time.Minute)
	for k, v := range m.Env() {
		t.Setenv(k, v)
	}
	s, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	feeds := s.Lives
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		crew := supervise.NewCrew(slog.New(slog.DiscardHandler), s)
		ended := make(chan error)
		go func() {
			ended <- crew.Run(ctx, seconds,
				supervise.Task{Name: "steady", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
				supervise.Task{Name: "reader door", Run: func(context.Context) error { panic("oh") }})
		}()
		time.Sleep(30 * time.Second)
		if !feeds() {
			t.Error("after half a minute it is given up already")
		}
		time.Sleep(3 * time.Minute)
		if feeds() {
			t.Error("after minutes of panics the watchdog is fed")
		}
		cancel()
		<-ended
		if !feeds() {
			t.Error("the tasks of a new configuration start with the failures of the old ones")
		}
	})
}

// The interval is counted in microseconds: 35 minutes and more do not fit in 32
// bits.
func TestLongWatchdogIntervals(t *testing.T) {
	for _, tc := range []struct {
		usec, pid string
		ok        bool
	}{
		{"30000000", "", true},
		{"2147483647", "", true},
		{"2160000000", "", true}, // 36 min
		{"86400000000", "", true},
		{"18446744073709551615", "", true}, // systemd's infinity
		{"2160000000", "1", true},          // another process is meant
		{"0", "", false},
		{"-1", "", false},
		{"soon", "", false},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		if _, err := supervise.NewSystemd(slog.New(slog.DiscardHandler)); (err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
