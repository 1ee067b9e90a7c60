package pn532test

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

// IRQPin is the chip's interrupt output P70_IRQ as the host's pin sees it. Waiting for
// an edge follows periph's gpioioctl, with times in the chip's clock: 0 waits
// for ever, and a negative time returns at once.
func (c *Chip) IRQPin() gpio.PinIn { return &irqPin{chip: c} }

type irqPin struct {
	chip *Chip
	edge gpio.Edge
	last bool // the level when it was last read
}

func (p *irqPin) String() string   { return "P70_IRQ" }
func (p *irqPin) Name() string     { return "P70_IRQ" }
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

// Read implements gpio.PinIn. P70_IRQ is low while there is something to read, if
// SAMConfiguration has not switched it off (manual, section 6.2.5).
func (p *irqPin) Read() gpio.Level {
	p.chip.mu.Lock()
	defer p.chip.mu.Unlock()
	now := p.chip.now()
	p.chip.advance(now)
	return gpio.Level(p.chip.irqLevel(now))
}

func (c *Chip) irqLevel(now instant) bool {
	return c.power != awake || !c.irq || !c.ready(now)
}

// WaitForEdge implements gpio.PinIn.
func (p *irqPin) WaitForEdge(timeout time.Duration) bool {
	c := p.chip
	forever := timeout == 0
	for first := true; ; first = false {
		c.mu.Lock()
		now := c.now()
		c.advance(now)
		level, fault := c.irqLevel(now), c.irqFault
		next := never
		if c.job != nil {
			next = c.job.due
		}
		if c.readyAt > now {
			next = min(next, c.readyAt)
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
