package backlog

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Screen is standard error: log lines and, on a terminal, a last line that shows how a
// backlog drains.
type Screen struct {
	mu    sync.Mutex
	out   io.Writer
	shown bool
}

// NewScreen makes a screen that writes to out.
func NewScreen(out io.Writer) *Screen { return &Screen{out: out} }

// IsTerminal reports whether a file is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// clearLine goes to the begin of the line and clears it (ECMA-48, EL).
const clearLine = "\r\x1b[K"

// Write writes log lines above the last line.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		s.shown = false
		if _, err := io.WriteString(s.out, clearLine); err != nil {
			return 0, err
		}
	}
	return s.out.Write(p)
}

// show puts the last line there; "" takes it away.
func (s *Screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == "" && !s.shown {
		return
	}
	s.shown = line != ""
	_, _ = io.WriteString(s.out, clearLine+line) // there is nobody to tell
}

// worthShowing is from how many waiting events on the line is shown.
const worthShowing = 5000

// Show shows once a second how the backlog drains, until the context ends. Queued is how
// many events wait in memory.
func (b *Backlog) Show(ctx context.Context, s *Screen, queued func() int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer s.show("")
	var rate rate
	for {
		select {
		case now := <-tick.C:
			perSecond := rate.at(now, b.total())
			waiting := b.Pending() + queued()
			if waiting < worthShowing {
				s.show("")
				continue
			}
			s.show(line(b.total(), perSecond, waiting))
		case <-ctx.Done():
			return
		}
	}
}

// line says how far it is.
func line(stored int64, perSecond float64, waiting int) string {
	left := "not moving"
	if perSecond >= 1 {
		left = (time.Duration(float64(waiting)/perSecond) * time.Second).String() + " left"
	}
	return fmt.Sprintf("%d events stored, %.0f a second; %d wait, %s", stored, perSecond, waiting, left)
}

// rate is how fast something grew over the last seconds.
type rate struct {
	seen []sample
}

type sample struct {
	at    time.Time
	total int64
}

// rateSamples is over how many looks a rate is taken.
const rateSamples = 10

func (r *rate) at(now time.Time, total int64) float64 {
	r.seen = append(r.seen, sample{now, total})
	if len(r.seen) > rateSamples {
		r.seen = r.seen[1:]
	}
	first := r.seen[0]
	if took := now.Sub(first.at).Seconds(); took > 0 {
		return float64(total-first.total) / took
	}
	return 0
}
