package cardtest_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// selectOne runs the anticollision loop of ISO/IEC 14443-3 bit by bit
// and returns the UID that it ends with, after a request was answered.
func (r *reader) selectOne(t failer) (card.UID, byte) {
	var uid []byte
	for level := range 3 {
		sel := byte(0x93 + 2*level)
		var own [5]byte
		for known := 0; known < 40; {
			frame := append([]byte{sel, byte(2+known/8)<<4 | byte(known%8)}, own[:(known+7)/8]...)
			a := r.send(frame, 16+known)
			if a.Bits != 40-known {
				t.Fatalf("level %d, %d bits known: %d bits came", level, known, a.Bits)
			}
			good := a.Bits
			if a.Collision >= 0 {
				good = a.Collision + 1 // and go on with those that sent a 1
			}
			for i := range good {
				own[(known+i)/8] |= a.Bytes[i/8] >> (i % 8) & 1 << ((known + i) % 8)
			}
			known += good
		}
		a := r.send(cardtest.AppendCRC(append([]byte{sel, 0x70}, own[:]...)), 72)
		// Cards of two technologies that share this level answer together, and
		// before their last level the bits of SAK other than "UID not complete"
		// may differ. That bit comes third, and so before the collision.
		if a.Bits != 24 || a.Collision >= 0 && (a.Collision < 3 || a.Bytes[0]&0x04 == 0) {
			t.Fatalf("SELECT at level %d: %+v", level, a)
		}
		if a.Bytes[0]&0x04 == 0 {
			uid = append(uid, own[:4]...)
			u, err := card.NewUID(uid)
			if err != nil {
				t.Fatal(err)
			}
			return u, a.Bytes[0]
		}
		uid = append(uid, own[1:4]...)
	}
	t.Fatal("a fourth cascade level")
	return card.UID{}, 0
}

// enumerate finds the cards in a field one after the other, and fails where one
// comes twice or does not go to sleep.
func enumerate(t failer, cards ...*cardtest.Card) map[card.UID]byte {
	r := newReader(cards...)
	got := map[card.UID]byte{}
	for r.send([]byte{0x26}, 7).Bits == 16 {
		uid, sak := r.selectOne(t)
		if _, twice := got[uid]; twice {
			t.Fatalf("%s came twice", uid)
		}
		got[uid] = sak
		if a := r.send([]byte{0x50, 0x00, 0x57, 0xCD}, 32); a.Bits != 0 {
			t.Fatalf("HLTA was answered: %+v", a)
		}
	}
	return got
}

// failer is a test of testing or of rapid.
type failer interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// Any few cards in a field can be told apart, whatever their UIDs, and each one
// is found once.
func TestAnyCardsCanBeEnumerated(t *testing.T) {
	technologies := []card.Technology{card.MifareUltralight, card.MifareClassic1K, card.MifareClassic4K, card.ISO14443_4}
	rapid.Check(t, func(t *rapid.T) {
		want := map[card.UID]byte{}
		var cards []*cardtest.Card
		// Bytes out of a small set make UIDs that share long beginnings. 88 is
		// left to the cascade tag: a UID that holds it where the tag may stand
		// looks like the beginning of a longer one.
		some := rapid.SampledFrom([]byte{0x00, 0x01, 0x04, 0x80, 0x7F, 0xFF})
		anything := rapid.Byte().Filter(func(b byte) bool { return b != 0x88 })
		for range rapid.IntRange(1, 6).Draw(t, "cards") {
			size := rapid.SampledFrom([]int{4, 7, 10}).Draw(t, "size")
			b := rapid.SliceOfN(rapid.OneOf(some, anything), size, size).Draw(t, "uid")
			uid, err := card.NewUID(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := want[uid]; twice {
				continue
			}
			c, err := cardtest.New(uid, rapid.SampledFrom(technologies).Draw(t, "technology"))
			if err != nil {
				t.Fatal(err)
			}
			want[uid] = c.Info().SAK
			cards = append(cards, c)
		}
		if got := enumerate(t, cards...); !maps.Equal(got, want) {
			t.Fatalf("found %v, want %v", slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(want)))
		}
	})
}

// Two cards of one batch but of two technologies share the bytes of their first
// level and answer its SELECT together, with SAK 04 and SAK 24: the collision
// says that both have another level, and that is all there is to know.
func TestSAKOfAFirstLevelMayCollide(t *testing.T) {
	a, b := mustCard(t, "04010203040506", card.MifareUltralight), mustCard(t, "04010213040506", card.ISO14443_4)
	want := map[card.UID]byte{a.UID(): 0x00, b.UID(): 0x20}
	if got := enumerate(t, a, b); !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
