package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/backoff"
)

// Task is one thing that a gateway does all the time.
type Task struct {
	Name string
	// Run does it until the context ends. An error, a panic or an early return
	// starts it again, unless the error is Fatal.
	Run func(ctx context.Context) error
}

type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks an error that no restart of the task can mend.
func Fatal(err error) error { return fatal{err} }

// Run runs all tasks until the context ends, which is no error, or one of them
// fails fatally, which ends the others and is returned.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error { return keep(ctx, log, t) })
	}
	return g.Wait()
}

// held is how long a task must have run for its next failure to count as a new
// one.
const held = time.Minute

func keep(ctx context.Context, log *slog.Logger, t Task) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 30 * time.Second}
	for {
		started := time.Now()
		err := guarded(ctx, t)
		if ctx.Err() != nil {
			return nil
		}
		if f := (fatal{}); errors.As(err, &f) {
			return fmt.Errorf("run %s: %w", t.Name, err)
		}
		if time.Since(started) > held {
			wait.Reset()
		}
		pause := wait.Next()
		log.Error("task ended, starting it again", "task", t.Name, "error", err, "wait", pause.Round(time.Millisecond))
		if !backoff.Sleep(ctx, pause) {
			return nil
		}
	}
}

// guarded turns a panic of one task into its error, so that a mistake in one
// decoder does not silence the door.
func guarded(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := t.Run(ctx); err != nil {
		return err
	}
	return errors.New("returned early")
}
