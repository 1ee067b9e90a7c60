package supervise_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/supervise"
)

func TestFailedTasksComeBackAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var failing, panicking, early, steady int
		err := run(ctx,
			supervise.Task{Name: "failing", Run: func(context.Context) error { failing++; return errors.New("no") }},
			supervise.Task{Name: "panicking", Run: func(context.Context) error { panicking++; panic("oh") }},
			supervise.Task{Name: "early", Run: func(context.Context) error { early++; return nil }},
			supervise.Task{Name: "steady", Run: func(ctx context.Context) error { steady++; <-ctx.Done(); return ctx.Err() }},
		)
		if err != nil {
			t.Errorf("the context's end is no error: %v", err)
		}
		for name, n := range map[string]int{"failing": failing, "panicking": panicking, "early": early} {
			// Every 15 to 30 s once the backoff has grown.
			if n < 20 || n > 50 {
				t.Errorf("%s ran %d times in 10 minutes", name, n)
			}
		}
		if steady != 1 {
			t.Errorf("steady ran %d times", steady)
		}
	})
}

func TestFatalEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("failed sync")
		err := run(t.Context(),
			supervise.Task{Name: "journal", Run: func(context.Context) error { return supervise.Fatal(broken) }},
			supervise.Task{Name: "steady", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		)
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

// run runs tasks in a crew of their own.
func run(ctx context.Context, tasks ...supervise.Task) error {
	return supervise.NewCrew(slog.New(slog.DiscardHandler), nil).Run(ctx, seconds, tasks...)
}

// seconds is the patience of crews whose tasks end when they are told to.
func seconds() time.Duration { return 3 * time.Second }

// A crew whose tasks work is ready; one in which a task has not worked yet is
// not, whatever the others do.
func TestReadyIsWhoHasPassedTheFirstTurn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		run   func(ctx context.Context, p *supervise.Pulse) error
		ready bool
	}{
		{"works", func(ctx context.Context, p *supervise.Pulse) error {
			for ctx.Err() == nil {
				p.Beat(0)
				p.Beat(time.Second)
				time.Sleep(time.Second)
			}
			return ctx.Err()
		}, true},
		{"waits for what may never come", func(ctx context.Context, p *supervise.Pulse) error {
			p.Beat(-1)
			<-ctx.Done()
			return ctx.Err()
		}, true},
		{"finds its reader missing, and pauses", func(ctx context.Context, p *supervise.Pulse) error {
			p.Beat(0)
			p.Beat(time.Hour)
			<-ctx.Done()
			return ctx.Err()
		}, true},
		{"hangs", func(ctx context.Context, p *supervise.Pulse) error { p.Beat(0); <-ctx.Done(); return ctx.Err() }, false},
		{"panics at once", func(context.Context, *supervise.Pulse) error { panic("oh") }, false},
		{"panics in its first turn", func(_ context.Context, p *supervise.Pulse) error { p.Beat(0); panic("oh") }, false},
		{"panics right after it", func(_ context.Context, p *supervise.Pulse) error {
			p.Beat(time.Minute)
			time.Sleep(300 * time.Millisecond)
			panic("oh")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			systemd, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
				defer cancel()
				crew := supervise.NewCrew(slog.New(slog.DiscardHandler), nil)
				pulse := systemd.Pulse(tc.name)
				tasks := []supervise.Task{
					{Name: "asked seldom", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
					{Name: tc.name, Pulse: pulse, Run: func(ctx context.Context) error { return tc.run(ctx, pulse) }},
				}
				ended := make(chan error)
				go func() { ended <- crew.Run(ctx, seconds, tasks...) }()
				if ready := crew.Await(ctx, tasks...); ready != tc.ready {
					t.Errorf("ready: %v", ready)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTaskThatIsReadyLateMakesTheCrewReadyThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		crew := supervise.NewCrew(slog.New(slog.DiscardHandler), nil)
		var starts atomic.Int32
		task := supervise.Task{Name: "late", Run: func(ctx context.Context) error {
			if starts.Add(1) < 5 {
				return errors.New("not yet")
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		ended := make(chan error)
		go func() { ended <- crew.Run(ctx, seconds, task) }()
		if !crew.Await(ctx, task) || starts.Load() != 5 {
			t.Errorf("ready after %d starts", starts.Load())
		}
		cancel()
		<-ended
	})
}

// One failure is an accident; several within minutes are a fault until they are
// long past, and each is told to whom it concerns.
func TestTaskThatFailsAgainAndAgainIsNamedUntilItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		crew := supervise.NewCrew(slog.New(slog.DiscardHandler), nil)
		broken := errors.New("broken")
		fail, told := make(chan struct{}), atomic.Int32{}
		ended := make(chan error)
		go func() {
			ended <- crew.Run(ctx, seconds, supervise.Task{
				Name: "reader door", Failed: func(error) { told.Add(1) },
				Run: func(ctx context.Context) error {
					select {
					case <-fail:
						return broken
					case <-ctx.Done():
						return ctx.Err()
					}
				},
			})
		}()
		for i := range 3 {
			if got := crew.Failing(); len(got) > 0 {
				t.Errorf("after %d failures: %+v", i, got)
			}
			fail <- struct{}{}
			time.Sleep(5 * time.Second)
		}
		got := crew.Failing()
		if len(got) != 1 || got[0].Name != "reader door" || got[0].Times != 3 || !errors.Is(got[0].Err, broken) || told.Load() != 3 {
			t.Errorf("after 3 failures: %+v, told %d", got, told.Load())
		}
		time.Sleep(9 * time.Minute)
		if got := crew.Failing(); len(got) != 1 {
			t.Errorf("9 minutes later: %+v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := crew.Failing(); len(got) != 0 {
			t.Errorf("11 minutes later: %+v", got)
		}
		cancel()
		<-ended
	})
}
