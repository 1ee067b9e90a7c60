package uplink

import (
	"context"

	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/presence"
)

// readAhead is how many events are read from the journal at a time.
const readAhead = 256

// reader reads the events behind a position from the journal while those before it
// are sent.
type reader struct {
	*session
	group *errgroup.Group
	fresh chan []presence.Entry
	stop  context.CancelFunc
}

// readFrom begins to read behind a position, and stops the reading before.
func (r *reader) readFrom(ctx context.Context, pos uint64) {
	if r.stop != nil {
		r.stop()
	}
	reading, stop := context.WithCancel(ctx)
	fresh := make(chan []presence.Entry)
	r.fresh, r.stop = fresh, stop
	r.group.Go(func() error {
		defer stop()
		err := r.read(reading, pos, fresh)
		if reading.Err() != nil && ctx.Err() == nil {
			return nil // readFrom was called again
		}
		return err
	})
}

func (r *reader) read(ctx context.Context, pos uint64, fresh chan<- []presence.Entry) error {
	for {
		entries, err := r.u.opt.Journal.Next(ctx, pos, readAhead)
		if err != nil {
			return err
		}
		select {
		case fresh <- entries:
			pos = entries[len(entries)-1].Pos
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
