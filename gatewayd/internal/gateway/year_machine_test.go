package gateway

import (
	"context"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// machineClock are the clocks of one boot of a machine without a clock chip.
type machineClock struct {
	w     *world
	boot  presence.ID
	born  time.Time // when the kernel started
	off   time.Time // when the power went; zero: it is on
	drift float64   // of the crystal

	mu     sync.Mutex
	ahead  time.Duration // CLOCK_REALTIME minus the truth
	synced bool
	polled time.Time // the last answer of NTP
	first  time.Time // the first
	lost   time.Time // when somebody typed date -s since, or zero
	set    chan struct{}
}

// powerOn boots the machine: it wakes in 1970 or at its last shutdown.
func (w *world) powerOn() {
	m := &machineClock{w: w, born: w.now(), drift: (w.rng.Float64()*2 - 1) * 60e-6, set: make(chan struct{}, 1)}
	for i := range m.boot {
		m.boot[i] = byte(w.rng.Uint32())
	}
	wakes := time.Unix(0, 0)
	if !w.wall.IsZero() && w.one(2) {
		wakes = w.wall
	}
	m.ahead = wakes.Sub(m.born)
	w.machine = m
	w.truth.boots[m.boot] = m
}

// Now implements clock.Source.
func (m *machineClock) Now() presence.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.w.now()
	up := now.Sub(m.born)
	r := presence.Reading{
		Boot: m.boot, Boottime: up + time.Duration(float64(up)*m.drift), Wall: now.Add(m.ahead).UnixNano(),
	}
	// As clock.NewKernel reads adjtimex: the bound grows by 500 ppm, and counts
	// half as much again on top of what a line may hide.
	maxError := time.Duration(float64(now.Sub(m.polled)) * 500e-6)
	if m.synced && maxError < 16*time.Second {
		r.State, r.MaxError = presence.ClockSynced, 50*time.Millisecond+maxError+maxError/2
	}
	return r
}

// Steps implements clock.Source.
func (m *machineClock) Steps(ctx context.Context, stepped func()) error {
	for {
		select {
		case <-m.set:
			stepped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// trueTime is when a reading of this boot was taken.
func (m *machineClock) trueTime(r presence.Reading) time.Time {
	return m.born.Add(time.Duration(float64(r.Boottime) / (1 + m.drift)))
}

// ntp is an answer of a time server.
func (m *machineClock) ntp(wrong time.Duration) {
	m.mu.Lock()
	step := (m.ahead - wrong).Abs() > 400*time.Millisecond
	if m.first.IsZero() {
		m.first = m.w.now()
	}
	m.ahead, m.synced, m.polled, m.lost = wrong, true, m.w.now(), time.Time{}
	m.mu.Unlock()
	if step {
		m.step()
	}
}

// jump is somebody who types date -s: the kernel forgets that it was disciplined.
func (m *machineClock) jump(by time.Duration) {
	m.mu.Lock()
	m.ahead, m.synced, m.lost = m.ahead+by, false, m.w.now()
	m.mu.Unlock()
	m.step()
}

func (m *machineClock) step() {
	select {
	case m.set <- struct{}{}:
	default:
	}
}
