package clock

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

// maxSyncError is the bound on adjtimex's maxerror under which the kernel's
// clock counts as disciplined: systemd's own rule for "NTP synchronized", which
// also covers chrony without rtcsync. The kernel lets maxerror grow by 500 ppm
// from the last discipline on, so this holds for about 8.9 h without any.
const maxSyncError = 16 * time.Second

// Source is where a clock's readings come from.
type Source interface {
	// Now reads all clocks at the same instant.
	Now() presence.Reading
}

// machine reads the kernel's clocks.
type machine struct {
	boot  presence.ID
	state func() (presence.ClockState, time.Duration)
}

// NewKernel is the source of a real gateway: the wall clock is worth what the
// kernel says of it (adjtimex).
func NewKernel() (Source, error) {
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	return machine{boot: boot, state: adjtimex}, nil
}

// NewTrusted is the source of a machine whose wall clock is right by decree.
func NewTrusted() (Source, error) {
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	return machine{boot: boot, state: func() (presence.ClockState, time.Duration) {
		return presence.ClockTrusted, 0
	}}, nil
}

// BootID is the kernel's name for this boot (random(4), boot_id).
func BootID() (presence.ID, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return presence.ID{}, fmt.Errorf("read boot id: %w", err)
	}
	id, err := presence.ParseID(strings.TrimSpace(string(b)))
	if err != nil {
		return presence.ID{}, fmt.Errorf("read boot id: %w", err)
	}
	return id, nil
}

// Now implements Source.
func (m machine) Now() presence.Reading {
	boottime, wall := readPair()
	state, maxError := m.state()
	return presence.Reading{
		Boot: m.boot, Boottime: boottime, Wall: wall.UnixNano(),
		State: state, MaxError: maxError,
	}
}

// readPair reads CLOCK_BOOTTIME and CLOCK_REALTIME so close together that they
// can stand for one instant: a reading that was interrupted in between is taken
// again.
func readPair() (boottime time.Duration, wall time.Time) {
	const closeEnough = 50 * time.Microsecond
	for range 4 {
		before := bootNow()
		wall = time.Now()
		after := bootNow()
		boottime = before + (after-before)/2
		if after-before <= closeEnough {
			break
		}
	}
	return boottime, wall
}

func bootNow() time.Duration {
	var ts unix.Timespec
	// CLOCK_BOOTTIME exists on every Linux since 2.6.39, so this cannot fail.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

func adjtimex() (presence.ClockState, time.Duration) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return presence.ClockUnsynced, 0
	}
	return judge(&t)
}

// minSyncError is the least error claimed of a disciplined clock:
// systemd-timesyncd reports 0 after each poll, as if lines were symmetric.
const minSyncError = 10 * time.Millisecond

// judge reads the kernel's state: maxerror is in microseconds, and counts from
// where the clock will be once it has slewed by offset, which is in nanoseconds
// with STA_NANO (adjtimex(2)).
func judge(t *unix.Timex) (presence.ClockState, time.Duration) {
	maxError := time.Duration(t.Maxerror) * time.Microsecond
	if maxError >= maxSyncError {
		return presence.ClockUnsynced, 0
	}
	offset := time.Duration(t.Offset) * time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		offset = time.Duration(t.Offset)
	}
	return presence.ClockSynced, max(maxError, minSyncError) + offset.Abs()
}

// Sim is a source that a person drives: it starts unsynced and shows the
// machine's time plus an offset.
type Sim struct {
	machine Source

	mu     sync.Mutex
	synced bool
	offset time.Duration
}

// NewSim makes an unsynced clock with offset 0.
func NewSim() (*Sim, error) {
	m, err := NewTrusted()
	if err != nil {
		return nil, err
	}
	return &Sim{machine: m}, nil
}

// Set makes the clock synced or not, and shifts its wall clock.
func (s *Sim) Set(synced bool, offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced, s.offset = synced, offset
}

// Now implements Source.
func (s *Sim) Now() presence.Reading {
	r := s.machine.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Wall += int64(s.offset)
	r.State = presence.ClockUnsynced
	if s.synced {
		// What a Pi shows that has just been disciplined over a good line.
		r.State, r.MaxError = presence.ClockSynced, time.Millisecond
	}
	return r
}
