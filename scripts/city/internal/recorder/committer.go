package recorder

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"presence/scripts/city/internal/event"
	"presence/scripts/city/internal/intake"
	"presence/scripts/city/internal/metrics"
	"presence/scripts/city/internal/receipts"
	"presence/scripts/city/internal/store"
)

// committer stores what is in the queue, and then tells brokers and gateways.
type committer struct {
	*Recorder
	queue *intake.Queue
	db    *store.Store
	desks []*receipts.Desk // one for each broker
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
	begun := time.Now()
	result, err := c.commit(ctx, events, refused)
	if err != nil {
		return err
	}
	for i := range taken {
		taken[i].Ack()
	}
	gateways := spoke(taken)
	if c.set.Receipts.Send {
		c.tell(gateways, &result)
	}
	for g, s := range gateways {
		c.backlog.Stored(g.dinas, g.id, s.events)
	}
	c.metrics.Committed(metrics.Commit{
		Stored: result.Stored, Doubled: result.Doubled, Foreign: result.Foreign, Refused: result.Refused,
		Transactions: result.Commits, Took: time.Since(begun), Lag: time.Since(taken[0].Came),
	})
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
	for failed := false; ; failed = true {
		result, err := c.db.Commit(ctx, events, refused)
		if err == nil {
			if failed {
				c.log.Info("the database stores again")
				c.state.stores(nil)
			}
			return result, nil
		}
		switch store.Classify(err) {
		case store.NoRoom:
			c.metrics.Failed("no_room")
		case store.Again:
			c.metrics.Failed("again")
		default:
			c.metrics.Failed("broken")
			return result, err
		}
		c.state.stores(err)
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

// spoken is what a gateway sent in a batch.
type spoken struct {
	events  int
	brokers uint64 // a bit for each through which it came
}

// spoke is who sent the events of some deliveries.
func spoke(taken []intake.Delivery) map[gateway]spoken {
	all := make(map[gateway]spoken)
	for i := range taken {
		for j := range taken[i].Events {
			e := &taken[i].Events[j]
			g := gateway{e.Dinas, e.Gateway}
			s := all[g]
			s.events++
			s.brokers |= 1 << taken[i].Broker()
			all[g] = s
		}
	}
	return all
}

// tell tells gateways what is stored of their streams, over the brokers through which
// they have just spoken.
func (c *committer) tell(gateways map[gateway]spoken, result *store.Result) {
	for i := range result.Uptos {
		u := &result.Uptos[i]
		if u.Upto == 0 {
			continue
		}
		from := store.Sender{Dinas: u.Dinas, Gateway: u.Gateway, Stream: u.Stream}
		var revised []receipts.Revised
		for _, r := range result.Revised[from] {
			revised = append(revised, receipts.Revised(r))
		}
		delete(result.Revised, from) // a batch that was committed in parts has several rows
		over := gateways[gateway{u.Dinas, u.Gateway}].brokers
		for broker, desk := range c.desks {
			if over&(1<<broker) != 0 {
				desk.Add(receipts.Receipt{Dinas: u.Dinas, Gateway: u.Gateway, Stream: u.Stream, Upto: u.Upto, Link: u.Link, Revised: revised})
			}
		}
	}
}
