package main_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
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
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"presence/scripts/brokertest"
	"presence/scripts/childtest"
)

// binary builds gatewayd once for all tests, as a technician would run it: a
// static binary without the race detector. Where COVER_PROCESSES
// names a folder (see make cover), what is run of it is counted there; a process
// that is killed does not tell.
var binary = sync.OnceValues(func() (string, error) {
	path := binaryPath()
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

// binaryPath is where the binary lies once it is built.
func binaryPath() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("gatewayd-test-%d", os.Getpid()))
}

const coverProcesses = "COVER_PROCESSES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(coverProcesses); dir != "" {
		// go test has given GOCOVERDIR another value for itself.
		if err := os.Setenv("GOCOVERDIR", dir); err != nil {
			panic(err)
		}
	}
	// In English, whatever the language of whoever tests.
	if err := os.Setenv("LC_ALL", "C"); err != nil {
		panic(err)
	}
	// These tests wait for daemons, brokers and clocks most of the time, so more of
	// them at once than there are processors. The command line has the last word.
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy traces what it does
	code := m.Run()
	_ = os.Remove(binaryPath()) // not there if no test needed it
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
	log  *childtest.Log
	done chan error
}

// newGateway writes a configuration for a simulated reader and the given
// further tables. The broker's address may be one where nobody listens.
func newGateway(t testing.TB, broker string, more string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, config: filepath.Join(dir, "gatewayd.toml"), log: new(childtest.Log)}
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
	g.log = new(childtest.Log)
	g.cmd = exec.Command(path, "--config", g.config, "run")
	g.cmd.Stderr = g.log
	g.cmd.Env = append(os.Environ(), g.env...)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: g.user}
	if err := childtest.Start(g.cmd); err != nil {
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

// rss is the daemon's anonymous and file-backed memory in bytes (proc(5),
// status: RssAnon, RssFile).
func (g *gateway) rss() (anonymous, file int64) {
	g.t.Helper()
	return rssOf(g.t, g.cmd.Process.Pid)
}

// rssOf is the memory of a process, as rss is that of a gateway.
func rssOf(t testing.TB, pid int) (anonymous, file int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
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

// openTTY makes a raw pseudo terminal; what is written to the radio comes out
// of the port.
func openTTY(t testing.TB) (radio *os.File, port string) {
	t.Helper()
	radio, port, pull := openLine(t)
	t.Cleanup(pull)
	return radio, port
}

// openLine is openTTY for a line that can be pulled.
func openLine(t testing.TB) (radio *os.File, port string, pull func()) {
	t.Helper()
	radio, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	attr, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	attr.Iflag, attr.Oflag, attr.Lflag = 0, 0, 0 // raw, also before the gateway opens it
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, attr); err != nil {
		t.Fatal(err)
	}
	return radio, tty.Name(), func() { radio.Close(); tty.Close() }
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

// number is a number from the environment, or what it is without.
func number(t *testing.T, name string, without int) int {
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number of 1 or more", name, text)
	}
	return n
}
