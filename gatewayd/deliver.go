package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"presence/gatewayd/internal/deliver"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/terminal"
)

type deliverCmd struct {
	State    string        `help:"The folder: DIR, ID=DIR or DINAS/ID=DIR. By default that of the configuration." placeholder:"DIR"`
	Patience time.Duration `default:"1m" help:"Give up when nothing was confirmed for so long."`
}

// Run delivers what waits in the folder of a gateway that does not run.
func (d deliverCmd) Run(ctx context.Context, file configFile, con console) error {
	place, err := export.FindPlace(string(file), d.State)
	if err != nil {
		return usageError{err}
	}
	opt := deliver.Options{Config: string(file), Place: place, Patience: d.Patience, Language: con.lang}
	opt.Log = slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if terminal.IsTerminal(con.err) {
		opt.Progress = con.err
	}
	report, err := deliver.Run(ctx, opt)
	if report.Origin.Gateway != "" {
		fmt.Fprintln(con.out, report.Text().In(con.lang))
	}
	if errors.Is(err, export.ErrWhose) {
		return usageError{err}
	}
	return err
}
