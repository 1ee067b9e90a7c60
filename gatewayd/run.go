package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"presence/config"
	"presence/gatewayd/internal/gateway"
	"presence/gatewayd/internal/supervise"
)

type runCmd struct{}

// Run is the daemon: it starts over with every good configuration that SIGHUP
// brings, and ends with the context.
func (runCmd) Run(ctx context.Context, file configFile, con console) error {
	gateway.LimitMemory()
	log := slog.New(slog.NewTextHandler(con.err, nil))
	cfg, err := config.LoadToStart(string(file))
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
	return (&gateway.Service{Path: string(file), HUP: hup, Systemd: systemd, Log: log}).Run(ctx, cfg)
}
