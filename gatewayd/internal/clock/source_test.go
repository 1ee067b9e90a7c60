package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/presence"
)

func TestTimingClaimsNoMoreThanTheReading(t *testing.T) {
	c := clock.New(nil)
	wall := time.Date(2026, 11, 23, 0, 30, 59, 0, time.UTC)
	for name, tc := range map[string]struct {
		state   presence.ClockState
		quality presence.Quality
		known   bool
		err     time.Duration
	}{
		"synced":   {presence.ClockSynced, presence.QualitySynced, true, 7 * time.Millisecond},
		"trusted":  {presence.ClockTrusted, presence.QualityTrusted, true, 0},
		"unsynced": {presence.ClockUnsynced, presence.QualityUnsynced, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := presence.Reading{Wall: wall.UnixNano(), State: tc.state}
			if tc.state == presence.ClockSynced {
				r.MaxError = tc.err
			}
			got := c.Timing(r)
			if got.Quality != tc.quality || got.Error != tc.err || got.Time.IsZero() == tc.known {
				t.Errorf("%+v", got)
			}
			if tc.known && !got.Time.Equal(wall) {
				t.Errorf("time %v, want %v", got.Time, wall)
			}
		})
	}
}

func TestSimStartsUnsyncedAndIsDriven(t *testing.T) {
	sim, err := clock.NewSim()
	if err != nil {
		t.Fatal(err)
	}
	c := clock.New(sim)
	if c.Now().Known() || c.Health().State != "unsynced" {
		t.Error("a simulated clock starts synced")
	}
	sim.Set(true, 3*time.Hour)
	r := c.Now()
	if !r.Known() {
		t.Error("still unsynced")
	}
	if off := time.Until(r.WallTime()); off < 3*time.Hour-time.Minute || off > 3*time.Hour+time.Minute {
		t.Errorf("offset %v, want 3h", off)
	}
	sim.Set(false, 0)
	if h := c.Health(); h.State != "unsynced" || h.ErrorMS != nil {
		t.Errorf("%+v", h)
	}
}

func TestKernelReadingsAreMonotonic(t *testing.T) {
	k, err := clock.NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	a, b := k.Now(), k.Now()
	if d, ok := b.Since(a); !ok || d < 0 {
		t.Errorf("since: %v %v", d, ok)
	}
	if a.Boot.IsZero() {
		t.Error("no boot id")
	}
}

// Setting the simulated clock is told at once, also to who was not listening
// just then.
func TestSimTellsWhenItIsSet(t *testing.T) {
	sim, err := clock.NewSim()
	if err != nil {
		t.Fatal(err)
	}
	sim.Set(true, 0)
	sim.Set(true, time.Hour)
	told := make(chan struct{}, 8)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- sim.Steps(ctx, func() { told <- struct{}{} }) }()
	<-told
	sim.Set(false, 0)
	<-told
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nobody sets the machine's clock for a test: this shows that the kernel takes
// the timer, that it is quiet while nothing happens, and that waiting ends.
func TestKernelStepsEndWithTheContext(t *testing.T) {
	k, err := clock.NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = k.Steps(ctx, func() { t.Error("a step, though nobody sets the clock") })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
