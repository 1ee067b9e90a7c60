package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

type exportCmd struct {
	Since  string `help:"Only events at or after this: 2026-11-23, 2026-11-23T07:00, RFC 3339, or how long ago (24h, 7d)." placeholder:"T"`
	Until  string `help:"Only events before this." placeholder:"T"`
	Day    string `help:"The recap of one day: first and last tap of each badge, outages and what was lost (csv or html); with jsonl the day's events." placeholder:"2026-11-23"`
	Format string `default:"jsonl" enum:"jsonl,csv,html" help:"jsonl, csv, or html for a recap to print."`
	Lang   string `default:"id" enum:"id,en" help:"The language of an html recap: id or en."`
}

// wanted makes a request of the flags.
func (e exportCmd) wanted(now time.Time, loc *time.Location) (x export.Request, err error) {
	x.Format, x.Lang = e.Format, e.Lang
	if x.Since, err = export.ParseInstant(e.Since, now, loc); err != nil {
		return x, fmt.Errorf("--since: %w", err)
	}
	if x.Until, err = export.ParseInstant(e.Until, now, loc); err != nil {
		return x, fmt.Errorf("--until: %w", err)
	}
	if !x.Since.IsZero() && !x.Until.IsZero() && !x.Since.Before(x.Until) {
		return x, fmt.Errorf("--since %s is not before --until %s: nothing can lie between", e.Since, e.Until)
	}
	if e.Day == "" {
		if e.Format == "html" {
			return x, errors.New("--format html: only the recap of a day is printed so; say --day 2026-11-23")
		}
		return x, nil
	}
	if e.Since != "" || e.Until != "" {
		return x, errors.New("--day: not together with --since or --until")
	}
	day, err := time.ParseInLocation("2006-01-02", e.Day, loc)
	if err != nil {
		return x, fmt.Errorf("--day: %q: want 2026-11-23", e.Day)
	}
	if e.Format == "jsonl" {
		x.Since, x.Until = day, day.AddDate(0, 0, 1)
	} else {
		x.Day = day
	}
	return x, nil
}

// Run prints the journal's events, oldest first: through the daemon where it
// runs, else out of the file.
func (e exportCmd) Run(ctx context.Context, file configFile, con console) error {
	// Members of the gateway's group may ask, but not read its keys.
	gateway, err := config.Basics(string(file))
	if err != nil {
		return err
	}
	x, err := e.wanted(time.Now(), gateway.Timezone)
	if err != nil {
		return usageError{err}
	}
	d, err := control.Dial(gateway.StateDir)
	if err == nil {
		_, err = d.Copy(ctx, con.out, control.ExportPath(x))
		return err
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	cfg, err := config.LoadOnly(string(file))
	if err != nil {
		return err
	}
	if !x.Day.IsZero() {
		if err := control.OwnerOnly(gateway.StateDir); err != nil {
			return err
		}
	}
	return exportFile(ctx, cfg, x, con)
}

// exportFile reads the journal's file itself, for when no gateway runs.
func exportFile(ctx context.Context, cfg *config.Config, x export.Request, con console) error {
	file, err := journal.OpenReadOnly(configured.JournalPath(cfg))
	if err != nil {
		return noJournal(cfg.Gateway.StateDir, err)
	}
	defer file.Close()
	alive, clean, known := file.Ended()
	var end *presence.Reading
	if known {
		end = &alive
	}
	report, err := journal.Verify(ctx, configured.JournalPath(cfg))
	if err != nil {
		return noJournal(cfg.Gateway.StateDir, err)
	}
	now := time.Now().In(cfg.Gateway.Timezone).Format(presence.TimeLayout)
	access := export.AccessOf(x, os.Getuid())
	access.Time = &now
	if err := access.Append(cfg.Gateway.StateDir); err != nil {
		fmt.Fprintf(con.err, "gatewayd: %v\n", err)
	}
	times := clock.New(nil)
	if err := times.Read(file); err != nil {
		fmt.Fprintln(con.err, "gatewayd: times are less well known than they could be:", err)
	}
	outages, err := outage.Read(file, times, end)
	if err != nil {
		fmt.Fprintln(con.err, "gatewayd: not all outages can be read:", err)
	}
	revisions := export.Published(file, times)
	source := export.Source{
		Origin: configured.Origin(cfg), Times: times, Revisions: revisions, Estimates: revisions, Journal: file, Outages: outages,
		Damaged: !report.Whole(), Now: func() presence.Timing { return present(cfg, times) },
	}
	if known {
		source.Off = &export.Off{Since: alive, Failure: offSince(alive, clean)}
	}
	if err := source.Write(ctx, con.out, x); err != nil {
		return err
	}
	if source.Damaged {
		return errors.New("the journal is damaged, and what cannot be read is not printed: gatewayd verify says what is wrong; a gateway that is started saves what it can and names the rest")
	}
	return nil
}

// offSince tells why a gateway is off that was last alive at a reading.
func offSince(alive presence.Reading, clean bool) alerts.Failure {
	boot, err := clock.BootID()
	switch {
	case clean:
		return alerts.Stopped
	case err == nil && boot != alive.Boot:
		return alerts.PowerOff
	}
	return alerts.Crashed
}

// present is what can be known of the present time when no gateway runs that could be
// asked. That is nothing if the machine's clock cannot be read, or if the gateway's
// clock is mocked: then only the gateway itself knows it.
func present(cfg *config.Config, times export.Times) presence.Timing {
	unknown := presence.Timing{Quality: presence.QualityUnsynced}
	newClock := clock.NewKernel
	switch cfg.Clock.Source {
	case "sim":
		return unknown
	case "trust":
		newClock = clock.NewTrusted
	}
	source, err := newClock()
	if err != nil {
		return unknown
	}
	return times.Timing(source.Now())
}
