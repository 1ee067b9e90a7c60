package mfrc522test_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
)

// selectOne finds one card with raw register accesses, by NXP's reading of
// CollReg. It takes the bit at the collision as 1 whatever the FIFO says.
func (r *rig) selectOne() string {
	r.t.Helper()
	var uid []byte
	for cascade := range 3 {
		sel := byte(0x93 + 2*cascade)
		var own [5]byte
		for known := 0; known < 40; {
			whole, part := known/8, byte(known%8)
			sent := (known + 7) / 8
			got := r.exchange(append([]byte{sel, byte(2+whole)<<4 | part}, own[:sent]...), part, part)
			if len(got) != 5-whole {
				r.t.Fatalf("%d bits known: % X", known, got)
			}
			got[0] |= own[whole] & (1<<part - 1)
			copy(own[whole:], got)
			if r.read(errorReg)&0x08 == 0 {
				break
			}
			pos := r.read(coll)
			if pos&0x20 != 0 {
				r.t.Fatalf("no position: %02X", pos)
			}
			next := int(pos & 0x1F)
			if next == 0 {
				next = 32
			}
			next += 8 * whole
			if next <= known {
				r.t.Fatalf("bit %d collided though %d are known", next, known)
			}
			known = next
			own[(known-1)/8] |= 1 << ((known - 1) % 8)
		}
		sak := r.exchange(cardtest.AppendCRC(append([]byte{sel, 0x70}, own[:]...)), 0, 0)
		if len(sak) != 3 {
			r.t.Fatalf("SELECT % X: % X", own, sak)
		}
		if sak[0]&0x04 == 0 {
			uid = append(uid, own[:4]...)
			break
		}
		uid = append(uid, own[1:4]...)
	}
	u, err := card.NewUID(uid)
	if err != nil {
		r.t.Fatal(err)
	}
	return u.String()
}

func TestSeveralCardsByRegisters(t *testing.T) {
	uids := []string{
		"AA001122", "AA041122", "AA241122", "AA2411A2", "88112233",
		"0582C7204CA100", "0582C7204CA180", "0582C7204C0100", "0102030405060708090A", "01020304050607080980",
	}
	for bit := range byte(2) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, mfrc522test.CollisionBit(bit))
			want := map[string]bool{}
			for _, uid := range uids {
				want[uid] = true
				r.put(uid, card.ISO14443_4)
			}
			r.write(coll, 0)
			got := map[string]bool{}
			for len(r.exchange([]byte{0x26}, 7, 0)) == 2 {
				got[r.selectOne()] = true
				if answer := r.exchange([]byte{0x50, 0x00, 0x57, 0xCD}, 0, 0); answer != nil {
					t.Fatalf("HLTA was answered: % X", answer)
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("found %v", slices.Sorted(maps.Keys(got)))
			}
		})
	}
}

// FuzzBus feeds the chip anything: it must not panic, and a soft reset must
// bring it back.
func FuzzBus(f *testing.F) {
	for _, seed := range [][]byte{
		{2, 0x02, 0x0F, 2, 0x82, 0x00},
		{2, 0x14, 0x80, 3, 0x12, 0x93, 0x20, 2, 0x02, 0x0C, 2, 0x1A, 0x80, 9, 0x92, 0x92, 0x92, 0x92, 0x92, 0x92, 0x92, 0x92, 0},
		{2, 0x02, 0x04, 2, 0x02, 0x08, 2, 0x02, 0x10, 2, 0x02, 0x07},
		{2, 0x54, 0x9F, 2, 0x5A, 0xFF, 2, 0x18, 0x40, 2, 0xDC, 0},
		{2, 0x22, 0xFF, 2, 0x24, 0xFF, 2, 0x26, 0xFF, 2, 0x12, 0x26, 2, 0x1A, 0xFF, 2, 0x02, 0x0C},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t)
			r.put("AA001122", card.MifareClassic1K)
			r.put("0582C7204CA100", card.ISO14443_4)
			for len(script) > 1 {
				n := min(max(int(script[0]), 1), len(script)-1)
				buf := slices.Clone(script[1 : 1+n])
				if err := r.bus.Tx(buf, buf); err != nil {
					t.Fatal(err)
				}
				script = script[1+n:]
			}
			r.write(command, 0) // out of a power-down
			for r.read(command)&0x10 != 0 {
			}
			r.write(command, softReset)
			for r.read(command)&0x10 != 0 {
			}
			r.want("version", version, 0x92)
			r.setUp()
			if got := r.exchange([]byte{0x52}, 7, 0); len(got) != 2 {
				t.Errorf("% X after a reset", got)
			}
		})
	})
}
