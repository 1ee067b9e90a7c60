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
	// maxCards bounds how many cards one look reports. More do not get enough
	// power to work.
	maxCards = 8

	// lookTime bounds one look; the card that is being selected at its end is
	// still finished.
	lookTime = 150 * time.Millisecond

	// tries is how often one card is tried before this look gives it up.
	tries = 3

	// remembered is how many looks in a row must miss a card that was there
	// before no look calls it by its UID any more.
	remembered = 3

	// calls is how often such a card is called in one look. A card whose ATQA
	// got lost is READY and takes the next WUPA for an error, which sends it
	// back and is not answered (ISO/IEC 14443-3, 6.3): so every other call
	// counts for nothing, and there are some to spare for a line that loses
	// more than one answer.
	// Of calls that somebody answers, tries are enough.
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
	// is dead, stuck or noisy changes nothing but how long a look takes.
	IRQ gpio.PinIn

	// Log may be nil.
	Log *slog.Logger
}

// Reader is an MFRC522 and the cards in its field. It implements card.Reader.
// One goroutine uses it at a time.
type Reader struct {
	chip chip
	port io.Closer // nil where the port cannot be closed
	pin  gpio.PinOut
	log  *slog.Logger

	ready   bool // the chip is configured, and nothing said otherwise since
	closed  bool
	met     bool // version is known
	version byte
	streak  int // mends since the last look that needed none
	counts  card.Counts

	keeps    []kept
	defaults []byte // of the registers that are kept, as the last reset left them
	regs     [maxChecked]register
	values   [maxChecked]byte

	pinWarned, irqWarned bool
	mendLogged           time.Time

	last []known // who was there before this look, and may still be
}

// maxChecked is how many registers one check reads at most.
const maxChecked = fifoSize

// known is a card that an earlier look saw.
type known struct {
	card.Card
	misses int // looks in a row that did not see it
}

var (
	_ card.Reader  = (*Reader)(nil)
	_ card.Counter = (*Reader)(nil)
)

// New connects to the chip, resets it and switches its field on. An error wraps
// card.ErrBusDead where the bus or the chip does not answer, card.ErrDeaf where
// the chip answers but cannot be set up.
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
	r.keeps = keeps(gain, r.chip.irq.pin != nil)
	r.defaults = make([]byte, len(r.keeps))
	if err := r.reset(context.Background()); err != nil {
		return nil, fmt.Errorf("set up MFRC522: %w", err)
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

// Poll looks once; see card.Reader. A chip that needs it is reset first, or in
// the middle, so that an error means that a reset did not help either. The next
// call tries again: call with growing pauses while it fails. What Poll cannot
// mend is a port whose device was taken away and came back; that takes a new
// port and a new reader.
//
// A look takes at most lookTime (150 ms) and the card that it is at; with
// resets about half a second. A cancelled context ends it between two cards.
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
	streak := r.streak
	if err := r.wellOrReset(ctx); err != nil {
		return nil, err
	}

	var l look
	err := r.look(ctx, &l)
	if err == nil && l.noise {
		// Noise on the air is nothing, but a failing bus can look like it.
		err = r.check()
	}
	if err != nil && ctx.Err() == nil && r.check() == nil {
		// The chip is sound: one write that was spoilt on the bus can have it
		// wait for ever.
		err = r.look(ctx, &l)
	}
	if err != nil && ctx.Err() == nil {
		if err = r.mend(ctx, err); err == nil {
			err = r.look(ctx, &l)
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
	r.remember(l.seen)
	if r.streak == streak {
		r.streak = 0
	}
	r.doubtPin()
	if r.streak >= flapping && len(l.seen) == 0 {
		return nil, fmt.Errorf("%w: the chip needs a reset at every look: check its 3.3 V", card.ErrDeaf)
	}
	return l.seen, nil
}

// doubtPin says once that the interrupt pin is of no use.
func (r *Reader) doubtPin() {
	if doubt := r.chip.irq.doubt(); doubt != "" && !r.irqWarned {
		r.irqWarned = true
		r.log.Warn("the interrupt pin is of no use, the reader works without it: check its wiring", "pin", r.chip.irq.pin.String(), "reason", doubt)
	}
}

// remember keeps who was seen, and for some looks who was missed.
func (r *Reader) remember(seen []card.Card) {
	r.counts.Looks++
	r.counts.Seen += int64(len(seen))
	before := r.last
	r.last = nil
	for _, c := range seen {
		r.last = append(r.last, known{Card: c})
	}
	for _, k := range before {
		if slices.ContainsFunc(seen, func(c card.Card) bool { return c.UID == k.UID }) {
			r.counts.Misses += int64(k.misses)
		} else if k.misses++; k.misses < remembered {
			r.last = append(r.last, k)
		}
	}
}

// wellOrReset makes sure that the chip is fit to look, by a reset if need be.
func (r *Reader) wellOrReset(ctx context.Context) error {
	if !r.ready {
		return r.reset(ctx)
	}
	err := r.check()
	if err == nil {
		return nil
	}
	return r.mend(ctx, err)
}

// look is what one look has found so far.
type look struct {
	seen  []card.Card
	noise bool // some exchange did not go as the standard says
}

func (l *look) has(uid card.UID) bool {
	return slices.ContainsFunc(l.seen, func(c card.Card) bool { return c.UID == uid })
}

func (l *look) add(c card.Card) {
	if !l.has(c.UID) {
		l.seen = append(l.seen, c)
	}
}

// look finds the cards in the field. An error is the chip's or the bus's; what
// the cards do wrong only keeps them from being seen.
func (r *Reader) look(ctx context.Context, l *look) error {
	end := time.Now().Add(lookTime)
	more := func() bool {
		return ctx.Err() == nil && len(l.seen) < maxCards && time.Now().Before(end)
	}

	// Everybody: down one branch of every collision after the other.
	somebody := false
	walked := make(map[path]bool)
	for branches := []path{{}}; len(branches) > 0 && more(); {
		p := branches[len(branches)-1]
		branches = branches[:len(branches)-1]
		if walked[p] {
			continue
		}
		walked[p] = true
		found, err := r.pick(cmdWUPA, p, tries, l, more)
		if err != nil {
			return err
		}
		somebody = somebody || found.answered
		branches = append(branches, found.branches...)
	}

	// Those who were there and did not show: somebody else's answer may have
	// drowned theirs, they missed a HLTA and took WUPA for an error, or their
	// own answer got lost.
	for _, c := range r.last {
		answered := 0
		for n := 0; n < calls && answered < tries && !l.has(c.UID) && more(); n++ {
			found, err := r.pick(cmdWUPA, pathOf(c.UID), 1, l, more)
			if err != nil {
				return err
			}
			if found.answered {
				answered++
				somebody = true
			}
		}
	}

	// Newcomers whose answer was drowned. All others are halted by now.
	for somebody && more() {
		before := len(l.seen)
		if _, err := r.pick(cmdREQA, path{}, tries, l, more); err != nil {
			return err
		}
		if len(l.seen) == before {
			break
		}
	}
	return nil
}

// found is what came of one pick.
type found struct {
	answered bool   // somebody answered the request
	branches []path // ways that all tries left aside
}

// pick wakes the cards, selects the one at the end of the path, and puts it to
// sleep again. A card that does not get through is tried so many times; it may
// be on its way out of the field.
func (r *Reader) pick(command byte, p path, times int, l *look, more func() bool) (found, error) {
	var f found
	for range times {
		atqa, err := r.chip.request(command)
		if errors.Is(err, errSilence) {
			return f, nil
		}
		f.answered = true
		var w walk
		var c card.Card
		if err == nil {
			c.ATQA = atqa.bytes
			c.UID, c.SAK, err = r.chip.descend(p, atqa.levels(), &w)
		}
		// Whatever happened, no card is left awake: one that is ACTIVE answers
		// neither REQA nor WUPA.
		if err == nil || errors.Is(err, errFrame) || errors.Is(err, errSilence) {
			if haltErr := r.chip.halt(); haltErr != nil {
				err = haltErr
			}
		}
		// Should the one down this way never get through, the others must not
		// stay hidden behind it.
		f.branches = append(f.branches, w.branches...)
		switch {
		case err == nil:
			l.add(c)
			return f, nil
		case !errors.Is(err, errFrame) && !errors.Is(err, errSilence):
			return f, err
		}
		// Silence where one certain card was called says that it is not there.
		if p.bits == 0 || !errors.Is(err, errSilence) {
			r.counts.BadFrames++
			l.noise = true
		}
		if !more() {
			break
		}
	}
	return f, nil
}
