package recorder

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"presence/scripts/city/internal/event"
	"presence/scripts/city/internal/intake"
	"presence/scripts/city/internal/receipts"
	"presence/scripts/city/internal/settings"
	"presence/scripts/city/internal/store"
)

// committer stores what is in the queue, and then tells brokers and gateways.
type committer struct {
	queue *intake.Queue
	db    *store.Store
	desks []*receipts.Desk // one for each broker
	set   *settings.Settings
	log   *slog.Logger
}

func (c *committer) run(ctx context.Context) error {
	for {
		taken := c.queue.Take(ctx, c.set.Events.Batch, c.set.Events.BatchWait)
		if taken == nil {
			return ctx.Err()
		}
		if err := c.batch(ctx, taken); err != nil {
			return err
		}
		c.queue.Done(taken)
	}
}

// batch stores deliveries. Only then are they acknowledged to their brokers, in the order
// of arrival, and receipted to their gateways.
func (c *committer) batch(ctx context.Context, taken []intake.Delivery) error {
	events, refused := contents(taken)
	result, err := c.commit(ctx, events, refused)
	if err != nil {
		return err
	}
	for i := range taken {
		taken[i].Ack()
	}
	if c.set.Receipts.Send {
		c.receipt(taken, result.Uptos)
	}
	return nil
}

func contents(taken []intake.Delivery) (events []event.Event, refused []event.Refusal) {
	n := 0
	for i := range taken {
		n += len(taken[i].Events)
	}
	events = make([]event.Event, 0, n)
	for i := range taken {
		events = append(events, taken[i].Events...)
		refused = append(refused, taken[i].Refused...)
	}
	return events, refused
}

// commit stores a batch. While the database has no room for it, the batch is kept and
// tried again and again: nothing is acknowledged meanwhile.
func (c *committer) commit(ctx context.Context, events []event.Event, refused []event.Refusal) (store.Result, error) {
	if len(events)+len(refused) == 0 {
		return store.Result{}, nil
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 100*time.Millisecond, 10*time.Second
	for {
		result, err := c.db.Commit(ctx, events, refused)
		if err == nil {
			return result, nil
		}
		if problem := store.Classify(err); problem != store.NoRoom && problem != store.Again {
			return result, err
		}
		wait := waits.NextBackOff()
		c.log.Error("the database does not store: nothing is acknowledged or receipted", "why", err, "again_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
}

// gateway is who is told.
type gateway struct{ dinas, id string }

// receipt tells gateways what is stored of their streams, over the brokers through which
// they have just spoken.
func (c *committer) receipt(taken []intake.Delivery, uptos []store.Upto) {
	spoke := make(map[gateway]uint64) // a bit for each broker
	for i := range taken {
		for j := range taken[i].Events {
			e := &taken[i].Events[j]
			spoke[gateway{e.Dinas, e.Gateway}] |= 1 << taken[i].Broker()
		}
	}
	for i := range uptos {
		u := &uptos[i]
		over := spoke[gateway{u.Dinas, u.Gateway}]
		for broker, desk := range c.desks {
			if over&(1<<broker) != 0 {
				desk.Add(receipts.Receipt{Dinas: u.Dinas, Gateway: u.Gateway, Stream: u.Stream, Upto: u.Upto, Link: u.Link})
			}
		}
	}
}
