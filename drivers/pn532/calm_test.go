package pn532_test

import (
	"testing"

	"presence/drivers/card"
)

// TestNothingIsCountedInACalmField: cards come and go, one is selected, and all comes as it
// was sent. A fault counted without reason has the field switched off soon afterwards, and
// random UIDs change.
func TestNothingIsCountedInACalmField(t *testing.T) {
	bubble(t, "cards come and go", nil, func(t *testing.T, b *bench) {
		b.crowd("04A1B2C3D4E5F6")
		b.sees(3, "04A1B2C3D4E5F6")
		first := b.field.Cards()[0]
		b.crowd("DEADBEEF", "04A1B2C3D4E5F7")
		b.sees(2, "04A1B2C3D4E5F6", "DEADBEEF", "04A1B2C3D4E5F7")
		if err := b.reader.Select(t.Context(), first.Info(), func(card.Frames) error { return nil }); err != nil {
			t.Error(err)
		}
		b.sees(2, "04A1B2C3D4E5F6", "DEADBEEF", "04A1B2C3D4E5F7")
		b.field.Remove(first)
		b.crowd("01020304")
		b.sees(6, "DEADBEEF", "04A1B2C3D4E5F7", "01020304")
		if c := b.reader.Counts(); c.BadFrames != 0 || c.Misreads != 0 || c.Misses != 0 || c.Mends != 0 {
			t.Errorf("counted %+v", c)
		}
		if n := b.chip.Stats().RFOffs; n != 0 {
			t.Errorf("the field was switched off %d times", n)
		}
	})
}
