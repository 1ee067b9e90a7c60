package pn532test

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// maxSpeed is the highest SPI clock (data sheet, "serial peripheral interface").
const maxSpeed = 5 * physic.MegaHertz

// Operations: the first byte after chip select falls (manual, section 6.2.5).
const (
	opWrite  = 0x01
	opStatus = 0x02
	opRead   = 0x03
)

// Port opens the bus that the chip hangs on. It follows the rules of periph's sysfs
// port: one Connect, equal lengths for writing and reading, a limit on the length
// of a transfer, and no LSB-first mode, which a Pi's hardware does not have. Each
// call opens it anew. A clock that is too fast is a violation, and the chip then
// understands nothing.
func (c *Chip) Port() spi.PortCloser { return &port{chip: c} }

type port struct {
	chip *Chip

	mu        sync.Mutex
	limit     physic.Frequency
	connected bool
	closed    bool
}

func (p *port) String() string { return "SPI-PN532" }

// LimitSpeed implements spi.PortCloser.
func (p *port) LimitSpeed(f physic.Frequency) error {
	if err := checkSpeed(f); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = f
	return nil
}

// Close implements spi.PortCloser. Chip select rises with it.
func (p *port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("sysfs-spi: file already closed")
	}
	p.closed = true
	c := p.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.sel.low {
		c.advance(now)
		c.deselect(now)
	}
	return nil
}

// Connect implements spi.Port.
func (p *port) Connect(f physic.Frequency, mode spi.Mode, bitsPerWord int) (spi.Conn, error) {
	if err := checkSpeed(f); err != nil {
		return nil, err
	}
	if mode != spi.Mode0 {
		return nil, fmt.Errorf("pn532test: mode %v: the chip speaks mode 0, full duplex, and a Pi sends the most significant bit first", mode)
	}
	if bitsPerWord != 8 {
		return nil, fmt.Errorf("pn532test: %d bits per word: the chip speaks bytes", bitsPerWord)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("sysfs-spi: file already closed")
	}
	if p.connected {
		return nil, errors.New("sysfs-spi: Connect() can only be called exactly once")
	}
	p.connected = true
	speed := f
	if p.limit != 0 && p.limit < f {
		speed = p.limit
	}
	if speed > maxSpeed {
		p.chip.mu.Lock()
		p.chip.violation("a clock of %s: the chip takes at most %s", speed, maxSpeed)
		p.chip.mu.Unlock()
	}
	return &bus{port: p, speed: speed}, nil
}

func checkSpeed(f physic.Frequency) error {
	if f > physic.GigaHertz || f < 100*physic.Hertz {
		return fmt.Errorf("sysfs-spi: invalid speed %s", f)
	}
	return nil
}

// bus implements spi.Conn.
type bus struct {
	port  *port
	speed physic.Frequency
	one   [1]spi.Packet // for Tx, so that it allocates nothing
}

func (b *bus) String() string { return b.port.String() }

// Duplex implements conn.Conn.
func (b *bus) Duplex() conn.Duplex { return conn.Full }

// MaxTxSize implements conn.Limits.
func (b *bus) MaxTxSize() int { return b.port.chip.open.maxTx }

// Tx implements conn.Conn. A nil buffer on one side is fine.
func (b *bus) Tx(w, r []byte) error {
	if len(w) == 0 && len(r) == 0 {
		return errors.New("sysfs-spi: Tx() with empty buffers")
	}
	if len(w) != 0 && len(r) != 0 && len(w) != len(r) {
		return fmt.Errorf("sysfs-spi: Tx(): when both w and r are used, they must be the same size; got %d and %d bytes", len(w), len(r))
	}
	if n := max(len(w), len(r)); n > b.MaxTxSize() {
		return fmt.Errorf("sysfs-spi: maximum Tx length is %d, got %d bytes", b.MaxTxSize(), n)
	}
	b.port.mu.Lock()
	defer b.port.mu.Unlock()
	b.one[0] = spi.Packet{W: w, R: r}
	if err := b.transfer(b.one[:]); err != nil {
		return fmt.Errorf("sysfs-spi: Tx() failed: %w", err)
	}
	return nil
}

// TxPackets implements spi.Conn. A last packet with KeepCS leaves chip select low
// until the next transfer, as the kernel does.
func (b *bus) TxPackets(packets []spi.Packet) error {
	total := 0
	for _, p := range packets {
		if len(p.W) != 0 && len(p.R) != 0 && len(p.W) != len(p.R) {
			return fmt.Errorf("sysfs-spi: when both w and r are used, they must be the same size; got %d and %d bytes", len(p.W), len(p.R))
		}
		total += max(len(p.W), len(p.R))
	}
	if total == 0 {
		return errors.New("sysfs-spi: empty packets")
	}
	if total > b.MaxTxSize() {
		return fmt.Errorf("sysfs-spi: maximum TxPackets length is %d, got %d bytes", b.MaxTxSize(), total)
	}
	b.port.mu.Lock()
	defer b.port.mu.Unlock()
	if err := b.transfer(packets); err != nil {
		return fmt.Errorf("sysfs-spi: TxPackets() failed: %w", err)
	}
	return nil
}

// transfer clocks packets through the chip. The caller holds the port's lock.
func (b *bus) transfer(packets []spi.Packet) error {
	if b.port.closed {
		return errors.New("file already closed")
	}
	c := b.port.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fault == FaultHang {
		c.mended.Wait()
	}
	c.stats.Transfers++
	if c.failNext > 0 {
		c.failNext--
		return c.failWith
	}
	now := c.now()
	c.advance(now)
	if c.resetIn > 0 {
		if c.resetIn--; c.resetIn == 0 {
			c.fail(now)
		}
	}
	c.drift(now)
	per := byteTime(int64(b.speed))
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
func (c *Chip) ResetPin() gpio.PinOut { return resetPin{c} }

type resetPin struct{ chip *Chip }

func (p resetPin) String() string   { return "RSTPDN" }
func (p resetPin) Name() string     { return "RSTPDN" }
func (p resetPin) Number() int      { return -1 }
func (p resetPin) Function() string { return "Out" }

// Halt implements conn.Resource; it leaves the level as it is.
func (p resetPin) Halt() error { return nil }

// Out implements gpio.PinOut.
func (p resetPin) Out(l gpio.Level) error {
	p.chip.hold(l == gpio.Low)
	return nil
}

// PWM implements gpio.PinOut; the pin has none.
func (p resetPin) PWM(gpio.Duty, physic.Frequency) error {
	return errors.New("pn532test: the reset pin has no PWM")
}
