package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/offline"
	"presence/gatewayd/internal/person"
)

type forgetCmd struct {
	Badge []string `sep:"none" help:"A badge: its identity as in the events (h:...), or its UID in hex." placeholder:"BADGE"`
	Tag   []string `sep:"none" help:"A tag, as in the events: reyax:50. Taps that say where it was go too." placeholder:"TAG"`
}

// Run removes a person's records for good, through the daemon where it runs.
func (f forgetCmd) Run(ctx context.Context, file configFile, con console) error {
	cfg, err := config.LoadOnly(string(file))
	if err != nil {
		return err
	}
	if err := control.OwnerOnly(cfg.Gateway.StateDir); err != nil {
		return err
	}
	if err := cfg.Badges.ReadKey(); err != nil {
		return err
	}
	who, err := person.Parse(f.Badge, f.Tag, configured.Badges(cfg))
	if err != nil {
		return usageError{err}
	}
	d, err := control.Dial(cfg.Gateway.StateDir)
	if err == nil {
		return askToForget(ctx, d, who, con)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	done, err := offline.Forget(ctx, cfg, who, con.err)
	if err != nil {
		return err
	}
	return printForgotten(con, control.Forgotten{Kinds: done.Kinds, Waiting: done.Waiting})
}

func askToForget(ctx context.Context, d *control.Client, who person.Person, con console) error {
	body, err := control.Post(ctx, d, "/forget", who)
	if err != nil {
		return err
	}
	defer body.Close()
	var done control.Forgotten
	if err := json.NewDecoder(body).Decode(&done); err != nil {
		return language.Errorf("read answer: %v", "baca jawaban: %v", err)
	}
	return printForgotten(con, done)
}

func printForgotten(con console, f control.Forgotten) error {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(f.Kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", f.Kinds[kind], kind))
	}
	said := language.Say("forgotten: nothing, the journal holds no event of this person", "dihapus: tidak ada, jurnal tidak memuat data orang ini")
	if len(parts) > 0 {
		said = language.Say(
			"forgotten: %s events; %d of them were not delivered yet and will not be",
			"dihapus: %s data; %d di antaranya belum terkirim dan tidak akan dikirim", strings.Join(parts, ", "), f.Waiting)
	}
	_, err := fmt.Fprintln(con.out, said.In(con.lang))
	return err
}
