package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"text/tabwriter"

	"github.com/google/uuid"

	"presence/config"
	"presence/drivers/pi"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
	"presence/gatewayd/internal/uplink"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print one JSON document."`
	Gain bool `name:"gain" help:"Find the gain at which each reader hears a badge best: lay one where people hold theirs. Only while the gateway is stopped."`
}

// diagnosis is the document that `gatewayd doctor --json` prints.
type diagnosis struct {
	V       int              `json:"v"`
	Gateway string           `json:"gateway"` // "" where the configuration is wrong
	Level   doctor.Level     `json:"level"`   // the worst of the checks
	Checks  []doctor.Finding `json:"checks"`
}

// Run examines this machine and its configuration.
func (d doctorCmd) Run(ctx context.Context, file configFile, con console) error {
	if d.Gain {
		return d.sweepGains(ctx, string(file), con)
	}
	found, err := examine(ctx, string(file))
	if err != nil {
		return err
	}
	if d.JSON {
		enc := json.NewEncoder(con.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(found)
	} else {
		indonesian := terminal.SpeaksIndonesian(os.Getenv)
		w := tabwriter.NewWriter(con.out, 0, 0, 2, ' ', 0)
		for _, f := range found.Checks {
			text := f.Text(indonesian)
			if f.Mend != "" {
				text += " -> " + f.Mend
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Code, text)
		}
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	if found.Level == doctor.Fail {
		return exitStatus(exitFailed)
	}
	return nil
}

// sweepGains tries out the gains of all readers of the configuration.
func (d doctorCmd) sweepGains(ctx context.Context, path string, con console) error {
	cfg, err := config.LoadOnly(path)
	if err != nil {
		return err
	}
	switch _, _, err := healthOf(ctx, cfg.Gateway.StateDir); {
	case err == nil, errors.Is(err, fs.ErrPermission), errors.Is(err, control.ErrSilent):
		return errors.New("the gateway runs and holds the readers; stop it first: sudo systemctl stop gatewayd")
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	found := doctor.Gains{V: 1, Readers: []doctor.ReaderGains{}}
	for _, r := range cfg.Readers {
		if r.Bus == config.SimBus {
			return usageError{fmt.Errorf("reader %q is mocked and has no gain to be found", r.Name)}
		}
		g, err := doctor.SweepGain(ctx, r, func() (doctor.Chip, error) { return openChip(r) })
		if err != nil {
			return fmt.Errorf("find the gain of reader %q: %w", r.Name, err)
		}
		found.Readers = append(found.Readers, g)
	}
	if d.JSON {
		enc := json.NewEncoder(con.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(found)
	} else {
		err = found.Print(con.out, terminal.SpeaksIndonesian(os.Getenv))
	}
	if err != nil {
		return fmt.Errorf("print gains: %w", err)
	}
	for _, r := range found.Readers {
		if r.Best == 0 {
			return exitStatus(exitFailed)
		}
	}
	return nil
}

func examine(ctx context.Context, path string) (diagnosis, error) {
	opt := doctor.Options{
		Path: path, Board: pi.Board{Root: "/"}, Self: self(), Disk: pi.DiskFree,
	}
	found := diagnosis{V: 1, Level: doctor.OK}
	var err error
	if opt.Config, err = config.Check(path); errors.As(err, &opt.Problems) {
		// Where only files are missing, all else can still be looked at.
		opt.Config, err = config.LoadOnly(path)
	} else if err == nil {
		opt.Doubts, opt.Problems = configured.Check(opt.Config)
	}
	if problems := (config.Problems{}); err != nil && !errors.As(err, &problems) {
		return diagnosis{}, err
	}
	newClock := clock.NewKernel
	if opt.Config != nil && opt.Config.Clock.Source == "trust" {
		newClock = clock.NewTrusted
	}
	source, err := newClock()
	if err != nil {
		return diagnosis{}, err
	}
	opt.Now = source.Now
	if gateway, err := config.Basics(path); err == nil {
		opt.Health, opt.PID, err = healthOf(ctx, gateway.StateDir)
		switch {
		case errors.Is(err, fs.ErrPermission):
			opt.Unasked = true
		case errors.Is(err, control.ErrSilent):
			opt.Silent = true
		case err != nil && !errors.Is(err, control.ErrNotRunning):
			return diagnosis{}, err
		}
	}
	if opt.Config != nil {
		found.Gateway = opt.Config.Gateway.ID
		line := configured.Line(opt.Config)
		line.Log, line.Now, line.Session = slog.New(slog.DiscardHandler), source.Now, presence.ID(uuid.New())
		opt.Chip = openChip
		opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
	}
	found.Checks = doctor.Examine(ctx, opt)
	for _, level := range []doctor.Level{doctor.Warn, doctor.Fail} {
		if slices.ContainsFunc(found.Checks, func(f doctor.Finding) bool { return f.Level == level }) {
			found.Level = level
		}
	}
	return found, nil
}

// openChip opens a reader's chip without a log: what the doctor finds is printed.
func openChip(r config.Reader) (doctor.Chip, error) {
	return configured.OpenChip(r, slog.New(slog.DiscardHandler))
}

// self is the account that runs this command.
func self() pi.Account {
	a := pi.Account{Name: fmt.Sprint(os.Getuid()), UID: os.Getuid(), Groups: []int{os.Getgid()}}
	if u, err := user.Current(); err == nil {
		a.Name = u.Username
	}
	if groups, err := os.Getgroups(); err == nil {
		a.Groups = append(a.Groups, groups...)
	}
	return a
}
