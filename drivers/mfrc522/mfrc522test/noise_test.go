package mfrc522test_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
)

var reqa = []byte{0x26}

// asks sends n requests and returns the answers, nil for silence. After each one
// the field is off for a moment, so that a card always answers.
func (r *rig) asks(n int) (answers [][]byte) {
	for range n {
		answers = append(answers, slices.Clone(r.exchange(reqa, 7, 0)))
		r.write(txControl, 0x80)
		r.write(txControl, 0x83)
		time.Sleep(10 * time.Millisecond)
	}
	return answers
}

func TestLostAnswers(t *testing.T) {
	in(t, "some", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetNoise(cardtest.Noise{Seed: 1, Lost: 0.3})
		lost := 0
		for _, a := range r.asks(1000) {
			if a == nil {
				lost++
			} else if !bytes.Equal(a, []byte{0x04, 0x00}) {
				t.Fatalf("% X", a)
			}
		}
		if lost < 250 || lost > 350 {
			t.Errorf("%d of 1000 answers lost", lost)
		}
	})
	in(t, "the card has answered all the same", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetNoise(cardtest.Noise{Lost: 1})
		if a := r.exchange(reqa, 7, 0); a != nil {
			t.Errorf("% X", a)
		}
		if c.State() != "READY" {
			t.Error(c.State())
		}
	})
}

func TestNoiseOnTheAir(t *testing.T) {
	in(t, "flipped bits and parity", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.chip.SetNoise(cardtest.Noise{Seed: 2, Air: 0.02})
		wrong, unnoticed, silent := 0, 0, 0
		for range 2000 {
			a := slices.Clone(r.exchange(reqa, 7, 0))
			parity := r.read(errorReg)&0x02 != 0
			switch {
			case a == nil:
				silent++
			case !bytes.Equal(a, []byte{0x04, 0x00}):
				wrong++
				if !parity {
					unnoticed++
				}
			}
			r.write(txControl, 0x80)
			r.write(txControl, 0x83)
			time.Sleep(10 * time.Millisecond)
		}
		// 7 bits reach the card whole in 87 % of cases, 16 bits come back whole in 72 %.
		if silent < 160 || silent > 360 || wrong < 350 || wrong > 620 {
			t.Errorf("%d silent, %d wrong", silent, wrong)
		}
		// Two flips in one byte fit its parity.
		if unnoticed == 0 || unnoticed > wrong/4 {
			t.Errorf("%d of %d wrong answers with good parity", unnoticed, wrong)
		}
	})
	in(t, "ghosts", func(t *testing.T) {
		r := ready(t)
		r.chip.SetNoise(cardtest.Noise{Seed: 3, Ghost: 0.5})
		heard := 0
		for _, a := range r.asks(200) {
			if a != nil {
				heard++
			}
		}
		if heard < 60 || heard > 140 {
			t.Errorf("%d of 200", heard)
		}
	})
}

func TestNoiseOnTheBus(t *testing.T) {
	in(t, "at a rate", func(t *testing.T) {
		r := newRig(t)
		r.chip.SetNoise(cardtest.Noise{Seed: 4, MISO: 0.01})
		flipped := 0
		for range 10_000 {
			if v := r.read(version); v != 0x92 {
				flipped++
			}
		}
		if flipped < 650 || flipped > 900 { // 1 - 0.99^8 is 7.7 %
			t.Errorf("%d of 10000 bytes", flipped)
		}
		r.chip.SetNoise(cardtest.Noise{Seed: 5, MOSI: 0.01})
		wrong := 0
		for range 10_000 {
			r.write(modWidth, 0x26)
			if r.chip.Register(modWidth) != 0x26 {
				wrong++
			}
		}
		if wrong < 500 || wrong > 9_000 {
			t.Errorf("%d of 10000 writes", wrong)
		}
	})
	in(t, "one bit", func(t *testing.T) {
		r := newRig(t)
		// 08 7F clears ComIrq; with address bit 6 flipped it is 48 7F, ModWidth.
		r.chip.FlipMOSI(2)
		r.write(comIrq, 0x7F)
		if v := r.chip.Register(modWidth); v != 0x7F {
			t.Errorf("ModWidth %02X", v)
		}
		r.write(modWidth, 0x26)
		if v := r.chip.Register(modWidth); v != 0x26 {
			t.Errorf("ModWidth %02X: the second write was flipped too", v)
		}
		r.chip.FlipMISO(16) // a byte of the address, then the value's last bit
		r.want("flipped", version, 0x93)
		r.want("once", version, 0x92)
	})
	in(t, "the same seed is the same noise", func(t *testing.T) {
		var runs [2][][]byte
		for i := range runs {
			r := ready(t)
			r.put("C5CC358A", card.MifareClassic1K)
			r.chip.SetNoise(cardtest.Noise{Seed: 6, Air: 0.05, Lost: 0.1, Ghost: 0.1})
			runs[i] = r.asks(100)
		}
		if !slices.EqualFunc(runs[0], runs[1], bytes.Equal) {
			t.Error("two runs differ")
		}
	})
}

func TestUpset(t *testing.T) {
	for _, tt := range []struct {
		name      string
		reg, mask byte
		answered  bool
	}{
		{"nothing", modWidth, 0, true},
		{"ModWidth", modWidth, 0x01, false},
		{"100% ASK", txASK, 0x40, false},
		{"RxGain", rfCfg, 0x40, true},
		{"reserved bit of RFCfg", rfCfg, 0x08, false},
		{"speed of the receiver", rxMode, 0x10, false},
		{"ParityDisable", 0x1D, 0x10, false},
		{"TX1 in phase with TX2", txControl, 0x40, false},
		{"TX2 not inverted", txControl, 0x80, false},
		{"TX2 not modulated", txControl, 0x08, false},
		{"TX1 off", txControl, 0x01, false},
		{"phase while off", txControl, 0x20, true},
		{"DriverSel", 0x16, 0x20, false},
		{"MFOutSel", 0x16, 0x01, true},
		{"UARTSel", 0x17, 0x40, false},
		{"RxWait beyond the answer", 0x17, 0x20, false},
		{"RxWait short", 0x17, 0x04, true},
		{"AddIQ reserved", 0x19, 0x80, false},
		{"no conductance of the n-driver", 0x27, 0x80, false},
		{"no conductance of the p-driver", 0x28, 0x20, false},
		{"timer slower", tReloadH, 0x40, true},
		{"receiver off", command, 0x20, true}, // the next command says so again
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t)
			r.put("C5CC358A", card.MifareClassic1K)
			r.chip.Upset(tt.reg, tt.mask)
			time.Sleep(10 * time.Millisecond)
			got := r.exchange(reqa, 7, 0)
			if answered := bytes.Equal(got, []byte{0x04, 0x00}); answered != tt.answered {
				t.Errorf("heard % X", got)
			}
		})
	}
	in(t, "drift", func(t *testing.T) {
		r := ready(t)
		before := [64]byte{}
		for i := range before {
			before[i] = r.chip.Register(byte(i))
		}
		r.chip.SetNoise(cardtest.Noise{Seed: 7, Drift: 0.1})
		for range 1000 {
			_ = r.read(version)
		}
		changed := 0
		for i := range before {
			if r.chip.Register(byte(i)) != before[i] {
				changed++
			}
		}
		if changed < 10 {
			t.Errorf("%d registers changed", changed)
		}
	})
}

func TestIRQPin(t *testing.T) {
	// Asked to tell of an answer and of the timer, with the output not inverted.
	set := func(t *testing.T, r *rig) gpio.PinIn {
		r.write(0x02, 0x21)
		pin := r.chip.IRQPin()
		if err := pin.In(gpio.PullNoChange, gpio.RisingEdge); err != nil {
			t.Fatal(err)
		}
		return pin
	}
	in(t, "an answer", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		pin := set(t, r)
		r.start(reqa, 7, 0)
		began := time.Now()
		if bool(pin.Read()) || !pin.WaitForEdge(10*time.Millisecond) {
			t.Fatal("no edge")
		}
		// 10 bit times asking, 1172 cycles of waiting, 20 bit times of an answer.
		if took := time.Since(began); took < 250*time.Microsecond || took > 500*time.Microsecond {
			t.Errorf("took %v", took)
		}
		if !bool(pin.Read()) || r.read(comIrq)&0x20 == 0 {
			t.Error("not at the answer")
		}
		if pin.WaitForEdge(100 * time.Millisecond) {
			t.Error("a second edge")
		}
		r.write(comIrq, 0x7F)
		if pin.Read() == gpio.High {
			t.Error("high after the request was cleared")
		}
	})
	in(t, "silence", func(t *testing.T) {
		r := ready(t)
		pin := set(t, r)
		r.start(reqa, 7, 0)
		began := time.Now()
		if !pin.WaitForEdge(0) {
			t.Fatal("no edge")
		}
		if took := time.Since(began); took < 24*time.Millisecond || took > 27*time.Millisecond {
			t.Errorf("the timer came after %v", took)
		}
	})
	in(t, "inverted after a reset", func(t *testing.T) {
		if newRig(t).chip.IRQPin().Read() == gpio.Low {
			t.Error("low")
		}
	})
	in(t, "dead and stuck", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		pin := set(t, r)
		r.chip.SetIRQFault(bustest.IRQDead)
		r.start(reqa, 7, 0)
		began := time.Now()
		if pin.WaitForEdge(5*time.Millisecond) || time.Since(began) != 5*time.Millisecond {
			t.Errorf("an edge, or too soon: %v", time.Since(began))
		}
		r.chip.SetIRQFault(bustest.IRQStuck)
		if !pin.WaitForEdge(time.Second) || pin.WaitForEdge(-1) != true {
			t.Error("no edge")
		}
	})
}
