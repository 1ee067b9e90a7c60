package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"presence/config"
	"presence/drivers/beacon"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/offline"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
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
	person, err := f.person(configured.Badges(cfg))
	if err != nil {
		return usageError{err}
	}
	d, err := control.Dial(cfg.Gateway.StateDir)
	if err == nil {
		return askToForget(ctx, d, person, con.out)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	done, err := offline.Forget(ctx, cfg, person.Names, con.err)
	if err != nil {
		return err
	}
	return printForgotten(con.out, control.Forgotten{Kinds: done.Kinds, Waiting: done.Waiting})
}

// person reads the flags.
func (f forgetCmd) person(badges presence.Badges) (control.Person, error) {
	var p control.Person
	if len(f.Badge)+len(f.Tag) == 0 {
		return p, errors.New("whom to forget? say --badge or --tag")
	}
	for _, b := range f.Badge {
		ids, err := badgeIDs(b, badges)
		if err != nil {
			return p, err
		}
		p.Badges = append(p.Badges, ids...)
	}
	for _, t := range f.Tag {
		name, ok := beacon.TagName(t)
		if !ok {
			return p, fmt.Errorf("--tag %.60q: want it as in the events: %s", t, roster.TagForms())
		}
		p.Tags = append(p.Tags, name)
	}
	return p, nil
}

// badgeIDs are the ids under which events may name a badge, as --badge says it.
func badgeIDs(badge string, names presence.Badges) ([]string, error) {
	// An identity is taken as it is, whether or not the gateway has a key now: its
	// key may have changed since the events were recorded.
	if presence.IsHashedBadge(badge) {
		return []string{strings.ToLower(badge)}, nil
	}
	uid, err := parseUID(badge)
	if err != nil {
		return nil, fmt.Errorf("--badge %.60q: want h: and 32 hex digits, or a UID of 4, 7 or 10 bytes in hex", badge)
	}
	ids := []string{names.Identity(uid.Bytes())}
	if !names.Plain() {
		ids = append(ids, presence.PlainBadges().Identity(uid.Bytes()))
	}
	return ids, nil
}

func askToForget(ctx context.Context, d *control.Client, person control.Person, w io.Writer) error {
	body, err := control.Post(ctx, d, "/forget", person)
	if err != nil {
		return err
	}
	defer body.Close()
	var done control.Forgotten
	if err := json.NewDecoder(body).Decode(&done); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return printForgotten(w, done)
}

func printForgotten(w io.Writer, f control.Forgotten) error {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(f.Kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", f.Kinds[kind], kind))
	}
	if len(parts) == 0 {
		_, err := fmt.Fprintln(w, "forgotten: nothing, the journal holds no event of this person")
		return err
	}
	_, err := fmt.Fprintf(w, "forgotten: %s events; %d of them were not delivered yet and will not be\n", strings.Join(parts, ", "), f.Waiting)
	return err
}
