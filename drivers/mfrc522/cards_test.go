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

// UIDs cut to four bytes make one person of two: the whole UID, SAK and ATQA
// are reported, whatever its length and first byte.
func TestUIDsOfEveryLength(t *testing.T) {
	for _, uid := range []string{
		"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A", "0582C7204CA100",
		"88112233", // clones have those; the SAK says that the UID is whole
		"88888888", "88A1B2C3D4E5F6", "88888888888888888888", "00000000", "FFFFFFFFFFFFFF",
	} {
		for _, tech := range []card.Technology{card.MifareClassic1K, card.ISO14443_4} {
			bubble(t, fmt.Sprintf("%s %s", uid, tech), func(t *testing.T) {
				b := newBench(t, mfrc522.Options{})
				c := newCard(t, uid, tech)
				b.field.Put(c)
				started()
				seen, err := b.Poll(t.Context())
				if err != nil || len(seen) != 1 || seen[0] != c.Info() {
					t.Fatalf("saw %v, %v, want %v", seen, err, c.Info())
				}
			})
		}
	}
}

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

// Several cards at once, with both readings of CollReg and whatever the chip
// leaves where bits collided.
func TestCollisions(t *testing.T) {
	for name, uids := range map[string][]string{
		"two, first bit":           {"00000000", "01000000"},
		"two, last bit":            {"00000000", "00000080"},
		"two, middle":              {"12345678", "12745678"},
		"two that differ wholly":   {"55555555", "AAAAAAAA"},
		"three behind eight bits":  {"01020304", "01020305", "01060304"},
		"three in the second byte": {"AA000000", "AA010000", "AA030000"},
		"three, both readings fit": {"00010000", "00000000", "00000800"},
		"five":                     {"DEADBEEF", "DEADBEEE", "DEADBE6F", "DE2DBEEF", "5EADBEEF"},
		"five in one byte":         {"A0B0C000", "A0B0C001", "A0B0C002", "A0B0C003", "A0B0C083"},
		"five of a batch":          {"04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E4F6", "04A1B2C3D4E5B6", "04A1B2C3C4E5F6"},
		"lengths mixed":            {"88010207", "04A1B2C3D4E5F6", "0102030405060708090A", "0102030405060708090B"},
		"eight":                    {"00000000", "01000000", "00010000", "00000100", "00000001", "80000000", "00800000", "00008000"},
	} {
		for _, reading := range []mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID} {
			for bit := range byte(2) {
				bubble(t, fmt.Sprintf("%s, reading %d, bit %d", name, reading, bit), func(t *testing.T) {
					b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
					cards := classic(t, uids...)
					b.field.Put(cards...)
					started()
					for range 3 {
						b.scan(cards...)
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
		}
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

// More cards than a scan reports must not hold it up.
func TestCrowdIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		for i := range 40 {
			b.field.Put(classic(t, fmt.Sprintf("%08X", uint32(i)*0x9E3779B9))...)
		}
		started()
		start := time.Now()
		seen, err := b.Poll(t.Context())
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("the scan took %v", took)
		}
		if err != nil || len(seen) == 0 || len(seen) > 8 {
			t.Errorf("saw %v, %v", seen, err)
		}
	})
}

// A card that speaks badly is not reported, and hides no sound card.
func TestFaultyCards(t *testing.T) {
	for name, fault := range map[string]cardtest.Fault{
		"bad BCC": cardtest.BadBCC, "bad CRC": cardtest.BadCRC, "bad parity": cardtest.BadParity,
		"short SAK": cardtest.ShortSAK, "short ATQA": cardtest.ShortATQA,
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			bad := newCard(t, "04A1B2C3D4E5F6", card.MifareUltralight)
			bad.SetFault(fault)
			b.field.Put(bad)
			started()
			b.scan()
			if s := b.chip.Stats(); s.SoftResets != 1 {
				t.Errorf("a bad card had the chip reset")
			}
			bad.SetFault(cardtest.NoFault)
			b.scan(bad)
		})
		if fault == cardtest.BadParity {
			continue // its ATQA spoils that of all others
		}
		bubble(t, name+" beside a sound card", func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			bad, sound := newCard(t, "0FA1B2C3", card.MifareClassic1K), newCard(t, "00A1B2C3", card.MifareClassic1K)
			bad.SetFault(fault)
			b.field.Put(bad, sound)
			started()
			seen, err := b.Poll(t.Context())
			if err != nil || !slices.Contains(seen, card.Card{UID: sound.UID(), SAK: 0x08, ATQA: [2]byte{4, 0}}) {
				t.Errorf("saw %v, %v", seen, err)
			}
		})
	}
	bubble(t, "refuses HLTA", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		c[0].SetFault(cardtest.RefusesHalt)
		b.field.Put(c...)
		started()
		for range 20 {
			b.scan(c...)
			time.Sleep(50 * time.Millisecond)
		}
	})
	bubble(t, "unreadable", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.field.Put(cardtest.NewUnreadable())
		b.scan()
	})
	for name, step := range map[string]cardtest.Step{
		"request": cardtest.StepRequest, "anticollision": cardtest.StepAnticollision, "select": cardtest.StepSelect,
	} {
		bubble(t, "mute at "+name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := classic(t, "04A1B2C3D4E5F6")
			b.field.Put(c...)
			started()
			c[0].MuteAt(step)
			b.scan()
			c[0].MuteAt(cardtest.NoStep)
			if step == cardtest.StepRequest {
				// It is READY now, unknown to the reader, and takes the next
				// WUPA for an error.
				b.scan()
			}
			b.scan(c...)
		})
	}
}

// A card is taken away before every single frame of an exchange. That is no
// reader fault, half a UID is never reported, and whoever stays is seen.
func TestCardTakenAwayBeforeEveryFrame(t *testing.T) {
	for n := 1; n <= 24; n++ {
		bubble(t, fmt.Sprintf("alone, frame %d", n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := newCard(t, "0102030405060708090A", card.MifareUltralight)
			b.field.Put(c)
			started()
			c.LeaveAt(n)
			seen, err := b.Poll(t.Context())
			if err != nil || len(seen) > 1 || len(seen) == 1 && seen[0] != c.Info() {
				t.Fatalf("saw %v, %v", seen, err)
			}
			c.LeaveAt(0)
			b.field.Remove(c)
			b.scan()
			b.field.Put(c)
			started()
			b.scan(c)
		})
		bubble(t, fmt.Sprintf("one of two, frame %d", n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7")
			b.field.Put(cards...)
			started()
			b.scan(cards...)
			cards[n%2].LeaveAt(n)
			seen, err := b.Poll(t.Context())
			if err != nil || !slices.Contains(seen, cards[1-n%2].Info()) {
				t.Fatalf("saw %v, %v", seen, err)
			}
		})
	}
}

// A random UID stays the same for as long as the card lies there.
func TestRandomUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c, err := cardtest.NewRandom(card.ISO14443_4, 1)
		if err != nil {
			t.Fatal(err)
		}
		b.field.Put(c)
		started()
		first := c.UID()
		for range 20 {
			b.scan(c)
			time.Sleep(50 * time.Millisecond)
		}
		if c.UID() != first || !first.Random() {
			t.Errorf("%v became %v", first, c.UID())
		}
	})
}

// A driver that switches the field just before each request never reads a card
// that needs time to start.
func TestProcessorCardHasTimeToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := cardtest.NewField()
		c := newCard(t, "0582C7204CA100", card.ISO14443_4)
		field.Put(c)
		chip := mfrc522test.New(field)
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("first scan: saw %v, %v", seen, err)
		}
		// One that takes longer than the standard lets it is seen a scan later.
		slow := newCard(t, "0582C7204CA101", card.ISO14443_4)
		slow.SetStartup(20 * time.Millisecond)
		field.Put(slow)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("second scan: saw %v, %v", seen, err)
		}
		time.Sleep(50 * time.Millisecond)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 2 {
			t.Errorf("third scan: saw %v, %v", seen, err)
		}
	})
}
