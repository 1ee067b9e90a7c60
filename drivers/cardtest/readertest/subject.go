package readertest

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// Chip is a reader chip in software, as far as the scenes use it.
type Chip interface {
	// Port opens the bus that the chip is wired to, anew at each call.
	Port() spi.PortCloser
	// Break gives the chip a fault by name ("deaf", "bus-low", "bus-high") or mends it
	// ("none").
	Break(fault string) error
	// SetNoise makes the board suffer by chance; the zero Noise ends it.
	SetNoise(n cardtest.Noise)
	// FailTransfers makes the next n transfers fail with an error.
	FailTransfers(n int, err error)
	// BrownOutAt has the chip lose its supply for a moment before the nth transfer from
	// now on; 1 is the next one.
	BrownOutAt(n int)
	// FlipMOSI and FlipMISO flip the nth bit on the bus from now on, once.
	FlipMOSI(n int)
	FlipMISO(n int)
}

// Reader is the driver.
type Reader interface {
	card.Reader
	card.Counter
}

// Subject is a driver with its chip in software.
type Subject struct {
	// Chip makes a chip before a field. reading is one of Readings.
	Chip func(field *cardtest.Field, reading string) Chip
	// Readings are the interpretations of the data sheet with which the driver must
	// work. The first is that of all scenes that do not go through all of them.
	Readings []string
	// Open has the driver connect to the chip.
	Open func(port spi.PortCloser, chip Chip, log *slog.Logger) (Reader, error)
	// Violations lists what the host did that the data sheet forbids. It may be nil.
	Violations func(chip Chip) []string

	Limits Limits
}

// Limits are what a chip can do, and how fast.
type Limits struct {
	// Cards is how many cards are seen at each scan while so many lie there. Of more,
	// some are.
	Cards int
	// Scan is how long a scan of an empty field takes at most, and PerCard how much
	// longer each card makes it.
	Scan, PerCard time.Duration
	// Worst is how long a scan takes at most, whatever happens.
	Worst time.Duration
	// OwnAnticollision says that the driver walks the anticollision itself, so that a
	// card that cannot be selected hides no other one. A chip that does it by itself
	// stops at the first card that answers wrongly.
	OwnAnticollision bool
	// KeepsField says that the field stays on between scans of one card, so that one
	// that draws a new UID at each start shows one UID for as long as it lies there.
	KeepsField bool
	// TypeB says that cards of type B are seen whose PUPI is the same whenever they are
	// powered. To do so the driver switches the field off and on while one is there.
	TypeB bool
	// Links says that the driver is a card.Selector.
	Links bool
	// Settles is within how many scans the driver is back in order after a disturbance;
	// 1 is the next one.
	Settles int
	// EdgeTaps is how many visits a card makes at most that lies for twenty minutes at
	// the edge of the field, where 0.01, 0.02, 0.05 or 0.1 of the answers are lost.
	EdgeTaps map[float64]int
}

// scene is one row of the table.
type scene struct {
	name string
	// readings has the scene run with each interpretation of the data sheet.
	readings bool
	// without tells of a chip whose limits rule the scene out; nil is none.
	without func(Limits) bool
	run     func(*bench)
}

// table is all scenes.
func table() []scene {
	var all []scene
	for _, part := range [][]scene{single(), several(), misbehaving(), typeB(), moving(), waiting(), broken(), closing(), links()} {
		all = append(all, part...)
	}
	return all
}

// Run has a driver pass all scenes.
func Run(t *testing.T, s Subject) {
	for _, sc := range table() {
		if sc.without != nil && sc.without(s.Limits) {
			continue
		}
		readings := s.Readings[:1]
		if sc.readings {
			readings = thinned(s.Readings)
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for _, reading := range readings {
				act := func(t *testing.T) {
					b := newBench(t, s, reading)
					sc.run(b)
					b.end()
				}
				if reading == "" {
					synctest.Test(t, act)
					continue
				}
				t.Run(reading, func(t *testing.T) { synctest.Test(t, act) })
			}
		})
	}
}

// thinned is a part of the readings where the race detector makes everything twenty
// times as slow: what it looks for it finds with few of them.
func thinned(readings []string) (some []string) {
	if !raceDetector {
		return readings
	}
	for i := 0; i < len(readings); i += 1 + len(readings)/8 {
		some = append(some, readings[i])
	}
	return some
}
