package pn532

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

const (
	defaultSpeed = physic.MegaHertz
	maxSpeed     = 5 * physic.MegaHertz // data sheet, table "SPI timing"

	// closeTimeout bounds how long Close waits for the chip.
	closeTimeout = 100 * time.Millisecond
)

// Options are what a reader can be told. The zero value will do.
type Options struct {
	// Speed is the SPI clock, at most 5 MHz; 0 means 1 MHz.
	Speed physic.Frequency

	// Reset is the pin that is wired to RSTPDN (RSTO on some boards is another one),
	// nil where none is. Without it a chip that has stopped to answer can only be
	// mended by switching its supply off.
	Reset gpio.PinOut

	// IRQ is the pin that is wired to the chip's P70_IRQ, nil where none is. An edge
	// there shortens the wait for the chip, and is never relied on.
	IRQ gpio.PinIn

	// Log may be nil.
	Log *slog.Logger
}

// Reader is a PN532 and the cards in its field. It implements card.Reader and
// card.Selector. One
// goroutine uses it at a time.
type Reader struct {
	link link
	port io.Closer // nil where the port cannot be closed
	pin  gpio.PinOut
	log  *slog.Logger

	ready      bool // the chip is configured, and nothing said otherwise since
	closed     bool
	version    [4]byte
	framing    framing // of raw frames
	timer      byte    // of raw frames, as a code of RFConfiguration; 0 where it may be any
	previous   []byte  // the last reply to a raw frame
	noRaw      bool    // the chip does not allow raw frames
	refusals   int     // of raw frames, in a row
	mendStreak int     // repairs since the last scan that needed none
	counts     card.Counts

	pinWarned, irqWarned, slowLogged bool
	mendLogged                       time.Time

	last       []lastSeen  // cards of the last scans, which may still be there
	doubted    []card.Card // cards of the last scan that were read only once
	pupis      []card.UID  // of the cards of type B that are there, each from before the field was last off
	unreadable int         // scans for which an unreadable card still counts as there
	noisy      int         // scans for which noise still counts as recent
	turn       int         // counts scans to one that looks for type B
	stray      bool        // a card may be in HALT that is not among the last: only the field wakes it
}

// lastSeen is a card that an earlier scan saw.
type lastSeen struct {
	card.Card
	misses int  // scans in a row that did not see it
	halted bool // it answers no REQA

	// selected says that Select had it since the last scan: where it does not answer
	// any more, only the loss of power may make it answer again.
	selected bool
}

var (
	_ card.Reader   = (*Reader)(nil)
	_ card.Counter  = (*Reader)(nil)
	_ card.Selector = (*Reader)(nil)
)

// New connects to the chip, sets it up and switches its field on. An error wraps
// card.ErrBusDead where the bus or the chip does not answer, and with it
// card.ErrNotSPI where it looks as if the board were set to another interface; it
// wraps card.ErrDeaf where the chip answers but cannot be set up.
//
// The reader takes the port over: Close closes it, if it is an io.Closer. When New
// fails, the port is still the caller's to close, and the next attempt needs another
// one: a port connects only once.
func New(port spi.Port, opts Options) (*Reader, error) {
	if opts.Speed == 0 {
		opts.Speed = defaultSpeed
	}
	if opts.Speed < 0 || opts.Speed > maxSpeed {
		return nil, fmt.Errorf("set up PN532: SPI clock of %v: want at most %v", opts.Speed, maxSpeed)
	}
	conn, err := port.Connect(opts.Speed, spi.Mode0, 8)
	if err != nil {
		return nil, fmt.Errorf("connect to PN532: %w: %w", card.ErrBusDead, err)
	}
	r := &Reader{link: link{conn: conn, speed: opts.Speed, dirty: true}, pin: opts.Reset, log: opts.Log}
	r.port, _ = port.(io.Closer)
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if opts.IRQ != nil {
		if err := opts.IRQ.In(gpio.PullUp, gpio.FallingEdge); err != nil {
			r.log.Warn("cannot use the interrupt pin, the reader works without it", "pin", opts.IRQ.String(), "error", err)
		} else {
			r.link.irq.pin = opts.IRQ
		}
	}
	if err := r.reset(context.Background()); err != nil {
		err = fmt.Errorf("set up PN532: %w", err)
		if r.version != [4]byte{} {
			err = &card.UnfitError{Version: r.Version(), Err: err}
		}
		return nil, err
	}
	r.counts, r.link.noise = card.Counts{}, 0
	return r, nil
}

// Counts implements card.Counter.
func (r *Reader) Counts() card.Counts {
	c := r.counts
	c.Misreads += r.link.noise
	return c
}

// Version is what the chip says of itself in hex digits, as last read: "32" for a
// PN532, version and revision of its firmware, and what it supports.
func (r *Reader) Version() string { return strings.ToUpper(fmt.Sprintf("%x", r.version)) }

// Close switches the field off and closes the port. Further calls do nothing.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	ready := r.ready
	r.closed, r.ready = true, false
	var err error
	if ready {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err = r.do(ctx, cmdRFConfiguration, rfField, 0)
	}
	if r.port != nil {
		err = errors.Join(err, r.port.Close())
	}
	if err != nil {
		return fmt.Errorf("close PN532: %w", err)
	}
	return nil
}

// Poll scans the field once; see card.Reader. A chip that needs it is set up anew
// first, or in the middle of the scan, so that an error means that this did not help
// either. The next call tries again: call with growing pauses while it fails. What
// Poll cannot repair is a port whose device was taken away and came back; that takes a
// new port and a new reader.
//
// A scan takes at most scanTime (250 ms) and the time of the card that it is at; with
// repairs about a second. A cancelled context ends it between two commands.
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
	streak, noise := r.mendStreak, r.noise()
	if !r.ready {
		if err := r.reset(ctx); err != nil {
			return nil, err
		}
	}
	var s scan
	err := r.scan(ctx, &s)
	if err == nil && len(s.seen) == 0 {
		// "No card" has to be true.
		err = r.check(ctx)
	}
	if err != nil && ctx.Err() == nil && r.check(ctx) == nil {
		// The chip is sound, and switching its field off would give a phone another
		// UID. What was spoilt on the bus may have been an accident.
		r.noisy = forgetAfter
		err = r.scan(ctx, &s)
	}
	if err != nil && ctx.Err() == nil {
		if err = r.mend(ctx, err); err == nil {
			s = scan{}
			err = r.scan(ctx, &s)
		}
	}
	if ctx.Err() != nil {
		r.stray = r.stray || len(s.halted) > 0
		return nil, ctx.Err()
	}
	if err != nil {
		r.ready = false
		if !errors.Is(err, card.ErrBusDead) && !errors.Is(err, card.ErrDeaf) {
			err = fmt.Errorf("%w: %w, even after it was set up anew", card.ErrDeaf, err)
		}
		return nil, err
	}
	if r.noise() != noise {
		r.noisy = forgetAfter
	}
	r.remember(&s)
	if r.mendStreak == streak {
		r.mendStreak = 0
	}
	r.warnOfPin()
	if r.mendStreak >= flapping && len(s.seen) == 0 {
		return nil, fmt.Errorf("%w: the chip has to be set up anew at every look: check its supply", card.ErrDeaf)
	}
	return s.seen, nil
}

// warnOfPin logs once that the interrupt pin is of no use.
func (r *Reader) warnOfPin() {
	if reason := r.link.irq.fault(); reason != "" && !r.irqWarned {
		r.irqWarned = true
		r.log.Warn("the interrupt pin is of no use, the reader works without it: check its wiring", "pin", r.link.irq.pin.String(), "reason", reason)
	}
}

// noise counts everything that did not come as it was sent.
func (r *Reader) noise() int64 { return r.counts.BadFrames + r.link.noise }

// remember keeps the cards that this scan saw, and for a few scans those that it
// missed.
func (r *Reader) remember(s *scan) {
	r.counts.Scans++
	r.counts.Seen += int64(len(s.seen))
	r.doubted = s.doubted
	if r.unreadable > 0 {
		r.unreadable--
	}
	if s.unreadable {
		if r.unreadable == 0 {
			r.counts.Unreadable++
			r.log.Warn("a card of type B has another number each time, so that it cannot serve as a badge")
		}
		r.unreadable = forgetAfter + 1
	}
	before := r.last
	r.last = nil
	for _, c := range s.seen {
		r.last = append(r.last, lastSeen{Card: c, halted: has(s.halted, c.UID)})
	}
	for _, k := range before {
		if slices.ContainsFunc(s.seen, func(c card.Card) bool { return c.UID == k.UID }) {
			r.counts.Misses += int64(k.misses)
		} else if k.misses++; k.misses < forgetAfter {
			r.last = append(r.last, k)
		} else if r.noisy > 0 && !k.UID.Random() {
			r.stray = true // a random one would not come back
		}
	}
	if slices.ContainsFunc(s.halted, func(c card.Card) bool { return !has(s.seen, c.UID) }) {
		r.stray = true
	}
	r.noisy = max(0, r.noisy-1)
}
