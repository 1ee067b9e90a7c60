package mfrc522_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/cardtest"
	"presence/drivers/cardtest/readertest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/scripts/skiptest"
)

// subject is this driver for the scenes that all drivers have to pass.
func subject() readertest.Subject {
	readings := mfrc522test.Interpretations()
	return readertest.Subject{
		Readings: slices.Sorted(maps.Keys(readings)),
		Chip: func(field *cardtest.Field, reading string) readertest.Chip {
			return mfrc522test.New(field, readings[reading]...)
		},
		Open: func(port spi.PortCloser, _ readertest.Chip, log *slog.Logger) (readertest.Reader, error) {
			r, err := mfrc522.New(port, mfrc522.Options{Log: log})
			if err != nil {
				return nil, err // and no Reader that is a nil *mfrc522.Reader
			}
			return r, nil
		},
		Limits: readertest.Limits{
			Cards: 8, Scan: 3 * time.Millisecond, PerCard: 15 * time.Millisecond, Worst: 700 * time.Millisecond,
			OwnAnticollision: true, KeepsField: true, Links: true, Settles: 2,
			EdgeTaps: map[float64]int{0.01: 1, 0.02: 1, 0.05: 1, 0.10: 2},
		},
	}
}

func TestConformance(t *testing.T) { readertest.Run(t, subject()) }

// TestNoWrongUIDInNoise: `make torture` says for how long it goes on.
func TestNoWrongUIDInNoise(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	readertest.RunRandom(t, subject())
}

// BenchmarkPoll: what a look costs.
func BenchmarkPoll(b *testing.B) { readertest.Benchmark(b, subject()) }
