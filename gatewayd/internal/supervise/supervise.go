package supervise

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// Task is something that a gateway does all the time.
type Task struct {
	Name string
	// Run does it until the context ends. An error, a panic or an early return
	// starts it again, unless the error is Fatal.
	Run func(ctx context.Context) error
	// Pulse, if set, is beaten by Run: soon after its start, and then within the time
	// that each beat names. It is not expected to beat while the task does not run.
	Pulse *Pulse
	// Failed, if set, is called each time that Run ended although it should not have.
	// It must not block.
	Failed func(err error)
}

type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks an error that no restart of the task can mend.
func Fatal(err error) error { return fatal{err} }

// ErrStuck means that tasks did not end when they were told to. They are left running
// until the process ends.
var ErrStuck = errors.New("left behind what does not end")

// guarded turns a panic of one task into its error, so that a mistake in one
// decoder does not silence the door.
func guarded(ctx context.Context, t Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	Mark(ctx, t.Name, func(ctx context.Context) { err = t.Run(ctx) })
	if err != nil {
		return err
	}
	return errors.New("returned early")
}
