package mfrc522test_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/mfrc522/mfrc522test"
)

func TestFaults(t *testing.T) { //nolint:funlen // a list of faults, each by itself
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
		if f, err := bustest.ParseFault[mfrc522test.Fault](name); err != nil || string(f) != name {
			t.Errorf("%s: %s %v", name, f, err)
		}
	}
	for _, name := range []string{"", "silent", "Deaf"} {
		if f, err := bustest.ParseFault[mfrc522test.Fault](name); err == nil {
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
