package meshtastictest

import (
	"sync"
	"time"
)

// Clock is a clock that only a test moves.
type Clock struct {
	mu     sync.Mutex
	now    time.Duration
	timers []timer
	set    *sync.Cond // a timer was set; nil until somebody waits for one
}

type timer struct {
	at time.Duration
	c  chan time.Time
}

// Now is the time since the clock was made.
func (c *Clock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After is time.After by this clock.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := timer{at: c.now + d, c: make(chan time.Time, 1)}
	c.timers = append(c.timers, t)
	if c.set != nil {
		c.set.Broadcast()
	}
	return t.c
}

// AwaitTimers waits until so many timers run: then whoever set them waits, and the
// clock may be moved.
func (c *Clock) AwaitTimers(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		c.set = sync.NewCond(&c.mu)
	}
	for len(c.timers) < n {
		c.set.Wait()
	}
}

// Advance moves the clock, and lets off what is due.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d
	left := c.timers[:0]
	for _, t := range c.timers {
		if t.at > c.now {
			left = append(left, t)
			continue
		}
		t.c <- time.Time{}.Add(c.now)
	}
	c.timers = left
}
