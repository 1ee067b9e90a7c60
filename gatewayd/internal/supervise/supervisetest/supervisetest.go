// Package supervisetest is a service manager for tests: it hears what a process
// tells it, and would kill it when its watchdog is not fed.
package supervisetest

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Wait is how long helpers wait for what must come.
const Wait = 30 * time.Second

// Manager listens as systemd would.
type Manager struct {
	t        testing.TB
	path     string
	interval time.Duration
	messages chan string
}

// Listen makes a manager whose watchdog has this interval.
func Listen(t testing.TB, interval time.Duration) *Manager {
	t.Helper()
	m := &Manager{t: t, path: filepath.Join(t.TempDir(), "notify"), interval: interval, messages: make(chan string, 1024)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return // closed
			}
			m.messages <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return m
}

// Env is what a manager passes to a process.
func (m *Manager) Env() map[string]string {
	return map[string]string{
		"NOTIFY_SOCKET": m.path,
		"WATCHDOG_USEC": fmt.Sprint(m.interval.Microseconds()),
	}
}

// Hears reports whether the process says something that begins like this within
// a time.
func (m *Manager) Hears(state string, within time.Duration) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		select {
		case s := <-m.messages:
			if strings.HasPrefix(s, state) {
				return true
			}
		case <-deadline.C:
			return false
		}
	}
}

// Await waits until the process says something that begins like this.
func (m *Manager) Await(state string) {
	m.t.Helper()
	if !m.Hears(state, Wait) {
		m.t.Fatalf("waited in vain for %s", state)
	}
}

// Feeds reports for how long the watchdog is fed from now on: until it was not
// for a whole interval, or the given time is over. A machine that stood still
// meanwhile is not held against it.
func (m *Manager) Feeds(atMost time.Duration) time.Duration {
	m.t.Helper()
	for { // what is old does not count
		select {
		case <-m.messages:
			continue
		default:
		}
		break
	}
	began := time.Now()
	fed := began
	end := time.NewTimer(atMost)
	defer end.Stop()
	hungry := time.NewTimer(m.interval)
	defer hungry.Stop()
	pace := time.NewTicker(m.interval / 8)
	defer pace.Stop()
	awake := time.Now()
	for {
		select {
		case <-pace.C:
			if time.Since(awake) > m.interval/2 {
				hungry.Reset(m.interval)
			}
			awake = time.Now()
		case s := <-m.messages:
			if s == "WATCHDOG=1" {
				fed = time.Now()
				hungry.Reset(m.interval)
			}
		case <-hungry.C:
			if time.Since(awake) > m.interval/2 {
				hungry.Reset(m.interval)
				continue
			}
			return fed.Sub(began)
		case <-end.C:
			return atMost
		}
	}
}
