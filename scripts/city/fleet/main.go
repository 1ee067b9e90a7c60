// Command fleet looks at all gateways of a city at once, at its broker. It is what
// gatewayd-city calls for those of its jobs that need more than a shell:
//
//	fleet offline, wrong       who is not there, and what is wrong, in words
//	fleet publish, documents   signed documents: to the gateways, and who has taken them
//	fleet seals                requests for certificates of the keys that seal journals
//	fleet clear                what the broker keeps of a gateway that is no more
//	fleet list, add, change, remove   the list of offices
//	fleet holiday, period      files with working hours
//	fleet day                  what gateways recorded of a person on a day
//
// It says everything in Indonesian where the locale is Indonesian. The exit status is 0
// if all is well, 1 if not (somebody is offline, something is wrong, a document was not
// taken), and 2 if it was called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"presence/scripts/city"
	"presence/scripts/city/internal/locale"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	f := fleet{out: os.Stdout, indonesian: locale.Indonesian(os.Getenv)}
	status := f.exitStatus(f.run(ctx, os.Args[1:]), os.Stderr)
	stop()
	os.Exit(status)
}

// fleet is one call of the command.
type fleet struct {
	out        io.Writer
	indonesian bool

	broker, ca, cert, key string
	offices               string // file with the list
	folder                string // where documents are kept that were published
	badgeKey, cards       string // files, for day
	kind                  string
	remove                bool
	wait                  time.Duration
}

// usageError means that the command was called wrongly.
type usageError struct{ error }

// errNotWell means that what is wrong was said already.
var errNotWell = errors.New("not all is well")

func (f *fleet) exitStatus(err error, errs io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errNotWell):
		return 1
	}
	fmt.Fprintln(errs, "gatewayd-city:", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// say is a text in the language of whoever reads it.
func (f *fleet) say(en, id string, args ...any) string {
	if f.indonesian {
		return fmt.Sprintf(id, args...)
	}
	return fmt.Sprintf(en, args...)
}

// run runs a command.
func (f *fleet) run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.StringVar(&f.broker, "broker", "", "the broker, tls://host:8883, or all of them with commas between")
	flags.StringVar(&f.ca, "ca", "", "file with the certificate of the city's authority")
	flags.StringVar(&f.cert, "cert", "", "file with the certificate of admin")
	flags.StringVar(&f.key, "key", "", "file with the key of it")
	flags.StringVar(&f.offices, "offices", "", "file with the list of offices")
	flags.StringVar(&f.folder, "folder", "", "folder with what was published")
	flags.StringVar(&f.badgeKey, "badge-key", "", "file with the city's badge key")
	flags.StringVar(&f.cards, "cards", "", "file with the city's list of cards")
	flags.StringVar(&f.kind, "kind", "hours", "of document: hours, roster, badge-revoked or badge-keys")
	flags.BoolVar(&f.remove, "remove", false, "take a holiday out again")
	flags.DurationVar(&f.wait, "wait", 15*time.Second, "how long to wait for gateways")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	commands := map[string]func(context.Context, []string) error{
		"offline": f.atTheBroker(f.offline), "wrong": f.atTheBroker(f.wrong),
		"clear": f.clear, "seals": f.atTheBroker(f.seals),
		"publish": f.atTheBroker(f.publish), "documents": f.atTheBroker(f.documents),
		"list": f.list, "add": f.add, "change": f.change, "remove": f.removeOffice,
		"holiday": f.holiday, "period": f.period, "day": f.day,
	}
	command, there := commands[flags.Arg(0)]
	if !there {
		return usageError{fmt.Errorf("fleet has no command %q", flags.Arg(0))}
	}
	return command(ctx, flags.Args()[1:])
}

// atTheBroker connects, and lets a command look at the gateways that it names; without
// any, at all of the list.
func (f *fleet) atTheBroker(do func(context.Context, *city.Desk, []city.Office) error) func(context.Context, []string) error {
	return func(ctx context.Context, ids []string) error {
		list, err := city.ReadOffices(f.offices)
		if err != nil {
			return err
		}
		offices := list.Offices()
		for _, id := range ids {
			if _, there := list.Find(id); !there {
				return usageError{errors.New(f.say("%s is not in %s: gatewayd-city add", "%s tidak ada di %s: gatewayd-city add", id, f.offices))}
			}
		}
		if len(ids) > 0 {
			offices = slices.DeleteFunc(offices, func(o city.Office) bool { return !slices.Contains(ids, o.ID) })
		}
		if len(offices) == 0 {
			return errors.New(f.say("%s has no office yet: gatewayd-city add", "%s belum memuat kantor: gatewayd-city add", f.offices))
		}
		config, err := city.TLSConfig(f.ca, f.cert, f.key)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, f.wait+time.Minute)
		defer cancel()
		desk, err := city.Sit(ctx, f.broker, config)
		if err != nil {
			return err
		}
		defer desk.Leave()
		// All that the broker keeps of gateways, so that clear leaves none of it behind.
		if err := desk.Listen(ctx, "+/+/status", "+/+/info", "+/+/health", "+/+/alert/+", "+/+/reply/report"); err != nil {
			return err
		}
		if err := f.sayAway(desk); err != nil {
			return err
		}
		if err := do(ctx, desk, offices); err != nil || len(desk.Away()) == 0 {
			return err
		}
		return errNotWell
	}
}

// sayAway says which of several brokers could not be reached: what is published does not
// get there.
func (f *fleet) sayAway(desk *city.Desk) error {
	for _, why := range desk.Away() {
		if err := f.print(f.say("%v: do this again once it is back", "%v: ulangi perintah ini setelah broker itu hidup lagi", why)); err != nil {
			return err
		}
	}
	return nil
}

// print prints a line.
func (f *fleet) print(line string) error {
	if _, err := fmt.Fprintln(f.out, line); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// since is an instant as people read it, with the offset of who said it.
func since(t time.Time) string { return t.Format("2006-01-02 15:04") }
