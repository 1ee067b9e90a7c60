package doctor

import (
	"context"
	"errors"
	"fmt"
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
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// Here examines this machine: what the configuration at path needs, with the help of the
// gateway that runs here, if one does.
func Here(ctx context.Context, path string) (Diagnosis, error) {
	opt := Options{Path: path, Board: pi.Board{Root: "/"}, Self: self(), Disk: pi.DiskFree}
	var err error
	if opt.Config, err = config.Check(path); errors.As(err, &opt.Problems) {
		// Where only files are missing, all else can still be looked at.
		opt.Config, err = config.LoadOnly(path)
	} else if err == nil {
		opt.Doubts, opt.Problems = configured.Check(opt.Config)
	}
	if problems := (config.Problems{}); err != nil && !errors.As(err, &problems) {
		return Diagnosis{}, err
	}
	newClock := clock.NewKernel
	if opt.Config != nil && opt.Config.Clock.Source == "trust" {
		newClock = clock.NewTrusted
	}
	source, err := newClock()
	if err != nil {
		return Diagnosis{}, err
	}
	opt.Now = source.Now
	if gateway, err := config.Basics(path); err == nil {
		if err := opt.askGateway(ctx, gateway.StateDir); err != nil {
			return Diagnosis{}, err
		}
	}
	id := "" // where the configuration is wrong
	if opt.Config != nil {
		id = opt.Config.Gateway.ID
		opt.probes(source.Now)
	}
	return NewDiagnosis(id, Examine(ctx, opt)), nil
}

// askGateway asks the gateway that runs on a state directory how it is.
func (opt *Options) askGateway(ctx context.Context, stateDir string) (err error) {
	opt.Health, opt.PID, err = control.HealthOf(ctx, stateDir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		opt.Unasked = true
	case errors.Is(err, control.ErrSilent):
		opt.Silent = true
	case err != nil && !errors.Is(err, control.ErrNotRunning):
		return err
	}
	return nil
}

// probes sets how the chips of the readers and the line to the broker are tried.
func (opt *Options) probes(now func() presence.Reading) {
	opt.Chip = openChip
	// As the daemon does: a Pi that wakes in 1970 would find no certificate valid yet.
	opt.Passed = build.Time()
	line := configured.Line(opt.Config)
	line.Log, line.Now, line.Session = slog.New(slog.DiscardHandler), now, presence.ID(uuid.New())
	line.Documents = make(map[string]uplink.Document) // whether they may be read; nothing takes them
	for _, topic := range configured.DocumentTopics(opt.Config) {
		line.Documents[topic] = nil
	}
	passed := opt.Passed
	line.CertTime = func() time.Time { return certificates.Latest(now().WallTime(), passed) }
	opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
}

// openChip opens a reader's chip without a log: what the doctor finds is printed.
func openChip(r config.Reader) (Chip, error) {
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

// ErrMocked means that a mocked reader was to be examined that has nothing to find out.
var ErrMocked = errors.New("the reader is mocked")

// stopped is an error unless no gateway holds the readers.
func stopped(ctx context.Context, cfg *config.Config) error {
	switch _, _, err := control.HealthOf(ctx, cfg.Gateway.StateDir); {
	case err == nil, errors.Is(err, fs.ErrPermission), errors.Is(err, control.ErrSilent):
		return language.Errorf(
			"the gateway runs and holds the readers; stop it first: sudo systemctl stop gatewayd",
			"gateway berjalan dan memakai pembaca; hentikan dahulu: sudo systemctl stop gatewayd")
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	return nil
}

// SweepGains tries out the gains of all readers of a configuration, while no gateway
// holds them. An error wraps ErrMocked for a reader that is mocked.
func SweepGains(ctx context.Context, cfg *config.Config) (Gains, error) {
	if err := stopped(ctx, cfg); err != nil {
		return Gains{}, err
	}
	found := Gains{V: 1, Readers: []ReaderGains{}}
	for _, r := range cfg.Readers {
		if r.Bus == config.SimBus {
			return Gains{}, &language.Error{Cause: ErrMocked, Text: say(
				"reader %q is mocked and has no gain to be found", "pembaca %q disimulasikan, jadi tidak ada gain yang dapat dicari", r.Name)}
		}
		g, err := SweepGain(ctx, r, func() (Chip, error) { return openChip(r) })
		if err != nil {
			return Gains{}, language.Errorf("find the gain of reader %q: %v", "cari gain pembaca %q: %v", r.Name, err)
		}
		found.Readers = append(found.Readers, g)
	}
	return found, nil
}

// ExamineBadges examines the badges that lie on the readers of a configuration, while no
// gateway holds them. An error wraps ErrMocked for a reader that is mocked.
func ExamineBadges(ctx context.Context, cfg *config.Config) (Diagnosis, error) {
	if err := stopped(ctx, cfg); err != nil {
		return Diagnosis{}, err
	}
	opt := BadgeOptions{Latest: certificates.Latest(time.Now(), build.Time())}
	if cfg.Badges.CAFile != "" {
		var err error
		if opt.Authorities, err = configured.BadgeAuthority(cfg); err != nil { // as the gateway reads it
			return Diagnosis{}, language.Errorf("badges.ca_file: %v", "badges.ca_file: %v", err)
		}
	}
	checks := []Finding{}
	for _, r := range cfg.Readers {
		if r.Bus == config.SimBus {
			return Diagnosis{}, &language.Error{Cause: ErrMocked, Text: say(
				"reader %q is mocked: hold simulated badges to it with `gatewayd sim tap`",
				"pembaca %q disimulasikan: tempelkan kartu simulasi dengan `gatewayd sim tap`", r.Name)}
		}
		found, err := Badges(ctx, r, opt, func() (Chip, error) { return openChip(r) })
		if err != nil {
			return Diagnosis{}, language.Errorf("examine the badges on reader %q: %v", "periksa kartu di pembaca %q: %v", r.Name, err)
		}
		checks = append(checks, found...)
	}
	return NewDiagnosis(cfg.Gateway.ID, checks), nil
}

// Heard reports whether each reader saw a badge at some gain.
func (g Gains) Heard() bool {
	for _, r := range g.Readers {
		if r.Best == 0 {
			return false
		}
	}
	return true
}
