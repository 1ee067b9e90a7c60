package mfrc522

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"presence/drivers/card"
)

const (
	// resetTimeout bounds the wait for the end of a reset. The data sheet
	// (8.8.2) leaves the start-up time of the oscillator to the crystal.
	resetTimeout = 150 * time.Millisecond

	// resetPulse is how long the reset pin is held low; 100 ns would do (8.8.1).
	resetPulse = time.Millisecond

	// fieldUp is the time from switching the field on to the first request.
	// Cards must be ready after 5 ms (ISO/IEC 14443-3, clause 5); processor cards
	// need all of it.
	fieldUp = 5 * time.Millisecond

	// logEvery keeps a supply that dips all the time from filling the log.
	logEvery = time.Minute

	// flapping is how many resets without a look between them that needed none
	// make an empty field unbelievable.
	flapping = 3
)

// reset brings the chip from any state to a configured one with its field on,
// and proves it by reading the configuration back.
func (r *Reader) reset(ctx context.Context) error {
	r.ready = false
	if r.pin != nil {
		if err := r.pulse(ctx); err != nil {
			return err
		}
	}
	if err := r.chip.write(regCommand, commandSoftReset); err != nil {
		return err
	}
	if err := r.awaitStart(ctx); err != nil {
		return err
	}
	err := r.chip.writeAll(
		setting{regCommand, commandIdle},             // a reset leaves the receiver off
		setting{regTxMode, 0}, setting{regRxMode, 0}, // 106 kBd, CRC by software
		setting{regModWidth, modWidth},
		setting{regTxASK, txASK100},
		setting{regMode, modeCRC6363},
		setting{regRFCfg, r.gain<<rxGainShift | rfCfgReserved},
		setting{regTMode, tModeAuto}, setting{regTPrescaler, tPrescaler},
		setting{regTReloadH, timerTicks >> 8}, setting{regTReloadL, timerTicks & 0xFF},
		setting{regTxControl, txControlReset | txControlField},
	)
	if err != nil {
		return err
	}
	if err := sleep(ctx, fieldUp); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	r.ready = true
	return nil
}

// pulse resets the chip by its pin. A pin that cannot be driven is no reason to
// read no cards: the soft reset that follows mends most faults.
func (r *Reader) pulse(ctx context.Context) error {
	err := r.pin.Out(gpio.Low)
	if err == nil {
		// Not cut short: the pin must not stay low.
		time.Sleep(resetPulse)
		err = r.pin.Out(gpio.High)
	}
	if err != nil && !r.pinWarned {
		r.pinWarned = true
		r.log.Warn("cannot drive the reset pin, soft reset only", "pin", r.pin.String(), "error", err)
	}
	return ctx.Err()
}

// awaitStart waits until the chip answers and has left its power-down state.
// What is written before that can be lost.
func (r *Reader) awaitStart(ctx context.Context) error {
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		waited := time.Since(start)
		var v [2]byte
		if err := r.chip.read(v[:], regCommand, regVersion); err != nil {
			return err
		}
		dead := noChip(v[1])
		if !dead && v[0]&commandPowerDown == 0 {
			r.meet(v[1])
			return nil
		}
		if waited < resetTimeout {
			continue
		}
		if dead {
			return busDead(v[1])
		}
		return fmt.Errorf("%w: a reset did not end within %v", card.ErrDeaf, resetTimeout)
	}
}

// meet notes the chip's version, and says once what it is.
func (r *Reader) meet(version byte) {
	if r.met && r.version == version {
		return
	}
	r.met, r.version = true, version
	switch version {
	case 0x91, 0x92:
		r.log.Debug("reader chip found", "version", r.Version())
	default:
		r.log.Warn("the reader chip is a copy of the MFRC522, or an unknown version; it is used all the same", "version", r.Version())
	}
}

// check asks, in one transfer, whether the chip still is what reset made it. A
// dip of the supply or a disturbance can clear its registers while its bus
// works on, and then "no card" would be a lie.
func (r *Reader) check() error {
	var v [8]byte
	err := r.chip.read(v[:], regVersion, regCommand, regError, regStatus2, regTxControl, regTxASK, regTMode, regTReloadL)
	if err != nil {
		return err
	}
	command, chipError, status2, txControl := v[1], v[2], v[3], v[4]
	switch {
	case noChip(v[0]):
		return busDead(v[0])
	case chipError&errorTemp != 0:
		return fmt.Errorf("%w: the chip is overheated and has switched its field off", card.ErrDeaf)
	case command&(commandPowerDown|commandRcvOff) != 0:
		return fmt.Errorf("%w: the chip or its receiver is switched off (command register %02X)", card.ErrDeaf, command)
	case txControl&txControlField != txControlField:
		return fmt.Errorf("%w: the field is off (TxControl %02X)", card.ErrDeaf, txControl)
	case v[5]&txASK100 == 0 || v[6]&tModeAuto == 0 || v[7] != timerTicks&0xFF:
		return fmt.Errorf("%w: the chip has lost its settings", card.ErrDeaf)
	case status2&status2Crypto1 == 0:
		return nil
	}

	// The chip encrypts what it sends, and no card understands it.
	r.log.Debug("clearing a stuck MFCrypto1On")
	if err := r.chip.write(regStatus2, status2&^status2Crypto1); err != nil {
		return err
	}
	if err := r.chip.read(v[:1], regStatus2); err != nil {
		return err
	}
	if v[0]&status2Crypto1 != 0 {
		return fmt.Errorf("%w: MFCrypto1On cannot be cleared", card.ErrDeaf)
	}
	return nil
}

// mend resets a chip that was found unfit, and logs why.
func (r *Reader) mend(ctx context.Context, cause error) error {
	if err := r.reset(ctx); err != nil {
		return err
	}
	r.mends++
	if now := time.Now(); r.mendLogged.IsZero() || now.Sub(r.mendLogged) >= logEvery {
		r.mendLogged = now
		r.log.Warn("reader chip was reset and works again", "reason", cause)
	}
	return nil
}

// noChip reports a version register that no chip has: the bus reads as all
// zeros or all ones when nothing drives it.
func noChip(version byte) bool { return version == 0x00 || version == 0xFF }

func busDead(version byte) error {
	return fmt.Errorf("%w: the chip's version reads as %02X: check its wiring and its 3.3 V", card.ErrBusDead, version)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
