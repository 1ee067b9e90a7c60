package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"presence/config"
	"presence/drivers/card"
	"presence/gatewayd/internal/gateway"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sim"
	"presence/gatewayd/internal/terminal"
	"presence/gatewayd/internal/uplink"
)

// Options are how a demonstration is played.
type Options struct {
	Length time.Duration // of the morning; 0: one after the other until the context ends
	Chip   string        // of the mocked reader, as in the configuration
	Keep   string        // folder for what the city got and the gateway's public key; "": nothing is kept
	Out    io.Writer
	Screen terminal.Screen // of Out
	// Exit ends the process with an exit code. It is called when that is to end at
	// once: at a second signal to stop, when the terminal is closed, or when nobody
	// reads Out any more.
	Exit func(code int)
}

// ErrFailed means that events were lost or invented. The last line that Run has
// printed says how many.
var ErrFailed = errors.New("the demonstration lost or invented events")

// Run plays the demonstration in a folder of its own, which is gone afterwards.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "gatewayd-demo-")
	if err != nil {
		return fmt.Errorf("make a place for the demo: %w", err)
	}
	defer leaveNothing(dir, o.Exit)()
	defer os.RemoveAll(dir)
	d := &demonstration{stage: stage{out: o.Out, screen: o.Screen, started: time.Now()}, dir: dir, chip: o.Chip, keep: o.Keep}
	events, err := d.keeping()
	if err != nil {
		return err
	}
	err = d.run(ctx, o.Length, events)
	if failed := events.Close(); failed != nil {
		err = errors.Join(err, fmt.Errorf("keep events: %w", failed))
	}
	return err
}

// demonstration is the hardware, the gateway and the city of one demo.
type demonstration struct {
	stage
	dir    string
	chip   string
	keep   string
	city   *city
	radio  io.Writer // what the receiver of Kenwood tags hears
	mesh   io.Writer // what the Meshtastic radio hands over
	daemon *gateway.Gateway
	cfg    *config.Config

	greenMu sync.Mutex
	green   map[string]bool // ids of the taps that the lamp called accepted
}

func (d *demonstration) run(ctx context.Context, length time.Duration, events io.Writer) (err error) {
	d.green = make(map[string]bool)
	if d.city, err = newCity(d.atCity, events); err != nil {
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
	mesh, meshPort, err := openRadio()
	if err != nil {
		return err
	}
	defer mesh.Close()
	defer meshPort.Close()
	d.radio, d.mesh = radio, mesh

	if d.cfg, err = d.configure(port.Name(), meshPort.Name()); err != nil {
		return err
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	if d.daemon, err = gateway.New(d.cfg, quiet, gateway.Options{Observe: d.atLamp, Line: uplink.Limits{RetryMin: 300 * time.Millisecond, RetryMax: 2 * time.Second}}); err != nil {
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
		d.say(office(), language.Say(
			"the morning is over: the gateway hands over what it still has and stops",
			"pagi sudah usai: gateway menyerahkan yang masih ada, lalu berhenti"))
		d.awaitDelivery(ctx)
	}
	interrupted := ctx.Err() != nil
	if interrupted {
		d.say(office(), language.Say("interrupted: the gateway stops", "dihentikan: gateway berhenti"))
	}
	stop() // the gateway then has a moment left to deliver
	if err := <-done; err != nil {
		return err
	}
	return d.summary(interrupted)
}

// configure writes the configuration that a technician would write, and reads
// it as the daemon does.
func (d *demonstration) configure(port, meshPort string) (*config.Config, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := os.WriteFile(filepath.Join(d.dir, "badge.key"), []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write badge key: %w", err)
	}
	if err := d.badges(); err != nil {
		return nil, err
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
chip = %q

[[receiver]]
name = "yard"
protocol = "kenwood"
port = %q

[[receiver]]
name = "roof"
protocol = "meshtastic"
port = %q

[badges]
key_file = "badge.key"
repeat_window = "15s"
ca_file = "badge-ca.pem"

[tags]
min_interval = "1s"
heartbeat = "5s"
roster_file = "roster.csv"

[hours]
always = true  # the demo runs at any hour

[office]
lat = %v
lon = %v
radius_m = 100

[seal]
key_file = "seal.key"

[clock]
source = "trust"

[mqtt]
broker = "tcp://%s"
batch = "off"  # the demo's city reads events one by one
`, filepath.Join(d.dir, "state"), d.chip, port, meshPort, officeLat, officeLon, d.city.address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return config.Load(path)
}

// badges writes down who has issued the badges that prove themselves, and that Sari's is
// one of them.
func (d *demonstration) badges() error {
	uid, err := card.ParseUID(sariUID)
	if err != nil {
		return err
	}
	guid, _, err := sim.BadgeCertificate(uid, time.Now())
	if err != nil {
		return err
	}
	roster := fmt.Sprintf("badge,tag,assurance\n%X,kenwood:100-1001,authenticated-piv\n", guid)
	for name, text := range map[string]string{"badge-ca.pem": string(sim.BadgeCA()), "roster.csv": roster} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write what is known of badges: %w", err)
		}
	}
	return nil
}

// openRadio makes a pseudo terminal: what is written to the radio comes out of
// the port, as from a receiver on a serial line.
func openRadio() (radio, port *os.File, err error) {
	radio, port, err = pty.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open a pseudo terminal: %w", err)
	}
	// Raw: what the receiver hears must not come back to it, and every byte come out.
	t, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		err = unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, t)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set up a pseudo terminal: %w", err), radio.Close(), port.Close())
	}
	return radio, port, nil
}
