package mfrc522_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// After a single scan that hears nothing, nobody is lost, and a card that is
// faulty hides no sound one, however the chip counts collisions.
func TestNobodyIsHiddenByAGuess(t *testing.T) {
	t.Parallel()
	for _, reading := range []mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID} {
		for bit := range byte(2) {
			bubble(t, fmt.Sprintf("a silent scan, reading %d, bit %d", reading, bit), func(t *testing.T) {
				b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
				cards := classic(t, "AA030200", "AA010000", "AA000000")
				b.field.Put(cards...)
				started()
				b.scan(cards...)
				b.chip.SetFault(mfrc522test.FaultSilent)
				b.scan()
				b.chip.SetFault(mfrc522test.FaultNone)
				// All are READY now and take the next WUPA for an error.
				for range 100 {
					b.scan(cards...)
					time.Sleep(scanEvery)
				}
			})
			for faulty := range 3 {
				for _, fault := range []cardtest.Fault{cardtest.BadBCC, cardtest.BadCRC, cardtest.ShortSAK} {
					bubble(t, fmt.Sprintf("card %d has fault %d, reading %d, bit %d", faulty, fault, reading, bit), func(t *testing.T) {
						b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
						cards := classic(t, "AA030200", "AA010000", "AA000000")
						b.field.Put(cards...)
						cards[faulty].SetFault(fault)
						started()
						sound := append(append([]*cardtest.Card{}, cards[:faulty]...), cards[faulty+1:]...)
						for range 20 {
							b.scan(sound...)
							time.Sleep(scanEvery)
						}
					})
				}
			}
		}
	}
}

// Any three close relatives, one of them maybe faulty, are seen at the first
// scan and at all others, with no more frames than it takes.
func TestAnyThreeAreSeenAtEveryScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ids := drawRelatives(rt, 3)
		reading := rapid.SampledFrom([]mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID}).Draw(rt, "reading")
		bit := rapid.ByteRange(0, 1).Draw(rt, "collided bit")
		faulty := rapid.IntRange(0, 3).Draw(rt, "faulty") // 3: none
		var problem string
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
			want := map[card.UID]bool{}
			for i, id := range ids {
				c := newCard(t, fmt.Sprintf("%X", id), card.MifareClassic1K)
				if i == faulty {
					c.SetFault(cardtest.BadCRC)
				} else {
					want[c.UID()] = true
				}
				b.field.Put(c)
			}
			started()
			for n := 0; n < 3 && problem == ""; n++ {
				problem = b.scanFinds(want, faulty < 3)
				time.Sleep(scanEvery)
			}
		})
		if problem != "" {
			rt.Fatalf("%s, of %X but number %d", problem, ids, faulty)
		}
	})
}

// drawRelatives draws UIDs that differ from one another in few bits.
func drawRelatives(rt *rapid.T, count int) (ids [][]byte) {
	for len(ids) < count {
		id := []byte{0xAA, 0, 0, 0}
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			bit := rapid.IntRange(8, 31).Draw(rt, "bit")
			id[bit/8] ^= 1 << (bit % 8)
		}
		if !slices.ContainsFunc(ids, func(other []byte) bool { return bytes.Equal(other, id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// scanFinds tells what is wrong with a scan that should find these three cards, or
// those of them that are sound, "" if nothing is.
func (b *bench) scanFinds(want map[card.UID]bool, anyFaulty bool) string {
	before := b.chip.Stats().Frames
	seen, err := b.Poll(context.Background())
	if err != nil || len(seen) != len(want) {
		return fmt.Sprintf("saw %v, %v", seen, err)
	}
	for _, c := range seen {
		if !want[c.UID] {
			return fmt.Sprintf("saw %v", c.UID)
		}
	}
	if n := b.chip.Stats().Frames - before; !anyFaulty && n > 28 {
		return fmt.Sprintf("%d frames for three cards", n)
	}
	return ""
}
