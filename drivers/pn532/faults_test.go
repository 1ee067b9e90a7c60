package pn532_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/scripts/skiptest"
)

// crowd are cards of each size.
func (b *bench) crowd(uids ...string) {
	for _, uid := range uids {
		b.field.Put(newCard(b, uid, card.ISO14443_4))
	}
	time.Sleep(10 * time.Millisecond)
}

// TestFaultsOfTheLink: each fault of each command of a scan is mended in the same
// scan, with the field left on.
func TestFaultsOfTheLink(t *testing.T) {
	for _, uids := range [][]string{nil, {"DEADBEEF"}, {"04A1B2C3D4E5F6", "01020304"}} {
		for _, fault := range pn532test.LinkFaults() {
			bubble(t, fmt.Sprintf("%s, %d cards", fault, len(uids)), nil, func(t *testing.T, b *bench) {
				b.crowd(uids...)
				b.sees(2, uids...)
				off := b.chip.Stats().RFOffs
				for n := 1; n <= 20; n++ {
					b.chip.Trip(fault, n)
					b.sees(4, uids...)
					b.chip.Calm()
				}
				if n := b.chip.Stats().RFOffs - off; n != 0 {
					t.Errorf("the field was switched off %d times", n)
				}
			})
		}
	}
}

// TestGlitchesOfTheBus disturbs each byte of some scans, and each bit of some bytes.
func TestGlitchesOfTheBus(t *testing.T) {
	skiptest.Computation(t)
	for _, uids := range [][]string{nil, {"04A1B2C3D4E5F6"}, {"DEADBEEF", "0102030405060708090A"}} {
		for _, glitch := range pn532test.Glitches() {
			bubble(t, fmt.Sprintf("%s, %d cards", glitch, len(uids)), nil, func(t *testing.T, b *bench) {
				b.crowd(uids...)
				b.sees(2, uids...)
				step := 1
				if glitch == pn532test.FlipMOSI || glitch == pn532test.FlipMISO {
					step = 5
				}
				for n := 1; n < 700*step; n += step {
					b.chip.GlitchAt(glitch, n)
					b.sees(2, uids...)
					b.chip.Calm()
				}
				if c := b.reader.Counts(); c.Mends > 6 || c.Misses != 0 {
					t.Errorf("counted %+v", c)
				}
			})
		}
	}
}

// TestBrownOut has the supply fail before each transfer of some scans.
func TestBrownOut(t *testing.T) {
	skiptest.Computation(t)
	for _, uids := range [][]string{nil, {"DEADBEEF"}, {"04A1B2C3D4E5F6", "01020304"}} {
		bubble(t, fmt.Sprintf("%d cards", len(uids)), nil, func(t *testing.T, b *bench) {
			b.crowd(uids...)
			b.sees(2, uids...)
			for n := 1; n <= 200; n++ {
				before := b.reader.Counts().Mends
				b.chip.BrownOutAt(n)
				b.sees(5, uids...)
				b.chip.BrownOutAt(0)
				b.sees(2, uids...) // one that came at the very end is mended here
				if c := b.reader.Counts(); c.Mends > before+1 {
					t.Errorf("transfer %d: mended %d times", n, c.Mends-before)
				}
			}
		})
	}
}

// TestCardTakenAwayBeforeEveryFrame: those that stay are seen, and nothing else.
func TestCardTakenAwayBeforeEveryFrame(t *testing.T) {
	skiptest.Computation(t)
	uids := []string{"04A1B2C3D4E5F6", "DEADBEEF", "0102030405060708090A"}
	for n := 1; n < 60; n++ {
		for leaving := range uids {
			bubble(t, fmt.Sprintf("%d leaves before frame %d", leaving, n), nil, func(t *testing.T, b *bench) {
				b.crowd(uids...)
				b.field.Cards()[leaving].LeaveAt(n)
				for range 12 {
					seen, err := b.reader.Poll(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, uid := range names(seen) {
						if !slices.Contains(uids, uid) {
							t.Fatalf("saw %s", uid)
						}
					}
					time.Sleep(50 * time.Millisecond)
				}
				var left []string
				for _, c := range b.field.Cards() {
					left = append(left, c.UID().String())
				}
				b.sees(3, left...)
				b.obeys()
			})
		}
	}
}

// A card that does something wrong is not seen, and hides nobody.
func TestFaultyCards(t *testing.T) {
	for fault := cardtest.NoFault + 1; fault <= cardtest.RefusesHalt; fault++ {
		for _, uid := range []string{"04A1B2C3D4E5F6", "FF020304"} {
			bubble(t, fmt.Sprintf("fault %d of %s", fault, uid), nil, func(t *testing.T, b *bench) {
				faulty := newCard(t, uid, card.MifareClassic1K)
				faulty.SetFault(fault)
				b.field.Put(faulty)
				time.Sleep(10 * time.Millisecond)
				for range 3 {
					seen, err := b.reader.Poll(t.Context())
					if err != nil || len(seen) > 1 || len(seen) == 1 && seen[0].UID != faulty.UID() {
						t.Errorf("saw %v, %v", names(seen), err)
					}
				}
				faulty.SetFault(cardtest.NoFault)
				b.sees(3, uid)
				b.obeys()
			})
		}
	}
}

func TestRandomUIDOnTheChip(t *testing.T) {
	for name, opts := range interpretations() {
		bubble(t, name, opts, func(t *testing.T, b *bench) {
			phone, err := cardtest.NewRandom(card.ISO14443_4, 3)
			if err != nil {
				t.Fatal(err)
			}
			b.field.Put(phone)
			time.Sleep(10 * time.Millisecond)
			uid := phone.UID().String()
			b.sees(30, uid)
			b.crowd("DEADBEEF")
			b.sees(30, uid, "DEADBEEF")
		})
	}
}

func TestTypeBOnTheChip(t *testing.T) {
	for name, opts := range interpretations() {
		bubble(t, name, opts, func(t *testing.T, b *bench) {
			b.sees(3)
			b.field.Put(cardtest.NewTypeB([4]byte{0x08, 1, 2, 3}))
			time.Sleep(200 * time.Millisecond)
			start := time.Now()
			_, _ = b.reader.Poll(t.Context())
			if took := time.Since(start); took > 150*time.Millisecond { // a card that is gone is told to go for a second
				t.Errorf("the first look took %v", took)
			}
			for range 10 {
				start := time.Now()
				b.sees(1, "08010203")
				if took := time.Since(start); took > 200*time.Millisecond { // 50 of which are the pause
					t.Errorf("a look took %v", took)
				}
			}
			b.crowd("DEADBEEF")
			b.sees(10, "08010203", "DEADBEEF")
			b.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4}))
			time.Sleep(10 * time.Millisecond)
			for range 10 {
				seen, err := b.reader.Poll(t.Context())
				if err != nil || len(seen) == 0 {
					t.Fatalf("saw %v, %v", names(seen), err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if c := b.reader.Counts(); c.Unreadable != 0 {
				t.Errorf("counted %+v", c)
			}
			b.field.Remove(b.field.Cards()...)
			time.Sleep(100 * time.Millisecond)
			b.sees(6)
			b.field.Put(cardtest.NewRandomTypeB(5))
			time.Sleep(100 * time.Millisecond)
			b.sees(12)
			if c := b.reader.Counts(); c.Unreadable != 1 {
				t.Errorf("counted %+v", c)
			}
			b.obeys()
		})
	}
}

// Whatever the interrupt pin does, the same cards are seen.
func TestInterruptPinOnTheChip(t *testing.T) {
	for fault := range bustest.IRQFault(4) {
		bubble(t, fmt.Sprintf("fault %d", fault), nil, func(t *testing.T, b *bench) {
			_ = b.reader.Close()
			b.chip.SetIRQFault(fault)
			r, err := pn532.New(b.chip.Port(), pn532.Options{IRQ: b.chip.IRQPin(), Reset: b.chip.ResetPin()})
			if err != nil {
				t.Fatal(err)
			}
			b.reader = r
			defer func() { _ = r.Close() }()
			b.crowd("DEADBEEF")
			start := time.Now()
			b.sees(20, "DEADBEEF")
			t.Log(time.Since(start))
			b.obeys()
		})
	}
}

// A chip whose firmware hangs is mended by its reset pin in the same scan.
func TestStuckChipIsResetByItsPin(t *testing.T) {
	bubble(t, "", nil, func(t *testing.T, b *bench) {
		_ = b.reader.Close()
		r, err := pn532.New(b.chip.Port(), pn532.Options{Reset: b.chip.ResetPin()})
		if err != nil {
			t.Fatal(err)
		}
		b.reader = r
		defer func() { _ = r.Close() }()
		b.crowd("DEADBEEF")
		b.sees(2, "DEADBEEF")
		for _, fault := range []pn532test.Fault{pn532test.FaultStuck, pn532test.FaultDeaf} {
			b.chip.SetFault(fault)
			deadline := time.Now().Add(3 * time.Second)
			for b.chip.Fault() != pn532test.FaultNone {
				if _, err := b.reader.Poll(t.Context()); err != nil || time.Now().After(deadline) {
					t.Fatalf("%s: %v", fault, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			b.sees(2, "DEADBEEF")
		}
	})
}

// The bus refuses now and then, as with a loose wire of the machine's own.
func TestTransfersThatFail(t *testing.T) {
	bubble(t, "", nil, func(t *testing.T, b *bench) {
		b.crowd("DEADBEEF")
		b.sees(2, "DEADBEEF")
		b.chip.FailTransfers(1, errors.New("EIO"))
		b.sees(2, "DEADBEEF")
		b.chip.FailTransfers(1000000, errors.New("EIO"))
		if _, err := b.reader.Poll(t.Context()); !errors.Is(err, card.ErrBusDead) {
			t.Errorf("%v", err)
		}
		b.chip.FailTransfers(0, nil)
		b.sees(2, "DEADBEEF")
	})
}
