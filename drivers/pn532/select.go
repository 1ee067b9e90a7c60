package pn532

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
)

// leaveTimeout bounds how long Select takes to leave the card, whatever became of its
// context.
const leaveTimeout = 150 * time.Millisecond

// errNoFrames means that the chip's firmware refuses what Select is made of.
var errNoFrames = fmt.Errorf("%w: the reader chip allows no raw frames, so that no badge can prove itself to it", errors.ErrUnsupported)

// Select implements card.Selector: WUPA and SELECT with the whole UID, the card's frames
// by InCommunicateThru, and HLTA. With a card of type B, and with a chip that allows no
// raw frames, the error wraps errors.ErrUnsupported.
//
// A card whose last frame was not answered may be left in a state that only the loss of
// power ends. Then the next Poll switches the field off for a moment.
func (r *Reader) Select(ctx context.Context, c card.Card, use func(card.Frames) error) error {
	if err := r.hold(ctx, c); err != nil {
		return fmt.Errorf("select card: %w", err)
	}
	f := &frames{r: r}
	err := use(f)
	f.over = true
	r.leave(ctx, c, f.lost)
	return err
}

// hold wakes a card and selects it.
func (r *Reader) hold(ctx context.Context, c card.Card) error {
	switch {
	case r.closed:
		return errors.New("the reader is closed")
	case c.TypeB:
		return fmt.Errorf("%w: it is of type B", errors.ErrUnsupported)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if !r.ready {
		if err := r.reset(ctx); err != nil {
			return err
		}
	}
	faults := 0
	for n := 0; n < calls && !r.noRaw; n++ {
		if n == calls/2 {
			r.framing, r.timer = framingUnknown, 0 // as in callUntil
		}
		_, there, err := r.wake(ctx, c)
		switch {
		case errors.Is(err, errRefused):
			r.refusesRaw()
		case passing(err) && faults == 0:
			faults++
			r.link.noise++
			r.framing, r.timer = framingUnknown, 0
			if err := r.check(ctx); err != nil { // some chips switch it off when a command is given up
				return err
			}
		case err != nil || there:
			r.counts.BadFrames += int64(max(0, n-1)) // the first call only wakes a card that is ACTIVE
			return err
		}
	}
	if r.noRaw {
		return errNoFrames
	}
	return card.ErrGone
}

// leave has the selected card sleep, so that the next scan calls it by its UID, or has
// the next scan take its power away where lost says that it may not listen.
func (r *Reader) leave(ctx context.Context, c card.Card, lost bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if r.link.dirty {
		r.framing, r.timer = framingUnknown, 0
	}
	leave := r.halt
	if lost {
		leave = func(ctx context.Context) error { return r.setTimer(ctx, timeoutRaw) }
	}
	if err := leave(ctx); err != nil || lost {
		r.stray = true // an error that lasts is found by the next Poll
	}
	i := slices.IndexFunc(r.last, func(k lastSeen) bool { return k.UID == c.UID && !k.TypeB })
	if i < 0 {
		i = len(r.last)
		r.last = append(r.last, lastSeen{Card: c})
	}
	r.last[i].halted, r.last[i].selected = true, true
}
