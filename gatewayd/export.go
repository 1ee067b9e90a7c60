package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
)

type exportCmd struct {
	Since  string `help:"Only events at or after this: 2026-11-23, 2026-11-23T07:00, RFC 3339, or how long ago (24h, 7d)." placeholder:"T"`
	Until  string `help:"Only events before this." placeholder:"T"`
	Day    string `help:"The recap of one day: first and last tap of each badge, outages and what was lost (csv or html); with jsonl the day's events." placeholder:"2026-11-23"`
	Format string `default:"jsonl" enum:"jsonl,csv,html" help:"jsonl, csv, or html for a recap to print."`
	Lang   string `default:"id" enum:"id,en" help:"The language of an html recap: id or en."`
}

// wanted is what the flags ask for.
func (e exportCmd) wanted(now time.Time, loc *time.Location) (x control.Export, err error) {
	x.Format, x.Lang = e.Format, e.Lang
	if x.Since, err = parseInstant(e.Since, now, loc); err != nil {
		return x, fmt.Errorf("--since: %w", err)
	}
	if x.Until, err = parseInstant(e.Until, now, loc); err != nil {
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
func (e exportCmd) Run(ctx context.Context, c *cli, con console) error {
	// Members of the gateway's group may ask, but not read its keys.
	gateway, err := config.Basics(c.Config)
	if err != nil {
		return err
	}
	x, err := e.wanted(time.Now(), gateway.Timezone)
	if err != nil {
		return usageError{err}
	}
	d, err := control.Dial(gateway.StateDir)
	if err == nil {
		_, err = d.Copy(ctx, con.out, "/export?"+x.Query().Encode())
		return err
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	cfg, err := config.LoadOnly(c.Config)
	if err != nil {
		return err
	}
	if !x.Day.IsZero() {
		if err := ownersOnly(gateway.StateDir); err != nil {
			return err
		}
	}
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
	outages, err := outage.Read(file, end)
	if err != nil {
		fmt.Fprintln(con.err, "gatewayd: not all outages can be read:", err)
	}
	now := time.Now().In(cfg.Gateway.Timezone).Format(presence.TimeLayout)
	line := exportLine(x, os.Getuid())
	line.Time = &now
	if err := line.write(cfg.Gateway.StateDir); err != nil {
		fmt.Fprintf(con.err, "gatewayd: %v\n", err)
	}
	times := clock.New(nil)
	if err := times.Read(file); err != nil {
		fmt.Fprintln(con.err, "gatewayd: times are less well known than they could be:", err)
	}
	revisions := readRevisions(file, times)
	from := exportFrom{
		origin: configured.Origin(cfg), times: times, revisions: revisions, estimates: revisions, journal: file, outages: outages,
		damaged: !report.Whole(), now: func() presence.Timing { return present(cfg, times) },
	}
	if known {
		from.off = &off{since: alive, what: offSince(alive, clean)}
	}
	if err := export(ctx, con.out, x, from); err != nil {
		return err
	}
	if from.damaged {
		return errors.New("the journal is damaged, and what cannot be read is not printed: gatewayd verify says what is wrong; a gateway that is started saves what it can and names the rest")
	}
	return nil
}

// noJournal says what it means that a journal cannot be opened for reading.
func noJournal(stateDir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no journal in %s: no gateway has recorded anything there, or gateway.state_dir is another", stateDir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the journal in %s is not for user %d to read, and no gateway runs that could be asked: call it with sudo", stateDir, os.Getuid())
	}
	return err
}

// parseInstant reads the forms that a person types; "" is no bound.
func parseInstant(s string, now time.Time, loc *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := config.ParseDuration(s); err == nil {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want 2026-11-23, 2026-11-23T07:00, RFC 3339 or how long ago (24h, 7d, 1d12h)", s)
}

// scanner reads a journal in order.
type scanner interface {
	Scan(ctx context.Context, fn func(presence.Entry) error) error
}

// timer says what is known of an event's time.
type timer interface {
	Timing(presence.Reading) presence.Timing
}

// reviser returns the revision to print of each of some events, which are in order.
type reviser func(context.Context, []presence.Entry) ([]presence.Revision, error)

// readRevisions returns the published revisions of events, or better ones where
// more is known by now. Those are not saved: under the same rev the daemon may
// publish something better still.
func readRevisions(from interface {
	Revisions(from, to uint64) (map[uint64]presence.Revision, error)
}, times timer,
) reviser {
	return func(_ context.Context, entries []presence.Entry) ([]presence.Revision, error) {
		published, err := from.Revisions(entries[0].Pos, entries[len(entries)-1].Pos)
		if err != nil {
			return nil, err
		}
		all := make([]presence.Revision, len(entries))
		for i, e := range entries {
			r, ok := published[e.Pos]
			if !ok {
				r = presence.Revision{Pos: e.Pos, Timing: presence.Raw(e.At)}
			}
			r.Timing = presence.Revise(r.Timing, times.Timing(e.At))
			all[i] = r
		}
		return all, nil
	}
}

// exportFrom is what an export is made of.
type exportFrom struct {
	origin    presence.Origin
	times     timer
	revisions reviser // as the city has them, or will have them
	estimates reviser // within atEdges of those, and not saved as published
	journal   scanner
	outages   []outage.Outage
	off       *off                   // nil: the gateway runs
	damaged   bool                   // not all of the journal can be read
	now       func() presence.Timing // nil: nobody knows
}

// off is a gateway that does not run.
type off struct {
	since presence.Reading // it was last alive
	what  alerts.Failure
}

// offSince tells why a gateway does not run that was last alive at a reading.
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

// present is what is known of the present where no gateway runs that could be
// asked: nothing where its clock cannot be read, or is mocked, since only the gateway
// knows that clock.
func present(cfg *config.Config, times timer) presence.Timing {
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

// export writes what is wanted.
func export(ctx context.Context, w io.Writer, x control.Export, from exportFrom) error {
	if x.Day.IsZero() {
		return exportEvents(ctx, w, x, from)
	}
	return exportDay(ctx, w, x, from)
}

// exportDay writes the recap of a day.
func exportDay(ctx context.Context, w io.Writer, x control.Export, from exportFrom) error {
	day := recap.New(from.origin, x.Day, from.times)
	since, until := day.Span()
	err := from.each(ctx, since, until, func(e presence.Entry, t presence.Timing) error {
		day.Entry(e, t)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	for _, o := range from.outages {
		day.Outage(o.What, o.From, o.To, o.Times, o.Down)
	}
	if o := from.off; o != nil {
		day.Outage(alerts.Outage{Failure: o.what}, o.since, nil, 1, 0)
	}
	if from.damaged {
		day.Damaged()
	}
	if from.now != nil {
		day.Now(from.now())
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	if x.Format == "html" {
		err = day.Sheet().HTML(buffered, recap.Language(x.Lang))
	} else {
		err = day.Sheet().CSV(buffered)
	}
	return errors.Join(err, buffered.Flush())
}

// exportPage is of how many events at a time the times are asked.
const exportPage = 256

// atEdges is how far outside of a span of time an event may lie, by its estimate,
// for its revision to be asked for all the same: that one decides.
const atEdges = time.Hour

// each passes the journal's events in order. Those that may lie in a span of time
// come with their revision, so that all exports agree with the city and with each
// other; the others with an estimate, by which the caller sees that they lie
// outside.
func (from exportFrom) each(ctx context.Context, since, until time.Time, fn func(presence.Entry, presence.Timing) error) error {
	var page []presence.Entry
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		timings, err := from.estimates(ctx, page)
		if err != nil {
			return err
		}
		var wanted []presence.Entry
		var places []int // of wanted in the page
		for i, r := range timings {
			if mayLie(r.Timing, since, until) {
				wanted, places = append(wanted, page[i]), append(places, i)
			}
		}
		if len(wanted) > 0 {
			revisions, err := from.revisions(ctx, wanted)
			if err != nil {
				return err
			}
			for i, r := range revisions {
				timings[places[i]] = r
			}
		}
		for i, e := range page {
			if err := fn(e, timings[i].Timing); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	err := from.journal.Scan(ctx, func(e presence.Entry) error {
		page = append(page, e)
		if len(page) < exportPage {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// mayLie tells whether an event of a time may lie in a span, or close to it; a
// zero end is no bound.
func mayLie(t presence.Timing, since, until time.Time) bool {
	if t.Time.IsZero() {
		return true
	}
	first, last := t.Time.Add(-t.Error-atEdges), t.Time.Add(t.Error+atEdges)
	return !last.Before(since) && (until.IsZero() || first.Before(until))
}

// exportEvents writes the wanted events. One whose time is unknown is always
// wanted: it may have happened in the span asked for.
func exportEvents(ctx context.Context, w io.Writer, x control.Export, from exportFrom) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	write := func(e presence.Entry, t presence.Timing) error {
		b, err := from.origin.Event(&e.Record, t)
		if err != nil {
			return err
		}
		_, err = buffered.Write(append(b, '\n'))
		return err
	}
	if x.Format == "csv" {
		table := csv.NewWriter(buffered)
		if err := table.Write(csvHeader); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		write = func(e presence.Entry, t presence.Timing) error {
			if err := table.Write(csvRow(from.origin, &e.Record, t)); err != nil {
				return err
			}
			table.Flush()
			return table.Error()
		}
		table.Flush()
	}
	err := from.each(ctx, x.Since, x.Until, func(e presence.Entry, t presence.Timing) error {
		if at := t.Time; !at.IsZero() && (at.Before(x.Since) || !x.Until.IsZero() && !at.Before(x.Until)) {
			return nil
		}
		return write(e, t)
	})
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}
