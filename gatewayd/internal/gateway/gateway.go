package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/google/uuid"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/pi"
	"presence/gatewayd/internal/citylog"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/uplink"
)

// Gateway is one running gateway: all rooms, wired. The parts are in the order in
// which the data passes them.
type Gateway struct {
	cfg     *config.Config
	log     *slog.Logger // warnings and errors go to the city too
	origin  presence.Origin
	session presence.ID
	around  surroundings
	mocks   *sim.Hardware // nil: the hardware is real
	process process

	time      timekeeping
	seal      sealSide
	journal   *journal.Journal
	foreign   foreignJournal // zero: none was found
	outages   outages
	documents documents
	badges    badgeSide
	door      doorSide
	tags      tagSide
	line      cityLine
	heads     *heads
	waiting   waitingEvents
	board     board
	monitor   *health.Monitor

	socket    net.Listener // the control socket; nil where the disk had no place for one
	watchers  hub
	recorders recorders
}

// Options are what a gateway needs beside its configuration. The zero value is good
// for a gateway that nobody watches.
type Options struct {
	Systemd *supervise.Systemd    // is told how the process is; nil in a demonstration
	Observe func(presence.Answer) // is told of every tap's outcome
	Line    uplink.Limits         // how patient the uplink is

	// Of a gateway that takes another one's place: the other's control socket, and
	// whether the other still runs. It then goes on if this one's journal cannot be
	// opened.
	socket net.Listener
	beside bool

	around surroundings
}

// surroundings are what a gateway finds around itself. What is not set is that of
// the machine that the process runs on; a test in virtual time brings its own.
type surroundings struct {
	clock  clock.Source
	board  string // where the files of the system are: "/"
	listen func(stateDir string) (net.Listener, error)
	reader func(context.Context, config.Reader) (card.Reader, error)
	port   func(context.Context, config.Receiver) (io.ReadCloser, error)
	dial   func(context.Context) (net.Conn, error)
}

// New opens everything that must be there. Hardware need not be: a missing reader or
// receiver is opened when it appears. Whoever does not call Run calls Close.
func New(cfg *config.Config, log *slog.Logger, opt Options) (*Gateway, error) {
	toCity := citylog.New(log.Handler())
	g := &Gateway{
		cfg: cfg, log: slog.New(toCity), around: opt.around,
		origin:  configured.Origin(cfg),
		session: presence.ID(uuid.New()),
		process: process{systemd: opt.Systemd, ready: make(chan struct{})},
		board:   board{Board: pi.Board{Root: cmp.Or(opt.around.board, "/")}},
	}
	g.process.crew = supervise.NewCrew(g.log, opt.Systemd)
	// A disk that takes nothing has no place for the socket either: then there is
	// none until the journal can be opened.
	unwritable := g.openSocket(opt.socket)
	if errors.Is(unwritable, control.ErrRunning) {
		return nil, unwritable
	}
	err := g.open(opt, log)
	if err == nil && g.journal.Refused() == nil {
		err = unwritable
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	toCity.Attach(g.time.stamp, g.line.Log)
	return g, nil
}

// openSocket makes the state directory, takes away what an earlier version left readable
// in it, and listens on the control socket in it. A
// socket that another gateway hands over is served instead of a new one.
func (g *Gateway) openSocket(inherited net.Listener) error {
	err := os.MkdirAll(g.cfg.Gateway.StateDir, 0o750)
	export.CloseToOthers(g.cfg.Gateway.StateDir)
	if inherited != nil {
		g.socket = inherited
		return err
	}
	if err != nil {
		return err
	}
	listen := control.Listen
	if g.around.listen != nil {
		listen = g.around.listen
	}
	g.socket, err = listen(g.cfg.Gateway.StateDir)
	return err
}

// open makes the rooms from left to right: clock, journal, documents, badges, door and
// tags, line, health. The line's own log stays on this machine: what the line suffers
// cannot be told over the line, and health tells it afterwards.
func (g *Gateway) open(opt Options, local *slog.Logger) error {
	if err := g.openClock(); err != nil {
		return err
	}
	if g.cfg.Simulated() {
		g.mocks = sim.New()
	}
	g.openSeal()
	if err := g.openJournal(opt.beside); err != nil {
		return err
	}
	g.recallSealKey()
	if err := g.recallTime(); err != nil {
		return err
	}
	g.openOutages()
	g.openFence()
	g.openRoster()
	g.openHours()
	g.openBadges()
	g.openDoor(opt.Observe)
	g.openTags()
	if err := g.recall(); err != nil {
		return err
	}
	g.openStaff()
	g.heads = newHeads(g.journal, g.log, func() { g.monitor.Refresh() })
	g.openLine(opt.Line, local)
	g.board.power = pi.NewPower(g.board.Board)
	g.openMonitor()
	return nil
}

// recall reads the end of the journal, so that a restart forgets neither which
// badges lie on a reader nor which tags were heard.
func (g *Gateway) recall() error {
	if err := g.door.Recall(); err != nil {
		g.log.Warn("a badge that lay on a reader at the stop may be recorded again", "error", err)
	}
	if err := g.journal.Tail(func(e presence.Entry) bool {
		atDoor, inAir := g.door.Remember(e), g.tags.Remember(e)
		return atDoor || inAir
	}); err != nil {
		return err
	}
	g.recallCards()
	return nil
}

// Close gives back what New took, the journal last. Run calls it at its end.
func (g *Gateway) Close() error {
	var errs []error
	if g.socket != nil {
		if err := g.socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close control socket: %w", err))
		}
	}
	if g.journal != nil {
		g.closeOutages()
		errs = append(errs, g.journal.Close())
	}
	return errors.Join(errs...)
}

func names[T any](all []T, name func(T) string) []string {
	var list []string
	for _, one := range all {
		list = append(list, name(one))
	}
	return list
}

// Tap puts cards into the field of a mocked reader, and passes each answer on. It
// fails in a gateway whose configuration has no reader with bus = "sim".
func (g *Gateway) Tap(ctx context.Context, t sim.Tap, each func(sim.Result)) error {
	if g.mocks == nil {
		return errors.New("tap: the hardware of this gateway is real")
	}
	return g.mocks.Run(ctx, t, each)
}

// Drained waits until all that is recorded has been delivered, or the context ends.
func (g *Gateway) Drained(ctx context.Context) { g.line.Drained(ctx) }

// Pending is how many recorded events have not been delivered yet.
func (g *Gateway) Pending() int64 { return g.journal.Stats().Pending }
