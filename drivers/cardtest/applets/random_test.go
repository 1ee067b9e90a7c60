package applets

import (
	"math/rand/v2"
	"testing"
	"time"

	"presence/drivers/card"
)

// TestNoCommandUpsetsABadge: whatever is sent, in whatever state, each badge answers with
// two status bytes at least, and within what ISO/IEC 7816-4 lets it send.
func TestNoCommandUpsetsABadge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	uid, _ := card.ParseUID("04A1B2C3D4E5F6")
	starts := [][]byte{
		{0x90, cmdFirst, 0, 0, 2, 1, 0, 0},
		{0x90, cmdMore, 0, 0, 32},
		{0x90, cmdVersion, 0, 0, 0},
		{0x90, cmdUID, 0, 0, 8},
		{0x90, cmdSelectApplication, 0, 0, 3, 0x30, 0x42, 0xF5, 0},
		{0x90, cmdRead, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 0},
		{0x90, cmdNonFirst, 0, 0, 1, 1, 0},
		append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(pivAID))}, pivAID...),
		{0x00, 0xA4, 0x04, 0x00, 0x07, 0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01, 0x00},
		{0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x01, 0x00},
		{0x00, 0xC0, 0, 0, 0},
		{0x00, 0x87, 0x11, 0x9E, 0x26, 0x7C, 0x24, 0x82, 0x00, 0x81, 0x20},
		{0x10, 0x87, 0x11, 0x9E},
	}
	for _, rogue := range append([]Rogue{{Kinds: Kinds()}}, Rogues()...) {
		for _, kind := range rogue.Kinds {
			p, err := Badge{Kind: kind, UID: uid, Rogue: rogue.Name, Now: time.Unix(1.8e9, 0), Seed: 3}.Program()
			if err != nil {
				t.Fatal(err)
			}
			for range 300 {
				apdu := append([]byte(nil), starts[r.IntN(len(starts))]...)
				if r.IntN(3) == 0 && len(apdu) > 0 {
					apdu[r.IntN(len(apdu))] ^= 1 << r.IntN(8)
				}
				for range r.IntN(2) * r.IntN(40) {
					apdu = append(apdu, byte(r.Uint32()))
				}
				if r.IntN(20) == 0 {
					p.Reset()
				}
				if answer, delay := p.Command(apdu); len(answer) < 2 || len(answer) > 1<<16+2 || delay <= 0 {
					t.Fatalf("%s %s: %X to %X after %v", kind, rogue.Name, answer, apdu, delay)
				}
			}
		}
	}
}
