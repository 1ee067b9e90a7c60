package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"presence/config"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/terminal"
)

type doctorCmd struct {
	JSON  bool `name:"json" help:"Print one JSON document."`
	Badge bool `name:"badge" help:"Examine the badges on the readers: lay one on each. Tells what a badge is, what it can prove, and what is missing. Only while the gateway is stopped."`
	Gain  bool `name:"gain" help:"Find the gain at which each reader hears a badge best: lay one where people hold theirs. Only while the gateway is stopped."`
}

// Run examines this machine and its configuration.
func (d doctorCmd) Run(ctx context.Context, file configFile, con console) error {
	if d.Gain {
		return d.sweepGains(ctx, string(file), con)
	}
	var found doctor.Diagnosis
	var err error
	if d.Badge {
		found, err = examineBadges(ctx, string(file))
	} else {
		found, err = doctor.Here(ctx, string(file))
	}
	if err != nil {
		return err
	}
	if err := d.print(con, found); err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	if found.Level == doctor.Fail {
		return exitStatus(exitFailed)
	}
	return nil
}

// examineBadges looks at the badges on all readers of the configuration.
func examineBadges(ctx context.Context, path string) (doctor.Diagnosis, error) {
	cfg, err := config.LoadOnly(path)
	if err != nil {
		return doctor.Diagnosis{}, err
	}
	found, err := doctor.ExamineBadges(ctx, cfg)
	if errors.Is(err, doctor.ErrMocked) {
		err = usageError{err}
	}
	return found, err
}

// sweepGains tries out the gains of all readers of the configuration.
func (d doctorCmd) sweepGains(ctx context.Context, path string, con console) error {
	cfg, err := config.LoadOnly(path)
	if err != nil {
		return err
	}
	found, err := doctor.SweepGains(ctx, cfg)
	switch {
	case errors.Is(err, doctor.ErrMocked):
		return usageError{err}
	case err != nil:
		return err
	}
	if err := d.print(con, found); err != nil {
		return fmt.Errorf("print gains: %w", err)
	}
	if !found.Heard() {
		return exitStatus(exitFailed)
	}
	return nil
}

// document is what doctor prints: one JSON object, or text for the technician.
type document interface {
	Print(w io.Writer, s terminal.Screen) error
}

func (d doctorCmd) print(con console, found document) error {
	if !d.JSON {
		return found.Print(con.out, con.screen())
	}
	enc := json.NewEncoder(con.out)
	enc.SetIndent("", "  ")
	return enc.Encode(found)
}
