package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/city"
)

// binary builds gatewayd once for all tests, as a technician would run it: a
// static binary without the race detector. Where COVER_PROCESSES
// names a folder (see make cover), what is run of it is counted there; a process
// that is killed does not tell.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("gatewayd-test-%d", os.Getpid()))
	args := []string{"build", "-trimpath", "-o", path}
	if os.Getenv(coverProcesses) != "" {
		args = append(args, "-cover", "-coverpkg=presence/...")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build gatewayd: %w\n%s", err, out)
	}
	return path, nil
})

const coverProcesses = "COVER_PROCESSES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(coverProcesses); dir != "" {
		// go test has given GOCOVERDIR another value for itself.
		if err := os.Setenv("GOCOVERDIR", dir); err != nil {
			panic(err)
		}
	}
	// These tests wait for daemons, brokers and clocks most of the time, so more of
	// them at once than there are processors. The command line has the last word.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.Remove(path)
	}
	os.Exit(code)
}

// gateway is a gatewayd under test: its configuration, and its process while
// there is one.
type gateway struct {
	t      testing.TB
	dir    string
	config string
	env    []string            // added to the daemon's environment
	user   *syscall.Credential // that the daemon runs as; nil: whoever tests

	cmd  *exec.Cmd
	log  *logBuffer
	done chan error
}

// logBuffer holds what a daemon logs; it may be read while the daemon writes.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is the log so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Bytes is a copy of the log so far.
func (l *logBuffer) Bytes() []byte { return []byte(l.String()) }

// newGateway writes a configuration for a simulated reader and the given
// further tables. The broker's address may be one where nobody listens.
func newGateway(t testing.TB, broker string, more string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, config: filepath.Join(dir, "gatewayd.toml"), log: new(logBuffer)}
	t.Cleanup(func() {
		g.kill()
		if t.Failed() {
			t.Logf("gatewayd said last:\n%s", g.log.String())
		}
	})
	key := strings.Repeat("0123456789abcdef", 4)
	if err := os.WriteFile(filepath.Join(dir, "badge.key"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	g.configure(fmt.Sprintf(`
[gateway]
id = "dinkes-01"
dinas = "dinkes"
state_dir = %q
[[reader]]
name = "door"
bus = "sim"
poll = "10ms"
[badges]
key_file = "badge.key"
[clock]
source = "trust"
[mqtt]
broker = %q
`, filepath.Join(dir, "state"), broker) + more)
	return g
}

func (g *gateway) configure(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// text is the configuration as it is now.
func (g *gateway) text() string {
	g.t.Helper()
	text, err := os.ReadFile(g.config)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// start runs the daemon and waits until it answers.
func (g *gateway) start() {
	g.t.Helper()
	g.launch()
	g.await("gatewayd to answer", func() bool {
		select {
		case err := <-g.done:
			g.done <- err
			g.t.Fatalf("gatewayd ended at once: %v\n%s", err, g.log.String())
		default:
		}
		_, code := g.try("status", "--json")
		return code == 0
	})
}

// launch runs the daemon.
func (g *gateway) launch() {
	g.t.Helper()
	path, err := binary()
	if err != nil {
		g.t.Fatal(err)
	}
	g.log = new(logBuffer)
	g.cmd = exec.Command(path, "--config", g.config, "run")
	g.cmd.Stderr = g.log
	g.cmd.Env = append(os.Environ(), g.env...)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: g.user}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	done := make(chan error, 1)
	cmd := g.cmd
	go func() { done <- cmd.Wait() }()
	g.done = done
}

// await polls for a condition.
func (g *gateway) await(what string, ok func() bool) {
	g.t.Helper()
	g.awaitFor(brokertest.Wait, what, ok)
}

// awaitFor is await with a bound of its own.
func (g *gateway) awaitFor(bound time.Duration, what string, ok func() bool) {
	g.t.Helper()
	deadline := time.Now().Add(bound)
	for !ok() {
		if time.Now().After(deadline) {
			g.t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// kill is kill -9; nothing if the daemon does not run.
func (g *gateway) kill() {
	if g.cmd != nil {
		_ = g.cmd.Process.Kill()
		<-g.done
		g.cmd = nil
	}
}

// stop is systemctl stop: it must be through within 5 s, with exit code 0.
func (g *gateway) stop() {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	select {
	case err := <-g.done:
		if err != nil {
			g.t.Fatalf("stopped with %v\n%s", err, g.log.String())
		}
	case <-time.After(5 * time.Second):
		g.t.Fatal("did not stop within 5 s")
	}
	g.cmd = nil
}

// try runs a command and returns what it printed and its exit code.
func (g *gateway) try(args ...string) (output string, code int) {
	g.t.Helper()
	return g.tryAs(nil, args...)
}

// tryAs is try as another user.
func (g *gateway) tryAs(user *syscall.Credential, args ...string) (output string, code int) {
	g.t.Helper()
	path, err := binary()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"--config", g.config}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (g *gateway) must(args ...string) string {
	g.t.Helper()
	out, code := g.try(args...)
	if code != 0 {
		g.t.Fatalf("gatewayd %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// answer is a line of `gatewayd sim tap`.
type answer struct {
	UID     string
	Outcome string
	Stream  string
	Seq     uint64
	Reason  string
}

func (a answer) id() string { return fmt.Sprintf("%s-%d", a.Stream, a.Seq) }

// tap taps and returns the answers.
func (g *gateway) tap(args ...string) []answer {
	g.t.Helper()
	out, _ := g.try(append([]string{"sim", "tap", "--reader", "door", "--hold", "0s", "--every", "0s"}, args...)...)
	var answers []answer
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var a answer
		if err := dec.Decode(&a); err == io.EOF {
			return answers
		} else if err != nil {
			g.t.Fatalf("sim tap said: %s", out)
		}
		answers = append(answers, a)
	}
}

func (g *gateway) health() presence.Health {
	g.t.Helper()
	var h presence.Health
	if err := json.Unmarshal([]byte(g.must("status", "--json")), &h); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// rss is the daemon's anonymous and file-backed memory in bytes (proc(5),
// status: RssAnon, RssFile).
func (g *gateway) rss() (anonymous, file int64) {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64) // other lines hold no number
		switch f[0] {
		case "RssAnon:":
			anonymous = kb << 10
		case "RssFile:":
			file = kb << 10
		}
	}
	return anonymous, file
}

// event is what the tests look at.
type event struct {
	ID        string
	Kind      string
	Stream    string
	Seq       uint64
	Badge     string
	Tag       string
	Simulated bool
	Time      *string
	Quality   string   `json:"time_quality"`
	ErrorMS   *float64 `json:"time_error_ms"`
	Min       *string  `json:"time_min"`
	Max       *string  `json:"time_max"`
	Rev       int
}

// events are the events among messages, each id once. Every message must be
// valid, and first deliveries must be in order within each stream.
func events(t testing.TB, v *city.Validator, messages []brokertest.Message) map[string]event {
	t.Helper()
	all := make(map[string]event)
	last := make(map[string]uint64)
	for _, m := range messages {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Topic, "/event/") {
			continue
		}
		var e event
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		if _, again := all[e.ID]; again {
			continue
		}
		if e.Seq != last[e.Stream]+1 {
			t.Fatalf("stream %s: seq %d came first after %d", e.Stream, e.Seq, last[e.Stream])
		}
		last[e.Stream] = e.Seq
		all[e.ID] = e
	}
	return all
}

func validator(t testing.TB) *city.Validator {
	t.Helper()
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// count counts the messages of a kind of event.
func count(messages []brokertest.Message, kind string) int {
	n := 0
	for _, m := range messages {
		if strings.HasSuffix(m.Topic, "/event/"+kind) {
			n++
		}
	}
	return n
}

func TestTapsOfAllUIDSizesArriveOnceAndValid(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), "")
	g.start()
	green := make(map[string]bool)
	for _, from := range []struct {
		uid string
		n   int
	}{{"5A000000", 70}, {"04A1B2C3D4E500", 70}, {"04010203040506070800", 60}} {
		for _, a := range g.tap("--uid", from.uid, "--count", strconv.Itoa(from.n)) {
			if a.Outcome != "accepted" || green[a.id()] {
				t.Fatalf("%+v", a)
			}
			green[a.id()] = true
		}
	}
	if len(green) != 200 {
		t.Fatalf("%d green taps", len(green))
	}
	messages := seen.Await("200 badge events", func(m []brokertest.Message) bool { return count(m, "badge") >= 200 })
	all := events(t, validator(t), messages)
	badges := make(map[string]bool)
	for id, e := range all {
		if e.Kind == "badge" {
			badges[e.Badge] = true
			if !green[id] {
				t.Errorf("event %s for no tap", id)
			}
			if !e.Simulated || e.Time == nil || e.Quality != "trusted" {
				t.Errorf("%+v", e)
			}
		}
	}
	if len(badges) != 200 || len(all) != 201 { // and one start
		t.Errorf("%d badges in %d events", len(badges), len(all))
	}
	g.stop()
	seen.Await("goodbye", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"reason":"stop"`)
	})
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify says %s", out)
	}
	if n := strings.Count(g.must("export"), "\n"); n != 201 {
		t.Errorf("export prints %d events", n)
	}
}

func TestRepeatsAreRepeatsAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	const uid = "04A1B2C3D4E5F6"
	first := g.tap("--uid", uid)[0]
	if first.Outcome != "accepted" {
		t.Fatalf("%+v", first)
	}
	check := func(when string) {
		t.Helper()
		if a := g.tap("--uid", uid)[0]; a.Outcome != "repeat" || a.id() != first.id() {
			t.Errorf("%s: %+v", when, a)
		}
	}
	check("at once")
	g.stop()
	g.start()
	check("after a restart")
	g.kill()
	g.start()
	check("after kill -9")
	if out := g.must("export"); strings.Count(out, `"kind":"badge"`) != 1 || strings.Count(out, `"kind":"start"`) != 3 {
		t.Errorf("export prints %s", out)
	}
}

func TestKillAfterGreenLosesNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/event/#")
	b.Stop() // so that the kill always falls between green and delivery
	g := newGateway(t, b.URL(), "")
	green := make(map[string]string)
	for round := range 50 {
		g.start()
		for _, a := range g.tap("--uid", fmt.Sprintf("04AABB%02X000000", round), "--count", "2") {
			if a.Outcome != "accepted" {
				t.Fatalf("%+v", a)
			}
			green[a.id()] = a.UID
		}
		g.kill()
	}
	b.Restart()
	<-time.After(300 * time.Millisecond) // the city subscribes again within 200 ms
	g.start()
	messages := seen.Await("all green taps", func(m []brokertest.Message) bool { return count(m, "badge") >= len(green) })
	all := events(t, validator(t), messages)
	for id := range green {
		if _, ok := all[id]; !ok {
			t.Errorf("green tap %s of %s is lost", id, green[id])
		}
	}
	for id, e := range all {
		if e.Kind == "badge" && green[id] == "" {
			t.Errorf("event %s for no tap", id)
		}
	}
}

// TestWarningsReachTheCity: what a room has to say shows on the topic log.
func TestWarningsReachTheCity(t *testing.T) {
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/log")
	g := newGateway(t, b.URL(), "")
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	messages := seen.Await("the door's word on its reader", func(m []brokertest.Message) bool {
		return len(m) > 0 && strings.Contains(string(joined(m)), "badge reader does not work")
	})
	events(t, validator(t), messages) // each is valid
}

// openTTY makes a raw pseudo terminal; what is written to the radio comes out
// of the port.
func openTTY(t testing.TB) (radio *os.File, port string) {
	t.Helper()
	radio, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { radio.Close(); tty.Close() })
	attr, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	attr.Lflag &^= unix.ECHO | unix.ICANON
	attr.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, attr); err != nil {
		t.Fatal(err)
	}
	return radio, tty.Name()
}

const everyTag = `
[hours]
always = true
[tags]
min_interval = "0s"
min_move_m = 0
`

func receiver(port string) string {
	return fmt.Sprintf("[[receiver]]\nname = \"yard\"\nprotocol = \"kenwood\"\nport = %q\n", port)
}

func TestHundredThousandTagsWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	const tags = 100_000
	b := brokertest.Start(t)
	b.Stop()
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port))
	g.start()
	now := time.Now()
	for i := range tags {
		line := beacontest.PKLDS(100+i/9000, 1000+i%9000, -7.9+float64(i%1000)/10000, 112.6, now)
		if _, err := io.WriteString(radio, line); err != nil {
			t.Fatal(err)
		}
	}
	var most int64
	look := func() {
		anonymous, _ := g.rss()
		most = max(most, anonymous)
	}
	g.await("all tags in the journal", func() bool { look(); return g.health().Journal.Events >= tags+1 })
	b.Restart()
	seen := b.Subscribe("presence/v1/+/+/event/tag")
	messages := seen.AwaitFor(2*time.Minute, "all tags", func(m []brokertest.Message) bool { return len(m) >= tags })
	look()
	anonymous, file := g.rss()
	t.Logf("RssAnon %d MB at most, %d MB at the end; RssFile %d MB", most>>20, anonymous>>20, file>>20)
	if most > 40<<20 {
		t.Errorf("RssAnon of %d MB", most>>20)
	}
	distinct := make(map[string]bool)
	for _, m := range messages {
		var e event
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		distinct[e.ID] = true
	}
	if len(distinct) != tags {
		t.Errorf("%d different tag events", len(distinct))
	}
}

func TestWrongConfigurationIsNamedWithLineAndKey(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "[journal]\nkeep = \"soon\"\nmax_gb = 3\n")
	for _, command := range []string{"check", "run"} {
		out, code := g.try(command)
		if code != 2 || !strings.Contains(out, g.config+":17: journal.keep") || !strings.Contains(out, ":18: journal.max_gb") {
			t.Errorf("%s: exit %d\n%s", command, code, out)
		}
	}
	for _, args := range [][]string{{}, {"fly"}, {"sim", "tap"}, {"export", "--since", "yesterday"}, {"demo", "--for", "-3s"}} {
		if out, code := g.try(args...); code != 2 {
			t.Errorf("gatewayd %v: exit %d\n%s", args, code, out)
		}
	}
}

func TestReloadTakesAGoodConfigurationAndIgnoresAWrongOne(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/info")
	g := newGateway(t, b.URL(), "")
	g.start()
	seen.Await("info", func(m []brokertest.Message) bool { return len(m) == 1 })
	old, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		t.Helper()
		g.configure(text)
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(string(old) + "[journal]\nkeep = 3\n")
	reload(strings.Replace(string(old), `name = "door"`, `name = "gate"`, 1))
	seen.Await("the new reader", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"name":"gate"`)
	})
	g.await("the new reader", func() bool {
		out, _ := g.try("sim", "tap", "--reader", "gate", "--uid", "5A000001")
		return strings.Contains(out, "accepted")
	})
}

// TestPromise5TimeIsHonest: a tap while nobody knows the time says so, whatever
// the wall clock shows.
func TestPromise5TimeIsHonest(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	g.configure(strings.Replace(string(text), `source = "trust"`, `source = "sim"`, 1))
	g.start()
	unsynced := g.tap("--uid", "5A000001")[0]
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	synced := g.tap("--uid", "5A000002")[0]
	for line := range strings.Lines(g.must("export")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		switch e.ID {
		case unsynced.id():
			if e.Quality == "synced" || e.Quality == "trusted" || e.Quality == "unsynced" && e.Time != nil {
				t.Errorf("a tap at an unknown time says %s", line)
			}
		case synced.id():
			if e.Quality != "synced" || e.Time == nil {
				t.Fatalf("a tap at a known time says %s", line)
			}
			at, err := time.Parse(time.RFC3339, *e.Time)
			if err != nil {
				t.Fatal(err)
			}
			if off := time.Until(at); off < 3*time.Hour-time.Minute || off > 3*time.Hour+time.Minute {
				t.Errorf("the clock is 3h ahead, the tap %v", off)
			}
		}
	}
}

// TestPromise6ItRunsUnattended: a reader that fails becomes a state and an
// alert, and heals by itself when the cause goes.
func TestPromise6ItRunsUnattended(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	for _, tc := range []struct{ fault, state string }{
		{"deaf", "deaf"}, {"bus-low", "bus-dead"}, {"bus-high", "bus-dead"},
	} {
		g.must("sim", "reader", "--reader", "door", "--fault", tc.fault)
		g.await("the reader to be "+tc.state, func() bool { return g.health().Readers[0].State == tc.state })
		if level := g.health().Level; level != presence.LevelFault {
			t.Errorf("%s: level %s", tc.fault, level)
		}
		if out := g.must("status"); !strings.Contains(out, "fault") || !strings.Contains(out, "alert reader-door  fault: Badge reader \"door\"") {
			t.Errorf("status says\n%s", out)
		}
		g.must("sim", "reader", "--reader", "door", "--fault", "none")
		g.await("the reader to heal", func() bool { return g.health().Readers[0].State == "ok" })
	}
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Errorf("after healing: %+v", a)
	}
}
