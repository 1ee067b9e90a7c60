package main_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/supervise/supervisetest"
)

// underSystemd makes a gateway that a service manager watches.
func underSystemd(t *testing.T, broker string, interval time.Duration, more string) (*gateway, *supervisetest.Manager) {
	t.Helper()
	g := newGateway(t, broker, more)
	m := supervisetest.Listen(t, interval)
	for k, v := range m.Env() {
		g.env = append(g.env, k+"="+v)
	}
	return g, m
}

func TestServiceManagerIsToldOfTheGatewaysLife(t *testing.T) {
	t.Parallel()
	_, port := openTTY(t)
	// Nobody listens at the broker's address: that keeps nothing from being ready.
	g, m := underSystemd(t, "tcp://127.0.0.1:1", 2*time.Second, receiver(port)+
		"[[receiver]]\nname = \"gone\"\nprotocol = \"reyax\"\nport = \"/dev/gone\"\n")
	g.start()
	m.Await("READY=1")
	g.must("sim", "reader", "--reader", "door", "--fault", "bus-low")
	g.await("the reader's fault", func() bool { return g.health().Readers[0].State == "bus-dead" })
	// No tag comes, a port is missing, a reader is dead and tried again with
	// growing pauses, the broker is away: all that is life.
	if fed := m.Feeds(6 * time.Second); fed < 6*time.Second {
		t.Errorf("the watchdog was fed for %v only\n%s", fed, g.log.String())
	}
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.Await("RELOADING=1")
	m.Await("READY=1")
	g.stop()
	m.Await("STOPPING=1")
}

func TestHungReaderStopsTheWatchdogsFeeding(t *testing.T) {
	t.Parallel()
	const interval = 2 * time.Second
	g, m := underSystemd(t, "tcp://127.0.0.1:1", interval, "")
	g.start()
	m.Await("READY=1")
	g.must("sim", "reader", "--reader", "door", "--fault", "hang")
	if fed := m.Feeds(5 * interval); fed > interval {
		t.Errorf("the watchdog was fed for %v although the reader hangs", fed)
	}
	// It stops all the same when it is asked to.
	g.stop()
	if log := g.log.String(); !strings.Contains(log, `task="reader door"`) || !strings.Contains(log, "(*Door).Run") || !strings.Contains(log, "left behind what does not end: reader door") {
		t.Errorf("the log does not say what hung:\n%s", log)
	}
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify says %s", out)
	}
}

// silentBroker takes connections and never says a word.
func silentBroker(t testing.TB) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return "tcp://" + l.Addr().String()
}

// TestWhatIsMissingKeepsNoGatewayFromBeingReady: it does what can be done, and
// heals by itself.
func TestWhatIsMissingKeepsNoGatewayFromBeingReady(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, g *gateway){
		"nothing": func(*testing.T, *gateway) {},
		"the reader": func(t *testing.T, g *gateway) {
			g.configure(strings.Replace(g.text(), `bus = "sim"`, `bus = "/dev/spidev9.9"`, 1))
		},
		"the broker's answer": func(t *testing.T, g *gateway) {
			g.configure(strings.Replace(g.text(), "tcp://127.0.0.1:1", silentBroker(t), 1))
		},
		"a disk that takes anything": func(t *testing.T, g *gateway) {
			state := filepath.Join(g.dir, "state")
			if err := os.Mkdir(state, 0o750); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(mounted(t, "tmpfs", state, "tmpfs", syscall.MS_RDONLY, "size=8m"))
			t.Cleanup(g.kill) // before the disk goes
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, "")
			spoil(t, g)
			g.launch()
			m.Await("READY=1")
			g.stop()
		})
	}
}
