package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A stop may take 5 s, whatever hangs. Its parts come one after the other and
// share that time, less what a busy machine needs: each may last until so long
// after the stop began, and what one does not need the next ones have.
const (
	intakeOver   = 2100 * time.Millisecond // a tap that is being recorded has 2 s
	handedOver   = 2500 * time.Millisecond
	servicesOver = 3700 * time.Millisecond
	allOver      = 4200 * time.Millisecond

	// handOverFor is how long the line has at most to take what waits.
	handOverFor = 1500 * time.Millisecond

	// leastLeft is what a part has that comes late all the same. When a service
	// fails, the parts do not come in this order.
	leastLeft = 300 * time.Millisecond
)

// farewell is a stop, from the moment on when the first part asks for its time.
type farewell struct{ began func() time.Time }

func newFarewell() farewell { return farewell{sync.OnceValue(time.Now)} }

// left says, when it is called, how much time is left until so long after the
// beginning of the stop.
func (f farewell) left(until time.Duration) func() time.Duration {
	return func() time.Duration { return max(until-time.Since(f.began()), leastLeft) }
}

// handOver brings what came in to the disk and gives the line a moment to take
// what waits; what it does not take stays in the journal.
func (g *Gateway) handOver(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := g.journal.Flush(ctx); err != nil && g.journal.Refused() == nil {
		g.log.Error("not everything reached the disk", "error", err)
		return
	}
	if g.line.Stats().Connected {
		g.line.Drained(ctx)
	}
}

// errUnclosed means that the disk did not take the journal's end in time.
var errUnclosed = errors.New("the journal could not be closed in time")

// closeWithin closes the gateway, or leaves to the process's end what the disk
// keeps it from.
func (g *Gateway) closeWithin(bound time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- g.Close() }()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return errUnclosed
	}
}
