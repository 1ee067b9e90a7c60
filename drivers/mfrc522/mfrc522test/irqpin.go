package mfrc522test

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

// IRQFault is something that is wrong with the wire to the IRQ pin.
type IRQFault int

// The faults of the wire.
const (
	IRQFine  IRQFault = iota
	IRQDead           // not connected: there is never an edge
	IRQStuck          // an edge at each wait, as from a wire next to a motor
)

// SetIRQFault breaks the wire to the IRQ pin, or mends it.
func (c *Chip) SetIRQFault(f IRQFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.irqFault = f
}

// IRQPin is the chip's interrupt output as the host's pin sees it. Waiting for
// an edge follows periph's gpioioctl, with times in the chip's clock: 0 waits
// for ever, and a negative time returns at once.
func (c *Chip) IRQPin() gpio.PinIn { return &irqPin{chip: c} }

type irqPin struct {
	chip *Chip
	edge gpio.Edge
	last bool // the level when it was last read
}

func (p *irqPin) String() string   { return "IRQ" }
func (p *irqPin) Name() string     { return "IRQ" }
func (p *irqPin) Number() int      { return -1 }
func (p *irqPin) Function() string { return "In" }

// Halt implements conn.Resource.
func (p *irqPin) Halt() error { return nil }

// In implements gpio.PinIn.
func (p *irqPin) In(_ gpio.Pull, edge gpio.Edge) error {
	p.edge, p.last = edge, bool(p.Read())
	return nil
}

// Pull implements gpio.PinIn.
func (p *irqPin) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull implements gpio.PinIn.
func (p *irqPin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Read implements gpio.PinIn. IRqInv, which is set after a reset, turns the
// output around (data sheet, section 9.3.1.3).
func (p *irqPin) Read() gpio.Level {
	p.chip.mu.Lock()
	defer p.chip.mu.Unlock()
	p.chip.advance(p.chip.now())
	return gpio.Level(p.chip.irqLevel())
}

func (c *Chip) irqLevel() bool {
	return c.status1()&status1IRq != 0 != (c.reg[regComIEn]&comIEnInverted != 0)
}

// WaitForEdge implements gpio.PinIn.
func (p *irqPin) WaitForEdge(timeout time.Duration) bool {
	c := p.chip
	forever := timeout == 0
	for first := true; ; first = false {
		c.mu.Lock()
		now := c.now()
		c.advance(now)
		level, fault := c.irqLevel(), c.irqFault
		next := never
		for _, due := range c.due {
			next = min(next, due)
		}
		c.mu.Unlock()

		came := level != p.last && (p.edge == gpio.BothEdges || p.edge == gpio.RisingEdge == level)
		p.last = level
		switch {
		case fault == IRQStuck:
			return true
		case came && fault != IRQDead:
			return true
		case timeout < 0 || !first && !forever && timeout == 0:
			return false
		}
		pause := max(next-now, time.Microsecond)
		if next == never {
			pause = time.Millisecond
		}
		if !forever {
			pause = min(pause, timeout)
			timeout -= pause
		}
		time.Sleep(pause)
	}
}
