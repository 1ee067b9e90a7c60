package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
)

// hub passes taps on to the commands that watch. A slow one misses some: the door
// waits for nobody.
type hub struct {
	mu       sync.Mutex
	watchers map[chan control.WatchLine]struct{}
}

// join begins to watch taps, until leave is called.
func (h *hub) join() (lines <-chan control.WatchLine, leave func()) {
	c := make(chan control.WatchLine, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[chan control.WatchLine]struct{})
	}
	h.watchers[c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, c)
	}
}

// tap passes on how the lamp answered a card.
func (h *hub) tap(at *string, a presence.Answer) {
	line := control.WatchLine{Time: at, Tap: &control.WatchTap{Answer: a, TookMS: float64(a.Took.Microseconds()) / 1000}}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers {
		select {
		case c <- line:
		default:
		}
	}
}

// watch passes on what happens: taps as the lamp answers them, events as they
// become durable, and the health when the state of something changes.
func (g *Gateway) watch(ctx context.Context, pass func(control.WatchLine) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	taps, leave := g.watchers.join()
	defer leave()
	events := make(chan control.WatchLine)
	var reading sync.WaitGroup
	reading.Go(func() { g.follow(ctx, events) })
	defer reading.Wait()
	defer cancel()

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shown := ""
	for {
		h := g.monitor.Snapshot()
		if state := stateOf(h); state != shown {
			shown = state
			if err := pass(control.WatchLine{Time: g.time.stamp(), Health: &h}); err != nil {
				return err
			}
		}
		var line control.WatchLine
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			continue
		case line = <-taps:
		case line = <-events:
		}
		if err := pass(line); err != nil {
			return err
		}
	}
}

// stateOf is that part of a health document whose change is worth a line.
func stateOf(h presence.Health) string {
	s := fmt.Sprint(h.Level, h.MQTT.Connected)
	for _, r := range h.Readers {
		s += r.Name + r.State
	}
	for _, r := range h.Receivers {
		s += r.Name + r.State
	}
	return s
}

// follow passes on events from now on, as they become durable.
func (g *Gateway) follow(ctx context.Context, to chan<- control.WatchLine) {
	after := g.journal.End()
	for {
		entries, err := g.journal.Next(ctx, after, 64)
		if err != nil {
			return
		}
		for _, e := range entries {
			after = e.Pos
			t := g.time.Timing(e.At)
			raw, err := g.origin.Event(&e.Record, t)
			if err != nil {
				continue
			}
			line := control.WatchLine{Event: raw}
			if !t.Time.IsZero() {
				s := t.Time.In(g.origin.Location).Format(presence.TimeLayout)
				line.Time = &s
			}
			select {
			case to <- line:
			case <-ctx.Done():
				return
			}
		}
	}
}
