package mfrc522test

import (
	"errors"
	"fmt"
	"sync"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// maxSpeed is the highest SPI clock (data sheet, section 8.1.2).
const maxSpeed = 10 * physic.MegaHertz

// Port opens the bus that the chip hangs on. It follows the rules of periph's
// sysfs port: one Connect, equal lengths for writing and reading, a limit on
// the length of a transfer. Each call opens it anew.
func (c *Chip) Port() spi.PortCloser { return &port{chip: c} }

type port struct {
	chip *Chip

	mu        sync.Mutex
	limit     physic.Frequency
	connected bool
	closed    bool

	// What the chip's side of the bus remembers while chip select is low.
	selected bool // an address byte has come
	reading  bool // it asked to read
	address  byte // the last address byte
}

func (p *port) String() string { return "SPI-MFRC522" }

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

// Close implements spi.PortCloser.
func (p *port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("sysfs-spi: file already closed")
	}
	p.closed = true
	return nil
}

// MaxTxSize implements conn.Limits.
func (p *port) MaxTxSize() int { return p.chip.maxTx }

// Connect implements spi.Port. The chip speaks mode 0 with bytes, most
// significant bit first, at up to 10 MHz (data sheet, section 8.1.2); anything
// else is an error here, where a board would read nonsense.
func (p *port) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if err := checkSpeed(f); err != nil {
		return nil, err
	}
	if mode != spi.Mode0 {
		return nil, fmt.Errorf("mfrc522test: mode %v: the chip speaks mode 0, full duplex, MSB first", mode)
	}
	if bits != 8 {
		return nil, fmt.Errorf("mfrc522test: %d bits per word: the chip speaks bytes", bits)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	speed := f
	if p.limit != 0 && p.limit < f {
		speed = p.limit
	}
	if speed > maxSpeed {
		return nil, fmt.Errorf("mfrc522test: %s: the chip takes at most %s", speed, maxSpeed)
	}
	if p.closed {
		return nil, errors.New("sysfs-spi: file already closed")
	}
	if p.connected {
		return nil, errors.New("sysfs-spi: Connect() can only be called exactly once")
	}
	p.connected = true
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
func (b *bus) MaxTxSize() int { return b.port.chip.maxTx }

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

// TxPackets implements spi.Conn.
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
			c.reset(now)
		}
	}
	c.drift(now)
	perByte := byteTime(int64(b.speed))
	for _, p := range packets {
		for i := range max(len(p.W), len(p.R)) {
			var mosi byte
			if len(p.W) != 0 {
				mosi = p.W[i]
			}
			now += perByte
			c.onBus += perByte
			c.advance(now)
			miso := c.toHost(c.onWire(b.port.clock(c.toChip(mosi), now)))
			if len(p.R) != 0 {
				p.R[i] = miso
			}
		}
		if !p.KeepCS {
			b.port.selected = false
		}
	}
	return nil
}

// clock passes one byte in each direction (data sheet, section 8.1.2): the
// first byte is an address. When it asks to read, the chip answers each address
// byte while the next byte is clocked; else all further bytes go to the one
// register.
func (p *port) clock(mosi byte, now instant) (miso byte) {
	const read, unused = 0x80, 0x01
	if !p.selected {
		p.selected, p.reading, p.address = true, mosi&read != 0, mosi
		return 0
	}
	register := p.address >> 1 & 0x3F
	valid := p.address&unused == 0
	if !p.reading {
		if valid {
			p.chip.write(register, mosi, now)
		}
		return 0
	}
	if valid && p.address&read != 0 {
		miso = p.chip.read(register, now)
	}
	p.address = mosi
	return miso
}

// onWire is what the host sees of a byte.
func (c *Chip) onWire(miso byte) byte {
	switch c.fault {
	case FaultBusLow:
		return 0x00
	case FaultBusHigh:
		return 0xFF
	}
	return miso
}

// ResetPin is NRSTPD, low for hard power-down. The board pulls it up.
func (c *Chip) ResetPin() gpio.PinOut { return resetPin{c} }

type resetPin struct{ chip *Chip }

func (p resetPin) String() string   { return "NRSTPD" }
func (p resetPin) Name() string     { return "NRSTPD" }
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
	return errors.New("mfrc522test: the reset pin has no PWM")
}
