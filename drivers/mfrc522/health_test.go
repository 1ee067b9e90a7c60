package mfrc522_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// "No card" and "deaf" look alike to a driver that does not ask.
func TestDeafReaderIsReportedAndHeals(t *testing.T) {
	bubble(t, "no reset pin", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		b.field.Put(c...)
		started()
		b.scan(c...)
		b.chip.SetFault(mfrc522test.FaultDeaf)
		for range 5 {
			b.fails(card.ErrDeaf)
			time.Sleep(time.Second)
		}
		b.chip.SetFault(mfrc522test.FaultNone)
		b.scan(c...)
	})
	bubble(t, "the reset pin mends it", func(t *testing.T) {
		field := cardtest.NewField()
		chip := mfrc522test.New(field)
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{Reset: chip.ResetPin()})
		if err != nil {
			t.Fatal(err)
		}
		c := classic(t, "DEADBEEF")
		field.Put(c...)
		chip.SetFault(mfrc522test.FaultDeaf)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		if n := chip.Stats().HardResets; n != 2 {
			t.Errorf("%d pulses, want one at the start and one for the fault", n)
		}
	})
	bubble(t, "Crypto1 that only a reset clears", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		b.field.Put(c...)
		started()
		b.chip.SetFault(mfrc522test.FaultCrypto1)
		b.scan(c...)
	})
	bubble(t, "interrupts never come", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.chip.SetFault(mfrc522test.FaultNoIRQ)
		b.fails(card.ErrDeaf)
		b.chip.SetFault(mfrc522test.FaultNone)
		b.scan()
	})
	bubble(t, "deaf from the start, with its version", func(t *testing.T) {
		chip := mfrc522test.New(cardtest.NewField())
		chip.SetFault(mfrc522test.FaultDeaf)
		_, err := mfrc522.New(chip.Port(), mfrc522.Options{})
		var unfit *card.UnfitError
		if !errors.As(err, &unfit) || unfit.Version != "92" || !errors.Is(err, card.ErrDeaf) {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, "a reset never ends", func(t *testing.T) {
		start := time.Now()
		chip := mfrc522test.New(cardtest.NewField(), mfrc522test.ResetTime(time.Hour))
		if _, err := mfrc522.New(chip.Port(), mfrc522.Options{}); !errors.Is(err, card.ErrDeaf) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
	bubble(t, "a slow reset", func(t *testing.T) {
		newBench(t, mfrc522.Options{}, mfrc522test.ResetTime(100*time.Millisecond)).scan()
	})
}

// A supply that dips between all scans would be healed in silence for ever.
func TestFlappingChipIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		faults := 0
		for range 20 {
			b.chip.BrownOutAt(1)
			if _, err := b.Poll(t.Context()); errors.Is(err, card.ErrDeaf) {
				faults++
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if faults < 15 {
			t.Errorf("%d of 20 scans reported", faults)
		}
		if n := strings.Count(b.log.String(), "was reset"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log)
		}
		b.scan()
	})
}

// Clones often work: one warning, no refusal.
func TestClonesAreWarnedAboutOnce(t *testing.T) {
	for version, warnings := range map[byte]int{0x91: 0, 0x92: 0, 0x88: 1, 0xB2: 1, 0x12: 1, 0x90: 1} {
		bubble(t, fmt.Sprintf("%02X", version), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.Version(version))
			c := classic(t, "DEADBEEF")
			b.field.Put(c...)
			started()
			b.scan(c...)
			b.chip.BrownOutAt(1)
			b.scan(c...)
			if b.Version() != fmt.Sprintf("%02X", version) {
				t.Errorf("version %s", b.Version())
			}
			if n := strings.Count(b.log.String(), `level=WARN msg="the reader chip is a copy`); n != warnings {
				t.Errorf("%d warnings, want %d:\n%s", n, warnings, b.log)
			}
		})
	}
}
