package clock

import (
	"context"
	"errors"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// fake is a source on the bubble's time: its boot clock is exact.
type fake struct {
	mu       sync.Mutex
	boot     presence.ID
	start    time.Time
	state    presence.ClockState
	maxError time.Duration
	offset   time.Duration // of the wall clock
	told     chan struct{} // a step is told of
}

// newFake is a boot that wakes three days late.
func newFake() *fake {
	return &fake{boot: presence.ID{1}, start: time.Now(), offset: -72 * time.Hour, told: make(chan struct{})}
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Now() presence.Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	return presence.Reading{
		Boot: f.boot, Boottime: now.Sub(f.start), Wall: now.Add(f.offset).UnixNano(),
		State: f.state, MaxError: f.maxError,
	}
}

// Steps implements Source.
func (f *fake) Steps(ctx context.Context, stepped func()) error {
	for {
		select {
		case <-f.told:
			stepped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// counting counts saves and can be made to fail.
type counting struct {
	mu    sync.Mutex
	data  []byte
	saves int
	tries int
	fail  bool
}

var errDisk = errors.New("disk")

func (s *counting) Load(string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, nil
}

func (s *counting) Save(_ string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.fail {
		return errDisk
	}
	s.data, s.saves = b, s.saves+1
	return nil
}

func (s *counting) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = false
}

func (s *counting) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *counting) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}
