package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/google/uuid"

	"presence/config"
	"presence/drivers/pi"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
	"presence/gatewayd/internal/uplink"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print one JSON document."`
	Gain bool `name:"gain" help:"Find the gain at which each reader hears a badge best: lay one where people hold theirs. Only while the gateway is stopped."`
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
	if err := d.print(con, found); err != nil {
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
		return language.Errorf(
			"the gateway runs and holds the readers; stop it first: sudo systemctl stop gatewayd",
			"gateway berjalan dan memakai pembaca; hentikan dahulu: sudo systemctl stop gatewayd")
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	found := doctor.Gains{V: 1, Readers: []doctor.ReaderGains{}}
	for _, r := range cfg.Readers {
		if r.Bus == config.SimBus {
			return usageError{language.Errorf("reader %q is mocked and has no gain to be found", "pembaca %q disimulasikan, jadi tidak ada gain yang dapat dicari", r.Name)}
		}
		g, err := doctor.SweepGain(ctx, r, func() (doctor.Chip, error) { return openChip(r) })
		if err != nil {
			return fmt.Errorf("find the gain of reader %q: %w", r.Name, err)
		}
		found.Readers = append(found.Readers, g)
	}
	if err := d.print(con, found); err != nil {
		return fmt.Errorf("print gains: %w", err)
	}
	for _, r := range found.Readers {
		if r.Best == 0 {
			return exitStatus(exitFailed)
		}
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

// examine examines what the configuration at path needs, and asks the gateway that runs.
func examine(ctx context.Context, path string) (doctor.Diagnosis, error) {
	opt := doctor.Options{
		Path: path, Board: pi.Board{Root: "/"}, Self: self(), Disk: pi.DiskFree,
	}
	id := "" // where the configuration is wrong
	var err error
	if opt.Config, err = config.Check(path); errors.As(err, &opt.Problems) {
		// Where only files are missing, all else can still be looked at.
		opt.Config, err = config.LoadOnly(path)
	} else if err == nil {
		opt.Doubts, opt.Problems = configured.Check(opt.Config)
	}
	if problems := (config.Problems{}); err != nil && !errors.As(err, &problems) {
		return doctor.Diagnosis{}, err
	}
	newClock := clock.NewKernel
	if opt.Config != nil && opt.Config.Clock.Source == "trust" {
		newClock = clock.NewTrusted
	}
	source, err := newClock()
	if err != nil {
		return doctor.Diagnosis{}, err
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
			return doctor.Diagnosis{}, err
		}
	}
	if opt.Config != nil {
		id = opt.Config.Gateway.ID
		line := configured.Line(opt.Config)
		line.Log, line.Now, line.Session = slog.New(slog.DiscardHandler), source.Now, presence.ID(uuid.New())
		opt.Chip = openChip
		// As the daemon does: a Pi that wakes in 1970 would find no certificate valid yet.
		opt.Passed = build.Time()
		line.CertTime = func() time.Time { return certificates.Latest(source.Now().WallTime(), opt.Passed) }
		opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
	}
	return doctor.NewDiagnosis(id, doctor.Examine(ctx, opt)), nil
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
