package mfrc522

import (
	"context"
	"fmt"
	"time"
)

const (
	// maxTicks is the longest time of the chip's timer in its ticks (data sheet, 8.5).
	maxTicks = 1 << 16

	// longTick is the unit of the timer with its longest prescaler, for waits that take
	// more than maxTicks of the usual one, 1.638 s.
	longTick = (2*tPrescalerLong + 1) * time.Second / 13_560_000

	// A card that computes is asked after for as long as a part of the time that it has
	// taken so far, within these bounds.
	minAsk, maxAsk, askEvery = 250 * time.Microsecond, 4 * time.Millisecond, 8

	// arriving is when to ask again while bytes come in.
	arriving = 8 * 9 * bitTime
)

// block sends a frame to which the chip adds CRC_A, and returns the answer in buf, which
// has room for a full FIFO. wait bounds the time until the answer begins, and is set anew
// each time. The errors are those of transceive; a wrong CRC_A or collided bits are
// errFrame too.
//
// Unlike transceive it does not know how long the answer will be nor when it comes, and
// so asks for it again and again, with pauses that grow.
func (c *chip) block(ctx context.Context, frame, buf []byte, wait time.Duration) ([]byte, error) {
	c.add(regCommand, commandIdle)
	c.add(regComIrq, irqAll)
	c.add(regFIFOLevel, fifoFlush)
	for _, s := range timer(wait) {
		c.add(s.reg, s.value)
	}
	c.add(regFIFOData, frame...)
	c.add(regBitFraming, 0)
	c.add(regCommand, commandTransceive)
	c.add(regBitFraming, startSend)
	if err := c.flush(); err != nil {
		return nil, err
	}
	start := time.Now()
	sent := airtime(len(frame) + 2)
	soonest := sent + frameDelay // of an answer's beginning
	latest := sent + wait + airtime(fifoSize) + stuckAfter
	c.irq.listen()
	for pause := soonest + airtime(3); ; {
		edge := c.irq.await(pause)
		waited := time.Since(start)
		if edge && waited < soonest {
			// It was of the exchange before, whose end was seen without it.
			pause = soonest + airtime(3) - waited
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Nothing is fetched along with the status: that would take bytes from an
		// answer that is not complete.
		s, err := c.ask(0)
		if err != nil {
			return nil, err
		}
		answered := s.irq&irqRx != 0
		silent := s.irq&irqTimer != 0 && waited >= sent+wait-slack // see transceive
		if edge {
			c.irq.note(answered || silent)
		}
		switch {
		case s.impossible() != nil:
			return nil, c.confirmImpossible()
		case answered:
			return c.receiveBlock(s, buf)
		case s.irq&irqIdle != 0:
			// Transceive does not end by itself. After a reset, which sets this, what is
			// in the FIFO may be our own frame.
			return nil, fmt.Errorf("%w: it has dropped the command", errStuck)
		case silent:
			return nil, errSilence
		case waited >= latest:
			return nil, fmt.Errorf("%w within %v", errStuck, latest)
		case s.level > 0:
			pause = arriving
		default:
			pause = min(max((waited-sent)/askEvery, minAsk), maxAsk)
		}
	}
}

// receiveBlock fetches an answer that is complete.
func (c *chip) receiveBlock(s status, buf []byte) ([]byte, error) {
	const bad = errorOverflow | errorColl | errorCRC | errorParity | errorProtocol
	if s.err&bad != 0 || s.lastBits != 0 || s.level == 0 {
		return nil, fmt.Errorf("%w: error register %02X, %d bytes and %d bits", errFrame, s.err, s.level, s.lastBits)
	}
	buf = buf[:s.level]
	return buf, c.readFIFO(buf)
}

// timer are the registers that make the chip's timer run for at least so long, up to 19.8 s
// (data sheet, 8.5).
func timer(d time.Duration) [4]setting {
	prescaler, tick := tPrescaler, timerTick
	if d > maxTicks*timerTick {
		prescaler, tick = tPrescalerLong, longTick
	}
	ticks := min(max((d+tick-1)/tick, 1), maxTicks) - 1
	return [...]setting{
		{regTMode, tModeAuto | byte(prescaler>>8)},
		{regTPrescaler, byte(prescaler)},
		{regTReloadH, byte(ticks >> 8)},
		{regTReloadL, byte(ticks)},
	}
}
