package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/offline"
	"presence/gatewayd/internal/person"
	"presence/gatewayd/internal/presence"
)

type exportCmd struct {
	Since  string   `help:"Only events at or after this: 2026-11-23, 2026-11-23T07:00, RFC 3339, or how long ago (24h, 7d)." placeholder:"T"`
	Until  string   `help:"Only events before this." placeholder:"T"`
	Day    string   `help:"The recap of one day: first and last tap of each badge, outages and what was lost (csv, csv-id or html); with jsonl the day's events." placeholder:"2026-11-23"`
	Month  string   `help:"The recap of one month, with a line for each badge and day; with jsonl the month's events." placeholder:"2026-11"`
	Badge  []string `sep:"none" help:"Only what names this badge: its id as in the events (h:...), or its UID in hex, for which it takes the badge key. Again for several." placeholder:"ID"`
	State  []string `sep:"none" help:"The state folder of a gateway, also of another one, such as a copy: DIR, ID=DIR or DINAS/ID=DIR. Several are merged: recaps of a day or month, or events as jsonl." placeholder:"DIR"`
	Format string   `default:"jsonl" enum:"jsonl,csv,csv-id,html" help:"jsonl, csv, csv-id (for Excel under Indonesian settings), or html for a recap to print."`
	Sealed bool     `help:"Events that can be checked: all from the last seal before the span of time to the first one after it. A gateway that runs is made to seal what it has (jsonl; not with --badge)."`
	Lang   string   `default:"id" enum:"id,en" help:"The language of an html recap: id or en."`
}

// Run prints the journal's events, oldest first: through the daemon where it
// runs, else out of the file.
func (e exportCmd) Run(ctx context.Context, file configFile, con console) error {
	own, places, err := export.FindPlaces(string(file), e.State)
	if err != nil {
		return usageError{err}
	}
	flags := export.Flags{Since: e.Since, Until: e.Until, Day: e.Day, Month: e.Month, Format: e.Format, Lang: e.Lang, Sealed: e.Sealed}
	if flags.Badges, err = e.badges(file, places); err != nil {
		return err
	}
	x, err := flags.Request(time.Now(), own.Origin.Location)
	if err != nil {
		return usageError{err}
	}
	if len(places) > 1 && !x.IsRecap() && x.Format != export.JSONLines {
		return usageError{language.Errorf("--state: several gateways are merged into the recap of a day or month, or as jsonl; say --day or --month", "--state: beberapa gateway digabung dalam rekap harian atau bulanan, atau sebagai jsonl; sebutkan --day atau --month")}
	}
	var all []export.Writer
	for _, p := range places {
		all = append(all, func(w io.Writer, x export.Request) error {
			return exportPlace(ctx, file, p, x, console{w, con.err, con.lang})
		})
	}
	if len(all) == 1 {
		return all[0](con.out, x)
	}
	return export.Merge(con.out, x, all)
}

// badges are the ids that --badge means.
func (e exportCmd) badges(file configFile, places []export.Place) ([]string, error) {
	names := presence.PlainBadges()
	if slices.ContainsFunc(e.Badge, func(b string) bool { return !presence.IsHashedBadge(b) }) {
		// What can be no badge is told before a key that cannot be read.
		if _, err := person.Badges(e.Badge, names); err != nil {
			return nil, usageError{err}
		}
		cfg, err := config.LoadOnly(string(file))
		if err != nil {
			return nil, err
		}
		if err := cfg.Badges.ReadKey(); err != nil {
			return nil, err
		}
		names = configured.Badges(cfg)
		if !names.Plain() && (len(places) > 1 || !places[0].Own) {
			return nil, usageError{language.Errorf("--badge: a card has another id at each gateway: with --state, write ids as in the events", "--badge: id sebuah kartu berbeda di tiap gateway: dengan --state, tulis id seperti dalam data")}
		}
	}
	all, err := person.Badges(e.Badge, names)
	if err != nil {
		return nil, usageError{err}
	}
	return all, nil
}

// exportPlace prints what one gateway has: through the daemon where it runs, else out
// of its file.
func exportPlace(ctx context.Context, file configFile, p export.Place, x export.Request, con console) error {
	if !x.Sealed {
		return exportFrom(ctx, file, p, x, con)
	}
	ends := export.NewEnds(con.out)
	err := exportFrom(ctx, file, p, x, console{ends, con.err, con.lang})
	for _, warning := range ends.Warnings() {
		fmt.Fprintf(con.err, "gatewayd: %s\n", language.Explain(warning, con.lang))
	}
	return err
}

func exportFrom(ctx context.Context, file configFile, p export.Place, x export.Request, con console) error {
	d, err := control.Dial(p.StateDir)
	if err == nil {
		_, err = d.Copy(ctx, con.out, control.ExportPath(x))
		return err
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	err = offline.Export(ctx, string(file), p, x, con.out, con.err)
	if errors.Is(err, export.ErrWhose) {
		return usageError{err}
	}
	return err
}
