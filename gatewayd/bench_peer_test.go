//go:build bench

package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
)

// fillBound is how long a peer may take to take in the events. The slowest takes in as
// many as it can until then, and is measured with those.
const fillBound = 45 * time.Second

// A peer takes events in at an office, and delivers them to the city's broker as soon as
// there is a line. There is one when the peer is started, for Telegraf does not start
// without.
type peer interface {
	// fill hands events over while the line is cut, and returns how many it has accepted.
	fill(events []string) int
	// connect has it try the line again now, where it would wait otherwise.
	connect()
	// kill ends it with SIGKILL, and restart runs it again.
	kill()
	restart()
	pid() int
}

// gatewayPeer is a gatewayd. Its events come by radio, so that it makes them itself; those
// of the others are what it made.
type gatewayPeer struct {
	*gateway
	radio *os.File
}

func newGatewayPeer(t testing.TB, city, more string) peer {
	radio, port := openTTY(t)
	g := newGateway(t, "tcp://"+city, more+everyTag+receiver(port))
	g.start()
	return &gatewayPeer{g, radio}
}

func (p *gatewayPeer) fill(events []string) int {
	p.beacon(len(events))
	return len(events)
}

// beacon sends so many positions of 50 radios, and waits until all are in the journal.
func (p *gatewayPeer) beacon(n int) {
	before := p.health().Journal.Events
	now := time.Now()
	for i := range n {
		frame := beacontest.PKLDS(100+i%50, 1000+i/50%8000, -7.9+float64(i)/1e6, 112.6, now)
		if _, err := p.radio.WriteString(frame); err != nil {
			p.t.Fatal(err)
		}
	}
	p.awaitFor(fillBound, "the events to be recorded", func() bool { return p.health().Journal.Events >= before+int64(n) })
}

func (p *gatewayPeer) pid() int { return p.cmd.Process.Pid }

func (p *gatewayPeer) connect() {
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil { // a reload connects at once
		p.t.Fatal(err)
	}
}

func (p *gatewayPeer) restart() { p.start() }

// bridgePeer is a mosquitto that bridges to the city's, keeps its messages in a file, and
// keeps all that wait.
type bridgePeer struct {
	t testing.TB
	*brokertest.Broker
}

func newBridgePeer(t testing.TB, city string, more ...string) peer {
	lines := []string{
		"allow_anonymous true", "persistence true", "persistence_location " + t.TempDir() + "/",
		"connection city", "address " + city, "topic presence/# out 1", "cleansession false", "restart_timeout 1 1",
		"set_tcp_nodelay false", // its default, unlike that of the other brokers in these tests
	}
	return &bridgePeer{t, brokertest.Start(t, append(more, lines...)...)}
}

func (p *bridgePeer) fill(events []string) int {
	return publishEvents(p.t, p.Address(), events, fillBound)
}
func (p *bridgePeer) pid() int { return p.PID() }
func (p *bridgePeer) connect() {}
func (p *bridgePeer) kill()    { p.Kill() }
func (p *bridgePeer) restart() { p.Restart() }

// telegrafPeer is a Telegraf that passes on the lines that come over a socket, with its
// buffer on the disk.
type telegrafPeer struct {
	t       testing.TB
	program string
	config  string
	socket  string
	log     *childtest.Log
	cmd     *exec.Cmd // nil while it does not run
}

var telegrafPlugins = []string{"inputs.socket_listener", "parsers.value", "outputs.mqtt", "serializers.template"}

func newTelegrafPeer(t testing.TB, city, program string) peer {
	dir := t.TempDir()
	p := &telegrafPeer{
		t: t, program: program, log: new(childtest.Log),
		config: filepath.Join(dir, "telegraf.conf"), socket: filepath.Join(dir, "events.sock"),
	}
	text := fmt.Sprintf(`
[agent]
interval = "1s"
flush_interval = "1s"
omit_hostname = true
debug = true
metric_buffer_limit = 1000000
buffer_strategy = "disk"
buffer_directory = %q
[[inputs.socket_listener]]
service_address = "unix://%s"
data_format = "value"
data_type = "string"
[[outputs.mqtt]]
servers = ["tcp://%s"]
topic = "%s"
qos = 1
keep_alive = 15
data_format = "template"
template = '{{ .Field "value" }}'
`, filepath.Join(dir, "buffer"), p.socket, city, cityEvents)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("telegraf said last:\n%s", tailOf(p.log.String(), 4000))
		}
	})
	p.restart()
	for deadline := time.Now().Add(brokertest.Wait); ; <-time.After(50 * time.Millisecond) {
		if _, err := os.Stat(p.socket); err == nil {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatal("Telegraf does not listen")
		}
	}
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *telegrafPeer) restart() {
	p.cmd = exec.Command(p.program, "--config", p.config)
	p.cmd.Stderr = p.log
	if err := childtest.Start(p.cmd); err != nil {
		p.t.Fatal(err)
	}
}

func (p *telegrafPeer) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed
		p.cmd = nil
	}
}

func (p *telegrafPeer) pid() int { return p.cmd.Process.Pid }
func (p *telegrafPeer) connect() {}

// buffered is how its log tells how many events wait.
var buffered = regexp.MustCompile(`Buffer fullness: (\d+) `)

func (p *telegrafPeer) fill(events []string) int {
	deadline := time.Now().Add(fillBound)
	conn, err := net.Dial("unix", p.socket)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		p.t.Fatal(err)
	}
	if _, err := conn.Write([]byte(strings.Join(events, "\n") + "\n")); err != nil {
		p.t.Logf("Telegraf takes in no more: %v", err)
	}
	// It says every second how many there are.
	for {
		taken := 0
		if all := buffered.FindAllStringSubmatch(p.log.String(), -1); len(all) > 0 {
			taken, _ = strconv.Atoi(all[len(all)-1][1])
		}
		if taken >= len(events) || time.Now().After(deadline.Add(3*time.Second)) {
			return taken
		}
		<-time.After(100 * time.Millisecond)
	}
}

// processorTime is what a process has used of the processors so far, in user and system
// mode (proc(5), stat: utime and stime, in hundredths of a second).
func processorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(string(text), ") ") // behind the program's name
	fields := strings.Fields(behind)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
