package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// print prints the rows of a query as a table.
func (c *cli) print(ctx context.Context, to *console, sql string, args ...any) (err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return fmt.Errorf("ask database: %w", err)
	}
	defer rows.Close()
	return writeTable(to.out, rows)
}

// orNull is nothing where a text is empty.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

type monthCmd struct {
	Month string `arg:"" help:"2026-11 or 11/2026."`
	Dinas string `help:"Only this department."`
}

// Run prints the recap of a month, up to yesterday.
func (m *monthCmd) Run(ctx context.Context, c *cli, to *console) error {
	month, err := readMonth(m.Month)
	if err != nil {
		return err
	}
	return c.print(ctx, to, `select $1::date as month, dinas, nip, name, days, ok, late, late_s, early, early_s, absent, cuti, dinas_luar, sakit, wfa, checks,
		contradiction_min, percent, check_percent, check_percent_worst, array_to_string(why, ', ') as why from people.read_recap($1, $2)`, month, orNull(m.Dinas))
}

// span are the days that are asked about.
type span struct {
	First string `arg:"" help:"The first day: 2026-11-01 or 01/11/2026."`
	Last  string `arg:"" help:"The last day."`
	Dinas string `help:"Only this department."`
}

// arguments are the two days and the department.
func (s span) arguments() ([]any, error) {
	first, err := readDay(s.First)
	if err != nil {
		return nil, err
	}
	last, err := readDay(s.Last)
	if err != nil {
		return nil, err
	}
	if last.Before(first) {
		return nil, usageError("the last day is before the first")
	}
	return []any{first, last, orNull(s.Dinas)}, nil
}

type daysCmd struct {
	span
	NIP string `name:"nip" help:"Only this person."`
}

// Run prints a line for each person and day.
func (d *daysCmd) Run(ctx context.Context, c *cli, to *console) error {
	args, err := d.arguments()
	if err != nil {
		return err
	}
	return c.print(ctx, to, `select day, dinas, nip, name, opens, closes, first_at, first_quality, first_error_ms, first_gateway, last_at, last_quality, last_error_ms,
		last_gateway, taps, late_s, late_worst_s, early_s, early_worst_s, contradiction_min, verdict, array_to_string(why, ', ') as why, percent, percent_worst
		from people.read_days($1, $2, $3, $4)`, append(args, orNull(d.NIP))...)
}

type checkCmd struct{ span }

// Run prints the days that evidence does not decide.
func (d *checkCmd) Run(ctx context.Context, c *cli, to *console) error {
	args, err := d.arguments()
	if err != nil {
		return err
	}
	return c.print(ctx, to, `select day, dinas, nip, name, office, opens, closes, first_lo, first_hi, last_lo, last_hi, late_s, late_worst_s, early_s, early_worst_s,
		contradiction_min, array_to_string(why, ', ') as why, percent, percent_worst from people.read_disputes($1, $2, $3)`, args...)
}

type undatedCmd struct{ span }

// Run prints taps that belong to no day.
func (d *undatedCmd) Run(ctx context.Context, c *cli, to *console) error {
	args, err := d.arguments()
	if err != nil {
		return err
	}
	return c.print(ctx, to, "select * from people.read_undated($1, $2, $3)", args...)
}

type unknownCmd struct{ span }

// Run prints badges that are nobody's.
func (d *unknownCmd) Run(ctx context.Context, c *cli, to *console) error {
	args, err := d.arguments()
	if err != nil {
		return err
	}
	return c.print(ctx, to, "select * from people.unknown_badges($1, $2) where $3::text is null or dinas = $3", args...)
}

type reportCmd struct {
	Day string `arg:"" optional:"" help:"The day; today without it."`
}

// Run prints the report of a day.
func (r *reportCmd) Run(ctx context.Context, c *cli, to *console) (err error) {
	var day *string
	if r.Day != "" {
		d, err := readDay(r.Day)
		if err != nil {
			return err
		}
		text := d.Format("2006-01-02")
		day = &text
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, "select line from people.report_today($1::text::date)", day)
	if err != nil {
		return fmt.Errorf("ask database: %w", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("ask database: %w", err)
	}
	for _, line := range lines {
		fmt.Fprintln(to.out, line)
	}
	return nil
}

type eraseCmd struct {
	NIP string `arg:"" name:"nip" help:"The personnel number."`
	Why string `required:"" help:"Why: it stands in the log."`
}

// Run erases a person.
func (e *eraseCmd) Run(ctx context.Context, c *cli, to *console) (err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var n int64
	if err := conn.QueryRow(ctx, "select people.erase($1, $2)", e.NIP, e.Why).Scan(&n); err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	fmt.Fprintf(to.out, "erased: the person, and %d events\n", n)
	return nil
}
