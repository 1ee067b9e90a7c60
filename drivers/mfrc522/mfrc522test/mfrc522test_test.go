package mfrc522test_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
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

func TestRegistersAfterReset(t *testing.T) {
	in(t, "defaults", func(t *testing.T) {
		r := newRig(t)
		for register, want := range map[byte]byte{
			command: 0x20, 0x02: 0x80, comIrq: 0x14, errorReg: 0, status1: 0x21, status2: 0, level: 0, water: 8,
			control: 0x10, framing: 0, coll: 0xA0, mode: 0x3F, txMode: 0, rxMode: 0, txControl: 0x80, txASK: 0,
			0x17: 0x84, 0x18: 0x84, 0x19: 0x4D, crcH: 0xFF, crcL: 0xFF, modWidth: 0x26, rfCfg: 0x48, version: 0x92,
			0x00: 0, 0x0F: 0, 0x3F: 0,
		} {
			r.want(fmt.Sprintf("register %02X", register), register, want)
			if got := r.chip.Register(register); got != want {
				t.Errorf("register %02X looked at: %02X", register, got)
			}
		}
		r.write(version, 0x55)
		r.want("a read-only register", version, 0x92)
		r.write(rfCfg, 0x7F)
		r.want("gain", rfCfg, 0x7F)
	})
	in(t, "versions", func(t *testing.T) {
		newRig(t, mfrc522test.Version(0xB2)).want("a clone", version, 0xB2)
	})
}

func TestSoftReset(t *testing.T) {
	in(t, "takes time and loses writes", func(t *testing.T) {
		r := ready(t, mfrc522test.ResetTime(2*time.Millisecond))
		if !r.field.RF() {
			t.Fatal("no field")
		}
		r.start([]byte{0x26}, 7, 0) // it is in mid-transaction
		r.write(command, softReset)
		r.want("PowerDown", command, 0x30)
		if r.field.RF() {
			t.Error("the antenna stayed on")
		}
		r.write(txASK, 0x40)
		r.want("a register written too early", txASK, 0)
		time.Sleep(2 * time.Millisecond)
		r.want("after the reset", command, 0x20)
		r.want("TxControl", txControl, 0x80)
		r.want("interrupts", comIrq, 0x14)
		r.write(txASK, 0x40)
		r.want("a register written in time", txASK, 0x40)
		if s := r.chip.Stats(); s.RFOffs != 1 || s.SoftResets != 1 || s.HardResets != 0 {
			t.Errorf("%+v", s)
		}
	})
	in(t, "polled without sleeping", func(t *testing.T) {
		r := newRig(t)
		r.write(command, softReset)
		polls := 0
		for r.read(command)&0x10 != 0 {
			polls++
		}
		// 1 ms at 1 MHz and two bytes a poll.
		if polls < 50 || polls > 70 {
			t.Errorf("%d polls", polls)
		}
	})
}

func TestPowerDown(t *testing.T) {
	in(t, "reset pin", func(t *testing.T) {
		r := ready(t)
		pin := r.chip.ResetPin()
		if err := errors.Join(pin.Out(gpio.Low), pin.Out(gpio.Low)); err != nil {
			t.Fatal(err)
		}
		r.want("held in reset", version, 0)
		r.write(txASK, 0x40)
		if r.field.RF() {
			t.Error("the field is on")
		}
		time.Sleep(time.Second)
		r.want("still held", version, 0)
		if err := pin.Out(gpio.High); err != nil {
			t.Fatal(err)
		}
		r.want("starting", command, 0x30)
		time.Sleep(time.Millisecond)
		r.want("started", command, 0x20)
		r.want("TxASK", txASK, 0)
		if s := r.chip.Stats(); s.HardResets != 1 || s.RFOffs != 1 {
			t.Errorf("%+v", s)
		}
		if pin.PWM(gpio.DutyHalf, physic.Hertz) == nil || pin.Halt() != nil || pin.Name() != "NRSTPD" {
			t.Error("pin")
		}
	})
	in(t, "command bit", func(t *testing.T) {
		r := ready(t)
		r.write(command, 0x10)
		r.want("asleep", command, 0x10)
		if r.field.RF() {
			t.Error("the field is on")
		}
		r.want("registers are kept", txASK, 0x40)
		r.write(command, 0x00)
		r.want("waking", command, 0x10)
		time.Sleep(time.Millisecond)
		r.want("awake", command, 0x00)
		if !r.field.RF() {
			t.Error("the field did not come back")
		}
	})
}

func TestBusRules(t *testing.T) {
	r := newRig(t, mfrc522test.MaxTxSize(16))
	connect := func(f physic.Frequency, m spi.Mode, bits int) error {
		_, err := r.chip.Port().Connect(f, m, bits)
		return err
	}
	for name, err := range map[string]error{
		"mode 3":              connect(physic.MegaHertz, spi.Mode3, 8),
		"half duplex":         connect(physic.MegaHertz, spi.Mode0|spi.HalfDuplex, 8),
		"LSB first":           connect(physic.MegaHertz, spi.Mode0|spi.LSBFirst, 8),
		"9 bits":              connect(physic.MegaHertz, spi.Mode0, 9),
		"20 MHz":              connect(20*physic.MegaHertz, spi.Mode0, 8),
		"no speed":            connect(0, spi.Mode0, 8),
		"empty":               r.bus.Tx(nil, nil),
		"unequal":             r.bus.Tx([]byte{0x80 | version<<1}, make([]byte, 2)),
		"too long":            r.bus.Tx(make([]byte, 17), nil),
		"no packets":          r.bus.TxPackets(nil),
		"unequal packets":     r.bus.TxPackets([]spi.Packet{{W: []byte{1}, R: []byte{1, 2}}}),
		"packets of 17 bytes": r.bus.TxPackets([]spi.Packet{{W: make([]byte, 8)}, {W: make([]byte, 9)}}),
	} {
		if err == nil {
			t.Errorf("%s was allowed", name)
		}
	}
	if l, ok := r.bus.(conn.Limits); !ok || l.MaxTxSize() != 16 {
		t.Error("no limit on transfers")
	}
	if r.bus.Duplex() != conn.Full {
		t.Error("not full duplex")
	}

	p := r.chip.Port()
	if err := p.LimitSpeed(physic.MegaHertz); err != nil {
		t.Fatal(err)
	}
	b, err := p.Connect(100*physic.MegaHertz, spi.Mode0, 8) // limited to 1 MHz
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Connect(physic.MegaHertz, spi.Mode0, 8); err == nil {
		t.Error("connected twice")
	}
	buf := make([]byte, 2)
	split := []spi.Packet{{W: []byte{0x80 | version<<1}, KeepCS: true}, {R: buf[:1]}}
	if err := b.TxPackets(split); err != nil || buf[0] != 0x92 {
		t.Errorf("read in two packets: % X %v", buf, err)
	}
	split[0].KeepCS = false
	if err := b.TxPackets(split); err != nil || buf[0] != 0 {
		t.Errorf("chip select went up between: % X %v", buf, err)
	}
	if err := b.Tx([]byte{0x81 | version<<1, 0}, buf); err != nil || buf[1] != 0 {
		t.Errorf("an address byte with its lowest bit set: % X %v", buf, err)
	}
	// Each byte of a read is the address of the next answer.
	several := []byte{0x80 | version<<1, 0x80 | water<<1, 0x80 | modWidth<<1, 0}
	if err := b.Tx(several, several); err != nil || !bytes.Equal(several[1:], []byte{0x92, 0x08, 0x26}) {
		t.Errorf("three registers in one read: % X %v", several, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Tx(buf, buf) == nil || p.Close() == nil {
		t.Error("a closed port works")
	}
}

func TestFIFO(t *testing.T) {
	in(t, "burst, overflow, flush", func(t *testing.T) {
		r := newRig(t)
		data := make([]byte, 64)
		for i := range data {
			data[i] = byte(i) ^ 0x5A
		}
		r.write(comIrq, 0x7F)
		r.write(fifo, data[:55]...)
		r.want("level", level, 55)
		r.want("neither alert", status1, 0x20)
		r.write(fifo, data[55])
		r.want("HiAlert at 64-8", status1, 0x22)
		r.want("HiAlertIRq", comIrq, 0x08)
		r.write(fifo, data[56:]...)
		r.want("no error yet", errorReg, 0)
		r.write(fifo, 0xEE)
		r.want("BufferOvfl", errorReg, 0x10)
		r.want("ErrIRq", comIrq, 0x0A)
		if got := r.drain(); !bytes.Equal(got, data) {
			t.Errorf("read back % X", got)
		}
		r.want("LoAlert", status1, 0x21)
		r.write(level, 0x80)
		r.want("flush clears BufferOvfl", errorReg, 0)
		r.want("an empty FIFO", fifo, 0)
		r.write(fifo, 1, 2, 3)
		r.write(level, 0x80)
		r.want("flushed", level, 0)
	})
}

func TestInterruptBits(t *testing.T) {
	in(t, "set and clear", func(t *testing.T) {
		r := newRig(t)
		r.write(comIrq, 0x7F)
		r.want("all cleared", comIrq, 0)
		r.write(comIrq, 0x80|0x41)
		r.want("two set", comIrq, 0x41)
		r.write(comIrq, 0x40)
		r.want("one cleared", comIrq, 0x01)
		r.write(divIrq, 0x84)
		r.want("DivIrq set", divIrq, 0x04)
		r.write(0x02, 0x81) // TimerIEn
		r.want("IRq in Status1", status1, 0x31)
	})
}

func TestCRCCoprocessor(t *testing.T) {
	in(t, "CRC_A vectors", func(t *testing.T) {
		r := newRig(t)
		r.write(mode, 0x3D)
		for _, tt := range []struct {
			data []byte
			l, h byte
		}{
			{[]byte{0, 0}, 0xA0, 0x1E},
			{[]byte{0x12, 0x34}, 0x26, 0xCF},
			{[]byte{0xE0, 0x50}, 0xBC, 0xA5},
			{[]byte{0x08}, 0xB6, 0xDD},
		} {
			r.write(command, idle)
			r.write(divIrq, 0x04)
			r.write(level, 0x80)
			r.write(fifo, tt.data...)
			r.write(command, calcCRC)
			for r.read(divIrq)&0x04 == 0 {
			}
			if l, h := r.read(crcL), r.read(crcH); l != tt.l || h != tt.h {
				t.Errorf("% X: %02X %02X", tt.data, l, h)
			}
			r.want("CRCReady", status1, 0x21)
			r.want("the FIFO is used up", level, 0)
		}
		r.write(mode, 0x3F)
		r.write(command, calcCRC)
		r.want("preset FFFF", crcL, 0xFF)
	})
	in(t, "bytes that come after the command", func(t *testing.T) {
		r := newRig(t)
		r.write(mode, 0x3D)
		r.write(command, calcCRC)
		for _, v := range []byte{0x12, 0x34} {
			r.write(fifo, v)
			time.Sleep(time.Millisecond) // so that each is worked off by itself
		}
		r.want("CRCResultLSB", crcL, 0x26)
		r.want("CRCResultMSB", crcH, 0xCF)
		r.write(command, calcCRC)
		r.write(fifo, 0x12, 0x34)
		r.want("a new command starts afresh", crcL, 0x26)
	})
	in(t, "most significant bit first", func(t *testing.T) {
		r := newRig(t)
		sum := func(data ...byte) [2]byte {
			r.write(command, idle)
			r.write(command, calcCRC)
			for _, v := range data {
				r.write(fifo, v)
				time.Sleep(time.Millisecond)
			}
			return [2]byte{r.read(crcH), r.read(crcL)}
		}
		r.write(mode, 0x3D)
		plain := sum(0x12, 0x34)
		r.write(mode, 0xBD)
		reversed := sum(0x48, 0x2C)
		if bits.Reverse8(plain[0]) != reversed[1] || bits.Reverse8(plain[1]) != reversed[0] {
			t.Errorf("% X and % X", plain, reversed)
		}
	})
}

func TestTimer(t *testing.T) {
	in(t, "25 ms", func(t *testing.T) {
		r := newRig(t)
		r.write(tPrescaler, 0xA9)
		r.write(tReloadH, 0x03)
		r.write(tReloadL, 0xE8)
		r.write(comIrq, 0x7F)
		r.write(control, 0x40) // TStartNow
		r.want("TRunning", status1, 0x29)
		time.Sleep(24 * time.Millisecond)
		r.want("not yet", comIrq, 0)
		time.Sleep(1100 * time.Microsecond)
		r.want("TimerIRq", comIrq, 0x01)
		r.want("stopped", status1, 0x21)
		r.write(control, 0x40)
		time.Sleep(10 * time.Millisecond)
		r.write(control, 0x80) // TStopNow
		count := int(r.read(tCounterH))<<8 | int(r.read(tCounterH+1))
		if count < 580 || count > 602 { // 1001 ticks of 25 µs less 400
			t.Errorf("counter %d", count)
		}
		time.Sleep(time.Second)
		r.want("a stopped timer requests nothing", comIrq, 0x01)
	})
}

// TestExchange is the raw conversation that any driver has with the chip.
func TestExchange(t *testing.T) {
	in(t, "REQA to HLTA", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		started := time.Now()
		for i, tt := range []struct {
			frame []byte
			bits  byte
			want  []byte
		}{
			{[]byte{0x26}, 7, []byte{0x04, 0x00}},
			{[]byte{0x93, 0x20}, 0, []byte{0xC5, 0xCC, 0x35, 0x8A, 0xB6}},
			{cardtest.AppendCRC([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}), 0, []byte{0x08, 0xB6, 0xDD}},
			{[]byte{0x50, 0x00, 0x57, 0xCD}, 0, nil},
		} {
			if got := r.exchange(tt.frame, tt.bits, 0); !bytes.Equal(got, tt.want) {
				t.Fatalf("frame %d: % X, want % X", i, got, tt.want)
			}
			r.want("errors", errorReg, 0)
		}
		if s := c.State(); s != cardtest.Halt {
			t.Error(s)
		}
		if time.Since(started) != 0 {
			t.Error("the bus slept")
		}
		if s := r.chip.Stats(); s.Frames != 4 || s.RFOffs != 0 || s.Transfers < 40 {
			t.Errorf("%+v", s)
		}
	})
	in(t, "an answer takes its time", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.start([]byte{0x26}, 7, 0)
		r.want("nothing yet", comIrq, 0)
		r.want("transmitting", status2, 3)
		time.Sleep(100 * time.Microsecond) // 10 bit times have passed
		r.want("TxIRq", comIrq, 0x44)
		r.want("waiting", status2, 4)
		time.Sleep(100 * time.Microsecond) // 1172 cycles have passed
		r.want("receiving", status2, 6)
		r.want("TRunning until the fifth bit", status1, 0x21)
		time.Sleep(200 * time.Microsecond)
		r.want("RxIRq and no TimerIRq", comIrq, 0x64)
		r.want("waiting for StartSend", status2, 1)
		r.want("bytes", level, 2)
		time.Sleep(time.Second)
		r.want("the timer was stopped by the answer", comIrq, 0x64)
	})
	in(t, "silence ends with the timer", func(t *testing.T) {
		r := ready(t)
		started := r.chip.Stats().Transfers
		if got := r.exchange([]byte{0x26}, 7, 0); got != nil {
			t.Errorf("% X", got)
		}
		r.want("interrupts", comIrq, 0x45)
		// 25 ms at 16 µs a poll.
		if n := r.chip.Stats().Transfers - started; n < 1500 || n > 1700 {
			t.Errorf("%d transfers", n)
		}
	})
	in(t, "checksums by the chip", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		if got := r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0); !bytes.Equal(got, []byte{0x08}) {
			t.Errorf("SAK % X", got)
		}
		r.want("errors", errorReg, 0)
	})
	in(t, "checksums by the chip are CRC_A whatever ModeReg says", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(mode, 0xBF) // MSBFirst, preset FFFF: both are CalcCRC's alone
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		if got := r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0); !bytes.Equal(got, []byte{0x08}) {
			t.Errorf("SAK % X", got)
		}
		r.want("errors", errorReg, 0)
	})
	in(t, "a wrong checksum", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadCRC)
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0)
		r.want("CRCErr", errorReg, 0x04)
		r.write(command, idle)
		r.want("a command clears the errors", errorReg, 0)
	})
	in(t, "wrong parity", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadParity)
		r.exchange([]byte{0x26}, 7, 0)
		r.want("ParityErr", errorReg, 0x02)
	})
	in(t, "an answer of 4 bits", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.RefusesHalt)
		r.exchange([]byte{0x26}, 7, 0)
		r.exchange(cardtest.AppendCRC([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}), 0, 0)
		if got := r.exchange([]byte{0x50, 0x00, 0x57, 0xCD}, 0, 0); !bytes.Equal(got, []byte{0}) {
			t.Errorf("% X", got)
		}
		r.want("RxLastBits", control, 0x14)
	})
	in(t, "writing the FIFO while an answer is awaited", func(t *testing.T) {
		r := ready(t)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Millisecond)
		r.write(fifo, 1)
		r.want("WrErr", errorReg, 0x80)
		r.want("dropped", level, 0)
	})
	in(t, "Transmit and Receive", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		r.write(comIrq, 0x7F)
		r.write(fifo, 0x26)
		r.write(framing, 7)
		r.write(command, 0x04)
		time.Sleep(time.Millisecond)
		r.want("TxIRq, IdleIRq, LoAlertIRq", comIrq, 0x54)
		r.want("idle by itself", command, 0)
		if s := c.State(); s != cardtest.Ready {
			t.Error(s)
		}
		r.write(command, 0x08)
		time.Sleep(time.Second)
		r.want("nobody speaks unasked", level, 0)
		r.write(comIrq, 0x7F)
		r.write(command, 0x0D)
		r.want("an unknown command ends at once", command, 0)
		r.want("IdleIRq", comIrq, 0x10)
	})
	in(t, "without a field the transmitter waits for it", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		c.SetStartup(0)
		r.write(txControl, 0x80)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Second)
		r.want("no interrupt at all", comIrq, 0)
		r.want("TxWait", status2, 2)
		r.want("the frame is still there", level, 1)
		r.write(txControl, 0x83)
		time.Sleep(time.Millisecond)
		r.want("TxIRq, RxIRq", comIrq, 0x64)
		r.write(txControl, 0x80)
		r.write(mode, 0x1D) // TxWaitRF off
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Second)
		r.want("TxIRq, TimerIRq", comIrq, 0x45)
	})
	in(t, "the card leaves in the middle", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).LeaveAt(2)
		r.exchange([]byte{0x26}, 7, 0)
		if got := r.exchange([]byte{0x93, 0x20}, 0, 0); got != nil {
			t.Errorf("% X", got)
		}
	})
	in(t, "nothing to send", func(t *testing.T) {
		r := ready(t)
		r.start(nil, 0, 0)
		time.Sleep(time.Second)
		if f := r.chip.Stats().Frames; f != 0 {
			t.Errorf("%d frames", f)
		}
	})
}

func TestCollisionRegister(t *testing.T) {
	// The UIDs agree in their first byte and differ first in bit 11 (counted
	// from 1), and two of them again in bit 14.
	three := []string{"AA001122", "AA041122", "AA241122"}
	for _, tt := range []struct {
		name   string
		opts   []mfrc522test.Option
		second byte // CollReg in the second round, with ValuesAfterColl clear
	}{
		{"NXP's reading", nil, 14 - 8},
		{"counted from the UID", []mfrc522test.Option{mfrc522test.CollisionPosition(mfrc522test.CollPosUID)}, 14},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t, tt.opts...)
			for _, uid := range three {
				r.put(uid, card.MifareClassic1K)
			}
			r.write(coll, 0)
			r.exchange([]byte{0x52}, 7, 0)
			r.want("no collision", coll, 0x20)
			if got := r.exchange([]byte{0x93, 0x20}, 0, 0); !bytes.Equal(got, []byte{0xAA, 0x04, 0, 0, 0}) {
				t.Errorf("bits after the collision: % X", got)
			}
			r.want("CollErr", errorReg, 0x08)
			r.want("interrupts", comIrq, 0x66)
			r.want("first round", coll, 11)
			// 11 bits are known: a byte and three bits.
			if got := r.exchange([]byte{0x93, 0x33, 0xAA, 0x04}, 3, 3); !bytes.Equal(got, []byte{0x20, 0, 0, 0}) {
				t.Errorf("aligned: % X", got)
			}
			r.want("second round", coll, tt.second)
			r.want("RxLastBits", control, 0x10)
			if got := r.exchange([]byte{0x93, 0x36, 0xAA, 0x24}, 6, 6); !bytes.Equal(got, []byte{0x00, 0x11, 0x22, 0x24 ^ 0xAA ^ 0x11 ^ 0x22}) {
				t.Errorf("the last: % X", got)
			}
			if v := r.read(coll); v&0x20 == 0 {
				t.Errorf("a position without a collision: %02X", v)
			}
		})
	}
	in(t, "bit 32 is written as 0", func(t *testing.T) {
		r := ready(t)
		r.put("0000007F", card.MifareClassic1K)
		r.put("000000FF", card.MifareClassic1K)
		r.write(coll, 0)
		r.exchange([]byte{0x52}, 7, 0)
		r.exchange([]byte{0x93, 0x20}, 0, 0)
		r.want("CollReg", coll, 0)
	})
	in(t, "beyond bit 32 there is no position", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadBCC)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(coll, 0)
		r.exchange([]byte{0x52}, 7, 0)
		r.exchange([]byte{0x93, 0x20}, 0, 0)
		r.want("CollErr", errorReg, 0x08)
		r.want("CollPosNotValid", coll, 0x20)
	})
	in(t, "ValuesAfterColl keeps what came", func(t *testing.T) {
		r := ready(t, mfrc522test.CollisionBit(0))
		r.put("AA001122", card.MifareClassic1K)
		r.put("AA041122", card.MifareClassic1K)
		r.exchange([]byte{0x52}, 7, 0)
		if got := r.exchange([]byte{0x93, 0x20}, 0, 0); !bytes.Equal(got, []byte{0xAA, 0x00, 0x11, 0x22, 0x99 | 0x9D}) {
			t.Errorf("% X", got)
		}
		r.want("CollReg", coll, 0x80|11)
	})
}

// A driver that forgets a part of the set-up reads no card.
func TestCardsStaySilentWhenTheChipIsSetUpWrongly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*rig)
		bits  byte
	}{
		{"100% ASK missing", func(r *rig) { r.write(txASK, 0) }, 7},
		{"antenna off", func(r *rig) { r.write(txControl, 0x80) }, 7},
		{"half an antenna", func(r *rig) { r.write(txControl, 0x81) }, 7},
		{"antenna on just now", func(r *rig) { r.write(txControl, 0x80); r.write(txControl, 0x83) }, 7},
		{"REQA of 8 bits", func(*rig) {}, 0},
		{"checksum on a short frame", func(r *rig) { r.write(txMode, 0x80) }, 7},
		{"sending at 212 kbit/s", func(r *rig) { r.write(txMode, 0x10) }, 7},
		{"receiving at 212 kbit/s", func(r *rig) { r.write(rxMode, 0x10) }, 7},
		{"modulation width", func(r *rig) { r.write(modWidth, 0x10) }, 7},
		{"crypto left on", func(r *rig) {
			r.write(level, 0x80)
			r.write(fifo, make([]byte, 12)...)
			r.write(command, authent)
			r.want("MFCrypto1On", status2, 0x08)
		}, 7},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t)
			r.put("0582C7204CA100", card.ISO14443_4)
			tt.spoil(r)
			if got := r.exchange([]byte{0x26}, tt.bits, 0); got != nil {
				t.Errorf("answered % X", got)
			}
		})
	}
	in(t, "receiver off", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.start([]byte{0x26}, 7, 0)
		r.write(command, 0x20|transceive)
		r.write(level, 0x80)
		r.write(fifo, 0x26)
		time.Sleep(time.Second)
		if irq := r.read(comIrq); irq&0x20 != 0 {
			t.Errorf("received: %02X", irq)
		}
	})
	in(t, "after crypto is cleared", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(fifo, make([]byte, 12)...)
		r.write(command, authent)
		r.write(status2, 0)
		r.write(status2, 0x08)
		r.want("the host cannot set MFCrypto1On", status2, 0)
		if got := r.exchange([]byte{0x26}, 7, 0); len(got) != 2 {
			t.Errorf("answered % X", got)
		}
	})
}

func TestFaults(t *testing.T) {
	reads := func(r *rig) bool {
		r.t.Helper()
		for range 2 { // a READY card answers only the second request
			if r.exchange([]byte{0x26}, 7, 0) != nil {
				return true
			}
		}
		return false
	}
	in(t, "deaf", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		if !reads(r) {
			t.Fatal("does not read")
		}
		r.chip.SetFault(mfrc522test.FaultDeaf)
		r.want("antenna", txControl, 0x80)
		r.write(txControl, 0x83)
		r.want("antenna written", txControl, 0x80)
		if reads(r) || r.field.RF() {
			t.Error("reads")
		}
		r.write(command, softReset)
		time.Sleep(time.Millisecond)
		r.setUp()
		r.want("antenna after a soft reset", txControl, 0x80)
		r.want("version", version, 0x92)
		pin := r.chip.ResetPin()
		_ = pin.Out(gpio.Low)
		_ = pin.Out(gpio.High)
		time.Sleep(time.Millisecond)
		r.setUp()
		r.want("antenna after the reset pin", txControl, 0x83)
		if !reads(r) || r.chip.Fault() != mfrc522test.FaultNone {
			t.Error("the reset pin did not help")
		}
	})
	in(t, "deaf to the reset pin too", func(t *testing.T) {
		r := ready(t, mfrc522test.DeafToResetPin())
		r.chip.SetFault(mfrc522test.FaultDeaf)
		pin := r.chip.ResetPin()
		_ = pin.Out(gpio.Low)
		_ = pin.Out(gpio.High)
		time.Sleep(time.Millisecond)
		r.setUp()
		r.want("antenna", txControl, 0x80)
		r.chip.SetFault(mfrc522test.FaultNone)
		r.write(txControl, 0x83)
		r.want("mended", txControl, 0x83)
	})
	in(t, "bus", func(t *testing.T) {
		r := ready(t)
		r.chip.SetFault(mfrc522test.FaultBusLow)
		r.want("low", version, 0)
		r.chip.SetFault(mfrc522test.FaultBusHigh)
		r.want("high", version, 0xFF)
		r.chip.SetFault(mfrc522test.FaultNone)
		r.want("mended", version, 0x92)
	})
	in(t, "silent", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetFault(mfrc522test.FaultSilent)
		r.want("antenna", txControl, 0x83)
		if reads(r) {
			t.Error("reads")
		}
		r.chip.SetFault(mfrc522test.FaultNone)
		if !reads(r) {
			t.Error("does not read")
		}
	})
	in(t, "crypto", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetFault(mfrc522test.FaultCrypto1)
		r.write(status2, 0)
		if r.read(status2)&0x08 == 0 || reads(r) {
			t.Error("cleared")
		}
		r.write(command, softReset)
		time.Sleep(time.Millisecond)
		r.setUp()
		if r.read(status2)&0x08 != 0 || !reads(r) {
			t.Error("a reset does not help")
		}
	})
	in(t, "no interrupts", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetFault(mfrc522test.FaultNoIRQ)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Second)
		r.want("ComIrq", comIrq, 0)
	})
	in(t, "a transceive that never ends", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetFault(mfrc522test.FaultStuckTx)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Minute)
		r.want("ComIrq: neither an answer nor the timer", comIrq, 0)
		r.want("still transmitting", status2, 3)
		r.want("antenna", txControl, 0x83)
		r.want("version", version, 0x92)
		r.chip.SetFault(mfrc522test.FaultNone)
		if !reads(r) {
			t.Error("does not read once it is mended")
		}
	})
	in(t, "failing transfers", func(t *testing.T) {
		r := newRig(t)
		broken := errors.New("broken wire")
		r.chip.FailTransfers(2, broken)
		buf := []byte{0x80 | version<<1, 0}
		if err := r.bus.Tx(buf, buf); !errors.Is(err, broken) {
			t.Error(err)
		}
		if err := r.bus.TxPackets([]spi.Packet{{W: buf}}); !errors.Is(err, broken) {
			t.Error(err)
		}
		r.want("the third", version, 0x92)
	})
	in(t, "brown-out", func(t *testing.T) {
		r := ready(t)
		r.chip.BrownOutAt(3)
		r.want("first", txControl, 0x83)
		r.want("second", txControl, 0x83)
		r.want("third", txControl, 0x80)
		if r.field.RF() || r.chip.Stats().RFOffs != 1 {
			t.Error("the field is on")
		}
	})
	for _, name := range []string{"none", "deaf", "bus-low", "bus-high", "hang"} {
		if f, err := mfrc522test.ParseFault(name); err != nil || string(f) != name {
			t.Errorf("%s: %s %v", name, f, err)
		}
	}
	for _, name := range []string{"", "silent", "Deaf"} {
		if f, err := mfrc522test.ParseFault(name); err == nil {
			t.Errorf("%q is %s", name, f)
		}
	}
}

func TestFaultsMayChangeWhileTheDriverPolls(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			r.chip.SetFault([]mfrc522test.Fault{mfrc522test.FaultNone, mfrc522test.FaultDeaf, mfrc522test.FaultBusLow}[i%3])
			r.chip.BrownOutAt(i)
			_ = r.chip.ResetPin().Out(gpio.Level(i%2 == 0))
			_ = r.chip.Stats()
		}
	})
	for range 200 {
		r.write(txControl, 0x83)
		r.read(version)
	}
	wg.Wait()
}

// The demonstration polls all day: a transfer must cost next to nothing.
func TestTransfersAllocateNothing(t *testing.T) {
	r := newRig(t)
	buf := make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		buf[0] = 0x80 | version<<1
		if err := r.bus.Tx(buf, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
