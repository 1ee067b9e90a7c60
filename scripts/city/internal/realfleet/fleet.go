package realfleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// atOnce is how many gateways are started or asked at the same time.
const atOnce = 8

// Fleet is a number of real gateways.
type Fleet []*Gateway

// NewFleet makes gateways with what they have in common. Their names are PREFIX-001 and so
// on, and their folders lie in opt.Dir.
func NewFleet(opt Options, prefix string, gateways int) (Fleet, error) {
	var f Fleet
	dir := opt.Dir
	for n := range gateways {
		opt.Gateway = fmt.Sprintf("%s-%03d", prefix, n+1)
		opt.Dir = filepath.Join(dir, opt.Gateway)
		g, err := New(opt)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make %s: %w", opt.Gateway, err), f.Close())
		}
		f = append(f, g)
	}
	return f, nil
}

// Each does something for all gateways, a few at a time, and returns the first error.
func (f Fleet) Each(do func(*Gateway) error) error {
	var mu sync.Mutex
	var failed error
	var tasks sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for _, g := range f {
		turn <- struct{}{}
		tasks.Go(func() {
			defer func() { <-turn }()
			if err := do(g); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failed == nil {
					failed = err
				}
			}
		})
	}
	tasks.Wait()
	return failed
}

// Start starts all gateways and waits until they answer.
func (f Fleet) Start(ctx context.Context) error {
	return f.Each(func(g *Gateway) error { return g.Start(ctx) })
}

// Stop ends all gateways as systemd would.
func (f Fleet) Stop() error { return f.Each((*Gateway).Stop) }

// Close kills what still runs of the gateways.
func (f Fleet) Close() error { return f.Each((*Gateway).Close) }

// AwaitConfirmed waits until nothing waits at any gateway, and returns how many events they
// have recorded.
func (f Fleet) AwaitConfirmed(ctx context.Context) (events int64, err error) {
	return f.await(ctx, func(h Health) bool { return h.Journal.Pending == 0 && h.Journal.Events > 0 })
}

// AwaitRecorded waits until each gateway has recorded so many events.
func (f Fleet) AwaitRecorded(ctx context.Context, events int64) error {
	_, err := f.await(ctx, func(h Health) bool { return h.Journal.Events >= events })
	return err
}

// await waits until something is so of every gateway, and returns how many events all have
// recorded.
func (f Fleet) await(ctx context.Context, so func(Health) bool) (events int64, err error) {
	for {
		var mu sync.Mutex
		not := 0
		events = 0
		err := f.Each(func(g *Gateway) error {
			h, err := g.Health(ctx)
			mu.Lock()
			defer mu.Unlock()
			events += h.Journal.Events
			if !so(h) {
				not++
			}
			return err
		})
		if err == nil && not == 0 {
			return events, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return events, errors.Join(fmt.Errorf("waited in vain for %d of %d gateways: %w", not, len(f), ctx.Err()), err)
		}
	}
}

// Cost is what gateways take of a machine.
type Cost struct {
	Memory    int64         // anonymous memory of all, in bytes
	Most      int64         // and of the one that has most
	Processor time.Duration // time on processors since they started, of all
}

// Cost is what the gateways take now.
func (f Fleet) Cost() (c Cost, err error) {
	for _, g := range f {
		memory, err := Memory(g.PID())
		if err != nil {
			return c, err
		}
		spent, err := ProcessorTime(g.PID())
		if err != nil {
			return c, err
		}
		c.Memory, c.Most, c.Processor = c.Memory+memory, max(c.Most, memory), c.Processor+spent
	}
	return c, nil
}
