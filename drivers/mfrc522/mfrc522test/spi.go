package mfrc522test

import (
	"fmt"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/bus/bustest"
)

// maxSpeed is the highest SPI clock (data sheet, section 8.1.2).
const maxSpeed = 10 * physic.MegaHertz

// Port opens the bus that the chip hangs on, anew at each call. The chip speaks mode
// 0 with bytes, most significant bit first, at up to 10 MHz (data sheet, section
// 8.1.2).
func (c *Chip) Port() spi.PortCloser { return bustest.Port(&device{chip: c}) }

// device is the chip's end of one port.
type device struct {
	chip *Chip

	// What the chip's side of the bus remembers while chip select is low.
	selected bool // an address byte has come
	reading  bool // it asked to read
	address  byte // the last address byte
}

// String names the port.
func (d *device) String() string { return "SPI-MFRC522" }

// MaxTxSize implements bustest.Device.
func (d *device) MaxTxSize() int { return d.chip.maxTx }

// Clock implements bustest.Device.
func (d *device) Clock(speed physic.Frequency) error {
	if speed > maxSpeed {
		return fmt.Errorf("mfrc522test: %s: the chip takes at most %s", speed, maxSpeed)
	}
	return nil
}

// Release implements bustest.Device.
func (d *device) Release() { d.selected = false }

// Transfer implements bustest.Device.
func (d *device) Transfer(packets []spi.Packet, speed physic.Frequency) error {
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
		c.reset(now)
	}
	c.drift(now)
	perByte := byteTime(int64(speed))
	for _, p := range packets {
		for i := range max(len(p.W), len(p.R)) {
			var mosi byte
			if len(p.W) != 0 {
				mosi = p.W[i]
			}
			now += perByte
			c.onBus += perByte
			c.advance(now)
			miso := c.toHost(c.onWire(d.clock(c.toChip(mosi), now)))
			if len(p.R) != 0 {
				p.R[i] = miso
			}
		}
		if !p.KeepCS {
			d.selected = false
		}
	}
	return nil
}

// clock passes one byte in each direction (data sheet, section 8.1.2): the
// first byte is an address. When it asks to read, the chip answers each address
// byte while the next byte is clocked; else all further bytes go to the one
// register.
func (d *device) clock(mosi byte, now instant) (miso byte) {
	const read, unused = 0x80, 0x01
	if !d.selected {
		d.selected, d.reading, d.address = true, mosi&read != 0, mosi
		return 0
	}
	register := d.address >> 1 & 0x3F
	valid := d.address&unused == 0
	if !d.reading {
		if valid {
			d.chip.write(register, mosi, now)
		}
		return 0
	}
	if valid && d.address&read != 0 {
		miso = d.chip.read(register, now)
	}
	d.address = mosi
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
func (c *Chip) ResetPin() gpio.PinOut {
	return bustest.ResetPin("NRSTPD", func(l gpio.Level) { c.hold(l == gpio.Low) })
}
