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
	// stableAfter is how long a task must have run for the pauses between its starts
	// to begin at the shortest again.
	stableAfter = time.Minute

	// passedAfter is how long a task must have run, at least, to have passed its first
	// turn: a task that only waits to be called shows in no other way that it works.
	// It works meanwhile; only READY waits for this.
	passedAfter = 400 * time.Millisecond

	// failureWindow is for how long a failure of a task counts.
	failureWindow = 10 * time.Minute

	// failingAfter is how many failures within that time make an alert, and
	// hopelessAfter how many leave only a new process to try. With the pauses between
	// the starts, the one takes a few seconds and the other a minute or more.
	failingAfter  = 3
	hopelessAfter = 10
)

// Crew keeps tasks running and knows the state of each of them. Its methods may be
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

// NewCrew makes a crew without tasks. Once a task is hopeless, systemd's watchdog is
// fed no more; systemd may be nil.
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

// leave forgets the failures of a task that has ended for good: its end was wanted, or
// its error ends all tasks.
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
		if time.Since(started) > stableAfter {
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

// turn runs a task once, and notes when it has passed its first turn.
func (c *Crew) turn(ctx context.Context, t Task, m *member) error {
	t.Pulse.start()
	defer t.Pulse.Beat(-1)
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		if backoff.Sleep(watching, passedAfter) && t.Pulse.turned(watching) {
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
	if extra := len(m.failures) - hopelessAfter; extra > 0 {
		m.failures = m.failures[extra:]
	}
	if len(m.failures) == hopelessAfter {
		c.systemd.giveUp(m.name)
	}
}

// recent are the failures within failureWindow.
func (m *member) recent() []time.Time {
	return slices.DeleteFunc(m.failures, func(at time.Time) bool { return time.Since(at) > failureWindow })
}

// Await waits until each of these tasks has passed its first turn and is running. It
// returns false where the context ended first.
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

// Failing is a task that failed several times lately.
type Failing struct {
	Name  string
	Times int   // within the last 10 minutes
	Err   error // of the last time
}

// Failing are the tasks that failed several times within the last 10 minutes. One that
// works again is among them until those failures are older.
func (c *Crew) Failing() []Failing {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Failing
	for _, m := range c.members {
		if m.failures = m.recent(); len(m.failures) >= failingAfter {
			all = append(all, Failing{Name: m.name, Times: len(m.failures), Err: m.err})
		}
	}
	return all
}
