// Package recorder is a running recorder: sessions at the brokers, the queue between them
// and the database, receipts, and the lead among several recorders of a city.
//
// It exists to put the parts together such that every event is in the database before
// anybody is told so. A recorder that leads is in a term. A term ends with whatever goes
// wrong with the database or with the lead: connections are closed, the brokers keep what
// is not acknowledged, and the next term, here or in another recorder, gets it again.
package recorder

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"presence/scripts/city/database"
	"presence/scripts/city/internal/backlog"
	"presence/scripts/city/internal/intake"
	"presence/scripts/city/internal/metrics"
	"presence/scripts/city/internal/receipts"
	"presence/scripts/city/internal/resync"
	"presence/scripts/city/internal/settings"
	"presence/scripts/city/internal/store"
)

// Recorder is a recorder that runs until its context ends.
type Recorder struct {
	set     *settings.Settings
	db      *store.Config
	key     ed25519.PrivateKey
	log     *slog.Logger
	screen  *backlog.Screen // nil: no terminal
	metrics *metrics.Metrics
	backlog *backlog.Backlog

	state state
}

// New makes a recorder of settings. On a screen, where there is one, it shows how a
// backlog drains.
func New(set *settings.Settings, log *slog.Logger, screen *backlog.Screen) (*Recorder, error) {
	key, err := set.Receipts.Key()
	if err != nil {
		return nil, err
	}
	r := &Recorder{set: set, db: Database(set), key: key, log: log, screen: screen, backlog: backlog.New()}
	urls := make([]string, len(set.Brokers))
	for i := range set.Brokers {
		urls[i] = set.Brokers[i].URL
	}
	r.metrics = metrics.New(r, urls)
	return r, nil
}

// Database is the database that the settings name.
func Database(set *settings.Settings) *store.Config {
	c := &store.Config{Connection: set.Database.Connection}
	if file := set.Database.PasswordFile; file != "" {
		c.Password = func() (string, error) { return settings.Secret(file) }
	}
	return c
}

// Run works until the context ends, and returns nil then. It returns an error only for
// what does not heal by itself: a schema of another version, and a port that is taken.
func (r *Recorder) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if address := r.set.Watch.Listen; address != "" {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("watch.listen: %w", err)
		}
		group.Go(func() error { return r.watch(ctx, l) })
	}
	if r.screen != nil {
		group.Go(func() error {
			r.backlog.Show(ctx, r.screen, func() int { n, _, _ := r.Queue(); return n })
			return nil
		})
	}
	group.Go(func() error { return r.terms(ctx) })
	return group.Wait()
}

// terms leads whenever it can.
func (r *Recorder) terms(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 250*time.Millisecond, 15*time.Second
	for {
		begun := time.Now()
		err := r.term(ctx)
		var version database.VersionError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &version):
			return err
		}
		r.state.end(err)
		if time.Since(begun) > waits.MaxInterval {
			waits.Reset()
		}
		wait := waits.NextBackOff()
		r.log.Error("does not record", "why", err, "again_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// term waits for the lead and works until it is lost or something else goes wrong.
func (r *Recorder) term(ctx context.Context) error {
	if err := r.db.Check(ctx); err != nil {
		return err
	}
	lease, err := store.Lead(ctx, r.db, who(), func() {
		r.state.standBy()
		r.log.Info("stands by: another recorder leads")
	})
	if err != nil {
		return err
	}
	defer lease.Release(context.WithoutCancel(ctx))
	db, err := store.Open(ctx, r.db, lease.Epoch)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	r.log.Info("leads", "epoch", lease.Epoch)
	return r.work(ctx, lease, db)
}

// work runs the parts of a term until one of them ends.
func (r *Recorder) work(ctx context.Context, lease *store.Lease, db *store.Store) error {
	now := &parts{queue: intake.NewQueue(r.set.Events.QueueBytes)}
	c := &committer{Recorder: r, queue: now.queue, db: db}
	var lines lines
	asker := r.asker(&lines)
	for i := range r.set.Brokers {
		desk := receipts.NewDesk(r.key, r.metrics.Receipt)
		c.desks = append(c.desks, desk)
		o := r.session(i, now.queue, lease)
		o.Beside = func(topic string, payload []byte) {
			r.backlog.Health(topic, payload)
			asker.Reply(topic, payload)
		}
		o.Up = func(ctx context.Context, publish intake.Publish) {
			defer lines.add(publish)()
			desk.Run(ctx, publish)
		}
		session, err := intake.NewSession(o)
		if err != nil {
			return err
		}
		now.sessions = append(now.sessions, session)
	}
	r.state.lead(now)
	r.metrics.Stores(true)
	defer r.metrics.Stores(false)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return lease.Hold(ctx) })
	group.Go(func() error { return c.run(ctx) })
	group.Go(func() error { r.days(ctx); return nil })
	if asker.After > 0 {
		group.Go(func() error { asker.Run(ctx); return nil })
	}
	for _, session := range now.sessions {
		group.Go(func() error { return session.Run(ctx) })
	}
	return group.Wait()
}

// session is the options of the session at one broker.
func (r *Recorder) session(i int, queue *intake.Queue, lease *store.Lease) intake.Options {
	b := &r.set.Brokers[i]
	o := intake.Options{
		Number: i, URL: b.URL, ClientID: b.ClientID, TLS: b.TLS, Username: b.Username,
		TagDetails: r.set.Events.TagDetails, Queue: queue, Confirm: lease.Confirm, Log: r.log,
	}
	if file := b.PasswordFile; file != "" {
		o.Password = func() (string, error) { return settings.Secret(file) }
	}
	return o
}

// asker asks for what is missing, at all brokers: a gateway is connected to one of them.
func (r *Recorder) asker(to *lines) *resync.Asker {
	return &resync.Asker{
		Holes: r.db.Holes, Publish: to.publish, Log: r.log,
		After: r.set.Resync.After, AtMost: r.set.Resync.AtMost,
		Asked: r.metrics.Asked, Refused: r.metrics.Refused,
	}
}

// days makes the partitions of the days to come, now and every hour.
func (r *Recorder) days(ctx context.Context) {
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for {
		if err := r.db.MakeDays(ctx); err != nil && ctx.Err() == nil {
			// What has no partition is caught by one for all days.
			r.log.Warn("cannot prepare the days to come", "why", err)
		}
		select {
		case <-hour.C:
		case <-ctx.Done():
			return
		}
	}
}

// who is what others read about the recorder that leads.
func who() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
}
