package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"presence/config"
	"presence/drivers/beacon/beacontest"
	"presence/drivers/card"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/gateway"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
	"presence/gatewayd/internal/uplink"
)

type demoCmd struct {
	For time.Duration `default:"30s" help:"How long the morning takes; 0 goes on with the next morning until it is interrupted."`
}

// shortestMorning is how long the whole story takes at least: people and lines
// cannot be hurried further. In less time fewer people come, perPerson apart,
// and the line stays up.
const (
	shortestMorning = 8 * time.Second
	perPerson       = 500 * time.Millisecond
)

// Run plays an office morning: mocked hardware, everything behind it real.
func (c demoCmd) Run(ctx context.Context, con console) error {
	if c.For < 0 {
		return usageError{fmt.Errorf("--for %s: want 0 or more", c.For)}
	}
	tuneMemory()
	dir, err := os.MkdirTemp("", "gatewayd-demo-")
	if err != nil {
		return fmt.Errorf("make a place for the demo: %w", err)
	}
	defer leaveNothing(dir)()
	defer os.RemoveAll(dir)
	d := &demonstration{stage: stage{out: con.out, ink: inkFor(con.out), started: time.Now()}, dir: dir}
	return d.run(ctx, c.For)
}

// leaveNothing has a demo's folder go also when the demo is not to end in peace: at
// the second signal to stop, when its terminal is closed, or when nobody reads what
// it prints any more. It holds until the returned function is called.
func leaveNothing(dir string) (release func()) {
	asked := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	atOnce := []os.Signal{syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup(1)
		atOnce = append(atOnce, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(asked, atOnce...)...)
	released := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for stops := 0; ; {
			var s os.Signal
			select {
			case s = <-signals:
			case <-released:
				return
			}
			if slices.Contains(asked, s) {
				if stops++; stops < 2 {
					continue
				}
			}
			for range 3 { // the gateway may make a file meanwhile
				if os.RemoveAll(dir) == nil {
					break
				}
			}
			code := exitFailed
			if n, ok := s.(syscall.Signal); ok {
				code = 128 + int(n) // as a shell says it
			}
			os.Exit(code)
		}
	})
	return func() {
		signal.Stop(signals)
		close(released)
		waiting.Wait()
	}
}

// demonstration is the hardware, the gateway and the city of one demo.
type demonstration struct {
	stage
	dir    string
	city   *city
	radio  io.Writer // what the tag receiver hears
	daemon *gateway.Gateway
	cfg    *config.Config

	greenMu sync.Mutex
	green   map[string]bool // ids of the taps that the lamp called accepted
}

func (d *demonstration) run(ctx context.Context, length time.Duration) (err error) {
	d.green = make(map[string]bool)
	if d.city, err = newCity(d.atCity); err != nil {
		return err
	}
	if err := d.city.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.city.close()) }()

	radio, port, err := openRadio()
	if err != nil {
		return err
	}
	defer radio.Close()
	defer port.Close()
	d.radio = radio

	if d.cfg, err = d.configure(port.Name()); err != nil {
		return err
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	if d.daemon, err = gateway.New(d.cfg, quiet, gateway.Extras{Observe: d.atLamp, Line: uplink.Limits{RetryMin: 300 * time.Millisecond, RetryMax: 2 * time.Second}}); err != nil {
		return err
	}
	d.intro(length)

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- d.daemon.Run(running) }()

	for morning := 0; ; morning++ {
		pace := length
		if length == 0 {
			pace = 20 * time.Second
		}
		if err := d.morning(ctx, morning, pace); err != nil && ctx.Err() == nil {
			stop()
			return errors.Join(err, <-done)
		}
		if length != 0 || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() == nil {
		d.say("office", "the morning is over: the gateway hands over what it still has and stops")
		d.awaitDelivery(ctx)
	}
	interrupted := ctx.Err() != nil
	if interrupted {
		d.say("office", "interrupted: the gateway stops")
	}
	stop() // which gives the line a moment, where there is one
	if err := <-done; err != nil {
		return err
	}
	return d.summary(interrupted)
}

// configure writes the configuration that a technician would write, and reads
// it as the daemon does.
func (d *demonstration) configure(port string) (*config.Config, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := os.WriteFile(filepath.Join(d.dir, "badge.key"), []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write badge key: %w", err)
	}
	path := filepath.Join(d.dir, "gatewayd.toml")
	text := fmt.Sprintf(`
[gateway]
id = "demo-01"
dinas = "demo"
state_dir = %q

[[reader]]
name = "door"
bus = "sim"

[[receiver]]
name = "yard"
protocol = "kenwood"
port = %q

[badges]
key_file = "badge.key"
repeat_window = "15s"

[tags]
min_interval = "1s"
heartbeat = "5s"

[hours]
always = true  # the demo runs at any hour

[office]
lat = %v
lon = %v
radius_m = 100

[clock]
source = "trust"

[mqtt]
broker = "tcp://%s"
`, filepath.Join(d.dir, "state"), port, officeLat, officeLon, d.city.address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return config.Load(path)
}

// openRadio makes a pseudo terminal: what is written to the radio comes out of
// the port, as from a receiver on a serial line.
func openRadio() (radio, port *os.File, err error) {
	radio, port, err = pty.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open a pseudo terminal: %w", err)
	}
	// No echo: what the receiver hears must not come back to it.
	t, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err == nil {
		t.Lflag &^= unix.ECHO | unix.ICANON
		t.Oflag &^= unix.OPOST
		err = unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, t)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set up a pseudo terminal: %w", err), radio.Close(), port.Close())
	}
	return radio, port, nil
}

// The office: the town hall of Malang.
const (
	officeLat = -7.9778
	officeLon = 112.6340
)

func (d *demonstration) intro(length time.Duration) {
	d.title("An office morning at gateway demo-01")
	d.text("A mocked badge reader (the real MFRC522 driver over a chip in software), a mocked tag receiver (the real")
	d.text("serial and Kenwood drivers over a pseudo terminal), the real journal, and a real MQTT session to a broker")
	d.text("on " + d.city.address + ". The columns: seconds, who, what. \"city\" is what arrived there.")
	if length == 0 {
		d.text("It goes on until it is interrupted (Ctrl-C).")
	}
	d.text("")
}

// step is one thing that happens, at a part of the morning.
type step struct {
	at float64
	do func(ctx context.Context) error
}

// morning plays the story in the given time.
func (d *demonstration) morning(ctx context.Context, n int, length time.Duration) error {
	tap := func(who string, uids ...string) func(context.Context) error {
		return func(ctx context.Context) error { return d.tap(ctx, n, who, 250*time.Millisecond, uids...) }
	}
	steps := []step{
		{0.03, tap("Sari shows her badge", "04A1B2C3D4E5F6")},
		{0.07, tap("Budi shows his badge, an old one with a short UID", "5A11C0DE")},
		{0.11, tap("Dewi shows her badge", "0487654321ABCD")},
		{0.15, tap("Agus shows his badge", "04C0FFEE123480")},
		{0.19, tap("Rina shows her badge", "E1D2C3B4")},
		{0.23, func(ctx context.Context) error {
			return d.tap(ctx, n, "Joko leaves his badge on the reader for a while: that is one tap", 1500*time.Millisecond, "04112233445566")
		}},
		{0.33, tap("Putri shows her badge", "04DEADBEEF0180")},
		{0.38, tap("Putri is not sure and shows it again: a repeat", "04DEADBEEF0180")},
		{0.43, tap("Made and Wayan hold their badges to the reader together", "047A7B7C7D7E7F", "047A7B7C7D7E70")},
		{0.50, d.lineDown},
		{0.53, tap("Lestari shows her badge; the line is down, the lamp does not care", "04FACE0FF12380")},
		{0.58, tap("Hadi shows his badge", "9C3B1A77")},
		{0.63, tap("Nur shows her badge, one with a long UID", "04010203040506070809")},
		{0.68, tap("Yusuf shows his badge", "0455AA55AA55AA")},
		{0, nil}, // the line comes back: below
		{0.84, tap("Indah shows her badge", "04246813579BDF")},
		{0.88, tap("Bayu shows his badge", "7F00FF10")},
	}
	if length < shortestMorning {
		steps = steps[:min(max(int(length/perPerson), 1), 5)]
		length = max(length, perPerson)
		for i := range steps {
			// The gateway takes a moment to open its reader.
			steps[i].at = (float64(i) + 0.4) * float64(perPerson) / float64(length)
		}
	}
	// The broker is away for five seconds, or for a quarter of a short morning.
	away := min(5*time.Second, length/4)
	back := 0.50 + float64(away)/float64(length)
	for i := range steps {
		if steps[i].do == nil {
			steps[i] = step{back, d.lineUp}
		}
	}

	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	started := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range steps {
		g.Go(func() error {
			if !backoff.Sleep(ctx, time.Duration(s.at*float64(length))-time.Since(started)) {
				return nil
			}
			return s.do(ctx)
		})
	}
	g.Go(func() error { return d.walk(ctx, length) })
	err := g.Wait()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil // the morning was over before somebody was through
	}
	return err
}

// tap puts cards into the field; what the lamp says is shown by atLamp.
func (d *demonstration) tap(ctx context.Context, morning int, who string, hold time.Duration, uids ...string) error {
	t := sim.Tap{Reader: "door", Card: string(card.MifareClassic1K), Hold: hold}
	for _, s := range uids {
		// Other people come the next morning.
		t.UIDs = append(t.UIDs, s[:len(s)-2]+fmt.Sprintf("%02X", (hexByte(s[len(s)-2:])+morning)&0xFF))
	}
	d.say("door", who)
	return d.daemon.Tap(ctx, t, func(r sim.Result) {
		if r.Outcome == "none" {
			d.say("door", d.ink.red("no answer to "+r.UID))
		}
	})
}

func hexByte(s string) int {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 1 {
		return 0
	}
	return int(b[0])
}

// walk lets five people with tags come to the office from the north. One stops
// at the market, 900 m away.
func (d *demonstration) walk(ctx context.Context, length time.Duration) error {
	const walkers = 5
	every := 700 * time.Millisecond
	steps := max(int(length*7/10/every), 1)
	for i := 0; ; i++ {
		for w := range walkers {
			meters := 1200 - 1200*float64(min(i, steps))/float64(steps)
			if w == walkers-1 {
				meters = max(meters, 900)
			}
			// A degree of latitude is 111.2 km.
			lat := officeLat + meters/111_200
			lon := officeLon + float64(w-2)*0.0001
			if _, err := io.WriteString(d.radio, beacontest.PKLDS(100, 1001+w, lat, lon, time.Now())); err != nil {
				return fmt.Errorf("send beacon: %w", err)
			}
		}
		if !backoff.Sleep(ctx, every) {
			return nil
		}
	}
}

func (d *demonstration) lineDown(context.Context) error {
	d.say("line", d.ink.red("the city's broker goes away"))
	return d.city.close()
}

func (d *demonstration) lineUp(context.Context) error {
	d.say("line", d.ink.green("the city's broker is back; what waited arrives when the gateway tries again"))
	return d.city.open()
}

// atLamp is told of every answer of the lamp.
func (d *demonstration) atLamp(a presence.Answer) {
	p := printer{ink: d.ink}
	d.say("lamp", strings.TrimPrefix(p.tap(a, float64(a.Took.Microseconds())/1000), a.Reader+"  "))
	if a.Outcome == presence.Accepted {
		d.greenMu.Lock()
		d.green[fmt.Sprintf("%s-%d", a.Stream, a.Seq)] = true
		d.greenMu.Unlock()
	}
}

// atCity is told of every message that the city gets for the first time.
func (d *demonstration) atCity(topic string, payload []byte) {
	_, rest, _ := strings.Cut(strings.TrimPrefix(topic, "presence/v1/"), "/")
	_, rest, _ = strings.Cut(rest, "/")
	switch {
	case strings.HasPrefix(rest, "event/"):
		if text := (printer{ink: d.ink}).arrived(payload); text != "" {
			d.say("city", text)
		}
	case rest == "status":
		d.say("city", "status "+string(payload))
	}
}

// awaitDelivery gives the line time to take what waits.
func (d *demonstration) awaitDelivery(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	d.daemon.Drained(ctx)
}

// summary compares what went green, what the journal holds and what the city
// has. What an interrupted morning leaves in the journal is not lost: it waits
// there, as on any gateway whose line is down.
func (d *demonstration) summary(interrupted bool) error {
	kinds, ids, again := d.city.received()
	d.greenMu.Lock()
	defer d.greenMu.Unlock()
	kept, err := d.kept()
	if err != nil {
		return err
	}
	lost, missing := 0, 0
	for id := range d.green {
		if ids[id] {
			continue
		}
		missing++
		if !kept[id] {
			lost++
		}
	}
	// More badge events than green taps would be taps that nobody made.
	duplicates := max(kinds["badge"]-(len(d.green)-missing), 0)
	waiting := int(d.daemon.Pending())
	if !interrupted {
		lost += waiting // there was time for all of it
	}
	d.text("")
	d.text(fmt.Sprintf("%d events came twice because the line broke before their acknowledgement, and were recognised by their id.", again))
	if interrupted && waiting > 0 {
		d.text(fmt.Sprintf("%d events wait in the journal for the line, as they would on any gateway; the demo's journal goes with the demo.", waiting))
	}
	delivered := kinds["badge"] + kinds["tag"]
	fmt.Fprintf(d.out, "demo: taps=%d tags=%d delivered=%d lost=%d duplicates=%d\n",
		len(d.green), kinds["tag"], delivered, lost, duplicates)
	if lost > 0 || duplicates > 0 {
		return exitStatus(exitFailed)
	}
	return nil
}

// kept are the ids of the events in the journal of a gateway that has stopped.
func (d *demonstration) kept() (map[string]bool, error) {
	file, err := journal.OpenReadOnly(configured.JournalPath(d.cfg))
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	err = file.Scan(context.Background(), func(e presence.Entry) error {
		ids[fmt.Sprintf("%s-%d", e.Stream, e.Seq)] = true
		return nil
	})
	return ids, errors.Join(err, file.Close())
}

// stage prints who did what when, whole lines only.
type stage struct {
	out     io.Writer
	ink     ink
	started time.Time
	mu      sync.Mutex
}

func (s *stage) say(who, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := fmt.Sprintf("%5.1f", time.Since(s.started).Seconds())
	fmt.Fprintf(s.out, "%s  %s %s\n", s.ink.dim(at), s.ink.bold(fmt.Sprintf("%-7s", who)), what)
}

func (s *stage) title(text string) { s.text(s.ink.bold(text)) }

func (s *stage) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, text)
}
