package card_test

import (
	"testing"

	"presence/drivers/card"
)

func uid(t *testing.T, s string) card.UID {
	t.Helper()
	u, err := card.ParseUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseUID(t *testing.T) {
	for _, ok := range []string{"DEADBEEF", "04a1b2c3d4e5f6", "0102030405060708090A"} {
		if u := uid(t, ok); u.Len() != len(ok)/2 {
			t.Errorf("%s: %d bytes", ok, u.Len())
		}
	}
	for _, bad := range []string{"", "04", "04A1B2C3D4", "xyz", "0102030405060708090A0B"} {
		if u, err := card.ParseUID(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, u)
		}
	}
}

func TestTechnologyFromSAK(t *testing.T) {
	for sak, want := range map[byte]card.Technology{
		0x00: card.MifareUltralight, 0x08: card.MifareClassic1K, 0x18: card.MifareClassic4K,
		0x09: card.MifareMini, 0x20: card.ISO14443_4, 0x28: card.MifareClassic1K, 0x60: card.ISO14443_4,
		0xC2: card.Unknown,
	} {
		if got := (card.Card{SAK: sak}).Technology(); got != want {
			t.Errorf("SAK %02X: %s, want %s", sak, got, want)
		}
	}
}

func TestRandomUIDIsNoIdentity(t *testing.T) {
	for s, want := range map[string]card.Assurance{
		"08A1B2C3": card.AssuranceRandom, "04A1B2C3": card.AssuranceUID, "08A1B2C3D4E5F6": card.AssuranceUID,
	} {
		if got := (card.Card{UID: uid(t, s)}).Assurance(); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

func TestTrackerBelievesOnlyRepeatedMisses(t *testing.T) {
	tr := card.NewTracker(3)
	a, b := card.Card{UID: uid(t, "01020304")}, card.Card{UID: uid(t, "05060708")}
	observe := func(seen ...card.Card) (int, int) {
		arrived, left := tr.Observe(seen)
		return len(arrived), len(left)
	}
	steps := []struct {
		seen          []card.Card
		arrived, left int
	}{
		{[]card.Card{a}, 1, 0},
		{nil, 0, 0},
		{nil, 0, 0},
		{[]card.Card{a, b}, 1, 0}, // two misses are forgiven
		{[]card.Card{b, b}, 0, 0}, // seen twice in one scan is one card
		{[]card.Card{b}, 0, 0},
		{[]card.Card{b}, 0, 1}, // the third miss in a row
		{[]card.Card{a, b}, 1, 0},
	}
	for i, s := range steps {
		if arrived, left := observe(s.seen...); arrived != s.arrived || left != s.left {
			t.Fatalf("scan %d: %d arrived and %d left, want %d and %d", i, arrived, left, s.arrived, s.left)
		}
	}
}

// A card of type B is told by its PUPI, which is no random UID, however it begins.
func TestTypeB(t *testing.T) {
	c := card.Card{UID: uid(t, "08A1B2C3"), TypeB: true}
	if c.Technology() != card.ISO14443B || c.Assurance() != card.AssuranceUID {
		t.Errorf("%s, %s", c.Technology(), c.Assurance())
	}
}
