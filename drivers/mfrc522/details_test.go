package mfrc522

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"periph.io/x/conn/v3/physic"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// fromField answers as the cards in a field do. change, if set, spoils an
// answer.
func fromField(f *cardtest.Field, change func(frame []byte, a *reply)) func(frame []byte, lastBits byte) *reply {
	f.SetRF(true, time.Now())
	return func(frame []byte, lastBits byte) *reply {
		bits := 8 * len(frame)
		if lastBits != 0 {
			bits -= 8 - int(lastBits)
		}
		a := f.Exchange(time.Now(), cardtest.Frame{Bytes: frame, Bits: bits})
		if a.Bits == 0 {
			return nil
		}
		align := 0
		if lastBits != 7 || len(frame) > 1 {
			align = int(lastBits)
		}
		r := &reply{data: make([]byte, (align+a.Bits+7)/8), lastBits: byte((align + a.Bits) % 8), coll: collNotValid}
		for i := range a.Bits {
			r.data[(align+i)/8] |= a.Bytes[i/8] >> (i % 8) & 1 << ((align + i) % 8)
		}
		if a.Collision >= 0 {
			r.errors, r.coll = errorColl, byte(align+a.Collision+1)&collPos
		}
		if change != nil {
			change(frame, r)
		}
		return r
	}
}

// fieldOf is a field with cards of 1 KB in it.
func fieldOf(t *testing.T, uids ...string) *cardtest.Field {
	t.Helper()
	f := cardtest.NewField()
	for _, id := range uids {
		uid, err := card.ParseUID(id)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cardtest.New(uid, card.MifareClassic1K)
		if err != nil {
			t.Fatal(err)
		}
		f.Put(c)
	}
	return f
}

// sent are the frames in hex.
func (s *script) sent() (frames []string) {
	for _, f := range s.frames {
		frames = append(frames, fmt.Sprintf("%X", f))
	}
	return frames
}

// A card that was selected halfway is put to sleep like one that was selected:
// else it is in a state that takes the next WUPA for an error.
func TestFailedSelectionEndsWithHLTA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fieldOf(t, "04A1B2C3D4E5F6")
		s := newScript(t, fromField(f, func(frame []byte, a *reply) {
			if len(frame) == 9 && frame[0] == selCommand(1) {
				a.data[1] ^= 1 // CRC_A of the last SAK
			}
		}))
		r := open(t, s)
		time.Sleep(10 * time.Millisecond)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		attempts := 0
		for i, frame := range s.frames {
			if len(frame) == 9 && frame[0] == selCommand(1) {
				attempts++
				if next := s.sent()[i+1]; next != "500057CD" {
					t.Errorf("after a selection that failed came %s, want HLTA", next)
				}
			}
		}
		if attempts < tries {
			t.Errorf("%d attempts: %v", attempts, s.sent())
		}
	})
}

// Where bits collide their parity collides too, and says nothing.
func TestParityErrorBesideACollision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fieldOf(t, "00A1B2C3", "0FA1B2C3")
		s := newScript(t, fromField(f, func(_ []byte, a *reply) {
			if a.errors&errorColl != 0 {
				a.errors |= errorParity
			}
		}))
		r := open(t, s)
		time.Sleep(10 * time.Millisecond)
		for range 3 {
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 2 {
				t.Fatalf("saw %v, %v", seen, err)
			}
		}
	})
}

// The chip must wait long enough to hear a card that refuses HLTA, which it may
// do within 1 ms (ISO/IEC 14443-3, 6.4.3), and not much longer than an answer
// takes to begin after all other frames.
func TestTimerFitsTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, nil)
		sound := single([][]byte{unhex(t, "88ADBEEF"), unhex(t, "01020304")}, 0x08)
		s.reply = func(frame []byte, lastBits byte) *reply {
			prescaler := int(s.regs[regTMode]&0x0F)<<8 | int(s.regs[regTPrescaler])
			ticks := int(s.regs[regTReloadH])<<8 | int(s.regs[regTReloadL]) + 1
			wait := time.Duration(ticks*(2*prescaler+1)) * time.Second / 13_560_000
			if s.regs[regTMode]&tModeAuto == 0 {
				t.Error("the timer does not start by itself")
			}
			halt := frame[0] == cmdHLTA
			switch {
			case halt && (wait < 1100*time.Microsecond || wait > 3*time.Millisecond):
				t.Errorf("waits %v after HLTA", wait)
			case !halt && (wait < 200*time.Microsecond || wait > 500*time.Microsecond):
				t.Errorf("waits %v after % X", wait, frame)
			}
			return sound(frame, lastBits)
		}
		if seen, err := open(t, s).Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("saw %v, %v", seen, err)
		}
	})
}

// Long wires and many boards fail above 4 MHz: who says nothing gets 1 MHz.
func TestDefaultSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]byte, byte) *reply { return nil })
		open(t, s)
		if s.speed != physic.MegaHertz {
			t.Errorf("connected at %v", s.speed)
		}
	})
}

// An answer that was too long leaves bytes in the FIFO, which must not go out
// before the next frame.
func TestFIFOIsFlushedBeforeEachFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func(frame []byte, lastBits byte) *reply {
			if lastBits == 7 {
				return &reply{data: bytes.Repeat([]byte{0x5A}, 20), errors: errorParity}
			}
			return nil
		})
		if seen, err := open(t, s).Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Errorf("saw %v, %v", seen, err)
		}
		for _, frame := range s.sent() {
			if frame != "52" && frame != "26" && frame != "500057CD" {
				t.Errorf("sent %s", frame)
			}
		}
	})
}

// A collision whose place the chip does not know, or of which it says that it
// lies behind all that was heard, leads nowhere: not a single bit is taken from
// it.
func TestCollisionAtNoPlaceIsNotFollowed(t *testing.T) {
	for name, a := range map[string]reply{
		"not valid":             {data: make([]byte, 5), errors: errorColl, coll: collNotValid | 5},
		"behind what was heard": {data: make([]byte, 1), errors: errorColl, coll: 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, func(frame []byte, lastBits byte) *reply {
				switch {
				case lastBits == 7:
					return &reply{data: []byte{0x04, 0x00}}
				case len(frame) >= 2 && frame[0] == selCommand(0):
					return &a
				}
				return nil
			})
			if seen, err := open(t, s).Poll(t.Context()); err != nil || len(seen) != 0 {
				t.Errorf("%s: saw %v, %v", name, seen, err)
			}
			for _, frame := range s.sent() {
				if strings.HasPrefix(frame, "93") && frame != "9320" {
					t.Errorf("%s: sent %s", name, frame)
				}
			}
		})
	}
}

// Noise after HLTA is neither the reader's fault nor the card's.
func TestNoiseAfterHLTAIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sound := single([][]byte{unhex(t, "DEADBEEF")}, 0x08)
		s := newScript(t, func(frame []byte, lastBits byte) *reply {
			if frame[0] == cmdHLTA {
				return &reply{data: []byte{0x11, 0x22}, errors: errorParity | errorProtocol}
			}
			return sound(frame, lastBits)
		})
		r := open(t, s)
		for range 3 {
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 || s.resets != 1 {
				t.Errorf("saw %v, %v after %d resets", seen, err, s.resets)
			}
		}
	})
}

// A chip that counts from the frame says so at the next collision. The way that
// was doubtful until then is not walked: it would cost a scan a frame that
// nobody answers, three times over.
func TestADoubtThatIsResolvedCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Once AA01 is known, the collision of the other two at bit 20 is told
		// as 12, which could be counted from the level as well.
		f := fieldOf(t, "AA000000", "AA010800", "AA010000")
		var silent []string
		answers := fromField(f, nil)
		s := newScript(t, nil)
		s.reply = func(frame []byte, lastBits byte) *reply {
			a := answers(frame, lastBits)
			if a == nil && frame[0] == selCommand(0) {
				silent = append(silent, fmt.Sprintf("%X", frame))
			}
			return a
		}
		r := open(t, s)
		time.Sleep(10 * time.Millisecond)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 3 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		if len(silent) != 0 {
			t.Errorf("nobody answered %v among %v", silent, s.sent())
		}
		// The doubt was there: the collision was approached in two steps.
		near := slices.ContainsFunc(s.frames, func(f []byte) bool { return f[0] == selCommand(0) && f[1] == 0x34 })
		if !near {
			t.Errorf("no doubt in %v", s.sent())
		}
	})
}

// After a scan that failed nothing is taken for granted: the next one sets the
// chip up first.
func TestChipIsSetUpAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]byte, byte) *reply { return &reply{stuck: true} })
		r := open(t, s)
		if seen, err := r.Poll(t.Context()); err == nil {
			t.Fatalf("saw %v", seen)
		}
		resets, frames := s.resets, len(s.frames)
		s.reply = func([]byte, byte) *reply {
			if s.resets == resets {
				t.Error("a frame was sent before the reset")
			}
			return nil
		}
		if _, err := r.Poll(t.Context()); err != nil || len(s.frames) == frames || s.resets != resets+1 {
			t.Errorf("%d resets, %v", s.resets-resets, err)
		}
	})
}

// What a scan returns is the caller's: it may do with it what it likes.
func TestSeenCardsAreTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fieldOf(t, "DEADBEEF")
		s := newScript(t, fromField(f, nil))
		r := open(t, s)
		time.Sleep(10 * time.Millisecond)
		seen, err := r.Poll(t.Context())
		if err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		other, err := card.ParseUID("01020304")
		if err != nil {
			t.Fatal(err)
		}
		seen[0].UID = other
		// The card misses a scan, and is called by the name that it has.
		answers := s.reply
		s.frames = nil
		s.reply = func(frame []byte, lastBits byte) *reply {
			if len(frame) == 1 {
				return &reply{data: []byte{0x04, 0x00}}
			}
			return nil
		}
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		called := strings.Join(s.sent(), " ")
		if !strings.Contains(called, "9370DEADBEEF") || strings.Contains(called, "937001020304") {
			t.Errorf("sent %s", called)
		}
		s.reply = answers
	})
}

// pulsePin notes how long it was held low.
type pulsePin struct {
	gpiotest.Pin
	fell   time.Time
	pulses []time.Duration
}

func (p *pulsePin) Out(l gpio.Level) error {
	if l == gpio.Low {
		p.fell = time.Now()
	} else {
		p.pulses = append(p.pulses, time.Since(p.fell))
	}
	return nil
}

// The reset pin must be low for 100 ns at the least (8.8.1), which an operating
// system cannot promise for less than a moment's sleep.
func TestResetPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pin := new(pulsePin)
		s := newScript(t, func([]byte, byte) *reply { return nil })
		if _, err := New(s, Options{Reset: pin}); err != nil {
			t.Fatal(err)
		}
		if len(pin.pulses) != 1 || pin.pulses[0] < 10*time.Microsecond || pin.pulses[0] > 10*time.Millisecond {
			t.Errorf("pulses %v", pin.pulses)
		}
	})
}

// A register that is stuck at a wrong value makes a genuine chip deaf, now and
// when it is opened again. A copy of the chip may have a mind of its own, but
// not where the driver's own settings are concerned.
func TestStuckRegisterIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		version byte
		reg     register
		value   byte
		hears   bool
	}{
		"genuine, RxSel":      {0x92, regRxSel, 0xC4, false},
		"genuine, GsN":        {0x91, regGsN, 0x08, false},
		"genuine, ModWidth":   {0x92, regModWidth, 0x27, false},
		"genuine, as it is":   {0x92, regRxSel, 0x84, true},
		"copy, RxThreshold":   {0xB2, regRxThresh, 0x55, true},
		"copy, AutoTest":      {0x12, regAutoTest, 0x00, true},
		"copy, TxASK":         {0xB2, regTxASK, 0x00, false},
		"copy, ModWidth":      {0x88, regModWidth, 0x27, false},
		"copy, reserved bits": {0xB2, regMfTx, 0x02, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, single([][]byte{{0xDE, 0xAD, 0xBE, 0xEF}}, 0x08))
				s.regs[regVersion] = c.version
				r := open(t, s)
				s.frozen = map[register]byte{c.reg: c.value}
				for range 3 {
					seen, err := r.Poll(t.Context())
					if c.hears && (err != nil || len(seen) != 1) || !c.hears && !errors.Is(err, card.ErrDeaf) {
						t.Errorf("saw %v, %v", seen, err)
					}
				}
				start := time.Now()
				if _, err := New(s, Options{}); c.hears && err != nil || !c.hears && !errors.Is(err, card.ErrDeaf) {
					t.Errorf("opened again: %v", err)
				}
				if took := time.Since(start); took > 200*time.Millisecond {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
