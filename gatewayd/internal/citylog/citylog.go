// Package citylog hands the warnings and errors of a log to the city as well, at a
// bounded rate.
//
// It exists so that no room has to know that: all of them log through the handler
// that they were given.
package citylog

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// Handler is a handler that also hands warnings and errors to the city (topic `log`):
// at most burst at once, and one each interval after that.
type Handler struct {
	slog.Handler
	attrs []slog.Attr
	tap   *tap
}

const (
	burst    = 20              // lines at once
	interval = 5 * time.Second // from one line to the next after that
)

// tap is what all handlers made from one Handler share.
type tap struct {
	mu      sync.Mutex
	now     func() *string
	send    func([]byte) // nil until the line to the city is made
	tokens  float64
	last    time.Time
	dropped int64
}

// New returns a handler that passes everything on to h. It hands nothing to the city
// before Attach is called.
func New(h slog.Handler) Handler {
	return Handler{Handler: h, tap: &tap{tokens: burst, last: time.Now()}}
}

// Attach begins to hand lines on, also of handlers made before: now prints the present
// time, nil while it is unknown, and send takes a line as JSON.
func (h Handler) Attach(now func() *string, send func([]byte)) {
	t := h.tap
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now, t.send = now, send
}

// Handle implements slog.Handler.
func (h Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		if now, send, dropped := h.tap.take(time.Now()); send != nil {
			line := presence.LogLine{Time: now(), Level: r.Level.String(), Text: r.Message, Dropped: dropped}
			add := func(a slog.Attr) bool {
				if line.Details == nil {
					line.Details = make(map[string]string)
				}
				line.Details[a.Key] = a.Value.String()
				return true
			}
			for _, a := range h.attrs {
				add(a)
			}
			r.Attrs(add)
			if b, err := json.Marshal(line); err == nil {
				send(b)
			}
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append(append([]slog.Attr(nil), h.attrs...), attrs...)
	return Handler{Handler: h.Handler.WithAttrs(attrs), attrs: all, tap: h.tap}
}

// WithGroup implements slog.Handler. The city's lines are flat.
func (h Handler) WithGroup(name string) slog.Handler {
	return Handler{Handler: h.Handler.WithGroup(name), attrs: h.attrs, tap: h.tap}
}

// take lets a line through if the rate allows it, with how many were held back before
// it. A nil send holds this one back.
func (t *tap) take(now time.Time) (clock func() *string, send func([]byte), dropped int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.send == nil {
		return nil, nil, 0
	}
	t.tokens = min(t.tokens+now.Sub(t.last).Seconds()/interval.Seconds(), burst)
	t.last = now
	if t.tokens < 1 {
		t.dropped++
		return nil, nil, 0
	}
	t.tokens--
	dropped, t.dropped = t.dropped, 0
	return t.now, t.send, dropped
}
