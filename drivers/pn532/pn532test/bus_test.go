package pn532test_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/pn532/pn532test"
)

// TestBusRules are those of periph's sysfs port on a Pi.
func TestBusRules(t *testing.T) {
	r := sleeping(t, pn532test.MaxTxSize(64))
	connect := func(f physic.Frequency, m spi.Mode, bits int) error {
		_, err := r.chip.Port().Connect(f, m, bits)
		return err
	}
	for name, err := range map[string]error{
		"mode 3":              connect(physic.MegaHertz, spi.Mode3, 8),
		"half duplex":         connect(physic.MegaHertz, spi.Mode0|spi.HalfDuplex, 8),
		"LSB first":           connect(physic.MegaHertz, spi.Mode0|spi.LSBFirst, 8),
		"9 bits":              connect(physic.MegaHertz, spi.Mode0, 9),
		"no speed":            connect(0, spi.Mode0, 8),
		"empty":               r.bus.Tx(nil, nil),
		"unequal":             r.bus.Tx([]byte{0x40}, make([]byte, 2)),
		"too long":            r.bus.Tx(make([]byte, 65), nil),
		"no packets":          r.bus.TxPackets(nil),
		"unequal packets":     r.bus.TxPackets([]spi.Packet{{W: []byte{1}, R: []byte{1, 2}}}),
		"packets of 65 bytes": r.bus.TxPackets([]spi.Packet{{W: make([]byte, 32)}, {W: make([]byte, 33)}}),
	} {
		if err == nil {
			t.Errorf("%s was allowed", name)
		}
	}
	if l, ok := r.bus.(conn.Limits); !ok || l.MaxTxSize() != 64 {
		t.Error("no limit on transfers")
	}
	if r.bus.Duplex() != conn.Full {
		t.Error("not full duplex")
	}
	r.finish()

	if err := connect(6*physic.MegaHertz, spi.Mode0, 8); err != nil {
		t.Error(err)
	}
	if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "6MHz") {
		t.Errorf("violations %q", v)
	}
	p := r.chip.Port()
	if err := p.LimitSpeed(physic.MegaHertz); err != nil {
		t.Fatal(err)
	}
	b, err := p.Connect(10*physic.MegaHertz, spi.Mode0, 8) // limited to 1 MHz
	if err != nil || len(r.chip.Violations()) != 1 {
		t.Fatal(err, r.chip.Violations())
	}
	if _, err := p.Connect(physic.MegaHertz, spi.Mode0, 8); err == nil {
		t.Error("connected twice")
	}
	if err := b.TxPackets([]spi.Packet{{W: []byte{0x40}, KeepCS: true}}); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Tx(make([]byte, 2), nil) == nil || p.Close() == nil {
		t.Error("a closed port works")
	}
	boom := errors.New("boom")
	r.chip.FailTransfers(1, boom)
	if err := r.bus.Tx([]byte{0x40, 0}, nil); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

// TestTooFast: at more than 5 MHz the chip understands nothing.
func TestTooFast(t *testing.T) {
	in(t, "6 MHz", func(t *testing.T) {
		r := ready(t)
		b, err := r.chip.Port().Connect(6*physic.MegaHertz, spi.Mode0, 8)
		if err != nil {
			t.Fatal(err)
		}
		r.bus = b
		r.write(command("02"))
		r.wait(15 * time.Millisecond)
		if r.read(6) == ack {
			t.Error("it understood")
		}
	})
}

// The demonstration polls all day: asking for the status must cost next to nothing.
func TestStatusAllocatesNothing(t *testing.T) {
	r := ready(t)
	buf := make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		buf[0], buf[1] = 0x40, 0
		if err := r.bus.Tx(buf, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestIRQPin falls when there is something to read, unless SAMConfiguration has
// switched it off.
func TestIRQPin(t *testing.T) {
	in(t, "edges", func(t *testing.T) {
		r := ready(t)
		pin := r.chip.IRQPin()
		if err := pin.In(gpio.PullUp, gpio.FallingEdge); err != nil {
			t.Fatal(err)
		}
		if pin.Read() != gpio.High || pin.WaitForEdge(10*time.Millisecond) {
			t.Error("low before there is anything")
		}
		r.write(command("02"))
		if !pin.WaitForEdge(10*time.Millisecond) || r.status() != 1 || pin.Read() != gpio.Low {
			t.Error("no edge with the ACK")
		}
		r.read(6)
		if !pin.WaitForEdge(10*time.Millisecond) || r.response(0) == version {
			t.Error("no edge with the response")
		}
		r.response(time.Second)
		r.ask("14 01 00 00", "")
		r.write(command("02"))
		if pin.WaitForEdge(10 * time.Millisecond) {
			t.Error("an edge though it is off")
		}
		r.write(ack)
		r.ask("14 01", "")
		r.chip.SetIRQFault(bustest.IRQStuck)
		if !pin.WaitForEdge(0) {
			t.Error("not stuck")
		}
		r.chip.SetIRQFault(bustest.IRQDead)
		r.write(command("02"))
		if pin.WaitForEdge(10 * time.Millisecond) {
			t.Error("not dead")
		}
	})
}

// TestNoise: what is lost, flipped and drifts does so at its rate.
func TestNoise(t *testing.T) {
	in(t, "lost answers", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.ask("32 05 FF 01 00", "")
		r.chip.SetNoise(cardtest.Noise{Seed: 1, Lost: 0.2})
		seen := 0
		for range 200 {
			r.ask("32 01 00", "")
			seen += len(r.found("4A 01 00"))
		}
		if seen < 70 || seen > 140 { // three answers in a row come in 51 % of cases
			t.Errorf("%d of 200", seen)
		}
		r.finish()
	})
	in(t, "drift", func(t *testing.T) {
		r := ready(t)
		r.chip.SetNoise(cardtest.Noise{Seed: 1, Drift: 0.05})
		for range 1000 {
			r.status()
		}
		if r.chip.Stats().RFOffs == 0 && !r.chip.Asleep() {
			t.Error("nothing has changed")
		}
	})
	in(t, "flips", func(t *testing.T) {
		r := ready(t)
		r.chip.SetNoise(cardtest.Noise{Seed: 1, MISO: 0.01})
		flipped := 0
		for range 1000 {
			if r.status() != 0 {
				flipped++
			}
		}
		if flipped < 50 || flipped > 110 {
			t.Errorf("%d of 1000", flipped)
		}
	})
}

// FuzzBus feeds the chip anything: it must not panic, and a reset must bring it
// back.
func FuzzBus(f *testing.F) {
	frame := func(data string) []byte {
		b := append([]byte{0x01}, unhex(command(data))...)
		return append([]byte{byte(len(b))}, b...)
	}
	status, read := []byte{2, 2, 0}, append([]byte{20, 3}, make([]byte, 19)...)
	for _, cmds := range [][]string{
		{"02"}, {"14 01", "4A 02 00"}, {"14 01", "4A 01 03 00", "44 01", "54 01", "40 01 00"}, {"14 01", "08 633D 07", "42 26"}, {"16 20"}, {"00 00 01"},
	} {
		var script []byte
		for _, c := range cmds {
			script = slices.Concat(script, frame(c), status, read, status, read)
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t)
			r.put("DEADBEEF", card.MifareClassic1K)
			r.put("0582C7204CA100", card.ISO14443_4)
			r.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4}))
			for len(script) > 1 {
				n := min(max(int(script[0]), 1), len(script)-1)
				r.transfer(script[1 : 1+n]...)
				time.Sleep(time.Millisecond)
				script = script[1+n:]
			}
			_ = r.chip.ResetPin().Out(gpio.Low)
			_ = r.chip.ResetPin().Out(gpio.High)
			r.wake()
			r.ask("14 01", "")
			r.ask("02", version)
		})
	})
}
