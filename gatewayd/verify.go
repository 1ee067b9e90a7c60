package main

import (
	"context"
	"errors"
	"io"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/offline"
)

type verifyCmd struct{}

// unverifiedError marks an error because of which nobody knows how the journal is. Exit
// code 1 of verify means damage and nothing else.
type unverifiedError struct{ error }

func (e unverifiedError) Unwrap() error { return e.error }

// Run checks every record, and exits with 1 on damage.
func (verifyCmd) Run(ctx context.Context, file configFile, con console) error {
	damaged, err := verify(ctx, file, con.out)
	switch {
	case err != nil:
		return unverifiedError{err}
	case damaged:
		return exitStatus(exitFailed)
	}
	return nil
}

// verify checks every record, through the daemon where it runs, else in the file, and
// prints the report.
func verify(ctx context.Context, file configFile, out io.Writer) (damaged bool, err error) {
	gateway, err := config.Basics(string(file))
	if err != nil {
		return false, err
	}
	d, err := control.Dial(gateway.StateDir)
	switch {
	case err == nil:
		return d.Copy(ctx, out, "/verify")
	case !errors.Is(err, control.ErrNotRunning):
		return false, err
	}
	r, err := journal.Verify(ctx, configured.JournalIn(gateway.StateDir))
	if err != nil {
		return false, elsewhere(string(file), gateway.StateDir, offline.NoJournal(gateway.StateDir, err))
	}
	_, err = io.WriteString(out, r.String())
	return !r.Whole(), err
}
