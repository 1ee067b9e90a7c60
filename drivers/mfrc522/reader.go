package mfrc522

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

const (
	// maxCards bounds how many cards one scan reports. More do not get enough
	// power from the field to work.
	maxCards = 8

	// scanTime bounds one scan. A card that is being selected at its end is still
	// finished.
	scanTime = 150 * time.Millisecond

	// tries is how often one scan tries to select a card whose answers are bad.
	tries = 3

	// forgetAfter is how many scans in a row must miss a card that was there
	// before it is no longer called by its UID.
	forgetAfter = 3

	// calls is how often one scan calls such a card while nobody answers. A card
	// whose ATQA got lost is READY and takes the next WUPA for an error, which
	// sends it back without an answer (ISO/IEC 14443-3, 6.3). So one call may be
	// in vain after each lost answer, and more than one answer may be lost. Once
	// somebody answers, the limit is tries.
	calls = 5

	defaultSpeed = physic.MegaHertz
	maxSpeed     = 10 * physic.MegaHertz // data sheet, 8.1.2
	defaultGain  = 33
)

// Options are what a reader can be told. The zero value will do.
type Options struct {
	// Speed is the SPI clock, at most 10 MHz; 0 means 1 MHz. Long wires and
	// many boards fail above 4 MHz.
	Speed physic.Frequency

	// GainDB is the receiver's gain: 18, 23, 33, 38, 43 or 48 dB (data sheet,
	// 9.3.3.6); 0 means 33. More gain reads farther, and hears more noise.
	GainDB int

	// Reset is the pin that is wired to RST, nil where none is. Then only the
	// soft reset can mend a chip.
	Reset gpio.PinOut

	// IRQ is the pin that is wired to the chip's IRQ, nil where none is. An edge
	// there shortens the wait for an answer, and is never relied on: a pin that
	// is dead, stuck or noisy changes nothing but how long a scan takes.
	IRQ gpio.PinIn

	// Log may be nil.
	Log *slog.Logger
}

// Reader is an MFRC522 and the cards in its field. It implements card.Reader and
// card.Selector.
// One goroutine uses it at a time.
type Reader struct {
	chip chip
	port io.Closer // nil where the port cannot be closed
	pin  gpio.PinOut
	log  *slog.Logger

	ready        bool // the chip is configured, and nothing said otherwise since
	closed       bool
	versionKnown bool // version is known
	version      byte
	mendStreak   int // repairs since the last scan that needed none
	counts       card.Counts

	guarded  []guarded
	defaults []byte // values of the guarded registers after the last reset
	regs     [maxChecked]register
	values   [maxChecked]byte

	pinWarned, irqWarned bool
	mendLogged           time.Time

	last []lastSeen // cards of the last scans, which may still be there
}

// maxChecked is how many registers one check reads at most.
const maxChecked = fifoSize

// lastSeen is a card that an earlier scan saw.
type lastSeen struct {
	card.Card
	misses int // scans in a row that did not see it
}

var (
	_ card.Reader   = (*Reader)(nil)
	_ card.Counter  = (*Reader)(nil)
	_ card.Selector = (*Reader)(nil)
)

// New connects to the chip, resets it and switches its field on. An error wraps
// card.ErrBusDead where the bus or the chip does not answer, card.ErrDeaf where
// the chip answers but cannot be set up; it is a card.UnfitError where its version
// is known.
//
// The reader takes the port over: Close closes it, if it is an io.Closer. When
// New fails, the port is still the caller's to close, and the next attempt needs
// another one: a port connects only once.
func New(port spi.Port, opts Options) (*Reader, error) {
	gain, err := gainCode(opts.GainDB)
	if err != nil {
		return nil, err
	}
	if opts.Speed == 0 {
		opts.Speed = defaultSpeed
	}
	if opts.Speed < 0 || opts.Speed > maxSpeed {
		return nil, fmt.Errorf("set up MFRC522: SPI clock of %v: want at most %v", opts.Speed, maxSpeed)
	}
	conn, err := port.Connect(opts.Speed, spi.Mode0, 8)
	if err != nil {
		return nil, fmt.Errorf("connect to MFRC522: %w: %w", card.ErrBusDead, err)
	}
	r := &Reader{chip: chip{conn: conn}, pin: opts.Reset, log: opts.Log}
	r.port, _ = port.(io.Closer)
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if opts.IRQ != nil {
		if err := opts.IRQ.In(gpio.PullUp, gpio.FallingEdge); err != nil {
			r.log.Warn("cannot use the interrupt pin, the reader works without it", "pin", opts.IRQ.String(), "error", err)
		} else {
			r.chip.irq.pin = opts.IRQ
		}
	}
	r.guarded = guardedRegisters(gain, r.chip.irq.pin != nil)
	r.defaults = make([]byte, len(r.guarded))
	if err := r.reset(context.Background()); err != nil {
		err = fmt.Errorf("set up MFRC522: %w", err)
		if r.versionKnown {
			err = &card.UnfitError{Version: r.Version(), Err: err}
		}
		return nil, err
	}
	r.counts = card.Counts{}
	return r, nil
}

// gainCode is the value of RxGain in RFCfgReg (data sheet, table 98).
func gainCode(db int) (byte, error) {
	if db == 0 {
		db = defaultGain
	}
	codes := map[int]byte{18: 0, 23: 1, 33: 4, 38: 5, 43: 6, 48: 7}
	code, ok := codes[db]
	if !ok {
		return 0, fmt.Errorf("set up MFRC522: gain of %d dB: want 18, 23, 33, 38, 43 or 48", db)
	}
	return code, nil
}

// Counts implements card.Counter.
func (r *Reader) Counts() card.Counts { return r.counts }

// Version is the chip's version register in hex digits, as last read.
func (r *Reader) Version() string { return fmt.Sprintf("%02X", r.version) }

// Close switches the field off and closes the port. Further calls do nothing.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed, r.ready = true, false
	err := r.chip.writeAll(
		setting{regCommand, commandIdle},
		setting{regTxControl, txControlReset},
	)
	if r.port != nil {
		err = errors.Join(err, r.port.Close())
	}
	if err != nil {
		return fmt.Errorf("close MFRC522: %w", err)
	}
	return nil
}

// Poll scans the field once; see card.Reader. A chip that needs it is reset first,
// or in the middle of the scan, so that an error means that a reset did not help
// either. The next call tries again: call with growing pauses while it fails. What
// Poll cannot repair is a port whose device was taken away and came back; that
// takes a new port and a new reader.
//
// A scan takes at most scanTime (150 ms) and the time of the card that it is at;
// with resets about half a second. A cancelled context ends it between two cards.
func (r *Reader) Poll(ctx context.Context) ([]card.Card, error) {
	seen, err := r.poll(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for cards: %w", err)
	}
	return seen, nil
}

func (r *Reader) poll(ctx context.Context) ([]card.Card, error) {
	if r.closed {
		return nil, errors.New("the reader is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	streak := r.mendStreak
	if err := r.ensureReady(ctx); err != nil {
		return nil, err
	}

	var s scan
	err := r.scan(ctx, &s)
	if err == nil && s.noise {
		// Noise on the air is harmless, but a failing bus can look like it.
		err = r.check()
	}
	if err != nil && ctx.Err() == nil && r.check() == nil {
		// The chip is sound: a single write that was spoilt on the bus can have made
		// it wait for ever.
		err = r.scan(ctx, &s)
	}
	if err != nil && ctx.Err() == nil {
		if err = r.mend(ctx, err); err == nil {
			err = r.scan(ctx, &s)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		r.ready = false
		if errors.Is(err, errStuck) {
			err = fmt.Errorf("%w: %w, even after a reset", card.ErrDeaf, err)
		}
		return nil, err
	}
	r.remember(s.seen)
	if r.mendStreak == streak {
		r.mendStreak = 0
	}
	r.warnOfPin()
	if r.mendStreak >= flapping && len(s.seen) == 0 {
		return nil, fmt.Errorf("%w: the chip needs a reset at every look: check its 3.3 V", card.ErrDeaf)
	}
	return s.seen, nil
}

// warnOfPin logs once that the interrupt pin is of no use.
func (r *Reader) warnOfPin() {
	if reason := r.chip.irq.fault(); reason != "" && !r.irqWarned {
		r.irqWarned = true
		r.log.Warn("the interrupt pin is of no use, the reader works without it: check its wiring", "pin", r.chip.irq.pin.String(), "reason", reason)
	}
}

// remember keeps the cards that this scan saw, and for a few scans those that it
// missed.
func (r *Reader) remember(seen []card.Card) {
	r.counts.Scans++
	r.counts.Seen += int64(len(seen))
	before := r.last
	r.last = nil
	for _, c := range seen {
		r.last = append(r.last, lastSeen{Card: c})
	}
	for _, k := range before {
		if slices.ContainsFunc(seen, func(c card.Card) bool { return c.UID == k.UID }) {
			r.counts.Misses += int64(k.misses)
		} else if k.misses++; k.misses < forgetAfter {
			r.last = append(r.last, k)
		}
	}
}

// ensureReady makes sure that the chip is fit to scan, by a reset if need be.
func (r *Reader) ensureReady(ctx context.Context) error {
	if !r.ready {
		return r.reset(ctx)
	}
	err := r.check()
	if err == nil {
		return nil
	}
	return r.mend(ctx, err)
}

// scan is what one scan has found so far.
type scan struct {
	seen  []card.Card
	noise bool // some exchange did not go as the standard says
}

func (s *scan) has(uid card.UID) bool {
	return slices.ContainsFunc(s.seen, func(c card.Card) bool { return c.UID == uid })
}

func (s *scan) add(c card.Card) {
	if !s.has(c.UID) {
		s.seen = append(s.seen, c)
	}
}

// scan finds the cards in the field. An error is the chip's or the bus's; a card
// that does something wrong is only not seen.
func (r *Reader) scan(ctx context.Context, s *scan) error {
	end := time.Now().Add(scanTime)
	more := func() bool {
		return ctx.Err() == nil && len(s.seen) < maxCards && time.Now().Before(end)
	}

	// All cards: down one branch of every collision after the other.
	answered := false // by any card
	walked := make(map[path]bool)
	for branches := []path{{}}; len(branches) > 0 && more(); {
		p := branches[len(branches)-1]
		branches = branches[:len(branches)-1]
		if walked[p] {
			continue
		}
		walked[p] = true
		found, err := r.selectOne(cmdWUPA, p, tries, s, more)
		if err != nil {
			return err
		}
		answered = answered || found.answered
		branches = append(branches, found.branches...)
	}

	// Cards that were there before and did not answer: another card's answer may
	// have covered theirs, they missed a HLTA and took WUPA for an error, or their
	// own answer got lost.
	for _, c := range r.last {
		answers := 0
		for n := 0; n < calls && answers < tries && !s.has(c.UID) && more(); n++ {
			found, err := r.selectOne(cmdWUPA, pathOf(c.UID), 1, s, more)
			if err != nil {
				return err
			}
			if found.answered {
				answers++
				answered = true
			}
		}
	}

	// New cards whose answer was covered. All others are halted by now.
	for answered && more() {
		before := len(s.seen)
		if _, err := r.selectOne(cmdREQA, path{}, tries, s, more); err != nil {
			return err
		}
		if len(s.seen) == before {
			break
		}
	}
	return nil
}

// selection is the result of selectOne, beside the card that it may have found.
type selection struct {
	answered bool   // at least one card answered the request
	branches []path // branches of collisions that it did not follow
}

// activate wakes the cards by a command (WUPA or REQA) and selects the one at the end of
// the path, which is then ACTIVE. answered is false where nobody answered the command.
// After an error no card is left awake: one that is ACTIVE answers neither REQA nor WUPA.
func (r *Reader) activate(command byte, p path, w *walk) (c card.Card, answered bool, err error) {
	atqa, err := r.chip.request(command)
	if errors.Is(err, errSilence) {
		return card.Card{}, false, err
	}
	if err == nil {
		c.ATQA = atqa.bytes
		c.UID, c.SAK, err = r.chip.descend(p, atqa.levels(), w)
	}
	if errors.Is(err, errFrame) || errors.Is(err, errSilence) {
		if haltErr := r.chip.halt(); haltErr != nil {
			err = haltErr
		}
	}
	return c, true, err
}

// selectOne wakes the cards by a command (WUPA or REQA), selects the one at the end
// of the path, and puts it to sleep again. It tries up to so many times while the
// answers are bad: the card may be on its way out of the field.
func (r *Reader) selectOne(command byte, p path, times int, s *scan, more func() bool) (selection, error) {
	var sel selection
	for range times {
		var w walk
		c, answered, err := r.activate(command, p, &w)
		if !answered {
			return sel, nil
		}
		sel.answered = true
		if err == nil {
			err = r.chip.halt()
		}
		// The other branches are followed also where this card is never selected.
		sel.branches = append(sel.branches, w.branches...)
		switch {
		case err == nil:
			s.add(c)
			return sel, nil
		case !errors.Is(err, errFrame) && !errors.Is(err, errSilence):
			return sel, err
		}
		// Silence after a call by UID only means that this card is not there.
		if p.bits == 0 || !errors.Is(err, errSilence) {
			r.counts.BadFrames++
			s.noise = true
		}
		if !more() {
			break
		}
	}
	return sel, nil
}
