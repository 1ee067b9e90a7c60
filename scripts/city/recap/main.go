// Command recap is the personnel office's: it loads who has which badge, the hours and
// the rules into the city's database, and prints what taps, hours and rules make of a
// month, as tables that Excel opens. See RECAP.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"

	"presence/scripts/city/database"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // at run time, or a file has mistakes
	exitUsage  = 2
)

// cli is the command line, as kong reads it.
type cli struct {
	Database string `help:"The connection, such as postgres:///city. Without it PGHOST, PGDATABASE and so on count." placeholder:"URL"`

	Month     monthCmd     `cmd:"" help:"The recap of a month: a line for each person."`
	Days      daysCmd      `cmd:"" help:"A line for each person and day."`
	Check     checkCmd     `cmd:"" help:"The days that evidence does not decide, and why."`
	Undated   undatedCmd   `cmd:"" help:"Taps of which nobody knows when they were."`
	Unknown   unknownCmd   `cmd:"" help:"Badges that were shown and are nobody's."`
	Report    reportCmd    `cmd:"" help:"A small report of a day, to be read."`
	Load      loadCmd      `cmd:"" help:"Load a CSV file: offices, persons, badges, tags, notes, rules or outages."`
	LoadHours loadHoursCmd `cmd:"" help:"Load a file with hours, as gateways get it."`
	Erase     eraseCmd     `cmd:"" help:"Erase a person, and the events of the person's badges and tags. Only for who owns the database."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// console is where commands print.
type console struct{ out, err io.Writer }

// command runs a command line and returns the exit status.
func command(ctx context.Context, args []string, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("recap"), kong.Description("What taps, hours and rules make of a month."),
		kong.Writers(out, errs), kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&console{out, errs}), kong.Bind(&c))
	if err != nil {
		panic("declare commands: " + err.Error())
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintln(errs, "recap:", err)
		return exitUsage
	}
	var usage usageError
	switch err := parsed.Run(); {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintln(errs, "recap:", err)
		return exitUsage
	default:
		fmt.Fprintln(errs, "recap:", err)
		return exitFailed
	}
}

// usageError is what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// connect opens the database, and checks that it has this version's schema.
func (c *cli) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, c.Database)
	if err != nil {
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	if err := database.Check(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// readDay reads a date as people write it here: 2026-11-30 or 30/11/2026.
func readDay(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, "02/01/2006"} {
		if d, err := time.Parse(layout, text); err == nil {
			return d, nil
		}
	}
	return time.Time{}, usageError(fmt.Sprintf("%q is no date: write 2026-11-30 or 30/11/2026", text))
}

// readMonth reads 2026-11 or 11/2026.
func readMonth(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01", "01/2006"} {
		if d, err := time.Parse(layout, text); err == nil {
			return d, nil
		}
	}
	return time.Time{}, usageError(fmt.Sprintf("%q is no month: write 2026-11 or 11/2026", text))
}
