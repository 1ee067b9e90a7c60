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
// The weak one is found all the same, at the first scan and at all others.
func TestDrownedCardIsSeenAtEveryScan(t *testing.T) {
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
				t.Fatalf("scan %d: saw %v, %v", i, seen, err)
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

// Whatever the chip has lost while its bus works on is noticed before the next
// scan, and set right by a reset.
func TestLostSettingsAreNoticed(t *testing.T) {
	for reg, lost := range map[register]byte{
		regTxControl: txControlReset, regTxASK: 0, regTMode: 0, regTReloadL: 0,
		regCommand: commandRcvOff, regComIrq: 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, single([][]byte{{0xDE, 0xAD, 0xBE, 0xEF}}, 0x08))
			r := open(t, s)
			s.regs[reg] = lost
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
				t.Errorf("register %02X: saw %v, %v", reg, seen, err)
			}
			want := 2
			if reg == regComIrq { // loses nothing
				want = 1
			}
			if s.resets != want {
				t.Errorf("register %02X: %d resets, want %d", reg, s.resets, want)
			}
		})
	}
}

// A version of 00 or FF is a dead bus, even where other registers look right.
func TestVersionOfNoChip(t *testing.T) {
	for _, version := range []byte{0x00, 0xFF} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, func([]byte, byte) *reply { return nil })
			r := open(t, s)
			s.regs[regVersion] = version
			if seen, err := r.Poll(t.Context()); seen != nil || !errors.Is(err, card.ErrBusDead) {
				t.Errorf("%02X: saw %v, %v", version, seen, err)
			}
		})
	}
}

// Bad frames may be the first sign of a chip that has just lost its field: the
// same scan finds that out, and begins again.
func TestNoiseHasTheChipChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sound := single([][]byte{{0xDE, 0xAD, 0xBE, 0xEF}}, 0x08)
		s := newScript(t, nil)
		dipped := false
		s.reply = func(frame []byte, lastBits byte) *reply {
			if !dipped && len(frame) == 9 {
				dipped = true
				s.regs[regTxControl] = txControlReset
				return &reply{data: []byte{0x08}}
			}
			if s.regs[regTxControl]&txControlField == 0 {
				return nil
			}
			return sound(frame, lastBits)
		}
		seen, err := open(t, s).Poll(t.Context())
		if err != nil || len(seen) != 1 || s.resets != 2 {
			t.Errorf("saw %v, %v after %d resets", seen, err, s.resets)
		}
	})
}

// Silence is the only acknowledgement of HLTA: a card that was heard is told
// once more.
func TestHaltIsRepeatedWhenAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		s := newScript(t, func(frame []byte, _ byte) *reply {
			if told++; told == 1 {
				return &reply{data: []byte{0}, lastBits: 4}
			}
			return nil
		})
		c := chip{conn: s}
		if err := c.halt(); err != nil || told != 2 {
			t.Errorf("told %d times, %v", told, err)
		}
	})
}

// Collisions without end, such as a disturber makes, lead to ever more branches
// and to no card: the scan ends in time all the same.
func TestEndlessCollisionsAreBoundedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func(frame []byte, lastBits byte) *reply {
			switch {
			case len(frame) == 1:
				return &reply{data: []byte{0x04, 0x00}}
			case frame[0] == cmdHLTA || frame[1] == nvbSelect:
				return nil
			}
			return &reply{data: make([]byte, 7-len(frame)+min(1, int(lastBits))), errors: errorColl, coll: lastBits + 1}
		})
		r := open(t, s)
		start := time.Now()
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Errorf("saw %v, %v", seen, err)
		}
		if took := time.Since(start); took < scanTime || took > scanTime+50*time.Millisecond {
			t.Errorf("the scan took %v", took)
		}
	})
}

// The UID of a card that announced seven bytes cannot end after four. A SAK that
// was spoilt so that its CRC_A still fits would make such a UID. Where several
// cards answered at once, nobody knows what was announced.
func TestUIDThatEndsTooSoonIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		atqa   byte
		levels string
		errors byte
		uid    string // "": none
	}{
		"four bytes announced":             {0x04, "88112233", 0, "88112233"},
		"seven bytes announced":            {0x44, "88112233", 0, ""},
		"ten bytes announced":              {0x84, "88112233", 0, ""},
		"ten bytes announced, seven there": {0x84, "8811223388445566", 0, ""},
		"seven bytes there":                {0x44, "8811223388445566", 0, "11223388445566"},
		"reserved size":                    {0xC4, "88112233", 0, "88112233"},
		"collided":                         {0x44, "88112233", errorColl, "88112233"},
		"no cascade tag":                   {0x44, "DEADBEEF", 0, "DEADBEEF"}, // some copies announce what they like
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var levels [][]byte
				for b := unhex(t, c.levels); len(b) > 0; b = b[4:] {
					levels = append(levels, b[:4])
				}
				sound := single(levels, 0x08)
				r := open(t, newScript(t, func(frame []byte, lastBits byte) *reply {
					if lastBits == 7 {
						return &reply{data: []byte{c.atqa, 0x00}, errors: c.errors, coll: 7}
					}
					return sound(frame, lastBits)
				}))
				seen, err := r.Poll(t.Context())
				switch {
				case err != nil:
					t.Fatal(err)
				case c.uid == "" && len(seen) != 0:
					t.Errorf("saw %v", seen)
				case c.uid != "" && (len(seen) != 1 || seen[0].UID.String() != c.uid):
					t.Errorf("saw %v, want %s", seen, c.uid)
				}
			})
		})
	}
}
