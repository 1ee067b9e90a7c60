package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
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
	// Pulse, if set, is what Run beats: soon after its start, and then as it says.
	// Nothing is expected of it while the task does not run.
	Pulse *Pulse
}

type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks an error that no restart of the task can mend.
func Fatal(err error) error { return fatal{err} }

// ErrStuck means that tasks did not end when they were told to. They are left
// behind, and go with the process.
var ErrStuck = errors.New("left behind what does not end")

// patience is how long tasks have for their end.
const patience = 3 * time.Second

// roll is who is still at work.
type roll struct {
	mu    sync.Mutex
	names []string
}

func (r *roll) enter(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
}

func (r *roll) leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.names, name)
	r.names = slices.Delete(r.names, i, i+1)
}

func (r *roll) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.names, ", ")
}

// Run runs all tasks until the context ends, which is no error, or one of them
// fails fatally, which ends the others and is returned. It waits a few seconds
// for them.
func Run(ctx context.Context, log *slog.Logger, tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	var left roll
	for _, t := range tasks {
		left.enter(t.Name)
		g.Go(func() error {
			defer left.leave(t.Name)
			return keep(ctx, log, t)
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	}
	err := fmt.Errorf("%w: %s", ErrStuck, left.String())
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// held is how long a task must have run for its next failure to count as a new
// one.
const held = time.Minute

func keep(ctx context.Context, log *slog.Logger, t Task) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 30 * time.Second}
	for {
		started := time.Now()
		t.Pulse.Beat(0)
		err := guarded(ctx, t)
		t.Pulse.Beat(-1)
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
