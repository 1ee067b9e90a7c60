package gateway

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"presence/config"
)

// world is everything around one gateway: true time, power, a machine without a
// clock chip, a badge reader, a receiver of tags, a line and a city. The gateway
// in it is the whole daemon over a journal in a real file.
//
// One goroutine, that of the test, lets things happen; between two of them time
// passes in the bubble of testing/synctest.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string
	state  string // the gateway's state directory
	cfg    *config.Config
	log    *slog.Logger
	office *time.Location
	began  time.Time // in the bubble
	epoch  time.Time // what it truly was then

	machine *machineClock // of the boot, nil while the power is off
	wall    time.Time     // what the machine would wake with: its last shutdown
	door    *field
	yard    *radio
	line    *line
	life    *life // the process, nil while none runs
	lives   int

	truth *truth

	flooded              bool              // the journal may have had no room since the city last had all
	floodFrom, floodTo   time.Time         // the days on which that may have been
	refusedOn            map[time.Time]int // taps, by day
	sheets, untrueSheets int
	cutAcks              int // events that power cuts may have made pending again, since the city last had all
}

// mayGap tells whether something may have been lost on a day.
func (w *world) mayGap(day time.Time) bool {
	return !w.floodFrom.IsZero() && day.AddDate(0, 0, 1).After(w.floodFrom) && (w.floodTo.IsZero() || day.Before(w.floodTo))
}

// now is the true time.
func (w *world) now() time.Time { return w.epoch.Add(time.Since(w.began)) }

// until lets time pass.
func (w *world) until(at time.Time) { time.Sleep(at.Sub(w.now())) }

func (w *world) one(in int) bool { return w.rng.IntN(in) == 0 }

// chance tells whether something happens that happens in so many of 1000 cases.
func (w *world) chance(of1000 int) bool { return w.rng.IntN(1000) < of1000 }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// Version implements card.Reader.
func (chip) Version() string { return "92" }

// Close implements card.Reader.
func (chip) Close() error { return nil }

// stamp is the true time for messages.
func (w *world) stamp() string { return w.now().In(w.office).Format("2006-01-02T15:04:05.000") }
