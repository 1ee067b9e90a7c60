package pn532

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// names are the UIDs of cards, in order.
func names(cards []card.Card) []string {
	list := []string{}
	for _, c := range cards {
		list = append(list, c.UID.String())
	}
	slices.Sort(list)
	return list
}

// bench is a driver over a firmware, in virtual time.
type bench struct {
	*testing.T
	*firmware
	script *script
	reader *Reader
}

func onBench(t *testing.T, f *firmware, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, f.answer)
		test(t, &bench{t, f, s, open(t, s)})
	})
}

// put lays cards into the field and lets them start.
func (b *bench) put(cards ...*cardtest.Card) {
	b.field.Put(cards...)
	time.Sleep(10 * time.Millisecond)
}

// sees polls so many times as a door does and wants the same cards each time.
func (b *bench) sees(times int, want ...string) {
	b.Helper()
	slices.Sort(want)
	for n := range times {
		seen, err := b.reader.Poll(b.Context())
		if err != nil || !slices.Equal(names(seen), want) {
			b.Fatalf("scan %d: saw %v, %v, want %v", n, names(seen), err, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestEveryCardAtEveryScan puts up to five cards of all sizes into the field, under
// both readings of what the chip's firmware sends, with and without raw frames.
func TestEveryCardAtEveryScan(t *testing.T) {
	uids := []string{"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A", "01020304", "88112233"}
	for n := range len(uids) + 1 {
		for _, wupa := range []bool{false, true} {
			for _, noRaw := range []bool{false, true} {
				if wupa && n > 2 {
					continue // no way to reach a third one
				}
				t.Run(fmt.Sprintf("%d cards, WUPA %v, no raw frames %v", n, wupa, noRaw), func(t *testing.T) {
					f := newFirmware()
					f.wupa, f.noRaw = wupa, noRaw
					for _, uid := range uids[:n] {
						f.field.Put(newCard(t, uid, card.MifareClassic1K))
					}
					onBench(t, f, func(t *testing.T, b *bench) { b.sees(20, uids[:n]...) })
				})
			}
		}
	}
}

// What a card is said to be is the same for both chips.
func TestCardIsToldAsItIs(t *testing.T) {
	for _, tech := range card.Technologies() {
		for _, uid := range []string{"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A"} {
			c := newCard(t, uid, tech)
			onBench(t, newFirmware(c), func(t *testing.T, b *bench) {
				for range 3 {
					seen, err := b.reader.Poll(b.Context())
					if err != nil || len(seen) != 1 || seen[0] != c.Info() {
						b.Fatalf("%s %s: saw %+v, %v", tech, uid, seen, err)
					}
				}
			})
		}
	}
}

// A card that is held alone costs two searches a scan, and the field stays on.
func TestLoneCardIsCheap(t *testing.T) {
	f := newFirmware(newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4))
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(1, "04A1B2C3D4E5F6")
		before := len(b.script.commands)
		b.sees(10, "04A1B2C3D4E5F6")
		if n := len(b.script.commands) - before; n != 25 { // two for type A, and one for type B every other time
			b.Errorf("%d commands for 10 scans: %v", n, b.script.commands[before:])
		}
		if b.rfOff != 0 {
			b.Errorf("the field was switched off %d times", b.rfOff)
		}
	})
}

// A phone has another random UID whenever the field comes on. It keeps it while it is
// held, alone or with cards.
func TestRandomUIDStaysWhileHeld(t *testing.T) {
	phone, err := cardtest.NewRandom(card.ISO14443_4, 7)
	if err != nil {
		t.Fatal(err)
	}
	f := newFirmware(phone)
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(1, phone.UID().String())
		uid := phone.UID().String()
		b.sees(20, uid)
		badge := newCard(t, "DEADBEEF", card.MifareClassic1K)
		b.put(badge)
		b.sees(20, uid, "DEADBEEF")
		b.field.Remove(badge)
		for range 5 {
			if seen, err := b.reader.Poll(b.Context()); err != nil || len(seen) != 1 || seen[0].UID.String() != uid {
				b.Fatalf("saw %v, %v, want %s", names(seen), err, uid)
			}
		}
	})
}

func TestCardsComeAndGo(t *testing.T) {
	f := newFirmware()
	one, two, three := newCard(t, "DEADBEEF", card.MifareClassic1K), newCard(t, "04A1B2C3D4E5F6", card.MifareUltralight), newCard(t, "01020304", card.ISO14443_4)
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(3)
		b.put(one)
		b.sees(3, "DEADBEEF")
		b.put(two)
		b.sees(3, "DEADBEEF", "04A1B2C3D4E5F6")
		b.put(three)
		b.sees(3, "DEADBEEF", "04A1B2C3D4E5F6", "01020304")
		b.field.Remove(two, one)
		b.sees(3, "01020304")
		b.field.Remove(three)
		b.sees(3)
		b.put(two)
		b.sees(3, "04A1B2C3D4E5F6")
		if c := b.reader.Counts(); c.Scans != 21 || c.Seen != 3+6+9+3+3 || c.Misses != 0 || c.Mends != 0 || c.Resets != 0 || c.BadFrames != 0 {
			b.Errorf("counted %+v", c)
		}
	})
}

// A card of seven bytes takes the first SELECT of a clone of four bytes, which leads
// with the cascade tag, for its own. It does not stand in for it.
func TestNamesakeIsNotTakenForACardThatHasGone(t *testing.T) {
	clone, whole := newCard(t, "88112233", card.MifareClassic1K), newCard(t, "11223344556677", card.MifareClassic1K)
	onBench(t, newFirmware(clone), func(t *testing.T, b *bench) {
		b.sees(2, "88112233")
		b.field.Remove(clone)
		b.put(whole)
		b.sees(5, "11223344556677")
	})
}

// On a bus that spoils frames a card that has gone may be one that sleeps, and the
// field is switched off and on for it. For a phone that would be in vain, and another
// phone would get another UID.
func TestFieldStaysOnForAPhoneThatHasGone(t *testing.T) {
	for _, random := range []bool{true, false} {
		c := newCard(t, "DEADBEEF", card.MifareClassic1K)
		if random {
			var err error
			if c, err = cardtest.NewRandom(card.ISO14443_4, 7); err != nil {
				t.Fatal(err)
			}
		}
		f := newFirmware(c)
		onBench(t, f, func(t *testing.T, b *bench) {
			b.sees(2, c.UID().String())
			off, n := f.rfOff, 0
			b.script.frameOut = func(frame []byte) []byte {
				if n++; n%5 == 0 {
					frame[len(frame)-1] ^= 0x10
				}
				return frame
			}
			b.field.Remove(c)
			b.sees(6)
			if cycled := f.rfOff - off; cycled == 0 != random {
				t.Errorf("random %v: the field was switched off %d times", random, cycled)
			}
		})
	}
}
