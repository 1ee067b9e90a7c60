// Package backoff spaces attempts at something that fails.
//
// It exists because a reader that is unplugged, a port that is gone and a
// broker that is down are all tried again for ever, and because a hundred
// gateways that lost the same broker must not all come back in the same second.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff makes the waits between attempts: each is a random time in the upper
// half of a bound that doubles from Min to Max.
type Backoff struct {
	Min, Max time.Duration
	bound    time.Duration
}

// Next is how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	b.bound = min(max(b.bound*2, b.Min), b.Max)
	return b.bound/2 + rand.N(b.bound/2+1)
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.bound = 0 }

// Sleep waits, or returns false because the context ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
