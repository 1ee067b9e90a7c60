package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/backoff"
)

func TestGrowsJittersAndResets(t *testing.T) {
	b := backoff.Backoff{Min: time.Second, Max: 8 * time.Second}
	for _, bound := range []time.Duration{1, 2, 4, 8, 8, 8} {
		if d := b.Next(); d < bound*time.Second/2 || d > bound*time.Second {
			t.Errorf("waits %v under a bound of %ds", d, bound)
		}
	}
	b.Reset()
	if d := b.Next(); d > time.Second {
		t.Errorf("after a reset: %v", d)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if !backoff.Sleep(ctx, 500*time.Millisecond) {
			t.Error("gave up early")
		}
		if backoff.Sleep(ctx, time.Hour) {
			t.Error("outlived its context")
		}
	})
}
