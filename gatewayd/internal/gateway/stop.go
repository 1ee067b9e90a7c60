package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A stop may take 5 s in all, whatever hangs. Its parts come one after the other, and
// each has to be done by so long after the stop began: a part that needs less time
// leaves more to the next ones. The rest of the 5 s is a reserve for a busy machine.
const (
	intakeOver   = 2100 * time.Millisecond // a tap that is being recorded has 2 s
	handedOver   = 2500 * time.Millisecond
	servicesOver = 3700 * time.Millisecond
	allOver      = 4200 * time.Millisecond

	// handOverFor is how long the line has at most to take what waits.
	handOverFor = 1500 * time.Millisecond

	// leastLeft is what a part has at least, however late it begins: when a service
	// fails, the parts do not come in this order.
	leastLeft = 300 * time.Millisecond
)

// farewell measures a stop. It begins when the first part asks for its time.
type farewell struct{ began func() time.Time }

// newFarewell returns one that has not begun.
func newFarewell() farewell { return farewell{sync.OnceValue(time.Now)} }

// left returns a function that says how much time is left when it is called, of the
// time until so long after the stop began.
func (f farewell) left(until time.Duration) func() time.Duration {
	return func() time.Duration { return max(until-time.Since(f.began()), leastLeft) }
}

// handOver brings what came in to the disk, and gives the line a moment to deliver
// what waits. What it does not deliver stays in the journal.
func (g *Gateway) handOver(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := g.journal.Flush(ctx); err != nil && g.journal.Refused() == nil {
		g.log.Error("not everything reached the disk", "error", err)
		return
	}
	g.sealJournal(ctx)
	if g.line.Stats().Connected {
		g.line.Drained(ctx)
	}
}

// errUnclosed means that the disk did not take the journal's end in time.
var errUnclosed = errors.New("the journal could not be closed in time")

// closeWithin closes the gateway. Where the disk does not let it in time, the end of
// the process has to do.
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
