package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/backoff"
)

const (
	// held is how long a task must have run for its next failure to count as a
	// new one when its next start is timed.
	held = time.Minute

	// steady is how long a task must stand before it has passed its first turn.
	// One that only waits to be asked shows in no other way that it works. The
	// door is open meanwhile: only who waits for READY waits for this.
	steady = 400 * time.Millisecond

	// window is how long a failure of a task counts against it.
	window = 10 * time.Minute

	// again is how many failures within the window are no accident any more, and
	// hopeless how many leave only a new process to be tried. With the pauses
	// between the starts that is a few seconds, and a minute or more.
	again    = 3
	hopeless = 10
)

// Crew keeps tasks running and knows how each of them fares. Its methods may be
// called from any goroutine.
type Crew struct {
	log     *slog.Logger
	systemd *Systemd

	mu      sync.Mutex
	members []*member
	changed chan struct{} // closed and replaced when a task passes its first turn
}

// member is what is known of one task. The crew's mutex guards it.
type member struct {
	name     string
	running  bool // keep has not given it up yet
	passed   bool // its first turn, since it was last started
	failures []time.Time
	err      error // of the last failure
}

// NewCrew makes a crew without tasks. The service manager, which may be nil, is
// not told any more that the process lives once a task is hopeless.
func NewCrew(log *slog.Logger, systemd *Systemd) *Crew {
	return &Crew{log: log, systemd: systemd, changed: make(chan struct{})}
}

// Run runs all tasks until the context ends, which is no error, or one of them
// fails fatally, which ends the others and is returned. Then it asks how long it
// may wait for them: ErrStuck names those that are left behind. No two tasks of a
// crew may have the same name.
func (c *Crew) Run(ctx context.Context, patience func() time.Duration, tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	var members []*member
	for _, t := range tasks {
		m := c.enlist(t.Name)
		members = append(members, m)
		g.Go(func() error {
			defer c.leave(m)
			return c.keep(ctx, t, m)
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience())
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	}
	err := fmt.Errorf("%w: %s", ErrStuck, strings.Join(c.atWork(members), ", "))
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

func (c *Crew) enlist(name string) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &member{name: name, running: true}
	c.members = append(c.members, m)
	return m
}

// leave ends what a task's failures had led to: its end was wanted, or ends all.
func (c *Crew) leave(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.running = false
	m.failures, m.err = nil, nil
	c.systemd.forgive(m.name)
}

// atWork are the names of those that have not ended.
func (c *Crew) atWork(members []*member) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, m := range members {
		if m.running {
			names = append(names, m.name)
		}
	}
	return names
}

// keep starts a task again and again until the context ends.
func (c *Crew) keep(ctx context.Context, t Task, m *member) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 30 * time.Second}
	for {
		started := time.Now()
		err := c.turn(ctx, t, m)
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
		c.log.Error("task ended, starting it again", "task", t.Name, "error", err, "wait", pause.Round(time.Millisecond))
		c.failed(m, err)
		if t.Failed != nil {
			t.Failed(err)
		}
		if !backoff.Sleep(ctx, pause) {
			return nil
		}
	}
}

// turn runs a task once. Meanwhile it notices when the first turn is passed.
func (c *Crew) turn(ctx context.Context, t Task, m *member) error {
	t.Pulse.start()
	defer t.Pulse.Beat(-1)
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		if backoff.Sleep(watching, steady) && t.Pulse.turned(watching) {
			c.pass(m)
		}
	})
	defer watch.Wait()
	defer stop()
	return guarded(ctx, t)
}

func (c *Crew) pass(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.passed = true
	close(c.changed)
	c.changed = make(chan struct{})
}

// failed counts a failure.
func (c *Crew) failed(m *member, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.passed, m.err = false, err
	m.failures = append(m.recent(), time.Now())
	if extra := len(m.failures) - hopeless; extra > 0 {
		m.failures = m.failures[extra:]
	}
	if len(m.failures) == hopeless {
		c.systemd.giveUp(m.name)
	}
}

// recent are the failures that still count.
func (m *member) recent() []time.Time {
	return slices.DeleteFunc(m.failures, func(at time.Time) bool { return time.Since(at) > window })
}

// Await waits until each of these tasks has passed its first turn and stands. It
// reports false where the context ended first.
func (c *Crew) Await(ctx context.Context, tasks ...Task) bool {
	for {
		c.mu.Lock()
		changed := c.changed
		all := !slices.ContainsFunc(tasks, func(t Task) bool {
			return !slices.ContainsFunc(c.members, func(m *member) bool { return m.name == t.Name && m.passed })
		})
		c.mu.Unlock()
		if all {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Failing is a task that was started again and again lately.
type Failing struct {
	Name  string
	Times int   // within the last minutes
	Err   error // of the last time
}

// Failing are the tasks that do not work: they failed several times within the
// last minutes. One that stands again is among them until those failures are
// some minutes old.
func (c *Crew) Failing() []Failing {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Failing
	for _, m := range c.members {
		if m.failures = m.recent(); len(m.failures) >= again {
			all = append(all, Failing{Name: m.name, Times: len(m.failures), Err: m.err})
		}
	}
	return all
}
