package health

import (
	"math"
	"sync"
	"time"
)

const (
	// trendStep spaces what a trend remembers, trendSpan is how far back.
	trendStep = time.Hour
	trendSpan = 24 * time.Hour

	// trendLimit is the longest that is told, in days: beyond it there is
	// nothing to do about it.
	trendLimit = 3650
)

// trend says when something that shrinks will be used up, from its last day.
type trend struct {
	mu   sync.Mutex
	seen []sample // an hour apart, oldest first
}

type sample struct {
	at    time.Time
	value int64
}

// left takes the present value and tells in how many days it will be 0; nil
// while it does not shrink, or there is less than an hour to tell by.
func (t *trend) left(now time.Time, value int64) *float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.seen); n == 0 || now.Sub(t.seen[n-1].at) >= trendStep {
		t.seen = append(t.seen, sample{now, value})
	}
	for now.Sub(t.seen[0].at) > trendSpan && len(t.seen) > 1 {
		t.seen = t.seen[1:]
	}
	oldest := t.seen[0]
	passed, used := now.Sub(oldest.at), oldest.value-value
	if passed < trendStep || used <= 0 {
		return nil
	}
	days := float64(value) / float64(used) * passed.Hours() / 24
	if days > trendLimit {
		return nil
	}
	days = math.Round(100*days) / 100
	return &days
}
