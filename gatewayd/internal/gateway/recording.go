package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"presence/config"
	"presence/drivers/beacon/capture"
	"presence/gatewayd/internal/presence"
)

// recorders pass on what receivers hear to those who record it. The receivers wait for
// nobody: what a recorder is too slow for is counted.
type recorders struct {
	mu  sync.Mutex
	all map[*recorder]struct{}
}

type recorder struct {
	receiver string
	started  time.Time
	pieces   chan capture.Piece
	lost     int64 // bytes since the last piece; guarded by recorders.mu
}

// join begins to record a receiver, until leave is called.
func (r *recorders) join(receiver string) (rec *recorder, leave func()) {
	rec = &recorder{receiver: receiver, started: time.Now(), pieces: make(chan capture.Piece, 256)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[*recorder]struct{})
	}
	r.all[rec] = struct{}{}
	return rec, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.all, rec)
	}
}

// heard passes on what a receiver heard.
func (r *recorders) heard(receiver string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rec := range r.all {
		if rec.receiver != receiver {
			continue
		}
		select {
		case rec.pieces <- capture.Piece{At: time.Since(rec.started), Data: slices.Clone(data), Lost: rec.lost}:
			rec.lost = 0
		default:
			rec.lost += int64(len(data))
		}
	}
}

// record writes what a receiver hears, from now on until the context ends.
func (g *Gateway) record(ctx context.Context, receiver string, w io.Writer) error {
	i := slices.IndexFunc(g.cfg.Receivers, func(r config.Receiver) bool { return r.Name == receiver })
	if i < 0 {
		return fmt.Errorf("there is no receiver %q; the configuration has %q", receiver,
			names(g.cfg.Receivers, func(r config.Receiver) string { return r.Name }))
	}
	r := g.cfg.Receivers[i]
	rec, leave := g.recorders.join(receiver)
	defer leave()
	h := capture.Header{Gateway: g.cfg.Gateway.ID, Receiver: r.Name, Protocol: r.Protocol, Payload: r.Payload, Baud: r.Baud}
	if now := g.time.Timing(g.time.Now()); !now.Time.IsZero() {
		h.Started = now.Time.In(g.origin.Location).Format(presence.TimeLayout)
	}
	out, err := capture.NewWriter(w, h)
	for err == nil {
		select {
		case p := <-rec.pieces:
			err = out.Write(p)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
