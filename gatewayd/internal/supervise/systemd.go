package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// unwatched is the interval of checks where systemd has no watchdog for the process: a
// loop that hangs is then only logged.
const unwatched = time.Minute

// Systemd tells the service manager the state of the process (sd_notify(3)), and feeds
// its watchdog as long as every loop's pulse beats. Without a service manager it checks
// the pulses all the same, and logs what hangs. A nil Systemd does nothing.
type Systemd struct {
	log      *slog.Logger
	interval time.Duration // of the watchdog
	began    time.Time     // what pulses count from

	mu     sync.Mutex
	pulses []*Pulse
	lost   map[string]bool // tasks that are hopeless
}

// NewSystemd reads what the service manager passed to the process
// (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID).
func NewSystemd(log *slog.Logger) (*Systemd, error) {
	interval, err := watchdogInterval()
	if err != nil {
		return nil, fmt.Errorf("read watchdog interval: %w", err)
	}
	if interval == 0 {
		interval = unwatched
	}
	return &Systemd{log: log, interval: interval, began: time.Now(), lost: make(map[string]bool)}, nil
}

// watchdogInterval is within what time the service manager wants to hear from
// this process, 0 where it does not (sd_watchdog_enabled(3)). The library's own
// function counts microseconds in an int, which on a 32-bit Pi ends at 35
// minutes.
func watchdogInterval() (time.Duration, error) {
	text := os.Getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil // another process is meant
	}
	usec, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("WATCHDOG_USEC: %w", err)
	}
	if usec == 0 {
		return 0, errors.New("WATCHDOG_USEC: want more than 0")
	}
	return time.Duration(min(usec, math.MaxInt64/1000)) * time.Microsecond, nil
}

// Ready says that the start, or the taking up of a new configuration, is done.
func (s *Systemd) Ready() { s.notify(daemon.SdNotifyReady) }

// Reloading says that a new configuration is being taken up; Ready ends it.
func (s *Systemd) Reloading() {
	var now unix.Timespec
	// CLOCK_MONOTONIC is always there, so this cannot fail.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	s.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Extend says that a start or a stop goes on, and has the manager wait for its
// end for at least this long from now (EXTEND_TIMEOUT_USEC). The caller repeats it
// before that is over.
func (s *Systemd) Extend(by time.Duration) {
	s.notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()))
}

// Stopping says that the process is about to leave.
func (s *Systemd) Stopping() { s.notify(daemon.SdNotifyStopping) }

func (s *Systemd) notify(state string) {
	if s == nil {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("cannot notify the service manager", "error", err)
	}
}

// Pulse is the sign of life of one loop. A nil Pulse may be beaten.
type Pulse struct {
	name    string
	began   time.Time
	due     atomic.Int64 // nanoseconds after began by which the next beat must come
	turns   firstTurn
	hanging bool // as last logged; only Watch uses it
}

// Beat tells that the loop works and that its next beat comes within a time: 0 before
// work, which may then take half the watchdog's interval, the length of a pause before
// a pause, less than 0 before waiting for something that may never happen.
func (p *Pulse) Beat(next time.Duration) {
	if p == nil {
		return
	}
	if next != 0 {
		p.turns.done()
	}
	now := int64(time.Since(p.began))
	if next < 0 || int64(next) > math.MaxInt64-now {
		p.due.Store(math.MaxInt64)
		return
	}
	p.due.Store(now + int64(next))
}

// start begins a run of the loop, which has passed no turn yet.
func (p *Pulse) start() {
	if p == nil {
		return
	}
	p.turns.reset()
	p.Beat(0)
}

// turned waits until the loop has passed a turn since start: it has come to where it
// pauses or waits. Without a pulse it does not wait. It returns false where the context
// ended first.
func (p *Pulse) turned(ctx context.Context) bool {
	if p == nil {
		return ctx.Err() == nil
	}
	select {
	case <-p.turns.passed():
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// firstTurn knows whether a loop has passed a turn since it was started.
type firstTurn struct {
	mu     sync.Mutex
	first  chan struct{} // closed when it has; nil: not waited for yet
	closed bool
}

func (t *firstTurn) passed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.channel()
}

func (t *firstTurn) channel() chan struct{} {
	if t.first == nil {
		t.first = make(chan struct{})
	}
	return t.first
}

func (t *firstTurn) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first, t.closed = nil, false
}

func (t *firstTurn) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		close(t.channel())
		t.closed = true
	}
}

// Pulse makes the pulse of a loop, or finds the one that it had before the
// configuration changed. Nothing is expected of it before its first beat.
func (s *Systemd) Pulse(name string) *Pulse {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pulses {
		if p.name == name {
			return p
		}
	}
	p := &Pulse{name: name, began: s.began}
	p.Beat(-1)
	s.pulses = append(s.pulses, p)
	return p
}

// giveUp ends the feeding of the watchdog: starting the task again did not help, and a
// new process is all that is left to try.
func (s *Systemd) giveUp(task string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lost[task] {
		s.log.Error("task fails again and again, the watchdog is not fed any more", "task", task)
	}
	s.lost[task] = true
}

// forgive undoes giveUp, once the task has ended for good.
func (s *Systemd) forgive(task string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lost, task)
}

// Watch feeds the watchdog until the context ends. A beat that is overdue by
// half the watchdog's interval ends the feeding until it comes, and so does a
// task that fails again and again.
func (s *Systemd) Watch(ctx context.Context) {
	tick := time.NewTicker(s.interval / 4)
	defer tick.Stop()
	for {
		if s.lives() {
			s.notify(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lives reports whether no pulse is overdue and no task hopeless, and logs each change:
// of a task that hangs, once, where it stands.
func (s *Systemd) lives() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := int64(time.Since(s.began))
	all := len(s.lost) == 0
	for _, p := range s.pulses {
		late := time.Duration(now - p.due.Load())
		hangs := late > s.interval/2
		switch {
		case hangs && !p.hanging:
			s.log.Error("task hangs, the watchdog is not fed any more", "task", p.name, "overdue", late.Round(time.Millisecond), "stack", stack(p.name))
		case !hangs && p.hanging:
			s.log.Info("task goes on", "task", p.name)
		}
		p.hanging = hangs
		all = all && !hangs
	}
	return all
}
