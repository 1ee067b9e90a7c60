// Command recorder stores what the gateways of a city publish in its database, and
// confirms it to them. See RECORDER.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"presence/scripts/city/internal/backlog"
	"presence/scripts/city/internal/recorder"
	"presence/scripts/city/internal/settings"
	"presence/scripts/city/internal/store"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // wrong usage or wrong configuration
)

// cli is the command line, as kong reads it.
type cli struct {
	Config string `help:"The configuration file." default:"/etc/gatewayd-city/recorder.toml" placeholder:"FILE"`

	Run       runCmd       `cmd:"" help:"Store events until SIGTERM."`
	Check     checkCmd     `cmd:"" help:"Check the configuration and the files that it names, and report everything that is wrong."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database to the schema of this version. It takes who owns the schema, not the recorder's user."`
	Reference referenceCmd `cmd:"" name:"config" help:"Print the reference configuration."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Whoever asks twice means it: the second signal ends the process at once.
	context.AfterFunc(ctx, stop)
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
	parser, err := kong.New(&c, kong.Name("recorder"),
		kong.Description("Stores the events of a city's gateways in PostgreSQL, once each, and confirms them."),
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
		fmt.Fprintln(errs, "recorder:", err)
		return exitUsage
	}
	return status(parsed.Run(), errs)
}

// status prints an error, a line for each of its parts, and returns the exit status.
func status(err error, errs io.Writer) int {
	var wrong settings.Problems
	var files usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrong), errors.As(err, &files):
		fmt.Fprintln(errs, err)
		return exitUsage
	}
	fmt.Fprintln(errs, "recorder:", err)
	return exitFailed
}

// usageError is an error of who called the program: of its arguments, or of the files that
// the configuration names.
type usageError struct{ error }

type runCmd struct{}

// Run implements the command.
func (*runCmd) Run(ctx context.Context, c *cli, con *console) error {
	set, err := load(c.Config)
	if err != nil {
		return err
	}
	out := con.err
	var screen *backlog.Screen
	if f, ok := con.err.(*os.File); ok && backlog.IsTerminal(f) {
		screen = backlog.NewScreen(f)
		out = screen
	}
	r, err := recorder.New(set, slog.New(slog.NewTextHandler(out, nil)), screen)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func load(file string) (*settings.Settings, error) {
	set, err := settings.Load(file)
	if err != nil {
		return nil, err
	}
	if err := recorder.Database(set).Parse(); err != nil {
		return nil, usageError{fmt.Errorf("%s: database.connection: %w", file, err)}
	}
	if err := set.Files(); err != nil {
		return nil, usageError{err}
	}
	return set, nil
}

type checkCmd struct{}

// Run implements the command.
func (*checkCmd) Run(c *cli, con *console) error {
	if _, err := load(c.Config); err != nil {
		return err
	}
	fmt.Fprintln(con.out, "the configuration is right")
	return nil
}

type migrateCmd struct {
	Connection string `help:"Connect with this, as libpq wants it, instead of the recorder's database.connection: as who owns the schema." placeholder:"STRING"`
}

// Run implements the command.
func (m *migrateCmd) Run(ctx context.Context, c *cli, con *console) error {
	db := &store.Config{Connection: m.Connection}
	if m.Connection == "" {
		set, err := load(c.Config)
		if err != nil {
			return err
		}
		db = recorder.Database(set)
	} else if err := db.Parse(); err != nil {
		return usageError{fmt.Errorf("--connection: %w", err)}
	}
	before, after, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(con.out, "the schema was of version %d and is of version %d\n", before, after)
	return nil
}

type referenceCmd struct{}

// Run implements the command.
func (*referenceCmd) Run(con *console) error {
	_, err := con.out.Write(settings.Reference())
	return err
}
