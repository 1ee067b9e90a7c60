package mfrc522test

import (
	"periph.io/x/conn/v3/gpio"

	"presence/drivers/bus/bustest"
)

// SetIRQFault breaks the wire to the IRQ pin, or mends it.
func (c *Chip) SetIRQFault(f bustest.IRQFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.irqFault = f
}

// IRQPin is the chip's interrupt output. IRqInv, which is set after a reset, turns it
// around (data sheet, section 9.3.1.3).
func (c *Chip) IRQPin() gpio.PinIn {
	return bustest.IRQPin("IRQ", func() bustest.IRQ {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.now()
		c.advance(now)
		next := never
		for _, due := range c.due {
			next = min(next, due)
		}
		level := c.status1()&status1IRq != 0 != (c.reg[regComIEn]&comIEnInverted != 0)
		return bustest.IRQ{Level: gpio.Level(level), Fault: c.irqFault, Now: now, Next: next}
	})
}
