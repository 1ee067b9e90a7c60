package realfleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"presence/scripts/childtest"
)

// Options is what a gateway is made of.
type Options struct {
	Binary         string // a gatewayd
	Dir            string // for everything of this gateway; a socket's path has at most 107 bytes
	Dinas, Gateway string // [a-z0-9-]{1,32}
	Broker         string // as in the configuration: tcp://host:port
	Receipts       bool
	Radio          bool   // tags are heard on a pseudo terminal
	Poll           string // how often the reader looks for a card; "" is the gateway's default

	// Tables are further tables of the configuration, such as [hours] and [tags]. Without
	// any, every report of a tag is recorded at any time.
	Tables string
	// Badges are further keys of the table [badges]. UIDs are sent as they are.
	Badges string
	// MQTT are further keys of the table [mqtt].
	MQTT string
	// Clock is clock.source; "" is trust.
	Clock string
	// Zone is the gateway's time zone; "" is the gateway's default.
	Zone string
}

// Gateway is a real gateway. Its methods belong to one goroutine at a time, but for Tap.
type Gateway struct {
	opt    Options
	config string
	radio  *radio
	http   *http.Client

	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// everything records every report of a tag.
const everything = `
[hours]
always = true
[tags]
min_interval = "0s"
min_move_m = 0
`

// New writes a gateway's configuration. Close ends what it holds.
func New(opt Options) (*Gateway, error) {
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, err
	}
	g := &Gateway{opt: opt, config: filepath.Join(opt.Dir, "gatewayd.toml")}
	g.http = controlClient(g.stateDir())
	tables := opt.Tables
	if tables == "" {
		tables = everything
	}
	if opt.Radio {
		var err error
		if g.radio, err = openRadio(); err != nil {
			return nil, fmt.Errorf("open radio: %w", err)
		}
		tables += fmt.Sprintf("[[receiver]]\nname = \"yard\"\nprotocol = \"kenwood\"\nport = %q\n", g.radio.port)
	}
	poll, clock, zone := "", opt.Clock, ""
	if opt.Zone != "" {
		zone = fmt.Sprintf("timezone = %q\n", opt.Zone)
	}
	if opt.Poll != "" {
		poll = fmt.Sprintf("poll = %q\n", opt.Poll)
	}
	if clock == "" {
		clock = "trust"
	}
	text := fmt.Sprintf(`[gateway]
id = %q
dinas = %q
state_dir = %q
%s[[reader]]
name = "door"
bus = "sim"
%s[badges]
plain_uid = true
%s
[clock]
source = %q
[mqtt]
broker = %q
receipts = %t
%s
%s`, opt.Gateway, opt.Dinas, g.stateDir(), zone, poll, opt.Badges, clock, opt.Broker, opt.Receipts, opt.MQTT, tables)
	return g, os.WriteFile(g.config, []byte(text), 0o600)
}

// StateDir is the folder with the gateway's journal.
func (g *Gateway) StateDir() string { return g.stateDir() }

func (g *Gateway) stateDir() string { return filepath.Join(g.opt.Dir, "state") }

// ID is the gateway's id.
func (g *Gateway) ID() string { return g.opt.Gateway }

// Start runs the gateway and waits until it answers on its control socket.
func (g *Gateway) Start(ctx context.Context) error {
	if err := g.Launch(); err != nil {
		return err
	}
	return g.Ready(ctx)
}

// Launch runs the gateway.
func (g *Gateway) Launch() error {
	log, err := os.OpenFile(filepath.Join(g.opt.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	g.log = log
	g.cmd = exec.Command(g.opt.Binary, "--config", g.config, "run")
	g.cmd.Stderr = log
	g.cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := childtest.Start(g.cmd); err != nil {
		_ = log.Close()
		g.cmd = nil
		return fmt.Errorf("start %s: %w", g.opt.Gateway, err)
	}
	done := make(chan error, 1)
	go func(cmd *exec.Cmd) { done <- cmd.Wait() }(g.cmd)
	g.done = done
	return nil
}

// Ready waits until the gateway answers on its control socket.
func (g *Gateway) Ready(ctx context.Context) error {
	for {
		_, err := g.Health(ctx)
		if err == nil {
			return nil
		}
		select {
		case end := <-g.done:
			g.done <- end
			return fmt.Errorf("%s ended at once: %w\n%s", g.opt.Gateway, errors.Join(end), g.Log())
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", g.opt.Gateway, err)
		}
	}
}

// Running reports whether the gateway was started and not yet stopped or killed.
func (g *Gateway) Running() bool { return g.cmd != nil }

// PID is the process id of a gateway that runs.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }

// Stop ends the gateway as systemd would.
func (g *Gateway) Stop() error { return g.end(syscall.SIGTERM) }

// Kill ends the gateway at once.
func (g *Gateway) Kill() error { return g.end(syscall.SIGKILL) }

func (g *Gateway) end(sig syscall.Signal) error {
	if g.cmd == nil {
		return nil
	}
	_ = g.cmd.Process.Signal(sig) // it may have ended by itself, which the next line tells
	err := <-g.done
	g.cmd = nil
	_ = g.log.Close()
	if sig == syscall.SIGKILL {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w\n%s", g.opt.Gateway, err, g.Log())
	}
	return nil
}

// Close kills the gateway if it runs, and closes its radio.
func (g *Gateway) Close() error {
	err := g.Kill()
	if g.radio != nil {
		err = errors.Join(err, g.radio.close())
	}
	return err
}

// Log is the end of what the gateway has logged.
func (g *Gateway) Log() string {
	text, err := os.ReadFile(filepath.Join(g.opt.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	return strings.TrimSpace(string(text[max(0, len(text)-enough):]))
}
