package main_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"presence/drivers/beacon/beacontest"
)

// plug gives the serial line a new terminal under its old name, and hangs up the
// old one.
func (w *torture) plug() {
	radio, port := openTTY(w.t)
	// A write to a terminal that nobody reads must end when it is closed, which
	// takes a descriptor that does not block.
	fd, err := unix.FcntlInt(radio.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		w.t.Fatal(err)
	}
	if err := radio.Close(); err != nil {
		w.t.Fatal(err)
	}
	temporary := w.link + ".new"
	if err := os.Symlink(port, temporary); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(temporary, w.link); err != nil {
		w.t.Fatal(err)
	}
	if old := w.radio.Swap(os.NewFile(uintptr(fd), "radio")); old != nil {
		_ = old.Close() // hangs up
	}
}

// Each line of a tag differs from all others in its tag and its place, which
// tell its number.
const (
	tortureUnits = 9_000
	tortureTags  = 900 * tortureUnits
	tortureLaps  = 100
	tortureSouth = -20.0   // latitude of the first
	tortureWest  = 100.0   // longitude of the first lap
	tortureStep  = 600_000 // to a degree: the resolution of the line
)

func tortureLine(n int64, now time.Time) string {
	tag, lap := n%tortureTags, n/tortureTags
	return beacontest.PKLDS(100+int(tag/tortureUnits), 1000+int(tag%tortureUnits),
		tortureSouth+float64(tag)/tortureStep, tortureWest+float64(lap)/tortureStep, now)
}

// lineNumber is the number of the line of which an event tells, or -1.
func lineNumber(tag string, lat, lon float64) int64 {
	var fleet, unit int64
	if _, err := fmt.Sscanf(tag, "kenwood:%d-%d", &fleet, &unit); err != nil {
		return -1
	}
	number := (fleet-100)*tortureUnits + unit - 1000
	lap := int64(math.Round((lon - tortureWest) * tortureStep))
	if number != int64(math.Round((lat-tortureSouth)*tortureStep)) || lap < 0 {
		return -1
	}
	return lap*tortureTags + number
}

// beacon writes bursts of lines. One that is cut, or in the hands of a daemon
// that is killed, is not heard; what counts is that none is invented.
func (w *torture) beacon(ctx context.Context) {
	r := rand.New(rand.NewPCG(w.seed, 100))
	for ctx.Err() == nil && w.lines.Load() < tortureLaps*tortureTags {
		var burst strings.Builder
		n, now := w.lines.Load(), time.Now()
		for range 1 + r.IntN(300) {
			burst.WriteString(tortureLine(n, now))
			n++
		}
		w.lines.Store(n)
		_, _ = io.WriteString(w.radio.Load(), burst.String())
		select {
		case <-time.After(time.Duration(r.IntN(100)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
