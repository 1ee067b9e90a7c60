package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"periph.io/x/conn/v3/gpio"

	"presence/config"
	"presence/drivers/bus"
	"presence/drivers/card"
	"presence/drivers/lamp"
	"presence/drivers/pi"
	"presence/drivers/serial"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/signed"
	"presence/gatewayd/internal/sim"
	"presence/gatewayd/internal/staff"
	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/tags"
	"presence/gatewayd/internal/uplink"
)

// Gateway is one running gateway: all rooms, wired.
type Gateway struct {
	cfg     *config.Config
	log     *slog.Logger
	origin  presence.Origin
	session presence.ID
	around  surroundings

	clock    *clock.Clock
	simClock *clock.Sim    // nil: the clock is real
	hardware *sim.Hardware // nil: the hardware is real

	socket  net.Listener
	journal *journal.Journal
	outages *outage.Log

	silence           *health.Silence // of the readers
	gates             alerts.Gates    // of the alerts that come from numbers of the rooms
	outagesUnsaved    bool            // as last said in the log
	lamp              *lamp.Lamp
	lampFault         error
	fenceFault        error // why there is no fence although one is configured
	door              *door.Door
	tags              *tags.Tags
	roster            *roster.Roster   // who carries which tag
	rosterFile        *roster.Follower // nil: none is configured
	hours             *hours.Policy    // when tag data may be recorded
	signed            documents        // what the city sends of the two
	staff             *staff.Staff     // nil: this gateway cannot tell who is where
	uplink            *uplink.Uplink
	monitor           *health.Monitor
	watchers          hub
	board             pi.Board
	power             *pi.Power
	papers            certificates
	brokerCertificate brokerCertificate
	systemd           *supervise.Systemd // nil: nobody watches
	crew              *supervise.Crew
	ready             chan struct{} // closed when every task has worked
	reloading         atomic.Bool   // it ends, and another takes its place
}

// Extras are what only some gateways have.
type Extras struct {
	Systemd *supervise.Systemd    // told how the process is; nil in a demonstration
	Observe func(presence.Answer) // is told of every tap's outcome
	Line    uplink.Limits         // how patient the uplink is
	socket  net.Listener          // of the daemon before, whose place this one takes; nil: there was none
	beside  bool                  // another daemon runs, and goes on where this one's journal cannot be opened
	around  surroundings
}

// surroundings are what a gateway finds around itself. What is not set is that of
// the machine that the process runs on; a life in virtual time brings its own.
type surroundings struct {
	clock  clock.Source
	board  string // where the files of the system are: "/"
	listen func(stateDir string) (net.Listener, error)
	reader func(context.Context, config.Reader) (card.Reader, error)
	port   func(context.Context, config.Receiver) (io.ReadCloser, error)
	dial   func(context.Context) (net.Conn, error)
}

// New opens everything that must be there. Hardware need not be: a
// missing reader or receiver heals when it appears.
func New(cfg *config.Config, log *slog.Logger, with Extras) (*Gateway, error) {
	toCity := newCityLog(log.Handler())
	d := &Gateway{
		cfg: cfg, log: slog.New(toCity), around: with.around, systemd: with.Systemd,
		board:   pi.Board{Root: cmp.Or(with.around.board, "/")},
		origin:  configured.Origin(cfg),
		session: presence.ID(uuid.New()),
		ready:   make(chan struct{}),
	}
	d.crew = supervise.NewCrew(d.log, d.systemd)
	// A disk that takes nothing has no place for the socket either: then there is
	// none until the journal can be opened.
	unwritable := os.MkdirAll(cfg.Gateway.StateDir, 0o750)
	var err error
	listen := control.Listen
	if with.around.listen != nil {
		listen = with.around.listen
	}
	switch {
	case with.socket != nil:
		d.socket = with.socket
	case unwritable == nil:
		if d.socket, unwritable = listen(cfg.Gateway.StateDir); errors.Is(unwritable, control.ErrRunning) {
			return nil, unwritable
		}
	}
	err = d.build(with, log)
	if err == nil && d.journal.Refused() == nil {
		err = unwritable
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	toCity.tap.attach(d.now, d.uplink.Log)
	return d, nil
}

// close gives back what New took, the journal last.
func (d *Gateway) close() error {
	var errs []error
	if d.socket != nil {
		if err := d.socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close control socket: %w", err))
		}
	}
	if d.journal != nil {
		d.closeOutages()
		errs = append(errs, d.journal.Close())
	}
	return errors.Join(errs...)
}

// build makes the rooms from left to right: clock, journal, lamp, door and
// tags, uplink, health. The uplink's own log stays here: what the line suffers
// cannot be told over the line, and health tells it afterwards.
func (d *Gateway) build(with Extras, local *slog.Logger) error {
	if err := d.openClock(); err != nil {
		return err
	}
	if d.cfg.Simulated() {
		d.hardware = sim.New()
	}
	if err := d.openJournal(with.beside); err != nil {
		return err
	}
	if err := d.recallTime(); err != nil {
		return err
	}
	d.openOutages()
	d.openLamp()
	d.openRoster()
	d.openHours()
	d.door = door.New(door.Options{
		RepeatWindow: d.cfg.Badges.RepeatWindow,
		Badges:       configured.Badges(d.cfg),
		Journal:      d.journal,
		Lamp:         signals{d.lamp},
		Trouble:      d.lamp.Trouble,
		Refusing:     d.journal.Refusing,
		Now:          d.clock.Now,
		Simulated:    d.cfg.Simulated(),
		Observe: func(a presence.Answer) {
			if d.hardware != nil {
				d.hardware.Observe(a)
			}
			d.watchers.tap(d.now(), a)
			if with.Observe != nil {
				with.Observe(a)
			}
		},
		Check:  d.tagCheck,
		Sights: d.journal,
		Log:    d.log,
	}, names(d.cfg.Readers, func(r config.Reader) string { return r.Name })...)
	d.tags = d.newTags()
	if err := d.door.Recall(); err != nil {
		d.log.Warn("a badge that lay on a reader at the stop may be recorded again", "error", err)
	}
	if err := d.journal.Tail(func(e presence.Entry) bool {
		atDoor, inAir := d.door.Remember(e), d.tags.Remember(e)
		return atDoor || inAir
	}); err != nil {
		return err
	}
	d.recallCards()
	d.staff = d.newStaff()
	d.papers = newCertificates(d.cfg.MQTT)
	d.uplink = d.newUplink(with.Line, local)
	d.power = pi.NewPower(d.board)
	d.monitor = d.newMonitor()
	return nil
}

// openJournal opens the journal. Where the disk does not let it, the gateway
// runs all the same: the door is red and says why, and so does an alert. One that
// is opened beside another does not: the other records better.
func (d *Gateway) openJournal(beside bool) error {
	opt := configured.Journal(d.cfg, d.clock.Now, d.log)
	opt.Age, opt.Learned = d.clock.Age, d.clock.Changed
	opt.Beat = d.systemd.Pulse("journal").Beat
	opt.Rescue = d.rescue()
	var err error
	if d.journal, err = journal.Open(opt); err == nil || beside || errors.Is(err, journal.ErrHeld) {
		return err
	}
	d.log.Error("nothing can be recorded until the journal can be opened", "error", err)
	d.journal, err = journal.Refuse(opt, err)
	return err
}

// rescuePatience is how long the service manager is to wait from each sign of
// progress of a rescue: one step is short, but a bad place on a card may be read
// for a long time.
const rescuePatience = 2 * time.Minute

// rescue sees to it that a damaged journal can be replaced in peace: the service
// manager waits, and the heap is as large as it has to be. Under the limit of
// every day the time would go into collecting garbage that is none.
func (d *Gateway) rescue() func(done float64) {
	limit := int64(-1)
	opening := d.systemd.Pulse("opening")
	return func(done float64) {
		switch {
		case done >= 1:
			debug.SetMemoryLimit(limit)
			debug.FreeOSMemory()
			opening.Beat(openPatience) // the rest is not done yet
			return
		case done == 0:
			limit = debug.SetMemoryLimit(math.MaxInt64)
		}
		d.systemd.Extend(rescuePatience)
		opening.Beat(rescuePatience)
	}
}

// errOpens means that a journal which could not be opened can be by now.
var errOpens = errors.New("the journal can be opened again")

// awaitDisk waits until the journal can be opened. A gateway that starts over is
// then as it should have been.
func (d *Gateway) awaitDisk(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: 15 * time.Second}
	for backoff.Sleep(ctx, wait.Next()) {
		if journal.Writable(configured.JournalPath(d.cfg)) == nil {
			return supervise.Fatal(errOpens)
		}
	}
	return ctx.Err()
}

func (d *Gateway) openClock() error {
	var source clock.Source
	var err error
	switch {
	case d.around.clock != nil:
		source = d.around.clock
	case d.cfg.Clock.Source == "sim":
		d.simClock, err = clock.NewSim()
		source = d.simClock
	case d.cfg.Clock.Source == "trust":
		source, err = clock.NewTrusted()
	default:
		source, err = clock.NewKernel()
	}
	if err != nil {
		return err
	}
	d.clock = clock.New(source)
	return nil
}

// recallTime lets the clock know what earlier boots knew. Without that it knows
// less of their events' times, which is no reason to record nothing.
func (d *Gateway) recallTime() error {
	if err := d.clock.Attach(d.journal); err != nil {
		d.log.Warn("what was known of earlier boots' times is lost", "error", err)
	}
	return d.clock.Recall(d.journal.Tail)
}

// now prints the present time as the documents do, nil while it is unknown.
func (d *Gateway) now() *string {
	t := d.clock.Timing(d.clock.Now())
	if !t.Within(presence.Roughly) {
		return nil
	}
	s := t.Time.In(d.origin.Location).Format(presence.TimeLayout)
	return &s
}

// openLamp takes the pins that are there. A lamp that cannot be lit is no
// reason to record nothing: it becomes an alert.
func (d *Gateway) openLamp() {
	pin := func(name string) gpio.PinOut {
		if name == "" {
			return nil
		}
		p, err := bus.Pin(name)
		if err != nil {
			d.lampFault = errors.Join(d.lampFault, err)
			return nil
		}
		return p
	}
	f := d.cfg.Feedback
	d.lamp = lamp.New(lamp.Pins{Green: pin(f.Green), Red: pin(f.Red), Buzzer: pin(f.Buzzer)}, d.log)
	if d.lampFault != nil {
		d.log.Error("the lamp is not complete", "error", d.lampFault)
	}
}

func (d *Gateway) newTags() *tags.Tags {
	t := d.cfg.Tags
	var fence *tags.Fence
	if fence, d.fenceFault = configured.Fence(d.cfg.Office); d.fenceFault != nil {
		d.log.Error("there is no fence until its file is right and the gateway is reloaded", "error", d.fenceFault)
	}
	return tags.New(tags.Options{
		MinInterval: t.MinInterval, MinMove: t.MinMoveM, Heartbeat: t.Heartbeat,
		Coordinates: tags.Coordinates(t.Coordinates),
		Fence:       fence,
		Always:      d.hours.Always,
		Open:        d.hours.Open,
		Now:         d.clock.Now,
		Timing:      d.clock.Proven,
		Journal:     d.journal,
		Simulated:   d.cfg.Simulated(),
		Log:         d.log,
	}, names(d.cfg.Receivers, func(r config.Receiver) string { return r.Name })...)
}

// tagCheck tells where the tag is of who showed a badge.
func (d *Gateway) tagCheck(badge string, seen presence.Reading) *presence.TagCheck {
	tag, ok := d.roster.TagOf(badge)
	if !ok {
		return nil
	}
	return d.tags.Check(tag, seen)
}

func names[T any](all []T, name func(T) string) []string {
	var list []string
	for _, one := range all {
		list = append(list, name(one))
	}
	return list
}

func (d *Gateway) newUplink(limits uplink.Limits, log *slog.Logger) *uplink.Uplink {
	o := configured.Line(d.cfg)
	o.Session = d.session
	o.Journal = d.journal
	o.Times = d.clock
	o.Now = d.clock.Now
	o.NotBefore = d.clock.NotBefore
	o.CertTime = func() time.Time {
		return certTime(d.clock.CertTime(), d.clock.NotBefore(), build.Time())
	}
	if d.cfg.Clock.Source != "trust" {
		o.Anchor = func(at presence.Reading, utc time.Time, within time.Duration) {
			d.clock.AddAnchor(d.cityClock(), at, utc, within)
		}
	}
	if key := d.cfg.City.Key; key != nil {
		o.City = signed.City{Key: key, Dinas: d.cfg.Gateway.Dinas, Gateway: d.cfg.Gateway.ID}
	}
	o.CityTime = func() (from, to time.Time) { return build.Time(), d.papers.caEnd() }
	o.BrokerCertificate = d.brokerCertificate.note
	o.Commands = d.commands()
	o.Documents = d.signed.topics()
	o.Log = log
	o.Restate = d.cfg.Health.Interval
	o.Greeted = func() { d.monitor.Refresh() }
	o.Beat = d.systemd.Pulse("uplink").Beat
	o.Limits = limits
	o.Dial = d.around.dial
	return uplink.New(o)
}

// cityClock is what the city's clock is as a source: it counts for working hours
// only where the city can show that it is the city.
func (d *Gateway) cityClock() string {
	if d.cfg.City.Key != nil {
		return clock.SourceCity
	}
	return clock.SourceBroker
}

// commands are what the city may ask of a gateway.
func (d *Gateway) commands() map[string]uplink.CommandFunc {
	return map[string]uplink.CommandFunc{
		"ping": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`{"pong":true}`), nil
		},
		"report": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.Marshal(d.monitor.Snapshot())
		},
		"identify": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			if !d.lamp.Identify() {
				return nil, errors.New("the lamp shows it at most once in 10 s")
			}
			return json.RawMessage(`{}`), nil
		},
	}
}

func (d *Gateway) newMonitor() *health.Monitor {
	j := d.journal.Stats()
	return health.New(health.Options{
		Interval: d.cfg.Health.Interval, Simulated: d.cfg.Simulated(),
		Boot: d.clock.Now().Boot, Boots: j.Boots, Unclean: j.UncleanBoots,
		Time: d.now, Now: d.clock.Now, Timing: d.clock.Timing, Location: d.origin.Location,
		Retain: d.uplink.Retain,
		Beat:   d.systemd.Pulse("health").Beat, Watch: d.noteOutages,
		Sources: health.Sources{
			Clock:      d.clockHealth,
			Journal:    d.journalHealth,
			MQTT:       d.uplink.Stats,
			Readers:    d.door.Health,
			Receivers:  d.tags.Health,
			Roster:     d.rosterHealth,
			Hours:      d.hoursHealth,
			Pi:         d.piHealth,
			Conditions: d.conditions,
		},
	})
}

// Run runs the gateway until the context ends (no error) or it cannot go on. It
// is ready when each task has passed its first turn: a reader or a broker that is
// missing, or a journal that cannot be opened, keeps nobody from that.
//
// It stops from left to right: first nothing more comes in, then what came in
// goes to the disk and, as far as the line allows, to the city; then the city
// is told goodbye. All that together has the time of farewell.
func (d *Gateway) Run(ctx context.Context) error {
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()

	d.uplink.Retain("info", d.info())
	serving, taking := d.services(), d.intake()
	bye := newFarewell()
	served := make(chan error, 1)
	go func() {
		served <- d.crew.Run(services, bye.left(servicesOver), serving...)
		stopIntake()
	}()
	var starting sync.WaitGroup
	starting.Go(func() {
		if !d.crew.Await(intake, slices.Concat(serving, taking)...) {
			return
		}
		d.log.Info("gateway is ready", "gateway", d.origin.Gateway, "version", build.Version(), "stream", d.journal.Stream().String())
		close(d.ready)
		d.systemd.Ready()
	})
	taken := d.crew.Run(intake, bye.left(intakeOver), taking...)
	stopIntake()
	starting.Wait()

	d.handOver(services, min(handOverFor, bye.left(handedOver)()))
	stopServices()
	return errors.Join(taken, <-served, d.closeWithin(bye.left(allOver)()))
}

// A stop may take 5 s, whatever hangs. Its parts come one after the other and
// share that time, less what a busy machine needs: each may last until so long
// after the stop began, and what one does not need the next ones have.
const (
	intakeOver   = 2100 * time.Millisecond // a tap that is being recorded has 2 s
	handedOver   = 2500 * time.Millisecond
	servicesOver = 3700 * time.Millisecond
	allOver      = 4200 * time.Millisecond

	// handOverFor is how long the line has at most to take what waits.
	handOverFor = 1500 * time.Millisecond

	// leastLeft is what a part has that comes late all the same. When a service
	// fails, the parts do not come in this order.
	leastLeft = 300 * time.Millisecond
)

// leave says, before the end of run, that another gateway takes the place of this
// one.
func (d *Gateway) leave() {
	d.reloading.Store(true)
	d.uplink.Leave(presence.ReasonReload)
}

// isReady reports whether every task has worked.
func (d *Gateway) isReady() bool {
	select {
	case <-d.ready:
		return true
	default:
		return false
	}
}

// farewell is a stop, from the moment on when the first part asks for its time.
type farewell struct{ began func() time.Time }

func newFarewell() farewell { return farewell{sync.OnceValue(time.Now)} }

// left says, when it is called, how much time is left until so long after the
// beginning of the stop.
func (f farewell) left(until time.Duration) func() time.Duration {
	return func() time.Duration { return max(until-time.Since(f.began()), leastLeft) }
}

// handOver brings what came in to the disk and gives the line a moment to take
// what waits; what it does not take stays in the journal.
func (d *Gateway) handOver(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := d.journal.Flush(ctx); err != nil && d.journal.Refused() == nil {
		d.log.Error("not everything reached the disk", "error", err)
		return
	}
	if d.uplink.Stats().Connected {
		d.uplink.Drained(ctx)
	}
}

// errUnclosed means that the disk did not take the journal's end in time.
var errUnclosed = errors.New("the journal could not be closed in time")

// closeWithin closes the gateway, or leaves to the process's end what the disk
// keeps it from.
func (d *Gateway) closeWithin(bound time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- d.close() }()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return errUnclosed
	}
}

// services are the tasks that outlive the intake.
func (d *Gateway) services() []supervise.Task {
	tasks := []supervise.Task{
		{Name: "journal", Run: func(ctx context.Context) error {
			if d.journal.Refused() != nil {
				return d.awaitDisk(ctx)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-d.journal.Failed():
				return supervise.Fatal(d.journal.Err())
			}
		}},
		{Name: "clock", Run: d.clock.Run},
		{Name: "lamp", Run: d.lamp.Run},
		{Name: "power", Run: d.power.Run},
		{Name: "uplink", Run: d.uplink.Run, Pulse: d.systemd.Pulse("uplink")},
		{Name: "health", Run: d.monitor.Run, Pulse: d.systemd.Pulse("health")},
	}
	if d.socket != nil {
		tasks = append(tasks, supervise.Task{Name: "control", Run: func(ctx context.Context) error {
			err := control.Serve(ctx, d.socket, control.Handler(d.control()), d.log)
			if ctx.Err() == nil {
				// The socket is closed now and cannot be served again.
				return supervise.Fatal(err)
			}
			return err
		}})
	}
	if d.rosterFile != nil {
		tasks = append(tasks, supervise.Task{Name: "roster file", Run: d.rosterFile.Run})
	}
	return tasks
}

// intake are the tasks that take in taps and fixes, and say what they mean.
func (d *Gateway) intake() []supervise.Task {
	var tasks []supervise.Task
	for _, r := range d.cfg.Readers {
		open := d.openReader(r)
		pulse := d.systemd.Pulse("reader " + r.Name)
		tasks = append(tasks, supervise.Task{
			Name: "reader " + r.Name, Pulse: pulse,
			Run: func(ctx context.Context) error {
				return d.door.Run(ctx, door.Reader{Name: r.Name, Poll: r.Poll, Open: open, Beat: pulse.Beat})
			},
			Failed: func(err error) { d.door.Fault(r.Name, taskDied(err)) },
		})
	}
	if len(d.cfg.Receivers) > 0 {
		tasks = append(tasks, supervise.Task{Name: "held tags", Run: d.tags.Release})
	}
	if d.staff != nil {
		tasks = append(tasks, supervise.Task{Name: "staff", Run: d.staff.Run})
	}
	for _, r := range d.cfg.Receivers {
		pulse := d.systemd.Pulse("receiver " + r.Name)
		tasks = append(tasks, supervise.Task{
			Name: "receiver " + r.Name, Pulse: pulse,
			Run: func(ctx context.Context) error {
				return d.tags.Run(ctx, tags.Receiver{
					Name: r.Name, Protocol: r.Protocol, Beat: pulse.Beat,
					Open: func(ctx context.Context) (io.ReadCloser, error) {
						if d.around.port != nil {
							return d.around.port(ctx, r)
						}
						return serial.Open(serial.Config{Port: r.Port, Baud: r.Baud})
					},
				})
			},
			Failed: func(err error) { d.tags.Fault(r.Name, taskDied(err)) },
		})
	}
	return tasks
}

// openReader says how a reader is opened: over the real bus, or over a mocked
// chip that lives as long as the daemon.
func (d *Gateway) openReader(r config.Reader) func(context.Context) (card.Reader, error) {
	if d.around.reader != nil {
		return func(ctx context.Context) (card.Reader, error) { return d.around.reader(ctx, r) }
	}
	open := func() (configured.Chip, error) { return configured.OpenChip(r, d.log) }
	if r.Bus == config.SimBus {
		open = configured.MockReader(d.hardware, r, d.log)
	}
	return func(context.Context) (card.Reader, error) {
		chip, err := open()
		if err != nil {
			return nil, err // and no reader that is a nil chip
		}
		return chip, nil
	}
}

// info says what this gateway is.
func (d *Gateway) info() []byte {
	i := presence.Info{
		V: 1, Gateway: d.origin.Gateway, Dinas: d.origin.Dinas,
		Version: build.Version(), Commit: build.Commit(), Go: runtime.Version(),
		Model: d.board.Model(), OS: d.board.OS(), Kernel: d.board.Kernel(),
		Boot: d.clock.Now().Boot, Session: d.session, Stream: d.journal.Stream(),
		ConfigDigest: d.cfg.Digest, Schema: 1, Simulated: d.cfg.Simulated(),
		Readers: []presence.InfoReader{}, Receivers: []presence.InfoReceiver{},
	}
	for _, r := range d.cfg.Readers {
		i.Readers = append(i.Readers, presence.InfoReader{Name: r.Name, Chip: r.Chip, Bus: r.Bus})
	}
	for _, r := range d.cfg.Receivers {
		i.Receivers = append(i.Receivers, presence.InfoReceiver{Name: r.Name, Protocol: r.Protocol, Port: r.Port})
	}
	b, err := json.Marshal(i)
	if err != nil {
		panic("encode info: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

// signals shows the door's answers on the lamp.
type signals struct{ lamp *lamp.Lamp }

// Show implements door.Lamp.
func (s signals) Show(o presence.Outcome) {
	switch o {
	case presence.Accepted:
		s.lamp.Show(lamp.Accepted)
	case presence.Repeat:
		s.lamp.Show(lamp.Repeat)
	case presence.Refused:
		s.lamp.Show(lamp.Refused)
	}
}

// Tap puts cards into the field of a mocked reader, and passes each answer on. It
// fails in a gateway whose configuration has no reader with bus = "sim".
func (d *Gateway) Tap(ctx context.Context, t sim.Tap, each func(sim.Result)) error {
	if d.hardware == nil {
		return errors.New("tap: the hardware of this gateway is real")
	}
	return d.hardware.Run(ctx, t, each)
}

// Drained waits until all that is recorded has been delivered, or the context ends.
func (d *Gateway) Drained(ctx context.Context) { d.uplink.Drained(ctx) }

// Pending is how many recorded events have not been delivered yet.
func (d *Gateway) Pending() int64 { return d.journal.Stats().Pending }

// silentReaders are the readers that have seen no card for too long.
func (d *Gateway) silentReaders() []alerts.Alert {
	return d.silence.Alerts(d.clock.Now(), d.door.Health())
}

// maxRecalled is how many records are looked at for the last card of each reader.
const maxRecalled = 20_000

// recallCards reads from the journal when each reader last saw a card.
func (d *Gateway) recallCards() {
	d.silence = health.NewSilence(health.SilenceOptions{Open: d.hours.Open, Always: d.hours.Always, Timing: d.clock.Timing})
	missing := make(map[string]bool)
	for _, r := range d.cfg.Readers {
		missing[r.Name] = true
	}
	looked := 0
	err := d.journal.Tail(func(e presence.Entry) bool {
		if e.Badge != nil && missing[e.Badge.Reader] {
			d.silence.Recall(e.Badge.Reader, e.At)
			delete(missing, e.Badge.Reader)
		}
		looked++
		return len(missing) > 0 && looked < maxRecalled
	})
	if err != nil {
		d.log.Warn("nobody knows when the readers saw their last card", "error", err)
	}
}
