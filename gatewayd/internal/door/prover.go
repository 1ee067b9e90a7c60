package door

import (
	"context"
	"errors"
	"slices"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// Prover finds out what a card can prove. The goroutines of several readers use it at once.
type Prover interface {
	// Prove talks to a card that lies on a reader, for at most 2 s, and tells who it is
	// and how far that is proven. seen is the reading of the tap's event, which a card's
	// signature covers. Where nothing is configured that a card could be proven with, it
	// returns Plain(c) without touching the air.
	//
	// A card that fails to prove who it is, or has nothing to prove it with, is no error:
	// the Identity says so. An error wraps card.ErrGone, card.ErrTooSlow or
	// card.ErrProtocol where the card was not heard to the end, and the card may be tried
	// anew unless Identity.Detail is presence.DetailPending; any other one is the reader's, as of
	// card.Reader.Poll. The Identity counts beside an error too.
	Prove(ctx context.Context, reader card.Selector, c card.Card, seen presence.Reading) (presence.Identity, error)
}

// Plain is the identity of a card that proves nothing: the number that it shows.
func Plain(c card.Card) presence.Identity {
	return presence.Identity{Bytes: c.UID.Bytes(), Assurance: string(c.Assurance())}
}

// How long a card is tried for that was lost before it could prove who it is. Nobody holds
// a badge for longer than 2 s, and all others wait meanwhile: that is the time for all
// attempts together and for a scan before and one after them, of 250 ms each at most.
const (
	maxAttempts = 3
	proveWithin = 1500 * time.Millisecond
)

// candidate is a card that has come and may prove who it is, and is not answered yet.
type candidate struct {
	card     card.Card
	seen     presence.Reading // when it came: the time of its event, however often it is tried
	came     time.Time
	attempts int
	began    time.Time         // of the first attempt
	id       presence.Identity // what the last attempt knew, which was lost
}

// over reports whether it is not tried any more.
func (c *candidate) over() bool {
	return c.attempts >= maxAttempts || c.attempts > 0 && time.Since(c.began) >= proveWithin
}

// canProve reports whether a card has to be asked for a proof.
func (d *Door) canProve(chip card.Reader, c card.Card) bool {
	_, selects := chip.(card.Selector)
	return d.opt.Prover != nil && selects && c.Layer4()
}

// proveOne asks one of the cards that wait for it, the least tried one first, if the last
// scan has seen it: between two of them the field is scanned, so that somebody with a plain
// badge waits for one card at most. more reports that another card has not been asked at
// all. Cards that are gone, or were tried for long enough, are answered. An error is the
// reader's.
func (d *Door) proveOne(ctx context.Context, r Reader, chip card.Reader, f *field, seen []card.Card, left []card.UID) (more bool, err error) {
	waiting := f.candidates
	f.candidates = nil
	for _, c := range waiting {
		switch gone := slices.Contains(left, c.card.UID); {
		case gone, c.over():
			d.giveUp(ctx, r.Name, c, gone, f)
		default:
			f.candidates = append(f.candidates, c)
		}
	}
	var next *candidate
	for _, c := range f.candidates {
		here := slices.ContainsFunc(seen, func(s card.Card) bool { return s.UID == c.card.UID })
		if here && (next == nil || c.attempts < next.attempts) {
			next = c
		}
	}
	if next == nil {
		return false, nil
	}
	done, err := d.attempt(ctx, r, chip, next, f)
	if done {
		f.candidates = slices.DeleteFunc(f.candidates, func(c *candidate) bool { return c == next })
	}
	more = slices.ContainsFunc(f.candidates, func(c *candidate) bool { return c.attempts == 0 })
	return more, err
}

// attempt asks a card to prove who it is. done reports that it was answered.
func (d *Door) attempt(ctx context.Context, r Reader, chip card.Reader, c *candidate, f *field) (done bool, err error) {
	if c.attempts++; c.attempts == 1 {
		c.began = time.Now()
	}
	bounded, cancel := context.WithDeadline(ctx, c.began.Add(proveWithin))
	defer cancel()
	r.beat(0)
	d.enterDriver(r.Name)
	id, err := d.opt.Prover.Prove(bounded, chip.(card.Selector), c.card, c.seen) //nolint:forcetypeassert // canProve has asked
	d.leaveDriver(r.Name)
	switch {
	case err == nil:
		d.tap(ctx, r.Name, c.card, id, c.seen, c.came, f)
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, card.ErrBusDead), errors.Is(err, card.ErrDeaf):
		return false, err
	case errors.Is(err, card.ErrGone), errors.Is(err, card.ErrTooSlow), errors.Is(err, card.ErrProtocol), bounded.Err() != nil:
		c.id = id
		if c.over() || id.Detail == presence.DetailPending {
			d.giveUp(ctx, r.Name, c, false, f)
			return true, nil
		}
		return false, nil
	}
	return false, err
}

// giveUp answers a card that was never heard to the end. One that stayed and does not speak
// the protocol is taken for what it shows. All others were not held there for long enough,
// or not near enough: such a card may well be able to prove who it is, and must not be
// recorded as somebody else.
func (d *Door) giveUp(ctx context.Context, reader string, c *candidate, gone bool, f *field) {
	id := c.id
	if len(id.Bytes) == 0 {
		id = Plain(c.card)
	}
	if gone || id.Detail != presence.DetailNoATS && id.Detail != presence.DetailProtocol {
		id.Refuse = presence.ReasonHoldLonger
	}
	d.tap(ctx, reader, c.card, id, c.seen, c.came, f)
}
