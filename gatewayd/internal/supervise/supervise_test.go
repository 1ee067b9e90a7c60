package supervise_test

import (
	"context"
	"errors"
	"log/slog"
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
		err := supervise.Run(ctx, slog.New(slog.DiscardHandler),
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
		err := supervise.Run(t.Context(), slog.New(slog.DiscardHandler),
			supervise.Task{Name: "journal", Run: func(context.Context) error { return supervise.Fatal(broken) }},
			supervise.Task{Name: "steady", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		)
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}
