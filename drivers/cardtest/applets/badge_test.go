package applets

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"presence/drivers/card"
)

func badgeOf(t *testing.T, kind Kind, uid, rogue string) (Badge, Program) {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	b := Badge{Kind: kind, UID: u, Rogue: rogue, Now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), Seed: 1}
	p, err := b.Program()
	if err != nil {
		t.Fatalf("%s %s: %v", kind, rogue, err)
	}
	return b, p
}

// prove has a strict reader decide, and says whether the card's key has answered.
func prove(b Badge, p Program) (answered bool, err error) {
	if b.Kind == KindPIV {
		guid, challenge, err := provePIV(p, b.Now)
		if err == nil && guid != b.GUID() {
			err = fmt.Errorf("guid %X", guid)
		}
		return p.Signed(challenge), err
	}
	fixed := RealUID(b.UID)
	uid, rndA, err := proveDESFire(p, b.Kind, func(number []byte) [16]byte {
		if b.UID.Len() != 7 && b.Kind != KindNTAG424 {
			return NumberKey([16]byte(number))
		}
		return CardKey(fixed)
	})
	if err == nil && [7]byte(uid.Bytes()) != fixed {
		err = fmt.Errorf("uid %s", uid)
	}
	a, ok := p.Authentication(rndA)
	return ok && a.Answered && a.UIDRead > 0, err
}

// TestEveryRogueIsSeen: a reader that checks everything takes genuine badges and none
// of the others, and the badge's log agrees.
func TestEveryRogueIsSeen(t *testing.T) {
	uids := map[Kind][]string{
		KindPIV: {"04A1B2C3D4E5F6", "DEADBEEF", "08112233"},
		KindEV2: {"04A1B2C3D4E5F6", "08112233"}, KindEV3: {"04A1B2C3D4E5F6", "08112233"}, KindNTAG424: {"04A1B2C3D4E5F6"},
		KindClone: {"04A1B2C3D4E5F6"},
	}
	tried := 0
	for _, r := range append([]Rogue{{Sound: true, Kinds: Kinds()}}, Rogues()...) {
		for _, kind := range r.Kinds {
			for _, uid := range uids[kind] {
				b, p := badgeOf(t, kind, uid, r.Name)
				if v, err := b.variant(); err != nil || v.protocol != nil {
					continue // what is wrong is not in the program
				}
				tried++
				answered, err := prove(b, p)
				switch sound := r.Sound && kind != KindClone; {
				case sound && err != nil:
					t.Errorf("%s %q %s: %v", kind, r.Name, uid, err)
				case !sound && err == nil:
					t.Errorf("%s %q %s was taken for genuine", kind, r.Name, uid)
				case sound && !answered:
					t.Errorf("%s %q %s: the card does not know that its key has answered", kind, r.Name, uid)
				}
				c, err := b.Card(p)
				if err != nil || c.Info().Layer4() != (r.Name != "classic") || c.Info().UID != b.UID {
					t.Errorf("%s %q: card %+v, %v", kind, r.Name, c.Info(), err)
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d badges were tried", tried)
	}
}

func TestRogueNames(t *testing.T) {
	var names []string
	for _, r := range Rogues() {
		if r.Name == "" || r.About == "" || len(r.Kinds) == 0 {
			t.Errorf("%+v", r)
		}
		names = append(names, r.Name)
	}
	slices.Sort(names)
	if n := len(names); n != len(slices.Compact(names)) {
		t.Error("a name stands for two rogues")
	}
	uid, _ := card.NewUID(make([]byte, 7))
	for _, b := range []Badge{{Kind: "mifare-classic-1k", UID: uid}, {Kind: KindPIV, UID: uid, Rogue: "wrong-mac"}, {Kind: KindEV2, UID: uid, Rogue: "p384"}, {Kind: KindPIV}} {
		if _, err := b.Program(); err == nil {
			t.Errorf("%+v was made", b)
		}
	}
}

// TestABadgeIsTheSameEachTime: what a document of keys or a cache says of it still holds.
func TestABadgeIsTheSameEachTime(t *testing.T) {
	b, _ := badgeOf(t, KindPIV, "04A1B2C3D4E5F6", "")
	first, err := b.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	b.Now, b.Seed = b.Now.AddDate(0, 0, 20), 9
	if again, err := b.Certificate(); err != nil || !bytes.Equal(first, again) {
		t.Errorf("another certificate three weeks later: %v", err)
	}
	a1, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	a2, _ := NewAuthority()
	foreign, _ := NewForeignAuthority()
	if !bytes.Equal(a1.PEM(), a2.PEM()) || bytes.Equal(a1.PEM(), foreign.PEM()) {
		t.Error("authorities")
	}
	if err := foreign.Certificate().CheckSignatureFrom(a1.Certificate()); err == nil {
		t.Error("the foreign authority is ours")
	}
	large, p := badgeOf(t, KindPIV, "04A1B2C3D4E5F6", "large-certificate")
	if der, err := large.Certificate(); err != nil || len(der) != 4083 {
		t.Errorf("%d bytes, %v", len(der), err)
	}
	wrapSelect(p)
	if data, sw, _ := fetch(p, 0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x01, 0x00); len(data) != 4096 || sw != swDone {
		t.Errorf("object of %d bytes, %04X", len(data), sw)
	}
	// Two cards with the same seed draw the same challenges, one card never the same twice.
	_, p1 := badgeOf(t, KindEV3, "04A1B2C3D4E5F6", "")
	_, p2 := badgeOf(t, KindEV3, "04A1B2C3D4E5F6", "")
	seen := make(map[string]bool)
	for range 20 {
		wrapped(p1, cmdSelectApplication, 0x30, 0x42, 0xF5)
		wrapped(p2, cmdSelectApplication, 0x30, 0x42, 0xF5)
		one, _ := wrapped(p1, cmdFirst, KeyNumber, 0)
		two, _ := wrapped(p2, cmdFirst, KeyNumber, 0)
		if !bytes.Equal(one, two) || seen[string(one)] || len(one) != 16 {
			t.Fatalf("%X, %X", one, two)
		}
		seen[string(one)] = true
	}
}

func wrapSelect(p Program) {
	p.Command(append(append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(pivAID))}, pivAID...), 0x00))
}

func TestGUIDOfAUID(t *testing.T) {
	uid, _ := card.ParseUID("04A1B2C3D4E5F6")
	guid := GUIDOf(uid)
	if guid[6]>>4 != 8 || guid[8]>>6 != 2 {
		t.Errorf("%X: want version 8 and the variant of RFC 9562", guid)
	}
	// printf 'gatewayd badge guid v1\0\004\241\262\303\324\345\366' | sha256sum
	if got := fmt.Sprintf("%x", guid); got != "f43bf29a781685788e8a232fe1e514fc" {
		t.Errorf("%s", got)
	}
}
