package sim

import (
	"encoding/binary"
	"testing"

	"presence/drivers/card"
)

// TestABadgeKeepsWhatItCounted from one tap to the next, such as authentications that
// failed; a long row of badges does not grow without bound.
func TestABadgeKeepsWhatItCounted(t *testing.T) {
	h := New()
	uid, err := card.ParseUID("04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	ev3 := Tap{Card: "desfire-ev3"}
	key := badge{kind: "desfire-ev3", uid: uid}
	if _, err := h.card(ev3, uid); err != nil {
		t.Fatal(err)
	}
	first := h.programs[key]
	if first == nil {
		t.Fatal("the badge was forgotten")
	}
	first.Command([]byte{0x90, 0x60, 0x00, 0x00, 0x00})
	if _, err := h.card(ev3, uid); err != nil || h.programs[key].Commands() != 1 {
		t.Errorf("at the second tap it is another one, %v", err)
	}
	if _, err := h.card(Tap{Card: "desfire-ev3", Rogue: "wrong-mac"}, uid); err != nil || len(h.programs) != 2 {
		t.Errorf("%d badges, %v", len(h.programs), err)
	}
	for i := range uint32(2 * keptPrograms) {
		other, err := card.NewUID(binary.BigEndian.AppendUint32(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.card(Tap{Card: "clone-of"}, other); err != nil || len(h.programs) > keptPrograms {
			t.Fatalf("%d badges are kept, %v", len(h.programs), err)
		}
	}
}
