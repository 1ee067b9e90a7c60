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
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"presence/scripts/city/database"
	"presence/scripts/city/internal/intake"
	"presence/scripts/city/internal/receipts"
	"presence/scripts/city/internal/settings"
	"presence/scripts/city/internal/store"
)

// Recorder is a recorder that runs until its context ends.
type Recorder struct {
	set *settings.Settings
	db  *store.Config
	key ed25519.PrivateKey
	log *slog.Logger

	state state
}

// New makes a recorder of settings.
func New(set *settings.Settings, log *slog.Logger) (*Recorder, error) {
	key, err := set.Receipts.Key()
	if err != nil {
		return nil, err
	}
	return &Recorder{set: set, db: Database(set), key: key, log: log}, nil
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
// what does not heal by itself: a schema of another version.
func (r *Recorder) Run(ctx context.Context) error {
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
		if time.Since(begun) > waits.MaxInterval {
			waits.Reset()
		}
		wait := waits.NextBackOff()
		r.log.Error("stopped recording", "why", err, "again_in", wait.Round(time.Millisecond))
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
	lease, err := store.Lead(ctx, r.db, who(), func() { r.log.Info("standing by: another recorder leads") })
	if err != nil {
		return err
	}
	defer lease.Release(context.WithoutCancel(ctx))
	db, err := store.Open(ctx, r.db, lease.Epoch)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	r.log.Info("leading", "epoch", lease.Epoch)
	defer r.state.set(term{})
	return r.work(ctx, lease, db)
}

// work runs the parts of a term until one of them ends.
func (r *Recorder) work(ctx context.Context, lease *store.Lease, db *store.Store) error {
	queue := intake.NewQueue(r.set.Events.QueueBytes)
	desks := make([]*receipts.Desk, len(r.set.Brokers))
	now := term{leading: true, queue: queue}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return lease.Hold(ctx) })
	for i := range r.set.Brokers {
		desks[i] = receipts.NewDesk(r.key, func() {})
		session, err := intake.NewSession(r.session(i, queue, lease, desks[i]))
		if err != nil {
			return err
		}
		now.sessions = append(now.sessions, session)
		group.Go(func() error { return session.Run(ctx) })
	}
	r.state.set(now)
	group.Go(func() error { return (&committer{queue, db, desks, r.set, r.log}).run(ctx) })
	return group.Wait()
}

// session is the options of the session at one broker.
func (r *Recorder) session(i int, queue *intake.Queue, lease *store.Lease, desk *receipts.Desk) intake.Options {
	b := &r.set.Brokers[i]
	o := intake.Options{
		Number: i, URL: b.URL, ClientID: b.ClientID, TLS: b.TLS, Username: b.Username,
		TagDetails: r.set.Events.TagDetails, Queue: queue, Confirm: lease.Confirm, Log: r.log,
		Beside: func(string, []byte) {},
		Up:     func(ctx context.Context, publish intake.Publish) { desk.Run(ctx, publish) },
	}
	if file := b.PasswordFile; file != "" {
		o.Password = func() (string, error) { return settings.Secret(file) }
	}
	return o
}

// who is what others read about the recorder that leads.
func who() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
}
