package main

import (
	"context"
	"errors"
	"io"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/journal"
)

type verifyCmd struct{}

// Run checks every record: through the daemon where it runs, else in the file.
func (verifyCmd) Run(ctx context.Context, file configFile, con console) error {
	gateway, err := config.Basics(string(file))
	if err != nil {
		return err
	}
	var damaged bool
	d, err := control.Dial(gateway.StateDir)
	switch {
	case err == nil:
		damaged, err = d.Copy(ctx, con.out, "/verify")
	case errors.Is(err, control.ErrNotRunning):
		var r journal.Report
		if r, err = journal.Verify(ctx, configured.JournalIn(gateway.StateDir)); err != nil {
			return elsewhere(string(file), gateway.StateDir, noJournal(gateway.StateDir, err))
		}
		damaged = !r.Whole()
		_, err = io.WriteString(con.out, r.String())
	}
	if err != nil {
		return err
	}
	if damaged {
		return exitStatus(exitFailed)
	}
	return nil
}
