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
