package mfrc522test

import "presence/drivers/cardtest"

// SetNoise makes the chip suffer from now on; the zero Noise ends it. Drift flips
// some bit of some register.
func (c *Chip) SetNoise(n cardtest.Noise) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noise = cardtest.NewDisturber(n)
}

// FlipMOSI flips the nth bit on its way to the chip from now on, once; 1 is the
// next one, and the first of a byte is its bit 7.
func (c *Chip) FlipMOSI(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flipMOSI = n
}

// FlipMISO flips the nth bit on its way from the chip from now on, once.
func (c *Chip) FlipMISO(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flipMISO = n
}

// flipOnce counts a flip that is to come down by the eight bits of v.
func flipOnce(left *int, v byte) byte {
	if *left > 0 && *left <= 8 {
		v ^= 0x80 >> (*left - 1)
	}
	*left = max(*left-8, 0)
	return v
}

// toChip and toHost are a byte as it arrives at the other end of the bus.
func (c *Chip) toChip(v byte) byte { return flipOnce(&c.flipMOSI, v^c.noise.MOSIByte()) }

func (c *Chip) toHost(v byte) byte { return flipOnce(&c.flipMISO, v^c.noise.MISOByte()) }

// Upset flips bits of a register, as a dip of the supply or a spark does: the
// chip goes on as if they had been written so. Bits that no write can change,
// and the FIFO, stay as they are.
func (c *Chip) Upset(addr, mask byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	c.upset(addr&0x3F, mask, now)
}

func (c *Chip) upset(addr, mask byte, now instant) {
	if c.held || c.booting {
		return
	}
	switch addr {
	case regFIFOData, regFIFOLevel, regControl:
	case regCommand:
		c.command(c.reg[regCommand]^mask&^0xC0, now)
	case regComIrq:
		c.reg[regComIrq] ^= mask & 0x7F
	case regDivIrq:
		c.reg[regDivIrq] ^= mask & divIrqBits
	case regStatus2:
		c.reg[regStatus2] ^= mask & (0xC0 | status2Crypto1)
	case regBitFraming, regTxControl, regColl:
		c.write(addr, c.reg[addr]^mask, now)
	default:
		c.reg[addr] ^= mask & writable(addr)
		c.updateRF(now)
	}
}

// drift flips a bit of a register now and then.
func (c *Chip) drift(now instant) {
	if c.noise.Chance(c.noise.Drift) {
		c.upset(byte(c.noise.Rand.IntN(64)), 1<<c.noise.Rand.IntN(8), now)
	}
}
