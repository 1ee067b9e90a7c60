package pn532_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/cardtest"
	"presence/drivers/cardtest/readertest"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/scripts/skiptest"
)

// subject is this driver for the scenes that all drivers have to pass.
func subject() readertest.Subject {
	readings := pn532test.Interpretations()
	return readertest.Subject{
		Readings: slices.Sorted(maps.Keys(readings)),
		Chip: func(field *cardtest.Field, reading string) readertest.Chip {
			return pn532test.New(field, readings[reading]...)
		},
		Open: func(port spi.PortCloser, _ readertest.Chip, log *slog.Logger) (readertest.Reader, error) {
			r, err := pn532.New(port, pn532.Options{Log: log})
			if err != nil {
				return nil, err // and no Reader that is a nil *pn532.Reader
			}
			return r, nil
		},
		Violations: func(chip readertest.Chip) []string { return chip.(*pn532test.Chip).Violations() },
		Limits: readertest.Limits{
			Cards: 8, Scan: 75 * time.Millisecond, PerCard: 25 * time.Millisecond, Worst: 1200 * time.Millisecond,
			KeepsField: true, Links: true, Settles: 3, TypeB: true,
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
