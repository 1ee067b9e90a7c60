package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"presence/config"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/replay"
)

type recordCmd struct {
	Receiver string        `required:"" help:"The receiver, by its name in the configuration." placeholder:"NAME"`
	For      time.Duration `default:"10m" help:"For how long." placeholder:"TIME"`
	File     string        `arg:"" help:"The file, which must not be there yet. Only its owner can read it."`
}

// Run writes what a receiver hears into a file.
func (c recordCmd) Run(ctx context.Context, file configFile, con console) error {
	cfg, err := config.LoadOnly(string(file))
	if err != nil {
		return err
	}
	if err := control.OwnerOnly(cfg.Gateway.StateDir); err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Receivers, func(r config.Receiver) bool { return r.Name == c.Receiver })
	if i < 0 {
		return usageError{language.Errorf("--receiver %q: the configuration has no receiver of that name", "--receiver %q: tidak ada penerima dengan nama itu dalam konfigurasi", c.Receiver)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	if err := replay.Record(ctx, cfg, cfg.Receivers[i], c.File); err != nil {
		return err
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.out, language.Say(
		"recorded: %s, %d bytes; gatewayd replay %[1]s shows what becomes of it",
		"direkam: %s, %d bita; gatewayd replay %[1]s menunjukkan apa jadinya", c.File, info.Size()).In(con.lang))
	return err
}

type replayCmd struct {
	File string `arg:"" help:"A file that gatewayd record wrote."`
}

// Run prints what the decoder and the gate make of a recording.
func (c replayCmd) Run(ctx context.Context, file configFile, con console) error {
	in, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	cfg, err := config.LoadOnly(string(file))
	if errors.Is(err, os.ErrNotExist) && file == defaultConfig {
		fmt.Fprintln(con.err, language.Say(
			"gatewayd: without a configuration: no fence, no working hours, nothing thinned out; give one with --config",
			"gatewayd: tanpa konfigurasi: tanpa batas kantor, tanpa jam kerja, tidak ada yang dijarangkan; sebutkan dengan --config").In(con.lang))
		cfg, err = nil, nil
	}
	if err != nil {
		return err
	}
	return replay.Replay(ctx, in, cfg, con.out)
}
