package pn532test

import (
	"presence/drivers/bus/bustest"
	"presence/drivers/cardtest"
)

// Fault is something that is wrong with the chip or its wiring.
type Fault string

// The faults. bustest.ParseFault knows the first five.
const (
	FaultNone Fault = bustest.FaultNone
	// FaultDeaf: the bus answers, but the antenna drivers do not come on. Commands
	// that switch the field on report success; TxControl reads as off, and the
	// antenna test fails (Diagnose, number 7). The reset pin mends it, unless
	// ResetPinDoesNotHelp was given.
	FaultDeaf Fault = bustest.FaultDeaf
	// FaultBusLow: MISO stays at 0, as with nothing wired to a Pi, which pulls that
	// pin down, or with a chip without power.
	FaultBusLow Fault = bustest.FaultBusLow
	// FaultBusHigh: MISO stays at 1, as with a wire that touches the supply.
	FaultBusHigh Fault = bustest.FaultBusHigh
	// FaultHang: a transfer does not return while the fault lasts, as with a
	// kernel driver that waits for an interrupt that is lost.
	FaultHang Fault = bustest.FaultHang

	// FaultI2C and FaultHSU: the switches on the board choose another interface. On
	// SPI the chip answers nothing, and MISO, which is pin P71 of its port then,
	// stays at its weak pull-up (data sheet, "host interfaces"; manual, 6.1.1).
	FaultI2C Fault = "i2c"
	FaultHSU Fault = "hsu"
	// FaultSilent: everything looks right, but nothing is ever heard.
	FaultSilent Fault = "silent"
	// FaultHot: the chip has switched its antenna drivers off because it is too hot
	// (manual, error 0D).
	FaultHot Fault = "hot"
	// FaultStuck: the firmware hangs. The status is never ready again, until the
	// reset pin or a loss of power ends the fault.
	FaultStuck Fault = "stuck"
)

// Break gives the chip a fault by its name, or mends it: see bustest.ParseFault.
func (c *Chip) Break(fault string) error {
	f, err := bustest.ParseFault[Fault](fault)
	if err != nil {
		return err
	}
	c.SetFault(f)
	return nil
}

// LinkFault is something that goes wrong with one command, once.
type LinkFault string

// The faults of one command.
const (
	LostCommand    LinkFault = "lost command"    // the frame goes unheard
	LostACK        LinkFault = "lost ACK"        // only the response comes
	LateACK        LinkFault = "late ACK"        // 20 ms after the command; the manual promises 15
	DoubleACK      LinkFault = "double ACK"      // another one, before the response
	LostResponse   LinkFault = "lost response"   // the status stays at 0 after the ACK, until an abort
	ErrorFrame     LinkFault = "error frame"     // comes in place of the response
	BadLCS         LinkFault = "bad LCS"         // of the response; what a NACK brings is right
	BadDCS         LinkFault = "bad DCS"         // of the response; what a NACK brings is right
	CutResponse    LinkFault = "cut response"    // its second half reads as FF; what a NACK brings is right
	LeadingGarbage LinkFault = "leading garbage" // before the preamble of the response
	WrongResponse  LinkFault = "wrong response"  // the code of another command, in a frame that is right
)

// LinkFaults are all of them.
func LinkFaults() []LinkFault {
	return []LinkFault{
		LostCommand, LostACK, LateACK, DoubleACK, LostResponse, ErrorFrame, BadLCS, BadDCS, CutResponse, LeadingGarbage, WrongResponse,
	}
}

type trip struct {
	fault LinkFault
	in    int
}

// Trip lets the nth command from now on suffer a fault; 1 is the next one.
// Several may be waiting.
func (c *Chip) Trip(f LinkFault, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trips = append(c.trips, trip{f, n})
}

// tripped counts a command, and tells what it suffers.
func (c *Chip) tripped() (fault LinkFault) {
	left := c.trips[:0]
	for _, t := range c.trips {
		if t.in--; t.in == 0 {
			fault = t.fault
		} else {
			left = append(left, t)
		}
	}
	c.trips = left
	return fault
}

// Glitch is a disturbance of the bus.
type Glitch string

// The disturbances, each of a bit or a byte.
const (
	FlipMOSI   Glitch = "flip MOSI"
	FlipMISO   Glitch = "flip MISO"
	DropMOSI   Glitch = "drop MOSI"   // the chip does not get a byte
	DropMISO   Glitch = "drop MISO"   // the host does not get a byte, but the one after it
	DoubleMOSI Glitch = "double MOSI" // the chip gets a byte twice
	DoubleMISO Glitch = "double MISO" // the host gets a byte twice
)

// Glitches are all of them.
func Glitches() []Glitch {
	return []Glitch{FlipMOSI, FlipMISO, DropMOSI, DropMISO, DoubleMOSI, DoubleMISO}
}

type glitch struct {
	kind Glitch
	left int
}

// GlitchAt disturbs the bus once: at the nth bit from now on where bits are
// flipped, else at the nth byte; 1 is the next one, and the first bit of a byte is
// the one that is sent first.
func (c *Chip) GlitchAt(g Glitch, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.glitches = append(c.glitches, glitch{g, n})
}

// Calm forgets all glitches and faults of commands that have not come yet.
func (c *Chip) Calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.glitches, c.trips = nil, nil
}

// FlipMOSI flips the nth bit on its way to the chip from now on, once.
func (c *Chip) FlipMOSI(n int) { c.GlitchAt(FlipMOSI, n) }

// FlipMISO flips the nth bit on its way from the chip from now on, once.
func (c *Chip) FlipMISO(n int) { c.GlitchAt(FlipMISO, n) }

// disturbance is what one byte on the bus suffers.
type disturbance struct {
	mosi, miso                                 byte // bits that are flipped
	dropMOSI, dropMISO, doubleMOSI, doubleMISO bool
}

// disturb counts a byte, and tells what it suffers.
func (c *Chip) disturb() (d disturbance) {
	d.mosi, d.miso = c.noise.MOSIByte(), c.noise.MISOByte()
	left := c.glitches[:0]
	for _, g := range c.glitches {
		unit := 1
		if g.kind == FlipMOSI || g.kind == FlipMISO {
			unit = 8
		}
		if g.left > unit {
			g.left -= unit
			left = append(left, g)
			continue
		}
		switch g.kind {
		case FlipMOSI:
			d.mosi ^= 0x80 >> (g.left - 1)
		case FlipMISO:
			d.miso ^= 0x80 >> (g.left - 1)
		case DropMOSI:
			d.dropMOSI = true
		case DropMISO:
			d.dropMISO = true
		case DoubleMOSI:
			d.doubleMOSI = true
		case DoubleMISO:
			d.doubleMISO = true
		}
	}
	c.glitches = left
	return d
}

// SetNoise makes the chip suffer from now on; the zero Noise ends it. Drift has one
// of its settings change, the field go off, its targets be forgotten, or the supply
// fail for a moment.
func (c *Chip) SetNoise(n cardtest.Noise) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noise = cardtest.NewDisturber(n)
}

// drift is Noise.Drift at a transfer.
func (c *Chip) drift(now instant) {
	if !c.noise.Chance(c.noise.Drift) {
		return
	}
	switch r := c.noise.Rand; r.IntN(7) {
	case 0:
		c.retries = []byte{0, endless}[r.IntN(2)]
	case 1:
		c.commTime = byte(r.IntN(17))
	case 2:
		c.parameters ^= parameterAutoRATS
	case 3:
		c.setRF(false, now)
	case 4:
		c.targets = [2]*target{}
	case 5:
		c.ciu[ciuBitFraming&0x3F] ^= 1 << r.IntN(8)
	case 6:
		c.powerUp(now)
	}
}
