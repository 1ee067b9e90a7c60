package door

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/presence"
)

// Reader is one badge reader at the door.
type Reader struct {
	Name string
	Poll time.Duration // from one scan to the next
	// Open finds the reader's chip. Its errors may heal.
	Open func(ctx context.Context) (card.Reader, error)
	// Beat, if set, is called at each step with the time within which the next one
	// comes: 0 before work, the length of a pause before a pause.
	Beat func(next time.Duration)
}

func (r *Reader) beat(next time.Duration) {
	if r.Beat != nil {
		r.Beat(next)
	}
}

const (
	// misses is how many scans in a row must miss a card for it to count as gone.
	misses = 3

	// failures is how many scans in a row may fail before the reader is opened
	// again. A single failure is noise on a wire.
	failures = 5
)

// The states of a reader in the health document.
const (
	stateOK      = "ok"
	stateDeaf    = "deaf"
	stateBusDead = "bus-dead"
)

// field is what one reader sees.
type field struct {
	tracker *card.Tracker
	badges  map[card.UID]string // the identities of the cards that lie there and were not refused
	scanned time.Time           // when the last scan succeeded
	counts  chipCounts

	candidates []*candidate // cards that may prove who they are, in the order in which they came
}

// Run serves one reader until the context ends. A reader that fails is opened
// again for as long as it takes.
func (d *Door) Run(ctx context.Context, r Reader) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 5 * time.Second}
	var f field
	defer d.keepSights()
	for {
		r.beat(0)
		d.enterDriver(r.Name)
		chip, err := r.Open(ctx)
		d.leaveDriver(r.Name)
		if unfit := (*card.UnfitError)(nil); errors.As(err, &unfit) {
			d.health(r.Name, func(h *presence.ReaderHealth) { h.Version = unfit.Version })
		}
		if err == nil {
			d.health(r.Name, func(h *presence.ReaderHealth) { h.Version = chip.Version() })
			// A card that lay there before a short fault and still lies there is no
			// new visit. After a fault longer than the repeat window it may have been
			// away, and counts as a new one.
			if time.Since(f.scanned) >= d.opt.RepeatWindow {
				f.tracker, f.badges, f.candidates = card.NewTracker(misses), make(map[card.UID]string), nil
			}
			err = d.serve(ctx, r, chip, &f, &wait)
			f.counts.closed()
			if closing := chip.Close(); closing != nil {
				err = fmt.Errorf("%w; and then: %w", err, closing)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.Fault(r.Name, err)
		pause := wait.Next()
		r.beat(pause)
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// serve scans the field until the reader fails for good or the context ends.
func (d *Door) serve(ctx context.Context, r Reader, chip card.Reader, f *field, wait *backoff.Backoff) error {
	failed := 0
	tick := time.NewTicker(r.Poll)
	defer tick.Stop()
	for {
		r.beat(0)
		started := time.Now()
		d.enterDriver(r.Name)
		seen, err := chip.Poll(ctx)
		d.leaveDriver(r.Name)
		more := false
		if err == nil && ctx.Err() == nil {
			failed = 0
			wait.Reset()
			f.scanned = time.Now()
			d.recovered(r.Name)
			more, err = d.observe(ctx, r, chip, f, seen, started)
		}
		d.reportCounts(r.Name, chip, f)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, card.ErrBusDead), errors.Is(err, card.ErrDeaf):
			return err
		case err != nil:
			if failed++; failed >= failures {
				return err
			}
			d.health(r.Name, func(h *presence.ReaderHealth) { h.Errors++ })
		case more:
			continue
		}
		r.beat(r.Poll)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// observe takes the cards of one scan, which began at a time: plain cards that have just
// come are answered first, since the others take their time.
func (d *Door) observe(ctx context.Context, r Reader, chip card.Reader, f *field, seen []card.Card, started time.Time) (more bool, err error) {
	now := d.opt.Now()
	arrived, left := f.tracker.Observe(seen)
	for _, uid := range left {
		delete(f.badges, uid)
	}
	d.stillThere(f.stayed(seen), now)
	for _, c := range arrived {
		if d.canProve(chip, c) {
			f.candidates = append(f.candidates, &candidate{card: c, seen: now, came: started})
			continue
		}
		d.tap(ctx, r.Name, c, Plain(c), now, started, f)
	}
	return d.proveOne(ctx, r, chip, f, seen, left)
}

// stayed are the badges of those cards that have been answered before.
func (f *field) stayed(seen []card.Card) []string {
	var badges []string
	for _, c := range seen {
		if badge, ok := f.badges[c.UID]; ok {
			badges = append(badges, badge)
		}
	}
	return badges
}

// hungAfter is after how long a driver that has not returned counts as hanging: its
// own waits end within a second.
const hungAfter = 5 * time.Second

// enterDriver and leaveDriver enclose each call of a driver: a bus that does not
// come back holds it for ever, and only from outside can that be noticed.
func (d *Door) enterDriver(reader string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inDriver[reader] = time.Now()
}

func (d *Door) leaveDriver(reader string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inDriver, reader)
}

// hangs reports whether a reader's driver has not come back for too long. The
// caller holds the mutex.
func (d *Door) hangs(reader string) bool {
	since, inside := d.inDriver[reader]
	return inside && time.Since(since) >= hungAfter
}

// Health is the state of the readers. It is called every few seconds, and that is
// how a reader that hangs is noticed.
func (d *Door) Health() []presence.ReaderHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tellTrouble()
	list := slices.Clone(d.readers)
	for i := range list {
		if h := &list[i]; d.hangs(h.Name) {
			h.State, h.Error, h.LooksPerS = stateBusDead, "the bus does not come back: the reader hangs", 0
		}
	}
	return list
}

// health changes what is known of a reader and returns what was known before.
func (d *Door) health(reader string, change func(*presence.ReaderHealth)) (before presence.ReaderHealth) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.readers {
		if d.readers[i].Name == reader {
			before = d.readers[i]
			change(&d.readers[i])
		}
	}
	d.tellTrouble()
	return before
}

// tellTrouble tells Trouble whether taps can be accepted, where that has changed.
// The caller holds the mutex.
func (d *Door) tellTrouble() {
	if d.opt.Refusing != nil {
		d.refusing = d.opt.Refusing()
	}
	broken := func(h presence.ReaderHealth) bool { return h.State != stateOK || d.hangs(h.Name) }
	troubled := d.refusing || slices.ContainsFunc(d.readers, broken)
	if troubled != d.troubled && d.opt.Trouble != nil {
		d.opt.Trouble(troubled)
	}
	d.troubled = troubled
}

// Fault notes that a reader does not work, until a scan of its field succeeds, and
// logs it once. Run notes its own faults; this is for the supervisor when Run itself
// has failed.
func (d *Door) Fault(reader string, err error) {
	state := stateBusDead
	if errors.Is(err, card.ErrDeaf) {
		state = stateDeaf
	}
	before := d.health(reader, func(h *presence.ReaderHealth) {
		h.Errors++
		h.State, h.Error = state, err.Error()
		h.LooksPerS = 0
	})
	if before.State != state {
		d.opt.Log.Error("badge reader does not work", "reader", reader, "state", state, "error", err)
	}
}

// recovered notes that a reader works, and logs that if it did not work before.
func (d *Door) recovered(reader string) {
	before := d.health(reader, func(h *presence.ReaderHealth) { h.State, h.Error = stateOK, "" })
	if before.State != stateOK {
		d.opt.Log.Info("badge reader works again", "reader", reader)
	}
}
