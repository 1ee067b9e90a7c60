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

	"presence/config"
	"presence/drivers/mfrc522"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
)

// gainLooks is how often each gain is tried: enough to tell a gain at which one
// look in twenty fails from one at which none does, and all six of them in a few
// seconds.
const gainLooks = 100

// gains is the document that `gatewayd doctor --gain --json` prints.
type gains struct {
	V       int           `json:"v"`
	Readers []readerGains `json:"readers"`
}

// readerGains is how well one reader hears a badge.
type readerGains struct {
	Name  string               `json:"name"`
	Set   int                  `json:"gain_db"` // as configured
	Best  int                  `json:"best_db"` // 0 where no badge was seen
	Tried []mfrc522.GainResult `json:"tried"`
}

// sweeper is a reader's chip whose gain can be tried out.
type sweeper interface {
	SweepGain(ctx context.Context, looks int) ([]mfrc522.GainResult, error)
	Close() error
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
	found := gains{V: 1, Readers: []readerGains{}}
	for _, r := range cfg.Readers {
		if r.Bus == config.SimBus {
			return usageError{fmt.Errorf("reader %q is mocked and has no gain to be found", r.Name)}
		}
		g, err := sweepGain(ctx, r, func() (sweeper, error) { return configured.OpenChip(r, slog.New(slog.DiscardHandler)) })
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
		err = found.print(con.out, speaksIndonesian(os.Getenv))
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

// sweepGain tries out the gains of one reader.
func sweepGain(ctx context.Context, r config.Reader, open func() (sweeper, error)) (readerGains, error) {
	chip, err := open()
	if err != nil {
		return readerGains{}, err
	}
	g := readerGains{Name: r.Name, Set: r.GainDB}
	g.Tried, err = chip.SweepGain(ctx, gainLooks)
	if closing := chip.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return readerGains{}, err
	}
	g.Best, _ = mfrc522.BestGain(g.Tried)
	return g, nil
}

// print writes a table for the technician.
func (g gains) print(w io.Writer, indonesian bool) error {
	say := func(en, id string, args ...any) error {
		text := en
		if indonesian {
			text = id
		}
		_, err := fmt.Fprintf(w, text+"\n", args...)
		return err
	}
	for _, r := range g.Readers {
		err := say("reader %s", "pembaca %s", r.Name)
		for _, t := range r.Tried {
			err = errors.Join(err, say(
				"  %d dB: %3d of %d looks saw a badge, %d attempts failed",
				"  %d dB: %3d dari %d pembacaan melihat kartu, %d percobaan gagal", t.DB, t.Seen, t.Looks, t.BadFrames))
		}
		switch {
		case r.Best == 0:
			err = errors.Join(err, say(
				"  no badge was seen at any gain: lay one where people hold theirs, and try again",
				"  tidak ada kartu yang terlihat: letakkan kartu di tempat orang menempelkannya, lalu ulangi"))
		case r.Best == r.Set:
			err = errors.Join(err, say("  gain_db = %d is the best, and is set", "  gain_db = %d yang terbaik, dan sudah dipakai", r.Best))
		default:
			err = errors.Join(err, say(
				"  the best is gain_db = %d; %d is set", "  yang terbaik gain_db = %d; yang dipakai %d", r.Best, r.Set))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
