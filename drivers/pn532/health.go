package pn532

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"presence/drivers/card"
)

const (
	// resetPulse is how long the reset pin is held low, resetPause what the chip's
	// firmware needs to start afterwards. Both are several times what the data sheet
	// asks for, since boards have a capacitor there.
	resetPulse = 5 * time.Millisecond
	resetPause = 20 * time.Millisecond

	// fieldUp is the time from switching the field on to the first request: cards
	// must be ready after 5 ms (ISO clause 5). fieldDown is how long it has to be off
	// for cards to lose their state.
	fieldUp   = 5 * time.Millisecond
	fieldDown = 5 * time.Millisecond

	// logEvery is how often repairs are logged at most: a supply may dip all the time.
	logEvery = time.Minute

	// flapping is how many repairs there must have been since the last scan that
	// needed none, for an empty field not to be believed.
	flapping = 3
)

// chipPN532 is the first byte of GetFirmwareVersion.
const chipPN532 = 0x32

// reset brings the chip from any state to a configured one with its field on.
func (r *Reader) reset(ctx context.Context) error {
	r.ready = false
	r.counts.Resets++
	r.link.line = line{}
	if r.pin != nil {
		if err := r.pulse(ctx); err != nil {
			return err
		}
	}
	err := r.setUp(ctx)
	if err != nil && !r.link.line.heard && !errors.Is(err, card.ErrBusDead) && ctx.Err() == nil {
		// Some boards hear nothing of what comes right after chip select.
		r.link.slow = !r.link.slow
		err = r.setUp(ctx)
		if err != nil && !r.link.line.heard {
			r.link.slow = !r.link.slow
		}
	}
	switch {
	case err == nil:
		r.ready = true
		r.noteSlow()
		return nil
	case ctx.Err() != nil, errors.Is(err, card.ErrBusDead), errors.Is(err, card.ErrDeaf):
		return err
	case !r.link.line.heard:
		return r.link.line.fault()
	}
	return fmt.Errorf("%w: %w", card.ErrDeaf, err)
}

// setUp wakes the chip and configures it.
func (r *Reader) setUp(ctx context.Context) error {
	r.link.dirty, r.framing, r.timer = true, framingUnknown, 0
	if err := r.link.rouse(); err != nil {
		return err
	}
	// The chip starts in a mode for low batteries, in which it carries out little
	// but this.
	irq := byte(0)
	if r.link.irq.pin != nil {
		irq = 1
	}
	if err := r.do(ctx, cmdSAMConfiguration, samNormal, samTimeout, irq); err != nil {
		return err
	}
	version, err := r.firmware(ctx)
	if err != nil {
		return err
	}
	r.noteVersion(version)
	for _, params := range [][]byte{
		{cmdSetParameters, paramAutoATR},
		{cmdRFConfiguration, rfExchanges, exchangeRetries},
		{cmdRFConfiguration, rfRetries, 0xFF, 0x01, requests},
	} {
		if err := r.do(ctx, params[0], params[1:]...); err != nil {
			return err
		}
	}
	if err := r.setTimer(ctx, timeoutRaw); err != nil {
		return err
	}
	// Cards that a reader before this one has left in some state start anew.
	if err := r.cycle(ctx); err != nil {
		return err
	}
	return r.check(ctx)
}

// check makes sure that the field is on: without it no card is seen, and all else
// works as ever.
func (r *Reader) check(ctx context.Context) error {
	on, err := r.fieldIsOn(ctx)
	if err == nil && !on {
		if err = r.setField(ctx, 1); err == nil {
			on, err = r.fieldIsOn(ctx)
		}
	}
	if err == nil && !on {
		err = fmt.Errorf("%w: its field does not come on", card.ErrDeaf)
	}
	return err
}

// pulse resets the chip by its pin. A pin that cannot be driven is no reason to read
// no cards.
func (r *Reader) pulse(ctx context.Context) error {
	err := r.pin.Out(gpio.Low)
	if err == nil {
		// Not cut short: the pin must not stay low.
		time.Sleep(resetPulse)
		err = r.pin.Out(gpio.High)
	}
	if err != nil && !r.pinWarned {
		r.pinWarned = true
		r.log.Warn("cannot drive the reset pin", "pin", r.pin.String(), "error", err)
	}
	return sleep(ctx, resetPause)
}

// mend makes a chip that was found unfit fit again, and logs why.
func (r *Reader) mend(ctx context.Context, cause error) error {
	if err := r.reset(ctx); err != nil {
		return err
	}
	r.counts.Mends++
	r.mendStreak++
	if now := time.Now(); r.mendLogged.IsZero() || now.Sub(r.mendLogged) >= logEvery {
		r.mendLogged = now
		r.log.Warn("reader chip was set up anew and works again", "reason", cause)
	}
	return nil
}

// noteVersion remembers the chip's version, and logs once what it is.
func (r *Reader) noteVersion(version [4]byte) {
	if r.version == version {
		return
	}
	r.version = version
	if version[0] == chipPN532 {
		r.log.Debug("reader chip found", "version", r.Version())
	} else {
		r.log.Warn("the reader chip says that it is no PN532; it is used all the same", "version", r.Version())
	}
}

// noteSlow logs once that the chip needs a pause after chip select.
func (r *Reader) noteSlow() {
	if r.link.slow && !r.slowLogged {
		r.slowLogged = true
		r.log.Info("the reader board needs a pause after chip select, which makes it slower; no other device may be on its bus")
	}
}
