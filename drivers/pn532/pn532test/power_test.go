package pn532test_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/pn532/pn532test"
)

// TestWaking: the chip hears nothing until chip select has been low for 2 ms.
func TestWaking(t *testing.T) {
	in(t, "not woken", func(t *testing.T) {
		r := sleeping(t)
		if got := r.transfer(append([]byte{0x01}, unhex(command("02"))...)...); !bytes.Equal(got, bytes.Repeat([]byte{0xFF}, 10)) {
			t.Errorf("MISO % X", got)
		}
		if r.status() != 0xFF || !r.chip.Asleep() {
			t.Error("it woke")
		}
		if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "sleeps") {
			t.Errorf("violations %q", v)
		}
	})
	in(t, "woken", func(t *testing.T) {
		r := sleeping(t)
		r.wake()
		r.ask("14 01", "")
		r.finish()
	})
	in(t, "by 300 bytes at 1 MHz", func(t *testing.T) {
		r := sleeping(t)
		r.transfer(make([]byte, 300)...)
		r.ask("14 01", "")
		r.finish()
	})
	in(t, "two transfers of 1.5 ms are not one of 3 ms", func(t *testing.T) {
		r := sleeping(t)
		r.transfer(make([]byte, 190)...)
		r.transfer(make([]byte, 190)...)
		if !r.chip.Asleep() {
			t.Error("it woke")
		}
	})
	in(t, "the edge alone", func(t *testing.T) {
		r := sleeping(t, pn532test.WakesByEdge())
		r.transfer(0)
		time.Sleep(3 * time.Millisecond)
		r.ask("14 01", "")
		r.finish()
	})
	in(t, "the operation is the first byte that is heard", func(t *testing.T) {
		r := sleeping(t)
		w := append(make([]byte, 260), 0x02, 0x00)
		if got := r.transfer(w...); got[261] != 0xFF { // 00 was the operation
			t.Errorf("MISO % X", got[250:])
		}
		r = sleeping(t, pn532test.DeafRest())
		r.transfer(w...)
		r.ask("14 01", "")
	})
	in(t, "the first command is lost", func(t *testing.T) {
		r := sleeping(t, pn532test.LosesFirstCommand())
		r.wake()
		r.write(command("14 01"))
		if r.wait(15 * time.Millisecond) {
			t.Error("it was heard")
		}
		r.ask("14 01", "")
		r.finish()
	})
}

// TestOptions are those that no other test needs.
func TestOptions(t *testing.T) {
	in(t, "wake time and version", func(t *testing.T) {
		r := sleeping(t, pn532test.WakeTime(20*time.Millisecond), pn532test.Version(0x33, 2, 7, 1))
		r.wake()
		if !r.chip.Asleep() {
			t.Error("it woke too soon")
		}
		r.packets(spi.Packet{W: []byte{0}, KeepCS: true})
		time.Sleep(20 * time.Millisecond)
		r.packets(spi.Packet{W: []byte{0}})
		r.ask("14 01", "")
		r.ask("02", "33020701")
	})
	in(t, "a reset pin that does not help", func(t *testing.T) {
		r := ready(t, pn532test.ResetPinDoesNotHelp())
		r.chip.SetFault(pn532test.FaultStuck)
		_ = r.chip.ResetPin().Out(gpio.Low)
		_ = r.chip.ResetPin().Out(gpio.High)
		if r.chip.Fault() != pn532test.FaultStuck {
			t.Error("it does")
		}
		r.chip.BrownOutAt(1)
		r.status()
		if r.chip.Fault() != pn532test.FaultNone {
			t.Error("a loss of power does not")
		}
	})
	in(t, "flips by name", func(t *testing.T) {
		r := ready(t)
		r.chip.FlipMISO(16) // the last bit of a Pi's byte is the chip's highest
		if got := r.status(); got != 0x80 {
			t.Errorf("status %02X", got)
		}
		r.chip.FlipMOSI(1)
		r.transfer(0x02, 0x00)
		if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "operation 03") && !strings.Contains(v[0], "before the chip was ready") {
			t.Errorf("violations %q", v)
		}
	})
}

// TestLowBattery: before SAMConfiguration the chip does little, and dozes off.
func TestLowBattery(t *testing.T) {
	in(t, "it refuses", func(t *testing.T) {
		r := sleeping(t)
		r.wake()
		r.ask("02", version)
		r.ask("4A 01 00", "error")
		if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "before SAMConfiguration") {
			t.Errorf("violations %q", v)
		}
	})
	in(t, "it dozes off", func(t *testing.T) {
		r := sleeping(t)
		r.wake()
		r.ask("02", version)
		time.Sleep(20 * time.Millisecond)
		if !r.chip.Asleep() {
			t.Error("it is awake")
		}
		r.wake()
		r.ask("14 01", "")
		time.Sleep(time.Hour)
		r.ask("02", version)
		r.finish()
	})
}

// TestPowerDown (manual, section 7.2.11).
func TestPowerDown(t *testing.T) {
	in(t, "SPI wakes", func(t *testing.T) {
		r := ready(t)
		r.ask("4A 01 00", "00")
		r.ask("16 F0", "00")
		if !r.chip.Asleep() || r.chip.RF() {
			t.Error("it is awake")
		}
		r.wake()
		r.ask("02", version)
		r.ask("4A 01 00", "00") // no SAMConfiguration is needed
		r.finish()
	})
	in(t, "SPI does not wake", func(t *testing.T) {
		r := ready(t)
		r.ask("16 10", "00")
		r.wake()
		if r.status() != 0xFF {
			t.Error("it woke")
		}
		pin := r.chip.ResetPin()
		if err := pin.Out(gpio.Low); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if err := pin.Out(gpio.High); err != nil {
			t.Fatal(err)
		}
		r.wake()
		r.ask("14 01", "")
	})
	in(t, "without waking it", func(t *testing.T) {
		r := ready(t)
		r.ask("16 20", "00")
		r.write(command("02"))
		if len(r.chip.Violations()) != 1 {
			t.Errorf("violations %q", r.chip.Violations())
		}
	})
}

// TestResets: a reset and a brown-out forget all settings; the host is not told of
// the second.
func TestResets(t *testing.T) {
	in(t, "brown-out", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.ask("4A 01 00", "01 01 0004 08 04 DEADBEEF")
		r.chip.BrownOutAt(1)
		if r.status() != 0xFF || r.chip.RF() {
			t.Error("nothing happened")
		}
		r.write(command("02")) // which the host cannot know to be in vain
		r.finish()
		r.wake()
		r.ask("14 01", "")
		r.send("4A 01 00")
		if !r.wait(time.Second) {
			t.Error("the card is not found")
		}
		if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "without end") {
			t.Errorf("violations %q", v)
		}
	})
	in(t, "in the middle of a command", func(t *testing.T) {
		r := ready(t)
		r.send("4A 01 00")
		r.chip.BrownOutAt(3)
		if r.wait(100*time.Millisecond) && r.status() != 0xFF {
			t.Error("there is a response")
		}
	})
	in(t, "pin", func(t *testing.T) {
		r := ready(t)
		r.ask("4A 01 00", "00")
		pin := r.chip.ResetPin()
		_ = pin.Out(gpio.Low)
		r.wake()
		if r.status() != 0xFF {
			t.Error("it is not held")
		}
		_ = pin.Out(gpio.High)
		r.wake()
		r.ask("14 01", "")
		if s := r.chip.Stats(); s.HardResets != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestEndlessListing: as the chip comes up, a listing waits for a card for ever.
func TestEndlessListing(t *testing.T) {
	in(t, "for ever", func(t *testing.T) {
		r := sleeping(t)
		r.wake()
		r.ask("14 01", "")
		r.send("4A 01 00")
		time.Sleep(10 * time.Minute)
		if r.status() != 0 {
			t.Error("it ended")
		}
		r.put("DEADBEEF", card.MifareClassic1K)
		if got := r.response(time.Second); got != "010100040804DEADBEEF" {
			t.Errorf("got %s", got)
		}
	})
	in(t, "finite", func(t *testing.T) {
		for tries, most := range map[string]time.Duration{"00": 25 * time.Millisecond, "01": 45 * time.Millisecond, "05": 110 * time.Millisecond} {
			r := ready(t)
			r.ask("32 05 FF 01 "+tries, "")
			r.send("4A 01 00")
			start := time.Now()
			if got := r.response(time.Second); got != "00" {
				t.Errorf("got %s", got)
			}
			if took := time.Since(start); took > most {
				t.Errorf("retries %s: %v", tries, took)
			}
			r.finish()
		}
	})
}

// TestFaults is what each looks like from the bus.
func TestFaults(t *testing.T) {
	for fault, want := range map[pn532test.Fault][]byte{
		pn532test.FaultBusLow: {0, 0}, pn532test.FaultBusHigh: {0xFF, 0xFF},
		pn532test.FaultI2C: {0xFF, 0xFF}, pn532test.FaultHSU: {0xFF, 0xFF}, pn532test.FaultStuck: {0x01, 0x00},
	} {
		in(t, string(fault), func(t *testing.T) {
			r := ready(t)
			r.chip.SetFault(fault)
			r.wake()
			r.write(command("02"))
			time.Sleep(10 * time.Millisecond)
			if got := r.transfer(0x02, 0x00); !bytes.Equal(got, want) {
				t.Errorf("MISO % X, want % X", got, want)
			}
			r.chip.SetFault(pn532test.FaultNone)
			r.write(ack)
			r.ask("02", version)
		})
	}
	for fault, registers := range map[pn532test.Fault]string{pn532test.FaultDeaf: "0000", pn532test.FaultHot: "0040", pn532test.FaultSilent: "0300"} {
		in(t, string(fault), func(t *testing.T) {
			r := ready(t)
			r.put("DEADBEEF", card.MifareClassic1K)
			r.ask("32 01 01", "")
			time.Sleep(10 * time.Millisecond)
			r.ask("06 6304 6336", "0300")
			r.chip.SetFault(fault)
			r.ask("32 01 01", "")
			r.ask("06 6304 6336", registers)
			r.ask("4A 01 00", "00")
			test := "00"
			if fault == pn532test.FaultDeaf {
				test = "FF"
			}
			r.ask("00 07 20", test)
			if err := r.chip.Break("none"); err != nil {
				t.Fatal(err)
			}
			r.send("4A 01 00")
			if got := r.response(time.Second); !strings.HasPrefix(got, "01") {
				t.Errorf("mended: %s", got)
			}
			r.finish()
		})
	}
	in(t, "names", func(t *testing.T) {
		r := ready(t)
		for _, name := range []string{"deaf", "bus-low", "bus-high", "hang", "none"} {
			if err := r.chip.Break(name); err != nil || string(r.chip.Fault()) != name {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r.chip.Break("i2c") == nil {
			t.Error("any fault passes")
		}
		r.chip.SetFault(pn532test.FaultStuck)
		_ = r.chip.ResetPin().Out(gpio.Low)
		_ = r.chip.ResetPin().Out(gpio.High)
		if r.chip.Fault() != pn532test.FaultNone {
			t.Error("the reset pin does not help")
		}
	})
	in(t, "hang", func(t *testing.T) {
		r := ready(t)
		r.chip.SetFault(pn532test.FaultHang)
		done := make(chan error, 1)
		go func() { done <- r.bus.Tx([]byte{0x40, 0}, nil) }()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Error("the transfer returned")
		default:
		}
		r.chip.SetFault(pn532test.FaultNone)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestKeptSelect: chip select may stay low over several transfers.
func TestKeptSelect(t *testing.T) {
	in(t, "status over three", func(t *testing.T) {
		r := ready(t)
		one := make([]byte, 1)
		r.packets(spi.Packet{W: []byte{0x40}, KeepCS: true})
		r.packets(spi.Packet{R: one, KeepCS: true})
		if one[0] != 0 {
			t.Errorf("% X", one)
		}
		r.packets(spi.Packet{R: one})
		r.ask("02", version)
		r.finish()
	})
}
