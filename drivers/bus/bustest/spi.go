package bustest

import (
	"errors"
	"fmt"
	"sync"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// Device is the chip's end of a bus. All chips here speak mode 0, most significant bit
// first, as a Pi's hardware does.
type Device interface {
	fmt.Stringer

	// MaxTxSize is the longest transfer that the bus takes, in bytes.
	MaxTxSize() int

	// Clock hears which clock the host has chosen; an error refuses it.
	Clock(speed physic.Frequency) error

	// Transfer clocks packets through the chip. A last packet with KeepCS leaves chip
	// select low until the next transfer, as the kernel does.
	Transfer(packets []spi.Packet, speed physic.Frequency) error

	// Release is chip select rising because the port was closed.
	Release()
}

// Port opens the bus that a device hangs on. It follows the rules of periph's sysfs
// port: one Connect, equal lengths for writing and reading, a limit on the length of
// a transfer.
func Port(d Device) spi.PortCloser { return &port{device: d} }

type port struct {
	device Device

	mu        sync.Mutex
	limit     physic.Frequency
	connected bool
	closed    bool
}

func (p *port) String() string { return p.device.String() }

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
	p.device.Release()
	return nil
}

// MaxTxSize implements conn.Limits.
func (p *port) MaxTxSize() int { return p.device.MaxTxSize() }

// Connect implements spi.Port. What the chip does not speak is an error here, where a
// board would read nonsense.
func (p *port) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if err := checkSpeed(f); err != nil {
		return nil, err
	}
	if mode != spi.Mode0 {
		return nil, fmt.Errorf("bustest: mode %v: the chip speaks mode 0, full duplex, and a Pi sends the most significant bit first", mode)
	}
	if bits != 8 {
		return nil, fmt.Errorf("bustest: %d bits per word: the chip speaks bytes", bits)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("sysfs-spi: file already closed")
	}
	if p.connected {
		return nil, errors.New("sysfs-spi: Connect() can only be called exactly once")
	}
	speed := f
	if p.limit != 0 && p.limit < f {
		speed = p.limit
	}
	if err := p.device.Clock(speed); err != nil {
		return nil, err
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
func (b *bus) MaxTxSize() int { return b.port.MaxTxSize() }

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

// transfer hands packets to the device. The caller holds the port's lock.
func (b *bus) transfer(packets []spi.Packet) error {
	if b.port.closed {
		return errors.New("file already closed")
	}
	return b.port.device.Transfer(packets, b.speed)
}
