package pn532test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"presence/drivers/bus/bustest"
	"presence/drivers/cardtest"
)

// power is whether the chip has a clock.
type power int

const (
	asleep power = iota
	awake
	held // by its reset pin
)

// phase is how far a command has come (manual, section 6.2.2).
type phase int

const (
	idle      phase = iota
	acking          // its acknowledgement waits to be read
	running         // the command runs, or will never end
	answering       // its response waits to be read
)

// Stats are counters over the chip's life.
type Stats struct {
	Transfers  int64 // on the bus, failed ones among them
	Commands   int64 // accepted, and not repeated
	BadFrames  int64 // from the host, which were not acknowledged
	Aborts     int64
	Repeats    int64 // responses sent again for a NACK
	Frames     int64 // sent into the field
	RFOffs     int64 // times that the field went off
	HardResets int64 // pulses of the reset pin
}

// job is a command under way. step does what is due at an instant and returns the
// response with the instant from which it can be read, or nil and when to step
// again; never means that there will be no response.
type job struct {
	due  instant
	step func(at instant) (response []byte, next instant)
}

// Chip is one PN532 on its board. All methods are safe for concurrent use.
type Chip struct {
	bustest.Accidents

	mu    sync.Mutex
	field *cardtest.Field
	open  open

	made  time.Time
	onBus time.Duration // time that transfers would have taken

	fault    Fault
	mended   sync.Cond // on mu: the fault has changed
	trips    []trip
	glitches []glitch
	noise    cardtest.Disturber
	irqFault bustest.IRQFault
	stats    Stats

	violations []string

	// Power.
	power      power
	lowBattery bool    // until SAMConfiguration
	spiWakes   bool    // chip select ends this sleep
	hostKnows  bool    // that the chip sleeps: it was told so, or has just been powered
	wakeAt     instant // never while nothing wakes it
	fresh      bool    // no command has come since it woke

	// The bus.
	sel        selection
	lastSelect instant // when chip select rose
	in         []byte  // what the host has written in this transfer

	// The command under way.
	phase   phase
	job     *job
	out     []byte  // what can be read
	outAt   int     // the next byte of it
	taken   bool    // all that matters of it was read
	readyAt instant // from when it can be read
	last    []byte  // the last response, for a NACK
	cmd     []byte  // the command code and its parameters
	deaf    bool    // the next command goes unheard
	again   bool    // the acknowledgement comes once more
	lost    bool    // the response never comes
	spoil   LinkFault
	ending  func() // once the response has been read

	// Settings.
	parameters byte // SetParameters
	irq        bool // P70_IRQ is driven (SAMConfiguration)
	commTime   byte // RFConfiguration, item 2
	retries    byte // MxRtyPassiveActivation of item 5
	commTries  byte // item 4
	ciu        [64]byte
	rf         bool
	targets    [2]*target
	lastError  byte
	rest       []byte // of an answer that is longer than a response

	heard [cardtest.MaxAnswer]byte // the last answer from the air
}

// New makes a chip before a field. It has just been powered, and sleeps.
func New(field *cardtest.Field, opts ...Option) *Chip {
	c := &Chip{field: field, open: defaultOpen(), made: time.Now(), fault: FaultNone}
	c.mended.L = &c.mu
	for _, o := range opts {
		o(c)
	}
	c.powerUp(0)
	c.hostKnows = true
	return c
}

// powerUp is the state after the supply has come, or a reset has ended.
func (c *Chip) powerUp(at instant) {
	c.sleep(false)
	c.lowBattery, c.spiWakes = true, true
	c.parameters, c.irq = parameterAutoATR|parameterAutoRATS, true
	c.commTime, c.retries, c.commTries = 0x0A, endless, 0
	c.ciu = [64]byte{}
	c.targets, c.lastError, c.last, c.deaf = [2]*target{}, 0, nil, false
	c.setRF(false, at)
}

// sleep stops the chip. What it was doing is forgotten.
func (c *Chip) sleep(told bool) {
	c.power, c.wakeAt, c.hostKnows = asleep, never, told
	c.forget()
}

// forget drops the command under way.
func (c *Chip) forget() {
	c.phase, c.job, c.out, c.outAt, c.taken, c.readyAt = idle, nil, nil, 0, false, never
	c.again, c.lost, c.spoil, c.ending = false, false, "", nil
	c.in = c.in[:0]
}

func (c *Chip) wake() {
	c.power, c.wakeAt, c.hostKnows, c.fresh = awake, never, false, true
	if c.open.losesFirst {
		c.deaf = true
	}
}

// setRF switches the field, as far as the antenna drivers work.
func (c *Chip) setRF(on bool, at instant) {
	on = on && c.fault != FaultDeaf && c.fault != FaultHot
	if c.rf && !on {
		c.stats.RFOffs++
		for _, t := range c.targets {
			if t != nil {
				t.selected = false
			}
		}
	}
	c.rf = on
	c.field.SetRF(on, c.clockAt(at))
}

// SetFault puts the chip into a fault, or mends it with FaultNone. One fault holds
// at a time.
func (c *Chip) SetFault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	c.fault = f
	c.mended.Broadcast()
	c.setRF(c.rf, now)
	if f == FaultStuck {
		c.phase, c.job, c.readyAt = running, nil, never
	}
}

// Fault tells which fault holds.
func (c *Chip) Fault() Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// Stats returns the counters.
func (c *Chip) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// RF reports whether the chip drives its field.
func (c *Chip) RF() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.now())
	return c.rf
}

// Asleep reports whether the chip sleeps, or is held by its reset pin.
func (c *Chip) Asleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.now())
	return c.power != awake
}

// maxViolations bounds the list of a chip that lives for days.
const maxViolations = 100

// Violations lists what the host did that the manual forbids, in order and with the
// number of the transfer. It is empty after a driver that does everything right.
// Noise, flipped bits and brown-outs make frames look wrong that the driver sent right,
// so a test that uses them cannot ask for an empty list.
func (c *Chip) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.violations)
}

func (c *Chip) violation(format string, args ...any) {
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, fmt.Sprintf("transfer %d: ", c.stats.Transfers)+fmt.Sprintf(format, args...))
	}
}

// hold is the reset pin.
func (c *Chip) hold(low bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	if low == (c.power == held) {
		return
	}
	if low {
		c.stats.HardResets++
		if !c.open.ignoresReset {
			if c.fault == FaultStuck || c.fault == FaultDeaf {
				c.fault = FaultNone
			}
		}
	}
	c.powerUp(now)
	c.hostKnows = true
	if low {
		c.power = held
	}
}
