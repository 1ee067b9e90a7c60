package mfrc522test_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"presence/drivers/mfrc522/mfrc522test"
)

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
