// Package natstest runs real nats-servers as MQTT brokers for a test: one by itself, or
// three as the kit configures them (scripts/city/nats).
//
// It exists because a cluster behaves in its own way where nodes die, and because its
// permissions, limits and sessions are not those of mosquitto. The server is built from
// server.mod, which keeps it out of the product's dependencies.
package natstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/scripts/childtest"
)

// wait is how long servers may take to agree, on a busy machine.
const wait = 90 * time.Second

// Root is the folder of the module.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("the test runs outside of the module")
	return ""
}

// Program builds nats-server, which Go keeps in its cache, and returns its path.
func Program(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("go", "tool", "-modfile=scripts/natstest/server.mod", "-n", "nats-server")
	cmd.Dir = Root(t)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// Server is a nats-server of a test, which ends with it.
type Server struct {
	Name string
	MQTT int // port of 127.0.0.1

	t       testing.TB
	binary  string
	config  string
	monitor int
	log     lockedLog
	cmd     *exec.Cmd // nil: it does not run
	done    chan struct{}
}

// Address is the host and port at which it speaks MQTT.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.MQTT) }

// StartOne runs a server that lets everybody in, and returns once it takes messages.
func StartOne(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	ports := freePorts(t, 3)
	s := &Server{
		Name: "alone", MQTT: ports[0], t: t, binary: Program(t),
		config: filepath.Join(dir, "nats.conf"), monitor: ports[2],
	}
	conf := fmt.Sprintf("server_name: alone\nlisten: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\njetstream {store_dir: %q}\nmqtt {listen: \"127.0.0.1:%d\"}\n",
		ports[1], ports[2], filepath.Join(dir, "store"), ports[0])
	if err := os.WriteFile(s.config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.watch()
	s.Start()
	s.AwaitReady()
	return s
}

// watch has the server end with the test.
func (s *Server) watch() {
	s.t.Cleanup(func() {
		s.Kill()
		if s.t.Failed() {
			s.t.Logf("nats-server %s said:\n%s", s.Name, s.log.tail(1500))
		}
	})
}

// Start runs the server, also again after Kill. It may not be ready yet.
func (s *Server) Start() {
	s.t.Helper()
	cmd := exec.Command(s.binary, "-c", s.config)
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := childtest.Start(cmd); err != nil {
		s.t.Fatalf("start nats-server: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // Kill ends it with a signal, which is an error
	}()
	s.cmd, s.done = cmd, done
}

// Kill ends the server at once, with SIGKILL.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
	s.cmd = nil
}

// Runs reports whether the server was started and not killed.
func (s *Server) Runs() bool { return s.cmd != nil }

// AwaitReady waits until the server says that it works, and, with what it stores, is where
// the others are.
func (s *Server) AwaitReady() {
	s.t.Helper()
	for deadline := time.Now().Add(wait); ; <-time.After(200 * time.Millisecond) {
		var health struct{ Status, Error string }
		err := s.ask("healthz", &health)
		if err == nil && health.Status == "ok" {
			return
		}
		select {
		case <-s.done:
			s.t.Fatalf("nats-server %s has ended", s.Name)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("nats-server %s does not get ready: %v %s", s.Name, err, health.Error)
		}
	}
}

// ask asks the server's monitoring port.
func (s *Server) ask(what string, into any) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", s.monitor, what))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}

// freePorts are ports of 127.0.0.1 that nobody uses. They are below those that Linux gives
// to outgoing connections (ip_local_port_range), and left to chance: a server is started
// again after a while, and nobody must have taken its port meanwhile.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	const first, last = 12_000, 32_000
	for range 1000 {
		port := first + rand.IntN(last-first)
		if slices.Contains(ports, port) {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no port is free")
	return nil
}

// lockedLog is what a server writes. It may be read while the server runs.
type lockedLog struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lockedLog) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-n):])
}
