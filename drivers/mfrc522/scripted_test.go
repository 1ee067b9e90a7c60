package mfrc522

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// A strong card can drown a weak one without a collision that the chip notices.
// The weak one is found all the same, at the first look and at all others.
func TestDrownedCardIsSeenAtEveryLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fields []*cardtest.Field // strongest first
		for _, id := range []string{"04A1B2C3D4E5F6", "DEADBEEF", "01020304"} {
			uid, err := card.ParseUID(id)
			if err != nil {
				t.Fatal(err)
			}
			c, err := cardtest.New(uid, card.MifareClassic1K)
			if err != nil {
				t.Fatal(err)
			}
			f := cardtest.NewField()
			f.SetRF(true, time.Now())
			f.Put(c)
			fields = append(fields, f)
		}
		time.Sleep(10 * time.Millisecond)
		s := newScript(t, func(frame []byte, lastBits byte) *reply {
			bits := 8 * len(frame)
			if lastBits != 0 {
				bits -= 8 - int(lastBits)
			}
			var heard *reply
			for _, f := range fields {
				a := f.Exchange(time.Now(), cardtest.Frame{Bytes: frame, Bits: bits})
				if heard == nil && a.Bits != 0 {
					heard = &reply{data: append([]byte(nil), a.Bytes...), lastBits: byte(a.Bits % 8)}
				}
			}
			return heard
		})
		r := open(t, s)
		for i := range 50 {
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != len(fields) {
				t.Fatalf("look %d: saw %v, %v", i, seen, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// MFCrypto1On is left over from an authentication: clearing the bit is enough,
// and the field stays on.
func TestStuckCrypto1IsClearedWithoutAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, nil)
		sound := single([][]byte{{0xDE, 0xAD, 0xBE, 0xEF}}, 0x08)
		s.reply = func(frame []byte, lastBits byte) *reply {
			if s.regs[regStatus2]&status2Crypto1 != 0 {
				return nil
			}
			return sound(frame, lastBits)
		}
		r := open(t, s)
		s.regs[regStatus2] |= status2Crypto1
		seen, err := r.Poll(t.Context())
		if err != nil || len(seen) != 1 {
			t.Errorf("saw %v, %v", seen, err)
		}
		if s.resets != 1 {
			t.Errorf("%d resets, want the first only", s.resets)
		}
	})
}

// An overheated chip switches its field off by itself.
func TestOverheatedChipIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]byte, byte) *reply { return nil })
		r := open(t, s)
		s.hot = true
		if seen, err := r.Poll(t.Context()); seen != nil || !errors.Is(err, card.ErrDeaf) {
			t.Errorf("saw %v, %v, want deaf", seen, err)
		}
		s.hot = false
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Errorf("when it has cooled down: saw %v, %v", seen, err)
		}
	})
}
