package clock

import (
	"context"
	"errors"
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
	// Steps calls stepped each time that somebody sets the wall clock, until
	// the context ends or it cannot tell.
	Steps(ctx context.Context, stepped func()) error
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
	boottime, wall := readClocks()
	state, maxError := m.state()
	return presence.Reading{
		Boot: m.boot, Boottime: boottime, Wall: wall.UnixNano(),
		State: state, MaxError: maxError,
	}
}

// readClocks reads the boot clock and CLOCK_REALTIME so close together that
// they can stand for one instant: a reading that was interrupted in between is
// taken again.
//
// The boot clock is CLOCK_BOOTTIME as the crystal alone would have it:
// CLOCK_MONOTONIC_RAW and the time spent suspended. An NTP client that takes
// back an offset slews CLOCK_BOOTTIME as well, by up to 8 %, so that no bound
// of a crystal's drift would hold for it.
func readClocks() (boottime time.Duration, wall time.Time) {
	const closeEnough = 50 * time.Microsecond
	for range 4 {
		before := read(unix.CLOCK_MONOTONIC_RAW)
		wall = time.Now()
		after := read(unix.CLOCK_MONOTONIC_RAW)
		asleep := read(unix.CLOCK_BOOTTIME) - read(unix.CLOCK_MONOTONIC)
		boottime = before + (after-before)/2 + max(0, asleep).Truncate(time.Millisecond)
		if after-before <= closeEnough {
			break
		}
	}
	return boottime, wall
}

func read(clock int32) time.Duration {
	var ts unix.Timespec
	// Every Linux since 2.6.39 has these clocks, so this cannot fail.
	_ = unix.ClockGettime(clock, &ts)
	return time.Duration(ts.Nano())
}

// Steps implements Source by a timer that the kernel cancels when the wall clock
// is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
func (m machine) Steps(ctx context.Context, stepped func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watch the clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	closeTimer := sync.OnceValue(timer.Close)
	defer context.AfterFunc(ctx, func() { _ = closeTimer() })() // a read that waits ends
	defer func() { _ = closeTimer() }()
	expiries := make([]byte, 8)
	for {
		// It goes off once a day, which means nothing.
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(time.Now().Add(24 * time.Hour).UnixNano())}
		err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &at, nil)
		if err == nil {
			_, err = timer.Read(expiries)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ECANCELED):
			stepped()
		case err != nil:
			return fmt.Errorf("watch the clock: %w", err)
		}
	}
}

func adjtimex() (presence.ClockState, time.Duration) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return presence.ClockUnsynced, 0
	}
	return kernelState(&t)
}

// lineError is what a disciplined clock may be off beyond what the kernel says:
// systemd-timesyncd reports an error of 0 after each poll, as if both directions
// of a line took equally long. A difference of 100 ms is covered; what a client
// like chrony reports of the line itself comes on top.
const lineError = 50 * time.Millisecond

// kernelState reads the state of the kernel's clock: maxerror is in microseconds, and counts from
// where the clock will be once it has slewed by offset, which is in nanoseconds
// with STA_NANO (adjtimex(2)).
//
// The kernel's growth of maxerror, 500 ppm, covers a crystal that nobody
// corrects. A correction may be wrong by as much, which happens when NTP has
// just begun to slew, and the crystal's own drift comes on top: half as much
// again.
func kernelState(t *unix.Timex) (presence.ClockState, time.Duration) {
	maxError := time.Duration(t.Maxerror) * time.Microsecond
	if maxError >= maxSyncError {
		return presence.ClockUnsynced, 0
	}
	offset := time.Duration(t.Offset) * time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		offset = time.Duration(t.Offset)
	}
	return presence.ClockSynced, lineError + maxError + maxError/2 + offset.Abs()
}
