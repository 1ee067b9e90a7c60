package mfrc522_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// ValuesAfterColl of CollReg is cleared before the anticollision: bits behind a
// collision must not be taken for received ones.
func TestValuesAfterCollisionAreOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		cards := classic(t, "DEADBEEF")
		b.field.Put(cards...)
		started()
		b.scan(cards...)
		if coll := b.chip.Register(0x0E); coll&0x80 != 0 {
			t.Errorf("CollReg %02X", coll)
		}
	})
}

// What not even the reset pin mends is told at each scan, and heals.
func TestDeafToItsResetPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := cardtest.NewField()
		chip := mfrc522test.New(field, mfrc522test.DeafToResetPin())
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{Reset: chip.ResetPin()})
		if err != nil {
			t.Fatal(err)
		}
		field.Put(classic(t, "DEADBEEF")...)
		chip.SetFault(mfrc522test.FaultDeaf)
		for range 3 {
			if seen, err := r.Poll(t.Context()); seen != nil || !errors.Is(err, card.ErrDeaf) {
				t.Fatalf("saw %v, %v", seen, err)
			}
		}
		chip.SetFault(mfrc522test.FaultNone)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
	})
}

// No transfer is longer than a full FIFO and its address, so that the smallest
// buffer that spidev can be given will do.
func TestTransfersAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{}, mfrc522test.MaxTxSize(65))
		cards := classic(t, "0102030405060708090A", "DEADBEEF")
		b.field.Put(cards...)
		started()
		b.scan(cards...)
	})
}
