package pn532

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

// TestSetUp: what the chip is told, in this order. The number of retries is finite,
// and RATS is not sent.
func TestSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, sound(nil))
		s.asleep = true
		r := open(t, s)
		want := []string{"14011400", "02", "1204", "320400", "3205FF0101", "3202000B05", "320100", "320101", "066304"}
		if !slices.Equal(s.commands, want) {
			t.Errorf("told %v, want %v", s.commands, want)
		}
		if r.Version() != "32010607" || s.speed != physic.MegaHertz {
			t.Errorf("version %s at %v", r.Version(), s.speed)
		}
		if c := r.Counts(); c != (card.Counts{}) {
			t.Errorf("counted %+v", c)
		}
		for range 4 {
			if _, err := r.Poll(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := s.commands[len(want):]; !slices.Equal(got, []string{"4A0100", "066304", "4A0100", "4A010300", "066304", "4A0100", "066304", "4A0100", "4A010300", "066304"}) {
			t.Errorf("four scans told %v", got)
		}
	})
}

func TestSpeed(t *testing.T) {
	for speed, ok := range map[physic.Frequency]bool{
		0: true, 5 * physic.MegaHertz: true, 5*physic.MegaHertz + physic.Hertz: false, -physic.Hertz: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, sound(nil))
			r, err := New(s, Options{Speed: speed})
			if (err == nil) != ok {
				t.Errorf("%v: %v", speed, err)
			}
			if r != nil {
				_ = r.Close()
			}
		})
	}
}

// noPort does not connect.
type noPort struct{ *script }

func (noPort) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) {
	return nil, errors.New("no such device")
}

// TestWhyNoChipIsHeard: what the bus shows tells a board that is set to another
// interface from one that is not wired.
func TestWhyNoChipIsHeard(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *script)
		notSPI bool
		says   string
	}{
		"MISO high":       {func(s *script) { s.deaf = true }, true, "switches to SPI"},
		"MISO low":        {func(s *script) { s.deaf, s.idle = true, 0x00 }, false, "its supply"},
		"MISO senseless":  {func(s *script) { s.deaf, s.idle = true, 0xAA }, false, "makes no sense"},
		"the bus fails":   {func(s *script) { s.fail = errors.New("EIO") }, false, "EIO"},
		"high with noise": {func(s *script) { s.deaf = true; s.tamper = noisy }, false, "makes no sense"},
		"low with noise":  {func(s *script) { s.deaf, s.idle = true, 0x00; s.tamper = noisy }, false, "makes no sense"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, sound(nil))
			tt.change(s)
			start := time.Now()
			r, err := New(s, Options{})
			if r != nil || !errors.Is(err, card.ErrBusDead) || errors.Is(err, card.ErrNotSPI) != tt.notSPI || errors.Is(err, card.ErrDeaf) {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %q does not say %q", name, err, tt.says)
			}
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("%s: it took %v", name, took)
			}
			if s.closed != 0 {
				t.Errorf("%s: the port was closed", name)
			}
		})
	}
	if _, err := New(noPort{newScript(t, nil)}, Options{}); !errors.Is(err, card.ErrBusDead) {
		t.Errorf("no port: %v", err)
	}
}

func noisy(n int, _, miso []byte) {
	if miso != nil && n%5 == 0 {
		miso[len(miso)-1] ^= 0x08
	}
}

// A chip that answers but cannot be set up is deaf.
func TestChipThatCannotBeSetUp(t *testing.T) {
	for name, answer := range map[string]func(code byte, p []byte) ([]byte, time.Duration, bool){
		"knows no command": func(byte, []byte) ([]byte, time.Duration, bool) { return nil, 0, false },
		"never done":       func(byte, []byte) ([]byte, time.Duration, bool) { return nil, never, true },
		"odd version": func(byte, []byte) ([]byte, time.Duration, bool) {
			return []byte{0x32}, time.Millisecond, true
		},
		"field stays off": func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if code == 0x06 {
				return []byte{0x80}, time.Millisecond, true
			}
			return sound(nil)(code, p)
		},
		"one driver stays off": func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if code == 0x06 {
				return []byte{0x81}, time.Millisecond, true
			}
			return sound(nil)(code, p)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			if r, err := New(newScript(t, answer), Options{}); r != nil || !errors.Is(err, card.ErrDeaf) || errors.Is(err, card.ErrBusDead) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// Some boards need a pause after chip select. That is found out, and kept.
func TestSlowSelect(t *testing.T) {
	f := newFirmware(newCard(t, "04A1B2C3D4E5F6", card.MifareUltralight))
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, f.answer)
		s.slow = true
		r := open(t, s)
		for range 3 {
			seen, err := r.Poll(t.Context())
			if err != nil || len(seen) != 1 {
				t.Fatalf("saw %v, %v", seen, err)
			}
		}
		if c := r.Counts(); c.Resets != 0 || c.Mends != 0 {
			t.Errorf("counted %+v", c)
		}
		s.slow = false // another board in its place
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("saw %v, %v", seen, err)
		}
	})
}

// The chip loses its supply for a moment: it starts asleep, in the mode for low
// batteries, with infinite retries and RATS.
func TestChipThatWasReset(t *testing.T) {
	for _, uid := range []string{"", "04A1B2C3D4E5F6"} {
		f := newFirmware()
		if uid != "" {
			f.field.Put(newCard(t, uid, card.ISO14443_4))
		}
		onBench(t, f, func(t *testing.T, b *bench) {
			want := []string{uid}
			if uid == "" {
				want = nil
			}
			b.sees(3, want...)
			low := false
			b.script.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
				if code == 0x14 {
					low = false
				}
				if low {
					return nil, never, true
				}
				return f.answer(code, p)
			}
			for _, quiet := range []bool{true, false} {
				low = quiet // some firmware carries out commands in that mode
				b.script.asleep, b.script.pending = true, nil
				f.retries, f.rats = 0xFF, true
				f.setRF(false)
				mends := b.reader.Counts().Mends
				b.sees(3, want...)
				if n := b.reader.Counts().Mends - mends; n != 1 {
					t.Errorf("uid %q, quiet %v: mended %d times", uid, quiet, n)
				}
			}
		})
	}
}

// "No card" is true: an empty field is made sure of at each look.
func TestFieldThatStaysOffIsNoticed(t *testing.T) {
	f := newFirmware()
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(5)
		f.setRF(false)
		f.broken = true
		for range 2 {
			if _, err := b.reader.Poll(t.Context()); !errors.Is(err, card.ErrDeaf) {
				t.Errorf("%v", err)
			}
		}
		f.broken = false
		b.sees(5)
		f.setRF(false)
		b.sees(1)
		if !f.field.RF() {
			t.Error("the field was left off")
		}
	})
}

// A chip that has to be set up anew at every look says nothing of the field.
func TestFlappingChipIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := 0
		s := newScript(t, sound(func(code byte, _ []byte) ([]byte, time.Duration, bool) {
			lists++
			if lists%4 == 1 || lists%4 == 2 {
				return nil, never, true
			}
			return []byte{0}, time.Millisecond, true
		}))
		r := open(t, s)
		for n := range 5 {
			_, err := r.Poll(t.Context())
			if deaf := errors.Is(err, card.ErrDeaf); deaf != (n >= flapping-1) || !deaf && err != nil {
				t.Errorf("look %d: %v", n, err)
			}
		}
	})
}

// A single accident on the bus costs no reset, which would give a phone another UID.
func TestAccidentCostsNoReset(t *testing.T) {
	f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(2, "DEADBEEF")
		off, once := f.rfOff, true
		b.script.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if code == 0x4A && once {
				once = false
				return nil, never, true
			}
			return f.answer(code, p)
		}
		b.sees(2, "DEADBEEF")
		if c := b.reader.Counts(); c.Mends != 0 || c.Resets != 0 || f.rfOff != off {
			t.Errorf("counted %+v, field off %d times", c, f.rfOff-off)
		}
	})
}

func TestClose(t *testing.T) {
	f := newFirmware()
	onBench(t, f, func(t *testing.T, b *bench) {
		for range 2 {
			if err := b.reader.Close(); err != nil {
				t.Error(err)
			}
		}
		if f.field.RF() || b.script.closed != 1 {
			t.Errorf("field on %v, port closed %d times", f.field.RF(), b.script.closed)
		}
		if _, err := b.reader.Poll(t.Context()); err == nil || errors.Is(err, card.ErrBusDead) {
			t.Errorf("poll: %v", err)
		}
		if err := b.reader.SelfTest(t.Context()); err == nil {
			t.Error("a closed reader was tested")
		}
	})
	onBench(t, newFirmware(), func(t *testing.T, b *bench) {
		b.script.deaf = true
		start := time.Now()
		if err := b.reader.Close(); err == nil || b.script.closed != 1 || time.Since(start) > 2*closeTimeout {
			t.Errorf("%v after %v, port closed %d times", err, time.Since(start), b.script.closed)
		}
	})
}

func TestPollIsCancelled(t *testing.T) {
	f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(1, "DEADBEEF")
		for d := time.Duration(0); d < 25*time.Millisecond; d += time.Millisecond / 2 {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			start := time.Now()
			seen, err := b.reader.Poll(ctx)
			took := time.Since(start)
			cancel()
			if err == nil && len(seen) == 1 && took <= d {
				continue
			}
			if !errors.Is(err, context.DeadlineExceeded) || took > d+5*time.Millisecond {
				t.Fatalf("cancelled after %v: saw %v, %v after %v", d, seen, err, took)
			}
			b.sees(1, "DEADBEEF")
		}
		if c := b.reader.Counts(); c.Mends != 0 || c.Misses != 0 {
			t.Errorf("counted %+v", c)
		}
	})
}

// resetPin restarts the chip.
type resetPin struct {
	gpiotest.Pin
	levels []gpio.Level
	at     []time.Time
	err    error
	high   func()
}

func (p *resetPin) Out(l gpio.Level) error {
	if p.err != nil {
		return p.err
	}
	p.levels, p.at = append(p.levels, l), append(p.at, time.Now())
	if l == gpio.High && p.high != nil {
		p.high()
	}
	return nil
}

// A chip that does not answer any more is mended by its reset pin, and only by that.
func TestResetPin(t *testing.T) {
	f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
	for _, wired := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, f.answer)
			pin := &resetPin{high: func() { s.answer, s.asleep = f.answer, true }}
			opts := Options{}
			if wired {
				opts.Reset = pin
			}
			r, err := New(s, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, never, true }
			seen, err := r.Poll(t.Context())
			if wired && (err != nil || len(seen) != 1) || !wired && !errors.Is(err, card.ErrDeaf) {
				t.Errorf("wired %v: saw %v, %v", wired, seen, err)
			}
			if wired && (!slices.Equal(pin.levels, []gpio.Level{gpio.Low, gpio.High, gpio.Low, gpio.High}) || pin.at[1].Sub(pin.at[0]) < resetPulse) {
				t.Errorf("levels %v at %v", pin.levels, pin.at)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := New(newScript(t, f.answer), Options{Reset: &resetPin{err: errors.New("busy")}})
		if err != nil {
			t.Fatalf("with a pin that cannot be driven: %v", err)
		}
		_ = r.Close()
	})
}
