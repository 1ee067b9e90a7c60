package pn532

import (
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
)

// A card of type B whose PUPI is the same after its supply was cut is a badge.
func TestStaticPUPI(t *testing.T) {
	f := newFirmware()
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(1)
		f.typeB = &pupiCard{pupi: [4]byte{0x08, 1, 2, 3}}
		b.sees(10, "08010203")
		seen, err := b.reader.Poll(t.Context())
		if err != nil || len(seen) != 1 || !seen[0].TypeB || seen[0].Assurance() != card.AssuranceUID || seen[0].Technology() != card.ISO14443B {
			t.Errorf("saw %+v, %v", seen, err)
		}
		f.typeB.away = 1
		if seen, err := b.reader.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Errorf("saw %+v, %v", seen, err)
		}
		b.sees(3, "08010203")
		b.put(newCard(t, "DEADBEEF", card.MifareClassic1K))
		b.sees(5, "08010203", "DEADBEEF")
		f.typeB = nil
		b.sees(5, "DEADBEEF")
		if c := b.reader.Counts(); c.Misses != 1 || c.Unreadable != 0 || c.Mends != 0 {
			t.Errorf("counted %+v", c)
		}
	})
}

// One that has another number each time is never one; its visit is counted once.
func TestDynamicPUPI(t *testing.T) {
	f := newFirmware()
	onBench(t, f, func(t *testing.T, b *bench) {
		for visit := range int64(3) {
			f.typeB = &pupiCard{pupi: [4]byte{1, 2, 3, 0}, dynamic: true}
			b.sees(10)
			if c := b.reader.Counts(); c.Unreadable != visit+1 || c.Seen != 0 {
				t.Errorf("visit %d: counted %+v", visit, c)
			}
			f.typeB = nil
			b.sees(6)
		}
		b.put(newCard(t, "DEADBEEF", card.MifareClassic1K))
		f.typeB = &pupiCard{pupi: [4]byte{1, 2, 3, 0}, dynamic: true}
		b.sees(10, "DEADBEEF")
	})
}

// A card that is gone before its number was seen to stay is neither.
func TestPUPIThatWasSeenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := 0
		s := newScript(t, sound(func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if p[1] != typeB {
				return []byte{0}, time.Millisecond, true
			}
			if lists++; lists%2 == 1 {
				return unhex(t, "0101 50 E80C4D0E 00000000 008171 00"), time.Millisecond, true
			}
			return []byte{0}, time.Millisecond, true
		}))
		r := open(t, s)
		for range 10 {
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
				t.Errorf("saw %v, %v", seen, err)
			}
		}
		if c := r.Counts(); c.Unreadable != 0 {
			t.Errorf("counted %+v", c)
		}
	})
}

// A chip that does not hear type B is not asked for it.
func TestChipWithoutTypeB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := sound(func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if p[1] == typeB {
				t.Error("asked for type B")
			}
			return []byte{0}, time.Millisecond, true
		})
		s := newScript(t, func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if code == cmdGetFirmwareVersion {
				return []byte{0x31, 0x04, 0x02, 0x05}, time.Millisecond, true
			}
			return answer(code, p)
		})
		if _, err := open(t, s).Poll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What no card sends is noise of type B too.
func TestDamagedTypeB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, sound(func(code byte, p []byte) ([]byte, time.Duration, bool) {
			if p[1] != typeB {
				return []byte{0}, time.Millisecond, true
			}
			return unhex(t, "0101 50 E80C4D0E 00"), time.Millisecond, true
		}))
		r := open(t, s)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 {
			t.Errorf("saw %v, %v", seen, err)
		}
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 0 || r.Counts().BadFrames != 1 {
			t.Errorf("saw %v, %v, counted %+v", seen, err, r.Counts())
		}
	})
}

// Some chips tell a card to go before they look for another one, and try that for a
// second where the card has lost its power meanwhile. So it is told while it is there.
func TestTypeBIsLetGoOf(t *testing.T) {
	f := newFirmware()
	f.tellsToGo = true
	onBench(t, f, func(t *testing.T, b *bench) {
		b.sees(1)
		f.typeB = &pupiCard{pupi: [4]byte{1, 2, 3, 4}}
		for range 5 {
			start := time.Now()
			b.sees(1, "01020304")
			if took := time.Since(start); took > 200*time.Millisecond { // 50 of which are the pause
				t.Errorf("a look took %v", took)
			}
		}
	})
}
