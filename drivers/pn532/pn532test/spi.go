package pn532test

import (
	"math/bits"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/bus/bustest"
)

// maxSpeed is the highest SPI clock (data sheet, "serial peripheral interface").
const maxSpeed = 5 * physic.MegaHertz

// Operations: the first byte after chip select falls (manual, section 6.2.5).
const (
	opWrite  = 0x01
	opStatus = 0x02
	opRead   = 0x03
)

// Port opens the bus that the chip hangs on, anew at each call. There is no LSB-first
// mode, which a Pi's hardware does not have. A clock that is too fast is a violation,
// and the chip then understands nothing.
func (c *Chip) Port() spi.PortCloser { return bustest.Port(device{c}) }

// device is the chip's end of one port.
type device struct{ chip *Chip }

// String names the port.
func (d device) String() string { return "SPI-PN532" }

// MaxTxSize implements bustest.Device.
func (d device) MaxTxSize() int { return d.chip.open.maxTx }

// Clock implements bustest.Device.
func (d device) Clock(speed physic.Frequency) error {
	c := d.chip
	if speed > maxSpeed {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.violation("a clock of %s: the chip takes at most %s", speed, maxSpeed)
	}
	return nil
}

// Release implements bustest.Device.
func (d device) Release() {
	c := d.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.sel.low {
		c.advance(now)
		c.deselect(now)
	}
}

// Transfer implements bustest.Device.
func (d device) Transfer(packets []spi.Packet, speed physic.Frequency) error {
	c := d.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fault == FaultHang {
		c.mended.Wait()
	}
	c.stats.Transfers++
	brownOut, err := c.Befall()
	if err != nil {
		return err
	}
	now := c.now()
	c.advance(now)
	if brownOut {
		c.fail(now)
	}
	c.drift(now)
	per := byteTime(int64(speed))
	for _, p := range packets {
		for i := range max(len(p.W), len(p.R)) {
			var mosi byte
			if len(p.W) != 0 {
				mosi = p.W[i]
			}
			miso := c.exchange(mosi, now, per)
			now += per
			c.onBus += per
			if len(p.R) != 0 {
				p.R[i] = miso
			}
		}
		if !p.KeepCS {
			c.deselect(now)
		}
	}
	return nil
}

// fail is the supply failing for a moment.
func (c *Chip) fail(now instant) {
	if c.power == held {
		return
	}
	if c.fault == FaultStuck {
		c.fault = FaultNone
	}
	c.powerUp(now)
}

// exchange passes one byte in each direction, as the wires look on the host's side:
// the host counts bits from the other end of a byte.
func (c *Chip) exchange(mosi byte, begin instant, per time.Duration) (miso byte) {
	d := c.disturb()
	in := bits.Reverse8(mosi ^ d.mosi)
	if per < byteTime(int64(maxSpeed)) {
		in = 0 // nothing that it understands
	}
	switch {
	case d.dropMOSI:
		miso = c.open.listening
	case d.doubleMISO:
		miso = c.lastMISO()
	default:
		miso = c.clock(in, begin, begin+per)
		if d.doubleMOSI || d.dropMISO {
			miso = c.clock(in, begin, begin+per)
		}
	}
	c.sel.miso = miso
	switch c.fault {
	case FaultBusLow:
		return 0x00
	case FaultBusHigh, FaultI2C, FaultHSU:
		return 0xFF
	}
	return bits.Reverse8(miso) ^ d.miso
}

// selection is the transfer under way: the time during which chip select is low.
type selection struct {
	low   bool
	heard bool // the operation
	deaf  bool // for the rest of it
	op    byte
	miso  byte // the byte before
}

func (c *Chip) lastMISO() byte {
	if c.sel.low {
		return c.sel.miso
	}
	return c.open.opening
}

// clock passes one byte in each direction (manual, section 6.2.5; data sheet, "SPI"),
// clocked between two instants.
func (c *Chip) clock(mosi byte, begin, end instant) (miso byte) {
	if !c.sel.low {
		c.fall(begin)
	}
	c.advance(begin)
	if c.power != awake || c.fault == FaultI2C || c.fault == FaultHSU {
		if (mosi == opWrite || mosi == opRead) && c.hostKnows && !c.sel.heard && c.fault != FaultI2C && c.fault != FaultHSU {
			c.violation("operation %02X to a chip that sleeps: hold chip select low for %v first", mosi, c.open.wakeTime)
		}
		c.sel.heard, c.sel.deaf = c.open.deafRest, c.open.deafRest
		return 0xFF
	}
	c.advance(end)
	if c.sel.deaf {
		return c.open.listening
	}
	if !c.sel.heard {
		c.sel.heard, c.sel.op = true, mosi
		return c.operation(end)
	}
	switch c.sel.op {
	case opWrite:
		if len(c.in) < maxFrame {
			c.in = append(c.in, mosi)
		}
		return c.open.listening
	case opStatus:
		return c.status(end)
	case opRead:
		return c.pull(end)
	}
	return c.open.listening
}

// operation begins a transfer. A frame of which a part was read before stands in the
// shift register already, so that its next byte comes at once, and is gone where the
// host means to read on.
func (c *Chip) operation(now instant) (miso byte) {
	miso = c.open.opening
	if c.outAt > 0 && c.outAt < len(c.out) && c.ready(now) {
		miso = c.out[c.outAt]
		if c.sel.op == opRead {
			c.next()
		}
	}
	switch c.sel.op {
	case opWrite:
		c.in = c.in[:0]
	case opStatus, opRead, 0x00: // 00 is how a host wakes a chip that is awake already
	default:
		c.violation("operation %02X", c.sel.op)
	}
	return miso
}

// ready reports whether there is something to read.
func (c *Chip) ready(now instant) bool { return c.readyAt <= now }

func (c *Chip) status(now instant) byte {
	if c.ready(now) {
		return 0x01 | c.open.statusBits
	}
	return c.open.statusBits
}

// pull is the next byte of what can be read.
func (c *Chip) pull(now instant) byte {
	if !c.ready(now) {
		c.violation("data read before the chip was ready")
		return c.open.listening
	}
	if c.outAt >= len(c.out) {
		return c.open.behind
	}
	b := c.out[c.outAt]
	c.next()
	return b
}

// next moves on in what is read. The frame is through when all but its postamble is.
func (c *Chip) next() {
	c.outAt++
	c.taken = c.taken || c.outAt >= len(c.out)-1
}

// fall and deselect are the edges of chip select.
func (c *Chip) fall(now instant) {
	c.sel = selection{low: true}
	if c.power == asleep && c.spiWakes && c.wakeAt == never {
		c.wakeAt = now + c.open.wakeTime
	}
}

func (c *Chip) deselect(now instant) {
	c.advance(now)
	op := c.sel.op
	heard := c.sel.heard && !c.sel.deaf
	c.sel = selection{}
	c.lastSelect = now
	if c.power == asleep && !c.open.wakesByEdge {
		c.wakeAt = never
	}
	if c.power != awake || !heard {
		return
	}
	switch {
	case op == opWrite:
		c.received(now)
	case c.taken:
		c.passed(now)
	}
}

// ResetPin is RSTPDN, low for hard power-down. The board pulls it up.
func (c *Chip) ResetPin() gpio.PinOut {
	return bustest.ResetPin("RSTPDN", func(l gpio.Level) { c.hold(l == gpio.Low) })
}
