package mfrc522test

// fifoSize is the size of the FIFO buffer in bytes (data sheet, section 8.3).
const fifoSize = 64

// FIFO.

// setFIFOLen changes the level. A byte that leaves while the level is low, or
// comes while it is high, is an event that its interrupt request stores.
func (c *Chip) setFIFOLen(n int) {
	less, more := n < c.fifoLen, n > c.fifoLen
	before := c.alerts()
	c.fifoLen = n
	alerts := c.alerts()
	if c.alertOnce {
		alerts &^= before
	}
	if more && alerts&status1HiAlert != 0 {
		c.raise(regComIrq, irqHiAlert)
	}
	if less && alerts&status1LoAlert != 0 {
		c.raise(regComIrq, irqLoAlert)
	}
}

func (c *Chip) push(v byte) {
	if c.fifoLen == fifoSize {
		c.raiseError(errBufferOvfl)
		return
	}
	c.fifo[c.fifoLen] = v
	c.setFIFOLen(c.fifoLen + 1)
}

func (c *Chip) pop() byte {
	if c.fifoLen == 0 {
		return 0
	}
	v := c.fifo[0]
	copy(c.fifo[:], c.fifo[1:c.fifoLen])
	c.setFIFOLen(c.fifoLen - 1)
	return v
}

// hostPush is a byte that the host writes.
func (c *Chip) hostPush(v byte, now instant) {
	switch c.phase {
	case modemTransmitting:
		c.push(v)
		c.plan()
		return
	case modemRxWait, modemWaitData, modemReceiving:
		c.raiseError(errWrite)
		if c.storeLate {
			c.push(v)
		}
		return
	}
	c.push(v)
	switch c.reg[regCommand] & 0x0F {
	case cmdCalcCRC:
		c.startCRC(now)
	case cmdMFAuthent:
		c.maybeAuthent()
	case cmdTransceive:
		c.maybeSend(now)
	}
}

// maxSent bounds a frame that the host feeds for ever.
const maxSent = 4096

// The time of one byte on the air, with its parity bit, in cycles.
const byteCycles = 9 * etu

// flow lets bytes leave the FIFO for the antenna, and come into it from there, as far as
// they have until an instant. A frame is as long as there are bytes when the next one is
// due: one that is longer than the FIFO has to be fed in time, and an answer that is
// longer has to be fetched in time.
func (c *Chip) flow(now instant) {
	switch c.phase {
	case modemTransmitting:
		for !c.txDry && c.fault != FaultStuckTx && c.txStart+cycles(int64(etu+byteCycles*c.txTaken)) <= now {
			if c.fifoLen == 0 || c.txTaken == maxSent {
				c.txDry = true
				return
			}
			c.sentBuffer[c.txTaken] = c.pop()
			c.txTaken++
		}
	case modemReceiving:
		for c.rxPut < c.streamed() && c.rxStart+cycles(int64(etu+byteCycles*(c.rxPut+1))) <= now {
			c.push(c.answer.Bytes[c.rxPut])
			c.rxPut++
		}
	}
}

// plan says when the frame on air ends, as far as the FIFO shows.
func (c *Chip) plan() {
	if c.phase != modemTransmitting || c.fault == FaultStuckTx {
		return
	}
	n := c.txTaken
	if !c.txDry {
		n += c.fifoLen
	}
	c.sent = 8 * n
	if c.reg[regTxMode]&modeCRCEn != 0 {
		c.sent += 16
	}
	if last := int(c.txLastBits); last != 0 && n > 0 {
		c.sent -= 8 - last
	}
	c.due[evTxEnd] = c.txStart + readerFrame(c.sent)
}

// streamed is how many bytes of the answer go into the FIFO as they come. What is shifted
// by RxAlign, has collided or keeps its parity bits is worked out at the end of the frame.
func (c *Chip) streamed() int {
	if c.rxAlign != 0 || c.answer.Collision >= 0 || c.reg[regMfRx]&mfRxParityDisable != 0 {
		return 0
	}
	n := c.answer.Bits / 8
	if c.reg[regRxMode]&modeCRCEn != 0 && !c.keepsCRC {
		n -= 2 // they may be the checksum
	}
	return n
}
