package mfrc522_test

import (
	"bytes"
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

// An ACTIVE card answers neither REQA nor WUPA, and one that was woken from
// HALT and not selected falls back there, out of REQA's reach: held cards would
// come and go. The field must stay on, or each scan would be a new arrival to
// a card with a random UID.
func TestHeldCardsAreSeenAtEveryScan(t *testing.T) {
	for name, uids := range map[string][]string{
		"one":                      {"DEADBEEF"},
		"one of seven bytes":       {"04A1B2C3D4E5F6"},
		"two":                      {"DEADBEEF", "DEADBEEE"},
		"two of one batch":         {"04A1B2C3D4E5F6", "04A1B2C3D4E5F7"},
		"three, all lengths":       {"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A"},
		"ten bytes, last one only": {"0102030405060708090A", "0102030405060708090B"},
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, uids...)
			b.field.Put(cards...)
			started()
			scans := 1000
			if len(cards) > 1 {
				scans = 100
			}
			for range scans {
				b.scan(cards...)
				for _, c := range cards {
					if c.State() != cardtest.Halt {
						t.Fatalf("%v is left in %s", c.UID(), c.State())
					}
				}
				time.Sleep(50 * time.Millisecond)
			}
			b.field.Remove(cards...)
			b.scan()
			if s := b.chip.Stats(); s.RFOffs != 0 || s.SoftResets != 1 {
				t.Errorf("the field went off %d times, %d soft resets", s.RFOffs, s.SoftResets)
			}
		})
	}
}

// Any cards, close relatives above all, come out of the field whole.
func TestAnyCardsAreEnumerated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(rt, "cards")
		base := rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(rt, "base")
		var ids [][]byte
		for range n {
			id := slices.Clone(base[:rapid.SampledFrom([]int{4, 7, 10}).Draw(rt, "length")])
			for range rapid.IntRange(1, 4).Draw(rt, "changes") {
				bit := rapid.IntRange(0, 8*len(id)-1).Draw(rt, "bit")
				id[bit/8] ^= 1 << (bit % 8)
			}
			// A card of four bytes whose UID is the beginning of a longer one
			// cannot be told from it: both answer the same SELECT.
			if len(id) == 4 && id[0] == 0x88 {
				id[0] = 0x80
			}
			ids = append(ids, id)
		}
		slices.SortFunc(ids, bytes.Compare)
		ids = slices.CompactFunc(ids, bytes.Equal)
		reading := rapid.SampledFrom([]mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID}).Draw(rt, "reading")
		bit := rapid.ByteRange(0, 1).Draw(rt, "collided bit")

		var problem string
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
			for _, id := range ids {
				b.field.Put(newCard(t, fmt.Sprintf("%X", id), card.MifareClassic1K))
			}
			started()
			for range 2 {
				seen, err := b.Poll(t.Context())
				if err != nil || len(seen) != len(ids) {
					problem = fmt.Sprintf("saw %v, %v, want %X", seen, err, ids)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
