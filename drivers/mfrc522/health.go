package mfrc522

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	// setUps is how often a chip that does not take its settings is set up.
	setUps = 3

	// flapping is how many resets without a look between them that needed none
	// make an empty field unbelievable.
	flapping = 3
)

// errSettings means that the chip answers but does not have the settings that it
// was given.
var errSettings = errors.New("the chip has lost its settings")

// reset brings the chip from any state to a configured one with its field on,
// and proves it by reading the configuration back.
func (r *Reader) reset(ctx context.Context) error {
	r.ready = false
	r.counts.Resets++
	if r.pin != nil {
		if err := r.pulse(ctx); err != nil {
			return err
		}
	}
	err := r.setUp(ctx)
	for n := 1; n < setUps && errors.Is(err, errSettings); n++ {
		// One of the writes was lost on the bus, or the chip is an odd one.
		r.tolerate(err)
		err = r.setUp(ctx)
	}
	r.ready = err == nil
	return err
}

// setUp resets the chip by command and configures it.
func (r *Reader) setUp(ctx context.Context) error {
	if err := r.chip.writeAll(setting{regCommand, commandSoftReset}); err != nil {
		return err
	}
	if err := r.awaitStart(ctx); err != nil {
		return err
	}
	if err := r.readDefaults(); err != nil {
		return err
	}
	// A reset leaves the receiver off; Idle with RcvOff clear switches it on.
	if err := r.chip.writeAll(append(r.settings(), setting{regCommand, commandIdle}, setting{regColl, 0})...); err != nil {
		return err
	}
	r.chip.reload = reload(answerTimeout)
	if err := r.chip.writeAll(setting{regTReloadL, r.chip.reload}); err != nil {
		return err
	}
	if err := sleep(ctx, fieldUp); err != nil {
		return err
	}
	return r.check()
}

// tolerate gives up on registers of a copy of the chip that do not take the data
// sheet's values: copies differ, and work all the same. They are still watched,
// with the values that they have. What the driver itself must set has to hold in
// a copy too, and in a genuine chip everything.
func (r *Reader) tolerate(err error) {
	var lost *lostError
	if genuine(r.version) || !errors.As(err, &lost) {
		return
	}
	for _, w := range lost.wrong {
		i := slices.IndexFunc(r.keeps, func(k kept) bool { return k.reg == w.reg && k.tuned })
		if i < 0 {
			continue
		}
		r.keeps[i].writes, r.keeps[i].value = 0, 0
		r.log.Warn("a register of the reader chip does not take the data sheet's value; it is left as it is",
			"register", fmt.Sprintf("%02X", byte(w.reg)), "value", fmt.Sprintf("%02X", w.is))
	}
}

// genuine reports a version of NXP's own chips.
func genuine(version byte) bool { return version == 0x91 || version == 0x92 }

// readDefaults reads what a reset left in the registers that are kept, and
// works out from it what they shall be: the reserved bits are the chip's own.
func (r *Reader) readDefaults() error {
	regs := make([]register, len(r.keeps))
	for i, k := range r.keeps {
		regs[i] = k.reg
	}
	now, before := make([]byte, len(regs)), make([]byte, len(regs))
	for n := 0; n == 0 || !bytes.Equal(now, before); n++ {
		if n == maxReads {
			return fmt.Errorf("%w: %w: its registers read differently each time: check its wiring", card.ErrDeaf, errSettings)
		}
		copy(before, now)
		if n == 0 {
			if err := r.chip.read(before, regs...); err != nil {
				return err
			}
		}
		if err := r.chip.read(now, regs...); err != nil {
			return err
		}
	}
	for i, k := range r.keeps {
		if k.leftBy(now[i]) {
			return fmt.Errorf("%w: %w: it was not reset", card.ErrDeaf, errSettings)
		}
		r.defaults[i] = now[i]
	}
	return nil
}

// settings are the registers that are kept, with the values that they shall
// have.
func (r *Reader) settings() []setting {
	list := make([]setting, len(r.keeps))
	for i, k := range r.keeps {
		list[i] = setting{k.reg, r.defaults[i]&^k.writes | k.value}
	}
	return list
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
	if genuine(version) {
		r.log.Debug("reader chip found", "version", r.Version())
	} else {
		r.log.Warn("the reader chip is a copy of the MFRC522, or an unknown version; it is used all the same", "version", r.Version())
	}
}

// What check looks at beside the registers that are kept. The version comes
// first: it cannot be written, so that a read whose first bit is spoilt on the
// bus, which makes it a write, does no harm.
var checked = [...]struct {
	reg  register
	mask byte // bits that are 0 in a sound chip
}{
	{regVersion, 0},
	{regCommand, commandPowerDown | commandRcvOff},
	{regError, errorTemp},
	{regStatus2, status2Unset},
	{regColl, collKeep},
}

const (
	// maxReads bounds how often a check reads the chip. One reading that is
	// wrong may be a bit that was spoilt on the bus.
	maxReads = 8

	// believed is how often in a row a register must read as the same wrong
	// value before it is believed.
	believed = 3
)

// wrong is a register that is not what it shall be.
type wrong struct {
	reg       register
	is, shall byte
	times     int  // in a row, 0: it was right at some reading
	mild      bool // it can be written anew without a reset
}

// lostError is what a check found.
type lostError struct{ wrong []wrong }

func (e *lostError) Unwrap() error { return errSettings }

func (e *lostError) Error() string {
	var b strings.Builder
	b.WriteString(errSettings.Error())
	for _, w := range e.wrong {
		fmt.Fprintf(&b, ", register %02X is %02X and not %02X", byte(w.reg), w.is, w.shall)
	}
	return b.String()
}

// check asks, in one transfer, whether the chip still is what reset made it. A
// dip of the supply or a disturbance can change its registers while its bus
// works on, and then "no card" would be a lie. What looks wrong is read again:
// a reset switches the field off, and a phone that lies there has another UID
// afterwards.
func (r *Reader) check() error {
	pending, err := r.inspect(nil)
	for n := 1; n < maxReads && (err != nil || slices.ContainsFunc(pending, func(w wrong) bool { return w.times < believed })); n++ {
		if err != nil && n == believed {
			return err
		}
		var again []wrong
		if again, err = r.inspect(pending); err == nil {
			pending = again
		}
		if err == nil && len(pending) == 0 {
			r.counts.Misreads++
			return nil
		}
	}
	switch {
	case err != nil:
		return err
	case len(pending) == 0:
		return nil
	case len(pending) == 1 && pending[0].reg == regStatus2 && pending[0].is&status2Unset == status2Crypto1:
		return r.clearCrypto1(pending[0].is)
	}
	return r.diagnose(pending)
}

// inspect reads all registers that matter. Of those in before, only what is
// still wrong is returned; where before is nil, whatever is wrong.
func (r *Reader) inspect(before []wrong) ([]wrong, error) {
	n := 0
	for _, c := range checked {
		r.regs[n] = c.reg
		n++
	}
	r.regs[n] = regTReloadL
	n++
	for _, k := range r.keeps {
		r.regs[n] = k.reg
		n++
	}
	v := r.values[:n]
	if err := r.chip.read(v, r.regs[:n]...); err != nil {
		return nil, err
	}
	var found []wrong
	add := func(w wrong) {
		w.times = 1
		if before != nil {
			i := slices.IndexFunc(before, func(b wrong) bool { return b.reg == w.reg })
			if i < 0 {
				return
			}
			if before[i].is == w.is {
				w.times += before[i].times
			}
		}
		found = append(found, w)
	}
	for i, c := range checked {
		if v[i]&c.mask != 0 || c.reg == regVersion && noChip(v[i]) {
			add(wrong{reg: c.reg, is: v[i], shall: v[i] &^ c.mask, mild: c.reg == regStatus2})
		}
	}
	n = len(checked)
	if v[n] != r.chip.reload {
		add(wrong{reg: regTReloadL, is: v[n], shall: r.chip.reload, mild: v[n] != 0})
	}
	n++
	for i, k := range r.keeps {
		shall := r.defaults[i]&^k.writes | k.value
		if v[n+i] != shall {
			add(wrong{reg: k.reg, is: v[n+i], shall: shall, mild: !k.cleared(v[n+i], r.defaults[i])})
		}
	}
	return found, nil
}

// clearCrypto1 ends the encryption that an authentication has left behind: no
// card understands what the chip sends.
func (r *Reader) clearCrypto1(status2 byte) error {
	r.log.Debug("clearing a stuck MFCrypto1On")
	if err := r.chip.writeAll(setting{regStatus2, status2 &^ status2Crypto1}); err != nil {
		return err
	}
	var v [1]byte
	if err := r.chip.read(v[:], regStatus2); err != nil {
		return err
	}
	if v[0]&status2Crypto1 != 0 {
		return fmt.Errorf("%w: MFCrypto1On cannot be cleared", card.ErrDeaf)
	}
	return nil
}

// diagnose makes an error of what a check found.
func (r *Reader) diagnose(found []wrong) error {
	for _, w := range found {
		switch w.reg {
		case regVersion:
			return busDead(w.is)
		case regError:
			return fmt.Errorf("%w: the chip is overheated and has switched its field off", card.ErrDeaf)
		case regCommand:
			return fmt.Errorf("%w: the chip or its receiver is switched off (command register %02X)", card.ErrDeaf, w.is)
		case regTxControl:
			if w.is&txControlField != txControlField {
				return fmt.Errorf("%w: the field is off (TxControl %02X)", card.ErrDeaf, w.is)
			}
		}
	}
	return fmt.Errorf("%w: %w", card.ErrDeaf, &lostError{found})
}

// mend makes a chip that was found unfit fit again, and logs why. Single
// registers are written anew with the field left on. A register that has its value
// of after a reset says that the chip has reset itself, and then all of it is
// set up again.
func (r *Reader) mend(ctx context.Context, cause error) error {
	var lost *lostError
	mended := false
	if errors.As(cause, &lost) && !slices.ContainsFunc(lost.wrong, func(w wrong) bool { return !w.mild }) {
		err := r.chip.writeAll(append(r.settings(), setting{regStatus2, 0}, setting{regTReloadL, r.chip.reload})...)
		if err == nil {
			// What was wrong may have kept the field from the cards.
			err = sleep(ctx, fieldUp)
		}
		mended = err == nil && r.check() == nil
	}
	if !mended {
		if err := r.reset(ctx); err != nil {
			return err
		}
	}
	r.counts.Mends++
	r.streak++
	if now := time.Now(); r.mendLogged.IsZero() || now.Sub(r.mendLogged) >= logEvery {
		r.mendLogged = now
		if mended {
			r.log.Warn("reader chip was given its settings again and works", "reason", cause)
		} else {
			r.log.Warn("reader chip was reset and works again", "reason", cause)
		}
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
