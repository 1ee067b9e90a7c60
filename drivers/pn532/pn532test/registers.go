package pn532test

// Registers of the contactless interface unit, in the memory of the chip's processor
// (data sheet, "CIU register set"), as far as this chip acts on them. The others
// only keep what is written.
const (
	ciuFirst = 0x6301
	ciuLast  = 0x633F

	ciuTxMode     = 0x6302
	ciuRxMode     = 0x6303
	ciuTxControl  = 0x6304
	ciuError      = 0x6336
	ciuControl    = 0x633C
	ciuBitFraming = 0x633D

	modeCRC       = 0x80 // of TxMode and RxMode
	modeTypeB     = 0x03
	txControlBoth = 0x03 // both antenna drivers
	errorTemp     = 0x40
	lastBits      = 0x07 // of Control and BitFraming
)

// reg is a register as the chip's processor sees it.
func (c *Chip) reg(addr uint16) byte {
	if addr < ciuFirst || addr > ciuLast {
		return 0
	}
	v := c.ciu[addr&0x3F]
	switch addr {
	case ciuTxControl:
		v &^= txControlBoth
		if c.rf {
			v |= txControlBoth
		}
	case ciuError:
		if c.fault == FaultHot {
			v |= errorTemp
		}
	}
	return v
}

func (c *Chip) setReg(addr uint16, v byte, at instant) {
	if addr < ciuFirst || addr > ciuLast {
		return
	}
	c.ciu[addr&0x3F] = v
	if addr == ciuTxControl {
		c.setRF(v&txControlBoth == txControlBoth, at)
	}
}

// Register looks at a register without touching the bus.
func (c *Chip) Register(addr uint16) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.now())
	return c.reg(addr)
}

// readRegisters is section 7.2.4 of the manual: addresses of two bytes each.
func (c *Chip) readRegisters(p []byte, at instant) *job {
	if len(p) == 0 || len(p)%2 != 0 {
		return c.wrong(cmdReadRegister, p, at)
	}
	var values []byte
	for i := 0; i < len(p); i += 2 {
		values = append(values, c.reg(uint16(p[i])<<8|uint16(p[i+1])))
	}
	return reply(at+commandTime, cmdReadRegister+1, values...)
}

// writeRegisters is section 7.2.5 of the manual: addresses of two bytes and values.
func (c *Chip) writeRegisters(p []byte, at instant) *job {
	if len(p) == 0 || len(p)%3 != 0 {
		return c.wrong(cmdWriteRegister, p, at)
	}
	for i := 0; i < len(p); i += 3 {
		c.setReg(uint16(p[i])<<8|uint16(p[i+1]), p[i+2], at)
	}
	return reply(at+commandTime, cmdWriteRegister+1)
}
