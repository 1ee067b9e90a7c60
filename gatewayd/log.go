package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// cityLog is a handler that also hands warnings and errors to the city (topic
// `log`): at most burst at once, and one each interval after that.
type cityLog struct {
	slog.Handler
	attrs []slog.Attr
	tap   *logTap
}

const (
	cityLogBurst    = 20
	cityLogInterval = 5 * time.Second
)

// logTap is what all handlers made from one cityLog share.
type logTap struct {
	now  func() *string
	send func([]byte)

	mu      sync.Mutex
	tokens  float64
	last    time.Time
	dropped int64
}

func newCityLog(h slog.Handler, now func() *string, send func([]byte)) cityLog {
	return cityLog{Handler: h, tap: &logTap{now: now, send: send, tokens: cityLogBurst, last: time.Now()}}
}

// Handle implements slog.Handler.
func (c cityLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		if dropped, ok := c.tap.take(time.Now()); ok {
			line := presence.LogLine{Time: c.tap.now(), Level: r.Level.String(), Text: r.Message, Dropped: dropped}
			add := func(a slog.Attr) bool {
				if line.Details == nil {
					line.Details = make(map[string]string)
				}
				line.Details[a.Key] = a.Value.String()
				return true
			}
			for _, a := range c.attrs {
				add(a)
			}
			r.Attrs(add)
			if b, err := json.Marshal(line); err == nil {
				c.tap.send(b)
			}
		}
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (c cityLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append(append([]slog.Attr(nil), c.attrs...), attrs...)
	return cityLog{Handler: c.Handler.WithAttrs(attrs), attrs: all, tap: c.tap}
}

// WithGroup implements slog.Handler. The city's lines are flat.
func (c cityLog) WithGroup(name string) slog.Handler {
	return cityLog{Handler: c.Handler.WithGroup(name), attrs: c.attrs, tap: c.tap}
}

// take lets a line through, with how many were held back before it.
func (t *logTap) take(now time.Time) (dropped int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens = min(t.tokens+now.Sub(t.last).Seconds()/cityLogInterval.Seconds(), cityLogBurst)
	t.last = now
	if t.tokens < 1 {
		t.dropped++
		return 0, false
	}
	t.tokens--
	dropped, t.dropped = t.dropped, 0
	return dropped, true
}
