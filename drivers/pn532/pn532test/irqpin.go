package pn532test

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

// IRQPin is the chip's interrupt output P70_IRQ. It is low while there is something to
// read, if SAMConfiguration has not switched it off (manual, section 6.2.5).
func (c *Chip) IRQPin() gpio.PinIn {
	return bustest.IRQPin("P70_IRQ", func() bustest.IRQ {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.now()
		c.advance(now)
		next := never
		if c.job != nil {
			next = c.job.due
		}
		if c.readyAt > now {
			next = min(next, c.readyAt)
		}
		level := c.power != awake || !c.irq || !c.ready(now)
		return bustest.IRQ{Level: gpio.Level(level), Fault: c.irqFault, Now: now, Next: next}
	})
}
