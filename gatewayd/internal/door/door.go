package door

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/presence"
)

// Journal records taps.
type Journal interface {
	// Append returns after the commit that holds the draft.
	Append(ctx context.Context, d presence.Draft) (presence.Entry, error)
}

// Lamp answers the person at the door. Show never blocks.
type Lamp interface {
	Show(presence.Outcome)
}

// Options is what a door needs.
type Options struct {
	RepeatWindow time.Duration // a badge again within this time is a repeat
	Badges       presence.Badges
	Journal      Journal
	Lamp         Lamp
	Now          func() presence.Reading
	Simulated    bool
	// Observe, if set, is told of every answer after the lamp. It must not
	// block.
	Observe func(presence.Answer)
	Log     *slog.Logger
}

// Reader is one badge reader at the door.
type Reader struct {
	Name string
	Poll time.Duration
	// Open finds the reader's chip. Its errors may heal.
	Open func(ctx context.Context) (card.Reader, error)
}

// misses is how many looks in a row must miss a card before it has left.
const misses = 3

// Door takes taps from any number of readers. Its methods may be called from
// any goroutine.
type Door struct {
	opt Options

	// taps is held over the decision on a tap and its commit, so that two
	// readers cannot both accept the same badge.
	taps   sync.Mutex
	recent map[string]accepted // by badge

	mu      sync.Mutex
	readers []presence.ReaderHealth
}

// accepted is the tap that later ones are repeats of.
type accepted struct {
	at     presence.Reading
	stream presence.ID
	seq    uint64
}

// New makes a door for readers with these names.
func New(opt Options, readers ...string) *Door {
	d := &Door{opt: opt, recent: make(map[string]accepted)}
	for _, name := range readers {
		d.readers = append(d.readers, presence.ReaderHealth{Name: name, State: "ok"})
	}
	return d
}

// Remember takes a record of the journal's tail, newest first, so that the
// repeat window outlives a restart. It returns false when older records do not
// matter any more.
func (d *Door) Remember(e presence.Entry) bool {
	age, known := d.opt.Now().Since(e.At)
	if known && age > d.opt.RepeatWindow {
		return false
	}
	if e.Badge == nil {
		// A stretch without a known time may hold taps behind it that still
		// matter, but none from before another boot's end can be judged.
		return known
	}
	d.taps.Lock()
	defer d.taps.Unlock()
	if _, newer := d.recent[e.Badge.Badge]; !newer && known {
		d.recent[e.Badge.Badge] = accepted{e.At, e.Stream, e.Seq}
	}
	return known
}

// Run serves one reader until the context ends. A reader that fails is opened
// again for as long as it takes.
func (d *Door) Run(ctx context.Context, r Reader) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 5 * time.Second}
	tracker := card.NewTracker(misses)
	for {
		chip, err := r.Open(ctx)
		if err == nil {
			d.health(r.Name, func(h *presence.ReaderHealth) { h.Version = chip.Version() })
			err = d.serve(ctx, r, chip, tracker, &wait)
			err = errors.Join(err, chip.Close())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.fault(r.Name, err)
		if !wait.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// serve looks at the field until the reader fails for good or the context
// ends.
func (d *Door) serve(ctx context.Context, r Reader, chip card.Reader, tracker *card.Tracker, wait *backoff.Backoff) error {
	// A single failed look is noise on a wire; this many in a row are a fault
	// that only opening the reader again can mend.
	const enough = 5
	failures := 0
	tick := time.NewTicker(r.Poll)
	defer tick.Stop()
	for {
		started := time.Now()
		seen, err := chip.Poll(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, card.ErrBusDead), errors.Is(err, card.ErrDeaf):
			return err
		case err != nil:
			d.health(r.Name, func(h *presence.ReaderHealth) { h.Errors++ })
			if failures++; failures >= enough {
				return err
			}
		default:
			failures = 0
			wait.Reset()
			d.health(r.Name, d.healed)
			arrived, _ := tracker.Look(seen)
			for _, c := range arrived {
				d.tap(ctx, r.Name, c, started)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tap answers one card that came into the field.
func (d *Door) tap(ctx context.Context, reader string, c card.Card, started time.Time) {
	now := d.opt.Now()
	a := presence.Answer{
		Reader: reader, UID: c.UID.String(), Card: string(c.Technology()),
		Badge: d.opt.Badges.Identity(c.UID.Bytes()),
	}
	d.decide(ctx, now, c, &a)
	d.opt.Lamp.Show(a.Outcome)
	a.Took = time.Since(started)
	d.health(reader, func(h *presence.ReaderHealth) {
		switch a.Outcome {
		case presence.Accepted:
			h.Taps++
		case presence.Repeat:
			h.Repeats++
		case presence.Refused:
			h.Refused++
		}
	})
	if d.opt.Observe != nil {
		d.opt.Observe(a)
	}
}

// decide finds out whether the tap is a repeat, and records it otherwise.
func (d *Door) decide(ctx context.Context, now presence.Reading, c card.Card, a *presence.Answer) {
	d.taps.Lock()
	defer d.taps.Unlock()
	if before, ok := d.recent[a.Badge]; ok && d.within(now, before.at) {
		a.Outcome, a.Stream, a.Seq = presence.Repeat, before.stream, before.seq
		return
	}
	e, err := d.opt.Journal.Append(ctx, presence.Draft{
		Kind: presence.KindBadge, At: now, Simulated: d.opt.Simulated,
		Badge: &presence.Badge{Reader: a.Reader, Badge: a.Badge, Card: a.Card, Assurance: string(c.Assurance())},
	})
	if err != nil {
		a.Outcome, a.Reason = presence.Refused, reason(err)
		d.opt.Log.Error("a tap was refused", "reader", a.Reader, "reason", a.Reason, "error", err)
		return
	}
	a.Outcome, a.Stream, a.Seq = presence.Accepted, e.Stream, e.Seq
	for badge, before := range d.recent {
		if !d.within(now, before.at) {
			delete(d.recent, badge)
		}
	}
	d.recent[a.Badge] = accepted{now, e.Stream, e.Seq}
}

// within reports whether a tap lies in the repeat window of an earlier one. The
// window does not slide: it begins with the accepted tap. Where nobody knows
// how much time has passed, the tap counts: a record too many can be struck
// out, one too few cannot be made up.
func (d *Door) within(now, earlier presence.Reading) bool {
	passed, known := now.Since(earlier)
	return known && passed >= 0 && passed < d.opt.RepeatWindow
}

// reason is the word for why a tap could not be recorded.
func reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, context.Canceled):
		return "stopping"
	}
	return "write-failed"
}

// Health says how the readers fare.
func (d *Door) Health() []presence.ReaderHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.readers)
}

func (d *Door) health(reader string, change func(*presence.ReaderHealth)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.readers {
		if d.readers[i].Name == reader {
			change(&d.readers[i])
		}
	}
}

// fault notes that a reader does not work, and says so once.
func (d *Door) fault(reader string, err error) {
	state := "bus-dead"
	if errors.Is(err, card.ErrDeaf) {
		state = "deaf"
	}
	d.health(reader, func(h *presence.ReaderHealth) {
		h.Errors++
		if h.State != state {
			d.opt.Log.Error("badge reader does not work", "reader", reader, "state", state, "error", err)
		}
		h.State, h.Error = state, err.Error()
	})
}

// healed notes that a reader works.
func (d *Door) healed(h *presence.ReaderHealth) {
	if h.State != "ok" {
		d.opt.Log.Info("badge reader works again", "reader", h.Name)
	}
	h.State, h.Error = "ok", ""
}
