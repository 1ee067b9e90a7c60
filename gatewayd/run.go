package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"presence/config"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/supervise"
)

type runCmd struct{}

// Run is the daemon: it starts over with every good configuration that SIGHUP
// brings, and ends with the context.
func (runCmd) Run(ctx context.Context, c *cli, con console) error {
	tuneMemory()
	log := slog.New(slog.NewTextHandler(con.err, nil))
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	systemd, err := supervise.NewSystemd(log)
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { systemd.Watch(watching) })
	defer watch.Wait()
	defer stopWatching()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		next, err := runUntilReload(ctx, c.Config, cfg, hup, systemd, log)
		lost := (*journal.Error)(nil)
		if ctx.Err() != nil && errors.Is(err, supervise.ErrStuck) && !errors.As(err, &lost) {
			log.Error("stopped without waiting any longer", "error", err)
			return nil // what was taken in is on the disk
		}
		if err != nil || next == nil {
			return err
		}
		cfg = next
	}
}

// tuneMemory keeps the heap small: a gateway shares a small board, and garbage
// that is collected twice as often costs less than memory that is not there.
// Both can be set from outside (GOGC, GOMEMLIMIT).
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(32 << 20)
	}
}

// openPatience is how long opening everything may take: a large damaged journal
// on a slow card is read from end to end.
const openPatience = 5 * time.Minute

// runUntilReload runs one configuration. It returns the next one, which is the
// same where the disk has come back, or nil where the context ended the run.
func runUntilReload(ctx context.Context, path string, cfg *config.Config, hup <-chan os.Signal, systemd *supervise.Systemd, log *slog.Logger) (*config.Config, error) {
	opening := systemd.Pulse("opening")
	opening.Beat(openPatience)
	d, err := newDaemon(cfg, log, extras{systemd: systemd})
	opening.Beat(-1)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	reloaded := make(chan *config.Config, 1)
	go func() {
		for {
			select {
			case <-running.Done():
				if ctx.Err() != nil {
					systemd.Stopping()
				}
				reloaded <- nil
				return
			case <-hup:
			}
			systemd.Reloading()
			if next := reread(path, cfg, log); next != nil {
				reloaded <- next
				cancel()
				return
			}
			systemd.Ready()
		}
	}()
	err = d.run(running)
	cancel()
	next := <-reloaded
	if errors.Is(err, errOpens) {
		if err = nil; next == nil && ctx.Err() == nil {
			next = cfg
		}
	}
	return next, err
}

// reread loads the configuration again; nil where the old one goes on.
func reread(path string, old *config.Config, log *slog.Logger) *config.Config {
	next, err := config.Load(path)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			log.Error("configuration is wrong, the old one stays in force", "problem", p.String())
		}
		return nil
	case err != nil:
		log.Error("configuration cannot be read, the old one stays in force", "error", err)
		return nil
	}
	doubts, wrong := checkFence(next)
	for _, p := range wrong {
		log.Error("configuration is wrong, the old one stays in force", "problem", p.String())
	}
	for _, p := range doubts {
		log.Warn("configuration is doubtful", "problem", p.String())
	}
	switch {
	case len(wrong) > 0:
		return nil
	case next.Digest == old.Digest && sameKeys(next, old):
		log.Info("configuration is unchanged")
		return nil
	}
	log.Info("configuration has changed, starting over with it", "digest", next.Digest)
	return next
}

// sameKeys tells whether the keys in files that the daemon keeps are the same.
func sameKeys(a, b *config.Config) bool {
	if (a.Badges.Key == nil) != (b.Badges.Key == nil) || a.Badges.Key != nil && *a.Badges.Key != *b.Badges.Key {
		return false
	}
	return a.Tags.RosterKey.Equal(b.Tags.RosterKey)
}

// journalPath is where a gateway keeps its journal.
func journalPath(cfg *config.Config) string { return journalIn(cfg.Gateway.StateDir) }

func journalIn(stateDir string) string { return filepath.Join(stateDir, "journal.db") }
