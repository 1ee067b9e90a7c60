package pn532

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

// The first byte of each transfer says what it is for (6.2.5).
const (
	dirWrite  = 0x01
	dirStatus = 0x02
	dirRead   = 0x03
)

// statusReady is the bit of the status byte that says that the chip has something to
// say. Boards show other bits beside it at times; but where all are 1 the line is
// stuck, or the chip asleep.
const (
	statusReady = 0x01
	statusStuck = 0xFF
)

const (
	// wakeTime is how long chip select has to be low for a sleeping chip to wake: the
	// start of its oscillator takes at most 2 ms (data sheet, table "oscillator").
	wakeTime = 2 * time.Millisecond

	// wakePause is what it needs where not the time counts but the edge. It is short:
	// in its mode for low batteries the chip falls asleep again when nobody speaks.
	wakePause = 3 * time.Millisecond

	// selectPause is the time between chip select and the first data for chips that
	// need one, in which case the direction byte goes ahead.
	selectPause = 2 * time.Millisecond

	// maxWake bounds how many bytes wake a chip; spidev takes 4096 at once.
	maxWake = 2048
)

// link moves bytes between the bus and the chip. The chip sends the least significant
// bit first, and a Pi's SPI only knows the other order, so that the bits of each byte
// are turned round here.
type link struct {
	conn  spi.Conn
	speed physic.Frequency
	irq   hint

	// slow says that this chip hears nothing of what comes right after chip select,
	// so that each transfer is made in two parts with a pause between them.
	slow bool

	line  line  // what was seen on the bus since a set-up began
	dirty bool  // a command may be under way, or its reply waiting, that nobody waits for
	noise int64 // frames that came damaged or not at all, and right at another attempt

	// doubt says that no acknowledgement came before the last reply, or that the reply
	// was asked for again: it may be one that was sent before.
	doubt bool

	w, r  [1 + overhead + maxData + 1]byte
	frame [overhead + maxData + 1]byte // the command that is sent
	wake  [maxWake]byte
}

// line remembers what the bus has shown, to tell in words what is wrong with one on
// which no chip answers.
type line struct {
	low, high, other bool // bytes that came over MISO: 00, FF, others
	odd              bool // a status came that says something else than "not ready"
	heard            bool // a frame was understood
}

// see remembers what came over MISO.
func (l *line) see(b []byte) {
	for _, v := range b {
		switch v {
		case 0x00:
			l.low = true
		case 0xFF:
			l.high = true
		default:
			l.other = true
		}
	}
}

// fault is why no chip was heard.
func (l *line) fault() error {
	switch {
	case l.high && !l.low && !l.other:
		return fmt.Errorf("%w: %w: MISO stays high: set the board's switches to SPI, and check the wire of chip select", card.ErrBusDead, card.ErrNotSPI)
	case !l.high && !l.other:
		return fmt.Errorf("%w: MISO stays low: check the board's wires and its supply", card.ErrBusDead)
	case !l.odd:
		return fmt.Errorf("%w: the chip is there, but carries nothing out: switch its supply off and on", card.ErrDeaf)
	}
	return fmt.Errorf("%w: what comes over MISO makes no sense: check the wires, or lower speed_hz", card.ErrBusDead)
}

// transfer exchanges n bytes, the first of which is the direction, as one selection
// of the chip. Both buffers always have the same length, as spidev demands.
func (l *link) transfer(n int) error {
	for i, b := range l.w[:n] {
		l.w[i] = bits.Reverse8(b)
	}
	var err error
	if l.slow {
		err = l.conn.TxPackets([]spi.Packet{{W: l.w[:1], R: l.r[:1], KeepCS: true}})
		if err == nil {
			time.Sleep(selectPause)
			err = l.conn.TxPackets([]spi.Packet{{W: l.w[1:n], R: l.r[1:n]}})
		}
	} else {
		err = l.conn.Tx(l.w[:n], l.r[:n])
	}
	if err != nil {
		l.dirty = true
		return fmt.Errorf("transfer over SPI: %w: %w", card.ErrBusDead, err)
	}
	for i, b := range l.r[:n] {
		l.r[i] = bits.Reverse8(b)
	}
	l.line.see(l.r[:n])
	return nil
}

// write sends a frame.
func (l *link) write(frame []byte) error {
	l.w[0] = dirWrite
	return l.transfer(1 + copy(l.w[1:], frame))
}

// ready asks whether the chip has something to say.
func (l *link) ready() (bool, error) {
	l.w[0], l.w[1] = dirStatus, 0
	if err := l.transfer(2); err != nil {
		return false, err
	}
	if l.r[1]&^statusReady == 0 {
		return l.r[1] == statusReady, nil
	}
	l.line.odd = true
	return l.r[1]&statusReady != 0 && l.r[1] != statusStuck, nil
}

// read reads n bytes of what the chip has to say, in one transfer: a second one would
// not go on where the first one ended.
func (l *link) read(n int) ([]byte, error) {
	clear(l.w[:1+n])
	l.w[0] = dirRead
	if err := l.transfer(1 + n); err != nil {
		return nil, err
	}
	return l.r[1 : 1+n], nil
}

// rouse wakes a chip that may be asleep: chip select is low for as long as it takes
// to clock that many zeros, which are no direction and mean nothing to a chip that is
// awake.
func (l *link) rouse() error {
	n := int(int64(l.speed/physic.Hertz) * int64(wakeTime) / int64(8*time.Second))
	n = min(max(n, 2), maxWake)
	if err := l.conn.Tx(l.wake[:n], nil); err != nil {
		l.dirty = true
		return fmt.Errorf("transfer over SPI: %w: %w", card.ErrBusDead, err)
	}
	time.Sleep(wakePause)
	return nil
}

// What can become of a command, beside an error of the bus.
var (
	// errSilent: the chip did not acknowledge a command.
	errSilent = errors.New("the chip does not answer")

	// errStuck: it acknowledged a command, but did not carry it out in time.
	errStuck = errors.New("the chip did not finish a command")

	// errRefused: it takes the command for an error of syntax, or does not know it.
	errRefused = errors.New("the chip refuses a command")
)
