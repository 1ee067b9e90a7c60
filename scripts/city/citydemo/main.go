// Command citydemo shows the city's end of the road on one machine: PostgreSQL, mosquitto,
// the recorder and twenty real gateways, a morning on which things go wrong, and what the
// city can ask its database afterwards. `make city-demo` builds and runs it. It leaves
// nothing running and nothing behind. The exit status is 0 only if every event is in the
// database once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // a small machine may have none

	"github.com/jackc/pgx/v5"
)

func main() {
	programs := flag.String("programs", "bin/city-demo", "folder with gatewayd and recorder")
	keep := flag.Bool("keep", false, "keep the folder with everybody's logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	err := run(ctx, *programs, *keep, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "city-demo:", err)
		os.Exit(1)
	}
}

// errNotWhole means that the database lacks something, which was said already.
var errNotWhole = errors.New("not everything is in the database once")

func run(ctx context.Context, programs string, keep bool, out io.Writer) (err error) {
	if programs, err = filepath.Abs(programs); err != nil {
		return err
	}
	// Short, as the path of a control socket has at most 107 bytes; and open to the user
	// that PostgreSQL runs as.
	dir, err := os.MkdirTemp("", "city-demo-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if keep {
		fmt.Fprintln(out, "Logs are kept in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	m := &machine{dir: dir}
	defer m.stop()
	fmt.Fprintln(out, "A morning in a small city, on this machine. It takes about two minutes.")
	if err := m.startDatabase(ctx); err != nil {
		return err
	}
	if err := m.startBroker(ctx); err != nil {
		return err
	}
	if err := m.startRecorder(ctx, filepath.Join(programs, "recorder")); err != nil {
		return err
	}
	fmt.Fprintln(out, "PostgreSQL keeps the events, mosquitto carries them, the recorder stores and\nconfirms them.")
	return demo(ctx, m, filepath.Join(programs, "gatewayd"), out)
}

// demo runs the gateways, the morning and the report beside what the city runs.
func demo(ctx context.Context, m *machine, gatewayd string, out io.Writer) error {
	conn, err := pgx.Connect(ctx, m.connection)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	zone, opens, err := workingDay(time.Now())
	if err != nil {
		return err
	}
	t := newTown(zone, opens)
	defer t.close()
	if err := t.startGateways(ctx, m.dir, gatewayd, m.url()); err != nil {
		return err
	}
	t.opens = soonest(time.Now()).In(zone) // starting them took a while
	t.plan()
	if err := t.load(ctx, conn); err != nil {
		return fmt.Errorf("load the town: %w", err)
	}
	fmt.Fprintf(out, "%d gateways run: the real gatewayd, with simulated readers and radios. %d people\nwork at them. Their day begins at %s (%s).\n\n",
		len(t.offices), len(t.offices)*peopleEach, t.opens.Format("15:04:05"), zone)
	say := func(format string, a ...any) {
		fmt.Fprintf(out, "%s  %s\n", time.Now().In(zone).Format("15:04:05"), fmt.Sprintf(format, a...))
	}
	if err := t.live(ctx, m, say); err != nil {
		return err
	}
	events, err := t.awaitConfirmed(ctx)
	if err != nil {
		return err
	}
	say("everybody is in, and the city has confirmed every event")
	if err := t.report(ctx, conn, out); err != nil {
		return err
	}
	p, err := t.prove(ctx, conn, events)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe gateways recorded %d events, and the database has %d. The lamp at a door was\ngreen for %d taps, of which %d are not in the database.\n", p.events, p.rows, p.taps, p.tapsMissing)
	fmt.Fprintf(out, "city-demo: gateways=%d taps=%d events=%d rows=%d holes=%d lost=%d doubled=%d\n",
		len(t.offices), p.taps, p.events, p.rows, p.missing, p.tapsMissing, p.doubled)
	if !p.whole() {
		return errNotWhole
	}
	return nil
}

// toStart is how long before the day begins the first people come, and some more.
const toStart = 30 * time.Second

// soonest is the next full minute that leaves people the time to come before it: hours are
// given in minutes.
func soonest(now time.Time) time.Time {
	return now.Add(toStart + time.Minute - time.Nanosecond).Truncate(time.Minute)
}

// workingDay is a time zone of Indonesia in which it is not midnight soon, and when the
// working day begins there.
func workingDay(now time.Time) (*time.Location, time.Time, error) {
	for _, name := range []string{"Asia/Jakarta", "Asia/Jayapura"} { // UTC+7 and UTC+9
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, time.Time{}, err
		}
		opens := soonest(now).In(zone)
		if opens.Add(15*time.Minute).Day() == opens.Day() && now.In(zone).Add(-time.Hour).Day() == opens.Day() {
			return zone, opens, nil
		}
	}
	return nil, time.Time{}, errors.New("no time zone of Indonesia in which it is not midnight soon")
}
