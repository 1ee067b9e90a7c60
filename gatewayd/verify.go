package main

import (
	"context"
	"errors"
	"io"

	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/offline"
)

type verifyCmd struct {
	State string `help:"The folder of another gateway, or of an earlier name of this one." placeholder:"DIR"`
}

// unverifiedError marks an error because of which nobody knows how the journal is. Exit
// code 1 of verify means damage and nothing else.
type unverifiedError struct{ error }

func (e unverifiedError) Unwrap() error { return e.error }

// Run checks every record, and exits with 1 on damage.
func (v verifyCmd) Run(ctx context.Context, file configFile, con console) error {
	damaged, err := verify(ctx, file, v.State, con)
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
func verify(ctx context.Context, file configFile, state string, con console) (damaged bool, err error) {
	place, err := export.FindPlace(string(file), state)
	if err != nil {
		return false, usageError{err}
	}
	d, err := control.Dial(place.StateDir)
	switch {
	case err == nil:
		return d.Copy(ctx, con.out, "/verify?lang="+string(con.lang))
	case !errors.Is(err, control.ErrNotRunning):
		return false, err
	}
	seals := configured.SealChecker(string(file))
	r, err := journal.Verify(ctx, configured.JournalIn(place.StateDir), seals.Check)
	if err != nil {
		return false, elsewhere(string(file), place.StateDir, offline.NoJournal(place.StateDir, err))
	}
	r.Seals = seals.Said()
	_, err = io.WriteString(con.out, r.In(con.lang))
	return !r.Whole(), err
}
