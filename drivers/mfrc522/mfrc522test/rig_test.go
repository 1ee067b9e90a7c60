package mfrc522test_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
)

// Registers and commands by their numbers in the data sheet, once more and
// independent of the mock's own table.
const (
	command, comIrq, divIrq, errorReg = 0x01, 0x04, 0x05, 0x06
	status1, status2, fifo, level     = 0x07, 0x08, 0x09, 0x0A
	water, control, framing, coll     = 0x0B, 0x0C, 0x0D, 0x0E
	mode, txMode, rxMode, txControl   = 0x11, 0x12, 0x13, 0x14
	txASK, crcH, crcL, modWidth       = 0x15, 0x21, 0x22, 0x24
	rfCfg, tMode, tPrescaler          = 0x26, 0x2A, 0x2B
	tReloadH, tReloadL, tCounterH     = 0x2C, 0x2D, 0x2E
	version                           = 0x37

	idle, calcCRC, transceive, authent, softReset = 0x00, 0x03, 0x0C, 0x0E, 0x0F
)

// rig is a chip on a bus with nothing but register reads and writes.
type rig struct {
	t     *testing.T
	field *cardtest.Field
	chip  *mfrc522test.Chip
	bus   spi.Conn
}

func newRig(t *testing.T, opts ...mfrc522test.Option) *rig {
	t.Helper()
	field := cardtest.NewField()
	r := &rig{t: t, field: field, chip: mfrc522test.New(field, opts...)}
	bus, err := r.chip.Port().Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		t.Fatal(err)
	}
	r.bus = bus
	return r
}

// ready is a rig whose chip is set up for type A with the antenna on, 10 ms ago.
func ready(t *testing.T, opts ...mfrc522test.Option) *rig {
	t.Helper()
	r := newRig(t, opts...)
	r.setUp()
	return r
}

func (r *rig) setUp() {
	r.write(tMode, 0x80)
	r.write(tPrescaler, 0xA9)
	r.write(tReloadH, 0x03)
	r.write(tReloadL, 0xE8)
	r.write(txASK, 0x40)
	r.write(mode, 0x3D)
	r.write(txControl, 0x83)
	time.Sleep(10 * time.Millisecond)
}

func (r *rig) write(register byte, values ...byte) {
	r.t.Helper()
	if err := r.bus.Tx(append([]byte{register << 1}, values...), nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(register byte) byte {
	r.t.Helper()
	buf := []byte{register<<1 | 0x80, 0}
	if err := r.bus.Tx(buf, buf); err != nil {
		r.t.Fatal(err)
	}
	return buf[1]
}

func (r *rig) want(what string, register, want byte) {
	r.t.Helper()
	if got := r.read(register); got != want {
		r.t.Errorf("%s: %02X, want %02X", what, got, want)
	}
}

// start sends a frame with the last byte cut to so many bits (0 is a whole one)
// and the answer aligned to a bit, but does not wait for it.
func (r *rig) start(frame []byte, lastBits, align byte) {
	r.t.Helper()
	r.write(command, idle)
	r.write(comIrq, 0x7F)
	r.write(level, 0x80)
	r.write(fifo, frame...)
	r.write(framing, align<<4|lastBits)
	r.write(command, transceive)
	r.write(framing, 0x80|align<<4|lastBits)
}

// exchange sends a frame and waits by reading ComIrq for an answer, for the
// timer, or for 64 ms on the bus. It returns what the FIFO then holds.
func (r *rig) exchange(frame []byte, lastBits, align byte) []byte {
	r.t.Helper()
	r.start(frame, lastBits, align)
	for range 4000 {
		irq := r.read(comIrq)
		if irq&0x30 != 0 {
			return r.drain()
		}
		if irq&0x01 != 0 {
			return nil
		}
	}
	return nil
}

// drain reads the FIFO in one burst.
func (r *rig) drain() []byte {
	r.t.Helper()
	n := int(r.read(level))
	w, rd := bytes.Repeat([]byte{fifo<<1 | 0x80}, n+1), make([]byte, n+1)
	w[n] = 0
	if err := r.bus.Tx(w, rd); err != nil {
		r.t.Fatal(err)
	}
	return rd[1:]
}

func (r *rig) put(uid string, technology card.Technology) *cardtest.Card {
	r.t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		r.t.Fatal(err)
	}
	r.field.Put(c)
	time.Sleep(10 * time.Millisecond)
	return c
}

func in(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
