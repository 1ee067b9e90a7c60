package gateway

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
	mu      sync.Mutex
	now     func() *string
	send    func([]byte) // nil until the line to the city is made
	tokens  float64
	last    time.Time
	dropped int64
}

func newCityLog(h slog.Handler) cityLog {
	return cityLog{Handler: h, tap: &logTap{tokens: cityLogBurst, last: time.Now()}}
}

// attach begins to hand lines on. The rooms log before there is a line to the
// city, and all of them log through the handler that they were given first.
func (t *logTap) attach(now func() *string, send func([]byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now, t.send = now, send
}

// Handle implements slog.Handler.
func (c cityLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		if now, send, dropped := c.tap.take(time.Now()); send != nil {
			line := presence.LogLine{Time: now(), Level: r.Level.String(), Text: r.Message, Dropped: dropped}
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
				send(b)
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

// take lets a line through, with how many were held back before it. A nil send
// holds this one back.
func (t *logTap) take(now time.Time) (clock func() *string, send func([]byte), dropped int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.send == nil {
		return nil, nil, 0
	}
	t.tokens = min(t.tokens+now.Sub(t.last).Seconds()/cityLogInterval.Seconds(), cityLogBurst)
	t.last = now
	if t.tokens < 1 {
		t.dropped++
		return nil, nil, 0
	}
	t.tokens--
	dropped, t.dropped = t.dropped, 0
	return t.now, t.send, dropped
}
