package mfrc522

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
)

// Bytes by which a frame of ISO/IEC 14443-4 tells what becomes of the card.
const (
	cmdRATS     = 0xE0 // from then on the card knows neither HLTA nor WUPA
	cmdDeselect = 0xC2 // ends that, once the card has confirmed it
)

// fieldOff is for how long the field is switched off so that every card in it loses its
// state: at least 5.1 ms (ISO/IEC 14443-3:2016, 5.1).
const fieldOff = 6 * time.Millisecond

// Select implements card.Selector. It takes the time of use, and some 5 ms before and 2 ms
// behind it; up to 40 ms more where the card does not let itself be put to sleep, for then
// the field is switched off and on. Cards with random UIDs have new ones after that.
//
// A chip that is found unfit is mended as in Poll, before or behind use. What has become
// of the card in between is then card.ErrGone, so that the next Poll tells more.
func (r *Reader) Select(ctx context.Context, c card.Card, use func(card.Frames) error) error {
	if r.closed {
		return errors.New("select a card: the reader is closed")
	}
	if c.TypeB {
		return fmt.Errorf("select a card of type B: %w", errors.ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.wake(ctx, c.UID); err != nil {
		switch {
		case ctx.Err() != nil, errors.Is(err, card.ErrGone):
		case errors.Is(err, errStuck):
			err = fmt.Errorf("%w: %w, even after a reset", card.ErrDeaf, err)
			r.ready = false
		default:
			r.ready = false
		}
		return fmt.Errorf("select a card: %w", err)
	}
	f := &frames{r: r}
	err := r.chip.writeAll(r.linkSettings(true)...)
	if err == nil {
		err = use(f)
	}
	f.r = nil // is of no use from here on
	mends := r.counts.Mends
	unfit := r.release(ctx, c.UID, f)
	if unfit != nil {
		r.ready = false
	}
	// What the card has proven before a chip fails stays true, and the next Poll finds
	// that again. But where use has failed, the chip may be why, and not the card.
	switch {
	case err == nil || ctx.Err() != nil:
	case unfit != nil:
		return fmt.Errorf("put a card to sleep: %w", unfit)
	case r.counts.Mends > mends:
		return fmt.Errorf("%w: the reader chip has lost its settings meanwhile (%s)", card.ErrGone, err.Error())
	}
	return err
}

// wake makes the chip fit and selects the card, which is then ACTIVE. A card that does not
// let itself be selected is card.ErrGone; other errors are the chip's, as of poll.
func (r *Reader) wake(ctx context.Context, uid card.UID) error {
	if err := r.ensureReady(ctx); err != nil {
		return err
	}
	err := r.call(ctx, uid)
	if err == nil || errors.Is(err, card.ErrGone) || ctx.Err() != nil {
		return err
	}
	// As in poll: a single write that was spoilt on the bus, or a chip that needs mending.
	if r.check() != nil {
		if err = r.mend(ctx, err); err != nil {
			return err
		}
	}
	return r.call(ctx, uid)
}

// call calls a card by its UID, several times as scan does.
func (r *Reader) call(ctx context.Context, uid card.UID) error {
	for range calls {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, _, err := r.activate(cmdWUPA, pathOf(uid), new(walk))
		switch {
		case err == nil && found.UID == uid:
			return nil
		case err == nil:
			// Its UID begins with the whole of the other one.
			err = r.chip.halt()
		case errors.Is(err, errFrame):
			r.counts.BadFrames++
		}
		if err != nil && !errors.Is(err, errFrame) && !errors.Is(err, errSilence) {
			return err
		}
	}
	return fmt.Errorf("%w: it does not answer its UID", card.ErrGone)
}

// linkSettings are the registers that a link changes: with values for a link, or with those
// that the guarded registers must have.
func (r *Reader) linkSettings(link bool) []setting {
	list := []setting{{regBitFraming, 0}, {regColl, 0}, {regTReloadL, r.chip.reload}}
	for _, s := range r.settings() {
		switch s.reg {
		case regTxMode, regRxMode:
			if link {
				s.value |= crcOn
			}
			list = append(list, s)
		case regTMode, regTPrescaler, regTReloadH:
			list = append(list, s)
		}
	}
	return list
}

// release gives the chip its settings back, and leaves the card so that the next look at
// the field finds it. An error is the chip's or the bus's.
func (r *Reader) release(ctx context.Context, uid card.UID, f *frames) error {
	ctx = context.WithoutCancel(ctx) // no card is left awake, and the chip not in between
	if err := r.chip.writeAll(r.linkSettings(false)...); err != nil {
		return err
	}
	err := r.putToSleep(ctx, uid, f)
	if err != nil && !errors.Is(err, errStuck) {
		return err
	}
	if err = r.check(); err != nil {
		return r.mend(ctx, err)
	}
	return nil
}

// putToSleep brings the card into HALT, or back to IDLE where it does not go there.
func (r *Reader) putToSleep(ctx context.Context, uid card.UID, f *frames) error {
	if f.asleep {
		return nil
	}
	if !f.layer4 {
		return r.chip.halt()
	}
	// Nobody knows whether the card got DESELECT. If it did, it answers to its UID; it
	// may also be gone, or wait for ever for the next block.
	err := r.call(ctx, uid)
	if err == nil {
		return r.chip.halt()
	}
	if !errors.Is(err, card.ErrGone) {
		return err
	}
	return r.powerCycle(ctx)
}

// powerCycle switches the field off and on again, after which all cards are in IDLE.
func (r *Reader) powerCycle(ctx context.Context) error {
	field := slices.DeleteFunc(r.settings(), func(s setting) bool { return s.reg != regTxControl })[0]
	if err := r.chip.writeAll(setting{regTxControl, field.value &^ txControlField}); err != nil {
		return err
	}
	if err := sleep(ctx, fieldOff); err != nil {
		return err
	}
	if err := r.chip.writeAll(field); err != nil {
		return err
	}
	return sleep(ctx, fieldUp)
}

// frames is the card that is selected. It implements card.Frames.
type frames struct {
	r   *Reader // nil after Select
	buf [fifoSize]byte

	layer4 bool // the card was sent RATS
	asleep bool // it has confirmed that it goes into HALT

	// crcKept says that this chip leaves the CRC_A in the FIFO that it has checked. The
	// data sheet does not tell, and copies differ.
	crcKept bool
}

// crcSize is the length of CRC_A.
const crcSize = 2

// MaxFrame implements card.Frames: a frame fits into the FIFO, also where the CRC_A of an
// answer takes its place there.
func (f *frames) MaxFrame() int { return fifoSize }

// Transceive implements card.Frames. The longest wait is 19.8 s.
func (f *frames) Transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	switch {
	case f.r == nil:
		return nil, errors.New("send a frame: the card is not selected any more")
	case len(frame) == 0 || len(frame)+crcSize > fifoSize:
		return nil, fmt.Errorf("send a frame: it has %d bytes, want 1 to %d", len(frame), fifoSize-crcSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.layer4 = f.layer4 || frame[0] == cmdRATS
	answer, err := f.r.chip.block(ctx, frame, f.buf[:], wait)
	if err == nil {
		answer, err = f.strip(frame[0], answer)
	}
	switch {
	case errors.Is(err, errFrame):
		f.r.counts.BadFrames++
		return nil, fmt.Errorf("%w: %w", card.ErrBadFrame, err)
	case errors.Is(err, errSilence):
		return nil, card.ErrNoAnswer
	case errors.Is(err, errStuck):
		// The chip has lost a command or is unfit, which Select finds out; the frame is
		// lost in any case.
		return nil, fmt.Errorf("%w: %w", card.ErrNoAnswer, err)
	case err != nil:
		return nil, err
	}
	if f.layer4 && bytes.Equal(frame, []byte{cmdDeselect}) && bytes.Equal(answer, frame) {
		f.asleep = true
	}
	return answer, nil
}

// strip removes CRC_A from an answer where the chip leaves it there, which the answer to
// RATS tells: its first byte is its length.
func (f *frames) strip(command byte, answer []byte) ([]byte, error) {
	n := len(answer) - crcSize
	if command == cmdRATS && n >= 1 && int(answer[0]) == n {
		lo, hi := crcA(answer[:n])
		f.crcKept = answer[n] == lo && answer[n+1] == hi
	}
	if !f.crcKept {
		return answer, nil
	}
	if n < 1 {
		return nil, fmt.Errorf("%w: %d bytes with their CRC_A", errFrame, len(answer))
	}
	return answer[:n], nil
}
