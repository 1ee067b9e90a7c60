package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"presence/config"
	"presence/gatewayd/internal/gateway"
	"presence/gatewayd/internal/supervise"
)

type runCmd struct{}

// Run is the daemon: it starts over with every good configuration that SIGHUP
// brings, and ends with the context.
func (runCmd) Run(ctx context.Context, c *cli, con console) error {
	tuneMemory()
	log := slog.New(slog.NewTextHandler(con.err, nil))
	cfg, err := config.LoadToStart(c.Config)
	if err != nil {
		return err
	}
	systemd, err := supervise.NewSystemd(log)
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return (&gateway.Service{Path: c.Config, HUP: hup, Systemd: systemd, Log: log}).Run(ctx, cfg)
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
