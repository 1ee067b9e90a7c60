package clock

import (
	"context"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// Sim is a source that a person drives: it starts unsynced and shows the
// machine's time plus an offset.
type Sim struct {
	machine Source

	mu     sync.Mutex
	synced bool
	offset time.Duration
	set    chan struct{} // has room for one
}

// NewSim makes an unsynced clock with offset 0.
func NewSim() (*Sim, error) {
	m, err := NewTrusted()
	if err != nil {
		return nil, err
	}
	return &Sim{machine: m, set: make(chan struct{}, 1)}, nil
}

// Set makes the clock synced or not, and shifts its wall clock.
func (s *Sim) Set(synced bool, offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced, s.offset = synced, offset
	select {
	case s.set <- struct{}{}:
	default:
	}
}

// Steps implements Source.
func (s *Sim) Steps(ctx context.Context, stepped func()) error {
	for {
		select {
		case <-s.set:
			stepped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
