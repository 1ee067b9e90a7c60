package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

// newChip is the real driver over a chip in software.
func newChip(chip *mfrc522test.Chip, r config.Reader) (doctor.Chip, error) {
	reader, err := mfrc522.New(chip.Port(), mfrc522.Options{GainDB: r.GainDB})
	if err != nil {
		return nil, err
	}
	return reader, nil
}

// The sweep over a real driver, and what the technician reads of it.
func TestGainThatIsBestIsNamed(t *testing.T) {
	synctest.Test(t, gainThatIsBestIsNamed) // the sweep takes some ten seconds
}

func gainThatIsBestIsNamed(t *testing.T) {
	field := cardtest.NewField()
	chip := mfrc522test.New(field)
	r := config.Reader{Name: "door", SpeedHz: 1_000_000, GainDB: 48}
	open := func() (doctor.Chip, error) { return newChip(chip, r) }
	read := func(l language.Language, list ...doctor.ReaderGains) string {
		var b strings.Builder
		if err := (doctor.Gains{V: 1, Readers: list}).Print(&b, terminal.Screen{Language: l}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}

	none, err := doctor.SweepGain(t.Context(), r, open)
	if err != nil || none.Best != 0 || len(none.Tried) != 6 {
		t.Fatalf("without a badge: %+v, %v", none, err)
	}
	uid, err := card.ParseUID("04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(uid, card.ISO14443_4)
	if err != nil {
		t.Fatal(err)
	}
	field.Put(c)
	found, err := doctor.SweepGain(t.Context(), r, open)
	if err != nil || found.Best != 33 || found.Set != 48 {
		t.Fatalf("with a badge: %+v, %v", found, err)
	}
	for _, text := range []struct{ got, want string }{
		{read(language.English, none), "no badge was seen at any gain"},
		{read(language.Indonesian, none), "tidak ada kartu yang terlihat"},
		{read(language.English, found), "  18 dB: 100 of 100 looks saw a badge, 0 attempts failed\n"},
		{read(language.English, found), "the best is gain_db = 33; 48 is set"},
		{read(language.Indonesian, found), "yang terbaik gain_db = 33; yang dipakai 48"},
		{read(language.English, doctor.ReaderGains{Name: "door", Set: 33, Best: 33}), "gain_db = 33 is the best, and is set"},
	} {
		if !strings.Contains(text.got, text.want) {
			t.Errorf("%q does not say %q", text.got, text.want)
		}
	}
	if field.RF() {
		t.Error("the chip was left open")
	}

	chip.SetFault(mfrc522test.FaultDeaf)
	if _, err := doctor.SweepGain(t.Context(), r, open); !errors.Is(err, card.ErrDeaf) {
		t.Errorf("of a deaf reader: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	chip.SetFault(mfrc522test.FaultNone)
	if _, err := doctor.SweepGain(ctx, r, open); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
