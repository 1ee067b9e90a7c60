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
	// answerTimeout is what the chip's timer waits for the first bits of an
	// answer. Cards answer REQA, WUPA, anticollision and SELECT after 86 or 91 µs
	// (ISO/IEC 14443-3, 6.2.1.1), and the timer stops at the fifth bit (data
	// sheet, 8.5), 47 µs later.
	answerTimeout = 300 * time.Microsecond

	// haltTimeout is the same after HLTA: a card acknowledges it by silence for
	// 1 ms (6.4.3), so that what comes sooner is a refusal.
	haltTimeout = 1500 * time.Microsecond

	// timerTick is the unit of the chip's timer, as its prescaler is set.
	timerTick = 25 * time.Microsecond

	// stuckAfter is when a chip that reports neither an answer nor a time-out
	// is given up: several times the longest exchange.
	stuckAfter = 10 * time.Millisecond

	// retryPause is the pause before the status of a chip that is late is read again.
	retryPause = 500 * time.Microsecond

	// slack allows for the difference between the chip's clock and ours.
	slack = 30 * time.Microsecond

	// bitTime is the duration of a bit at 106 kBd: 128 periods of 13.56 MHz.
	bitTime = 9440 * time.Nanosecond

	// frameDelay is the time between a request and its answer, rounded up.
	frameDelay = 100 * time.Microsecond
)

// maxQueue is how many register writes go into one transfer at most, and maxSent
// how many bytes they have: one of them may be a frame that fills the FIFO. Linux counts each write as a cache line, of up to 128 bytes, against
// the 4096 that spidev takes at once.
const (
	maxQueue = 32
	maxSent  = 2*maxQueue + fifoSize
)

// chip moves bytes between the bus and the chip's registers. A transfer costs
// the machine far more than the bytes in it, so what can go together does.
type chip struct {
	conn spi.Conn
	irq  hint
	w, r [fifoSize + 1]byte

	reload byte // of the timer, as last written

	// Register writes that have not gone out yet.
	out    [maxSent]byte
	queue  [maxQueue]spi.Packet
	queued int // packets
	filled int // bytes of out
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

// add has values written to a register at the next flush. A packet begins with the
// address, and all bytes after it are values for that register (8.1.2.2): only the
// FIFO takes several.
func (c *chip) add(reg register, values ...byte) {
	w := append(c.out[c.filled:c.filled:maxSent], byte(reg)<<1)
	w = append(w, values...)
	c.filled += len(w)
	c.queue[c.queued] = spi.Packet{W: w}
	c.queued++
}

// flush sends what was added, in that order and in one transfer: each packet is
// framed by chip select.
func (c *chip) flush() error {
	packets := c.queue[:c.queued]
	c.queued, c.filled = 0, 0
	if err := c.conn.TxPackets(packets); err != nil {
		return fmt.Errorf("transfer over SPI: %w: %w", card.ErrBusDead, err)
	}
	return nil
}

// setting is a register and the value it shall have.
type setting struct {
	reg   register
	value byte
}

func (c *chip) writeAll(settings ...setting) error {
	for _, s := range settings {
		c.add(s.reg, s.value)
	}
	return c.flush()
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

// exchange is a frame to the cards and what is known of its answer beforehand.
type exchange struct {
	frame    []byte
	lastBits byte          // how many bits of the frame's last byte are sent; 0 means all
	align    byte          // the position in its first byte where the answer's first bit is stored
	want     int           // bytes of the usual answer
	timeout  time.Duration // how long the chip waits for the answer to begin
}

// transceive sends a frame and waits for the answer. The chip is told all in
// one transfer, and asked in a second one when it must be done.
//
// Parity and protocol errors are errFrame, silence is errSilence. A collision
// is no error here: the caller knows what it means.
func (c *chip) transceive(x exchange) (answer, error) {
	if err := c.send(x); err != nil {
		return answer{}, err
	}
	start := time.Now()
	// By then there is either a whole answer or the chip's time-out.
	sent := airtime(len(x.frame))
	due := sent + max(x.timeout, frameDelay+airtime(x.want)) + slack
	c.irq.listen()
	torn := false // a part of the answer was fetched before it was complete
	for wait := due; ; {
		edge := c.irq.await(wait)
		// The clock is read before the chip, so that a process that the
		// machine kept waiting still asks once.
		waited := time.Since(start)
		early := edge && waited < due
		// The answer is fetched along with the question whether it came. That
		// takes bytes from an answer that is not complete, which is then lost. So
		// before the time it is done only if the pin was right the last time.
		fetch := x.want
		if early && !c.irq.proven {
			fetch = 0
		}
		s, err := c.ask(fetch)
		if err != nil {
			return answer{}, err
		}
		answered := s.irq&(irqRx|irqIdle) != 0
		// A time-out before its time is that of the exchange before: a stray
		// answer of a few bits does not stop the timer.
		silent := s.irq&irqTimer != 0 && waited >= sent+x.timeout-slack
		if early {
			c.irq.note(answered || silent)
		}
		switch {
		case s.impossible() != nil:
			return answer{}, c.confirmImpossible()
		case answered && torn:
			return answer{}, fmt.Errorf("%w: it came late", errFrame)
		case answered:
			return c.receive(s)
		case silent:
			return answer{}, errSilence
		case waited >= stuckAfter:
			return answer{}, fmt.Errorf("%w within %v", errStuck, stuckAfter)
		}
		torn = torn || fetch > 0 && s.level > 0
		wait = retryPause
		if early {
			wait = max(due-waited, slack)
		}
	}
}

// send has the chip send a frame and wait for the answer.
func (c *chip) send(x exchange) error {
	framing := x.align<<4 | x.lastBits
	c.add(regCommand, commandIdle)
	c.add(regComIrq, irqAll)
	c.add(regFIFOLevel, fifoFlush)
	c.reload = reload(x.timeout)
	c.add(regTReloadL, c.reload)
	c.add(regFIFOData, x.frame...)
	c.add(regBitFraming, framing)
	c.add(regCommand, commandTransceive)
	c.add(regBitFraming, framing|startSend)
	return c.flush()
}

// confirmImpossible is the error after a status that no chip at work has. It asks
// once more: a single one may be a bit that was spoilt on the bus, and then only
// this exchange is lost.
func (c *chip) confirmImpossible() error {
	s, err := c.ask(0)
	if err != nil {
		return err
	}
	if err := s.impossible(); err != nil {
		return err
	}
	return fmt.Errorf("%w: the status was misread", errFrame)
}

// reload is the reload value that makes the chip's timer run so long: the number
// of ticks less one (data sheet, 8.5).
func reload(d time.Duration) byte { return byte(d/timerTick - 1) }

// status is what the chip says of an exchange, and the first bytes of its FIFO,
// which are valid until the next transfer.
type status struct {
	irq, err, level, lastBits, coll byte
	fifo                            []byte
}

// impossible is an error where the status is one that no chip at work has.
func (s status) impossible() error {
	switch {
	case s.err&errorTemp != 0:
		return fmt.Errorf("%w: it is overheated", errStuck)
	case s.level > fifoSize:
		return fmt.Errorf("%w: FIFO of %d bytes", errStuck, s.level)
	}
	return nil
}

// ask reads the status and so many bytes of the FIFO, whether they are there or
// not, in one transfer.
func (c *chip) ask(fetch int) (status, error) {
	regs := [...]register{regComIrq, regError, regFIFOLevel, regControl, regColl}
	for i, reg := range regs {
		c.w[i] = readAddress(reg)
	}
	n := len(regs) + fetch
	for i := len(regs); i < n; i++ {
		c.w[i] = readAddress(regFIFOData)
	}
	c.w[n] = 0
	if err := c.transfer(n + 1); err != nil {
		return status{}, err
	}
	v := c.r[1:]
	return status{irq: v[0], err: v[1], level: v[2], lastBits: v[3] & rxLastBits, coll: v[4], fifo: v[len(regs):n]}, nil
}

// receive makes an answer out of the status, and fetches the bytes of it that are
// still missing.
func (c *chip) receive(s status) (answer, error) {
	a := answer{bytes: int(s.level), lastBits: s.lastBits, collided: s.err&errorColl != 0}
	bad := s.err&(errorOverflow|errorProtocol) != 0
	// Where bits collide the parity bits may collide too: that is part of the
	// collision.
	if s.err&errorParity != 0 && !a.collided {
		bad = true
	}
	if bad || a.bytes > len(a.buf) {
		return answer{}, fmt.Errorf("%w: error register %02X, %d bytes", errFrame, s.err, a.bytes)
	}
	if a.collided && s.coll&collNotValid == 0 {
		a.collPos = int(s.coll & collPos)
		if a.collPos == 0 {
			a.collPos = 32
		}
	}
	got := copy(a.buf[:a.bytes], s.fifo)
	if got == a.bytes {
		return a, nil
	}
	return a, c.readFIFO(a.buf[got:a.bytes])
}

// airtime is how long a frame of n bytes with their parity bits, its start and
// its end take on the air.
func airtime(n int) time.Duration { return time.Duration(9*n+2) * bitTime }
