package bustest

import (
	"errors"
	"math"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// ResetPin is an input of a chip that the host drives. Set is called with each level.
func ResetPin(name string, set func(gpio.Level)) gpio.PinOut { return &resetPin{name, set} }

type resetPin struct {
	name string
	set  func(gpio.Level)
}

func (p *resetPin) String() string   { return p.name }
func (p *resetPin) Name() string     { return p.name }
func (p *resetPin) Number() int      { return -1 }
func (p *resetPin) Function() string { return "Out" }

// Halt implements conn.Resource; it leaves the level as it is.
func (p *resetPin) Halt() error { return nil }

// Out implements gpio.PinOut.
func (p *resetPin) Out(l gpio.Level) error {
	p.set(l)
	return nil
}

// PWM implements gpio.PinOut; the pin has none.
func (p *resetPin) PWM(gpio.Duty, physic.Frequency) error {
	return errors.New("bustest: the reset pin has no PWM")
}

// IRQFault is something that is wrong with the wire to the IRQ pin.
type IRQFault int

// The faults of the wire.
const (
	IRQFine  IRQFault = iota
	IRQDead           // not connected: there is never an edge
	IRQStuck          // an edge at each wait, as from a wire next to a motor
)

// IRQ is a chip's interrupt output at one moment.
type IRQ struct {
	Level gpio.Level
	Fault IRQFault

	// Now is the chip's clock, and Next when it does something by itself: the largest
	// Duration where it has nothing under way.
	Now, Next time.Duration
}

// IRQPin is a chip's interrupt output as the host's pin sees it; look tells its state.
// Waiting for an edge follows periph's gpioioctl, with times in the chip's clock: 0
// waits for ever, and a negative time returns at once.
func IRQPin(name string, look func() IRQ) gpio.PinIn { return &irqPin{name: name, look: look} }

type irqPin struct {
	name string
	look func() IRQ
	edge gpio.Edge
	last gpio.Level // when it was last read
}

func (p *irqPin) String() string   { return p.name }
func (p *irqPin) Name() string     { return p.name }
func (p *irqPin) Number() int      { return -1 }
func (p *irqPin) Function() string { return "In" }

// Halt implements conn.Resource.
func (p *irqPin) Halt() error { return nil }

// In implements gpio.PinIn.
func (p *irqPin) In(_ gpio.Pull, edge gpio.Edge) error {
	p.edge, p.last = edge, p.Read()
	return nil
}

// Pull implements gpio.PinIn.
func (p *irqPin) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull implements gpio.PinIn.
func (p *irqPin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Read implements gpio.PinIn.
func (p *irqPin) Read() gpio.Level { return p.look().Level }

// WaitForEdge implements gpio.PinIn.
func (p *irqPin) WaitForEdge(timeout time.Duration) bool {
	forever := timeout == 0
	for first := true; ; first = false {
		now := p.look()
		came := now.Level != p.last && (p.edge == gpio.BothEdges || p.edge == gpio.RisingEdge == bool(now.Level))
		p.last = now.Level
		switch {
		case now.Fault == IRQStuck:
			return true
		case came && now.Fault != IRQDead:
			return true
		case timeout < 0 || !first && !forever && timeout == 0:
			return false
		}
		pause := max(now.Next-now.Now, time.Microsecond)
		if now.Next == math.MaxInt64 {
			pause = time.Millisecond
		}
		if !forever {
			pause = min(pause, timeout)
			timeout -= pause
		}
		time.Sleep(pause)
	}
}
