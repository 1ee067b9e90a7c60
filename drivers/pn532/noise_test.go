package pn532

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/scripts/skiptest"
)

// Two bits that are spoilt in one frame can cancel each other out in its checksum: the
// UID in it is another one then. It is never reported.
func TestChecksumThatIsFooled(t *testing.T) {
	for _, noNACK := range []bool{false, true} {
		f := newFirmware(newCard(t, "04A1B2C3D4E5F6", card.MifareUltralight))
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, f.answer)
			r := open(t, s)
			n := 0
			s.tamper = func(_ int, _, miso []byte) {
				i := bytes.Index(miso, []byte{0xA1, 0xB2})
				if i < 0 {
					return
				}
				if n++; n%2 == 1 {
					miso[i] ^= 0x02   // A1 -> A3
					miso[i+1] ^= 0x02 // B2 -> B0
				}
			}
			if noNACK {
				s.frameOut = func(b []byte) []byte {
					if s.nacks > 0 && len(s.pending) == 0 && bytes.Equal(b, s.last) {
						s.nacks = 0
						return nil
					}
					return b
				}
			}
			for range 10 {
				seen, err := r.Poll(t.Context())
				if err != nil || len(seen) > 1 || len(seen) == 1 && seen[0].UID.String() != "04A1B2C3D4E5F6" {
					t.Fatalf("no NACK %v: saw %v, %v", noNACK, names(seen), err)
				}
			}
			s.tamper = nil
			for range 2 {
				if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
					t.Fatalf("no NACK %v: at last saw %v, %v", noNACK, names(seen), err)
				}
			}
		})
	}
}

// A chip that does not repeat its replies reports new cards all the same.
func TestChipThatDoesNotRepeatItself(t *testing.T) {
	f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K), newCard(t, "04A1B2C3D4E5F6", card.MifareClassic1K))
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, f.answer)
		s.tamper = func(_ int, mosi, _ []byte) {
			if mosi != nil && bytes.HasPrefix(mosi[1:], nackFrame()) {
				mosi[0] = 0x07
			}
		}
		r := open(t, s)
		var seen []card.Card
		for range 3 {
			var err error
			if seen, err = r.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != 2 {
			t.Errorf("saw %v", names(seen))
		}
	})
}

// A card that was sent to sleep and could not be confirmed answers no request: the
// field wakes it at the next look.
func TestUnconfirmedCardIsWokenAgain(t *testing.T) {
	f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
	onBench(t, f, func(t *testing.T, b *bench) {
		b.script.tamper = func(_ int, mosi, _ []byte) {
			if mosi != nil && bytes.HasPrefix(mosi[1:], nackFrame()) {
				mosi[0] = 0x07 // it does not repeat itself
			}
		}
		b.script.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
			data, after, ok := f.answer(code, p)
			if code == cmdCommunicateThru && p[0] == 0x93 {
				data = []byte{0x02} // CRC
			}
			return data, after, ok
		}
		b.sees(1)
		b.script.tamper, b.script.answer = nil, f.answer
		b.sees(3, "DEADBEEF")
	})
}

// TestNoWrongUID scans fields of cards that come and go, with bits turned round on
// both wires and frames that get lost, and holds what is seen against what is there.
func TestNoWrongUID(t *testing.T) {
	skiptest.Computation(t)
	scenes := 300
	if testing.Short() {
		scenes = 30
	}
	for seed := range uint64(scenes) {
		if synctest.Test(t, func(t *testing.T) { noisyScene(t, seed) }); t.Failed() {
			return
		}
	}
}

func noisyScene(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 532))
	truth := make(map[string]bool)
	f := newFirmware()
	for range random.IntN(4) {
		uid := make([]byte, []int{4, 7, 10}[random.IntN(3)])
		for i := range uid {
			uid[i] = byte(random.Uint32())
		}
		uid[0] |= 0x10 // not a random one
		text := fmt.Sprintf("%X", uid)
		truth[text] = true
		f.field.Put(newCard(t, text, card.Technologies()[random.IntN(len(card.Technologies()))]))
	}
	f.wupa, f.noRaw = random.IntN(4) == 0, random.IntN(4) == 0
	s := newScript(t, f.answer)
	r := open(t, s)
	rate := []float64{0, 1e-4, 1e-3, 5e-3}[random.IntN(4)]
	s.tamper = func(_ int, mosi, miso []byte) {
		for _, b := range [][]byte{mosi, miso} {
			for i := range b {
				for bit := range 8 {
					if random.Float64() < rate {
						b[i] ^= 1 << bit
					}
				}
			}
		}
	}
	s.frameOut = func(b []byte) []byte {
		if random.Float64() < rate*10 {
			return nil
		}
		return b
	}
	var taken []*cardtest.Card
	for range 20 {
		start := time.Now()
		seen, err := r.Poll(t.Context())
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("seed %d: a look took %v", seed, took)
		}
		for _, c := range seen {
			if err == nil && !truth[c.UID.String()] {
				t.Fatalf("seed %d: saw %s, there are %v", seed, c.UID, truth)
			}
		}
		if cards := f.field.Cards(); random.IntN(3) == 0 && len(cards) > 0 {
			f.field.Remove(cards[0])
			taken = append(taken, cards[0])
		} else if len(taken) > 0 {
			f.field.Put(taken[0])
			taken = taken[1:]
		}
		time.Sleep(50 * time.Millisecond)
	}
	// When the noise is over everything is seen that is there.
	s.tamper, s.frameOut = nil, nil
	f.field.Put(taken...)
	time.Sleep(2 * time.Second)
	for range 6 {
		_, _ = r.Poll(t.Context())
	}
	if seen, err := r.Poll(t.Context()); err != nil || len(seen) != len(truth) && !(len(truth) > 2 && f.wupa) {
		t.Errorf("seed %d: at last saw %v, %v, there are %v", seed, names(seen), err, truth)
	}
}
