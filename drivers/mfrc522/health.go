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

	// logEvery is how often repairs are logged at most: a supply may dip all the
	// time.
	logEvery = time.Minute

	// setUpTries is how often a chip that does not take its settings is set up.
	setUpTries = 3

	// flapping is how many repairs there must have been since the last scan that
	// needed none, for an empty field not to be believed.
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
	for n := 1; n < setUpTries && errors.Is(err, errSettings); n++ {
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

// tolerate accepts that a copy of the chip has registers which do not take the data
// sheet's reset value: copies differ, and work all the same. They are guarded from
// then on with the value that they have. A register that the driver itself must set
// has to take its value in a copy too, and in a genuine chip all have to.
func (r *Reader) tolerate(err error) {
	var lost *settingsError
	if genuine(r.version) || !errors.As(err, &lost) {
		return
	}
	for _, w := range lost.deviations {
		i := slices.IndexFunc(r.guarded, func(k guarded) bool { return k.reg == w.reg && k.atReset })
		if i < 0 {
			continue
		}
		r.guarded[i].mask, r.guarded[i].value = 0, 0
		r.log.Warn("a register of the reader chip does not take the data sheet's value; it is left as it is",
			"register", fmt.Sprintf("%02X", byte(w.reg)), "value", fmt.Sprintf("%02X", w.is))
	}
}

// genuine reports a version of NXP's own chips.
func genuine(version byte) bool { return version == 0x91 || version == 0x92 }

// readDefaults reads what a reset left in the guarded registers: their reserved
// bits are the chip's own and stay so.
func (r *Reader) readDefaults() error {
	regs := make([]register, len(r.guarded))
	for i, k := range r.guarded {
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
	for i, k := range r.guarded {
		if k.notReset(now[i]) {
			return fmt.Errorf("%w: %w: it was not reset", card.ErrDeaf, errSettings)
		}
		r.defaults[i] = now[i]
	}
	return nil
}

// settings are the guarded registers with the values that they must have.
func (r *Reader) settings() []setting {
	list := make([]setting, len(r.guarded))
	for i, k := range r.guarded {
		list[i] = setting{k.reg, r.defaults[i]&^k.mask | k.value}
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
			r.noteVersion(v[1])
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

// noteVersion remembers the chip's version, and logs once what it is.
func (r *Reader) noteVersion(version byte) {
	if r.versionKnown && r.version == version {
		return
	}
	r.versionKnown, r.version = true, version
	if genuine(version) {
		r.log.Debug("reader chip found", "version", r.Version())
	} else {
		r.log.Warn("the reader chip is a copy of the MFRC522, or an unknown version; it is used all the same", "version", r.Version())
	}
}

// What check reads beside the guarded registers. The version comes first: it
// cannot be written, so that a read whose first bit is spoilt on the bus, which
// makes it a write, does no harm.
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
	// maxReads bounds how often a check reads the chip. A single wrong value may be
	// a bit that was spoilt on the bus.
	maxReads = 8

	// confirmations is how often in a row a register must read as the same wrong
	// value before it counts as wrong.
	confirmations = 3
)

// deviation is a register that does not have the value that it must have.
type deviation struct {
	reg        register
	is, want   byte
	times      int  // that it read so in a row
	rewritable bool // it can be written anew without a reset
}

// settingsError names the registers that a check found to be wrong.
type settingsError struct{ deviations []deviation }

func (e *settingsError) Unwrap() error { return errSettings }

func (e *settingsError) Error() string {
	var b strings.Builder
	b.WriteString(errSettings.Error())
	for _, w := range e.deviations {
		fmt.Fprintf(&b, ", register %02X is %02X and not %02X", byte(w.reg), w.is, w.want)
	}
	return b.String()
}

// check reads, in one transfer, whether the chip still has the settings that reset
// gave it. A dip of the supply or a disturbance can change its registers while its
// bus goes on working, and then "no card" would be untrue. What is wrong is read
// again before it counts: a reset switches the field off, and a phone that lies
// there has another UID afterwards.
func (r *Reader) check() error {
	pending, err := r.inspect(nil)
	for n := 1; n < maxReads && (err != nil || slices.ContainsFunc(pending, func(w deviation) bool { return w.times < confirmations })); n++ {
		if err != nil && n == confirmations {
			return err
		}
		var again []deviation
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

// inspect reads all registers that matter and returns those that are wrong; unless
// before is nil, only those of them that are in before too.
func (r *Reader) inspect(before []deviation) ([]deviation, error) {
	n := 0
	for _, c := range checked {
		r.regs[n] = c.reg
		n++
	}
	r.regs[n] = regTReloadL
	n++
	for _, k := range r.guarded {
		r.regs[n] = k.reg
		n++
	}
	v := r.values[:n]
	if err := r.chip.read(v, r.regs[:n]...); err != nil {
		return nil, err
	}
	var found []deviation
	add := func(w deviation) {
		w.times = 1
		if before != nil {
			i := slices.IndexFunc(before, func(b deviation) bool { return b.reg == w.reg })
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
			add(deviation{reg: c.reg, is: v[i], want: v[i] &^ c.mask, rewritable: c.reg == regStatus2})
		}
	}
	n = len(checked)
	if v[n] != r.chip.reload {
		add(deviation{reg: regTReloadL, is: v[n], want: r.chip.reload, rewritable: v[n] != 0})
	}
	n++
	for i, k := range r.guarded {
		shall := r.defaults[i]&^k.mask | k.value
		if v[n+i] != shall {
			add(deviation{reg: k.reg, is: v[n+i], want: shall, rewritable: !k.cleared(v[n+i], r.defaults[i])})
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

// diagnose makes an error of the deviations that a check found.
func (r *Reader) diagnose(found []deviation) error {
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
	return fmt.Errorf("%w: %w", card.ErrDeaf, &settingsError{found})
}

// mend makes a chip that was found unfit fit again, and logs why. Single registers
// are written anew with the field left on. A register that has its reset value means
// that the chip has reset itself, and then it is set up from the start.
func (r *Reader) mend(ctx context.Context, cause error) error {
	var lost *settingsError
	mended := false
	if errors.As(cause, &lost) && !slices.ContainsFunc(lost.deviations, func(w deviation) bool { return !w.rewritable }) {
		err := r.chip.writeAll(append(r.settings(), setting{regStatus2, 0}, setting{regTReloadL, r.chip.reload})...)
		if err == nil {
			// What was wrong may have switched the field off for the cards.
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
	r.mendStreak++
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
