package mfrc522

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

// What can become of an exchange with the cards.
var (
	// errSilence: no card answered before the chip's timer ran out.
	errSilence = errors.New("no answer")

	// errFrame: an answer that no card sends: noise, a card on its way out, or
	// two cards at once where the standard knows no collisions.
	errFrame = errors.New("bad frame")

	// errStuck: the chip did not do its part.
	errStuck = errors.New("the chip did not finish an exchange")
)

const (
	// chipTimeout is what the chip's timer waits for the first bits of an
	// answer. Cards answer REQA, WUPA, anticollision and SELECT after 86 or
	// 91 µs (ISO/IEC 14443-3, 6.2.1.1) and must keep silent for 1 ms to
	// acknowledge HLTA (6.4.3), which sets the lower bound.
	chipTimeout = 1500 * time.Microsecond

	// stuckAfter is when a chip that reports neither an answer nor a time-out
	// is given up: several times the longest exchange.
	stuckAfter = 10 * time.Millisecond

	// lookAgain is the pause between two questions to a chip that is late.
	lookAgain = 500 * time.Microsecond

	// bitTime is the duration of a bit at 106 kBd: 128 periods of 13.56 MHz.
	bitTime = 9440 * time.Nanosecond

	// frameDelay is the time between a request and its answer, rounded up.
	frameDelay = 100 * time.Microsecond
)

// chip moves bytes between the bus and the chip's registers.
type chip struct {
	conn spi.Conn
	w, r [fifoSize + 1]byte
}

// transfer sends the first n bytes of c.w and fills as many of c.r. Both
// buffers always have the same length, as spidev demands.
func (c *chip) transfer(n int) error {
	if err := c.conn.Tx(c.w[:n], c.r[:n]); err != nil {
		return fmt.Errorf("transfer over SPI: %w: %w", card.ErrBusDead, err)
	}
	return nil
}

// read fills dst with the registers' values in one transfer: while an address
// goes out, the value of the one before comes in (data sheet, 8.1.2.1).
func (c *chip) read(dst []byte, regs ...register) error {
	for i, reg := range regs {
		c.w[i] = readAddress(reg)
	}
	c.w[len(regs)] = 0
	if err := c.transfer(len(regs) + 1); err != nil {
		return err
	}
	copy(dst, c.r[1:len(regs)+1])
	return nil
}

// readFIFO fills dst, at most fifoSize bytes, from the FIFO in one transfer.
func (c *chip) readFIFO(dst []byte) error {
	for i := range dst {
		c.w[i] = readAddress(regFIFOData)
	}
	c.w[len(dst)] = 0
	if err := c.transfer(len(dst) + 1); err != nil {
		return err
	}
	copy(dst, c.r[1:len(dst)+1])
	return nil
}

// write sends values, at most fifoSize of them, to one register. A transfer
// holds no second address (8.1.2.2): several values make sense for the FIFO.
func (c *chip) write(reg register, values ...byte) error {
	c.w[0] = byte(reg) << 1
	copy(c.w[1:], values)
	return c.transfer(len(values) + 1)
}

// setting is a register and the value it shall have.
type setting struct {
	reg   register
	value byte
}

func (c *chip) writeAll(settings ...setting) error {
	for _, s := range settings {
		if err := c.write(s.reg, s.value); err != nil {
			return err
		}
	}
	return nil
}

func readAddress(reg register) byte { return 0x80 | byte(reg)<<1 }

// answer is what the cards sent back.
type answer struct {
	buf      [8]byte
	bytes    int  // also counts a last byte that is not complete
	lastBits byte // valid bits in the last byte; 0 means all
	collided bool
	collPos  int // as the chip counts it, from 1; 0 where it could not tell
}

func (a *answer) data() []byte { return a.buf[:a.bytes] }

// complete reports whether the answer is exactly so many whole bytes without a
// collision.
func (a *answer) complete(n int) bool { return a.bytes == n && a.lastBits == 0 && !a.collided }

// transceive sends a frame and waits for the answer. lastBits is how many bits
// of the frame's last byte are sent (0 means all), align the position in its
// first byte where the answer's first bit is stored, and want the number of
// bytes of the usual answer, from which the time to look is reckoned.
//
// Parity and protocol errors are errFrame, silence is errSilence. A collision
// is no error here: it is for the caller to judge.
func (c *chip) transceive(frame []byte, lastBits, align byte, want int) (answer, error) {
	framing := align<<4 | lastBits
	err := c.writeAll(
		setting{regCommand, commandIdle},
		setting{regComIrq, irqAll},
		setting{regFIFOLevel, fifoFlush},
	)
	if err == nil {
		err = c.write(regFIFOData, frame...)
	}
	if err == nil {
		err = c.writeAll(
			setting{regBitFraming, framing},
			setting{regCommand, commandTransceive},
			setting{regBitFraming, framing | startSend},
		)
	}
	if err != nil {
		return answer{}, err
	}

	start := time.Now()
	sent := airtime(len(frame))
	answered := sent + frameDelay + airtime(want)
	for wait := answered; ; {
		time.Sleep(wait)
		// The clock is read before the chip, so that a process that the
		// machine kept waiting still asks once.
		waited := time.Since(start)
		var s [5]byte
		if err := c.read(s[:], regComIrq, regError, regFIFOLevel, regControl, regColl); err != nil {
			return answer{}, err
		}
		irq, chipError := s[0], s[1]
		switch {
		case chipError&errorTemp != 0:
			return answer{}, fmt.Errorf("%w: it is overheated", errStuck)
		case irq&(irqRx|irqIdle) != 0:
			return c.receive(chipError, s[2], s[3]&rxLastBits, s[4])
		case irq&irqTimer != 0:
			return answer{}, errSilence
		case waited >= stuckAfter:
			return answer{}, fmt.Errorf("%w within %v", errStuck, stuckAfter)
		}
		// An answer that is not there by now will most likely not come: the
		// next event is the chip's time-out.
		wait = max(sent+chipTimeout+lookAgain/2-waited, lookAgain)
	}
}

// receive fetches an answer that the chip has announced.
func (c *chip) receive(chipError, level, lastBits, coll byte) (answer, error) {
	a := answer{bytes: int(level), lastBits: lastBits, collided: chipError&errorColl != 0}
	if a.bytes > fifoSize {
		return answer{}, fmt.Errorf("%w: FIFO of %d bytes", errStuck, a.bytes)
	}
	bad := chipError&(errorOverflow|errorProtocol) != 0
	// Where bits collide the parity bits may collide too: that is part of the
	// collision.
	if chipError&errorParity != 0 && !a.collided {
		bad = true
	}
	if bad || a.bytes > len(a.buf) {
		return answer{}, fmt.Errorf("%w: error register %02X, %d bytes", errFrame, chipError, a.bytes)
	}
	if a.collided && coll&collNotValid == 0 {
		a.collPos = int(coll & collPos)
		if a.collPos == 0 {
			a.collPos = 32
		}
	}
	if a.bytes == 0 {
		return a, nil
	}
	return a, c.readFIFO(a.buf[:a.bytes])
}

// airtime is how long a frame of n bytes with their parity bits, its start and
// its end take on the air.
func airtime(n int) time.Duration { return time.Duration(9*n+2) * bitTime }
