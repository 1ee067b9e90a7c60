package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/config"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/supervise/supervisetest"
	"presence/scripts/brokertest"
	asyncapi "presence/scripts/city"
)

// simulated is the configuration of a gateway with one simulated reader.
func simulated(t *testing.T, broker, more string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "gatewayd.toml")
	text := fmt.Sprintf(`
[gateway]
id = "dinkes-01"
dinas = "dinkes"
state_dir = %q
[[reader]]
name = "door"
bus = "sim"
poll = "10ms"
[badges]
plain_uid = true
[clock]
source = "trust"
[mqtt]
broker = %q
`, filepath.Join(dir, "state"), broker) + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// watchedBy is what the daemon tells a service manager through.
func watchedBy(t *testing.T, m *supervisetest.Manager) *supervise.Systemd {
	t.Helper()
	for k, v := range m.Env() {
		t.Setenv(k, v)
	}
	s, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// live runs a daemon until the test ends.
func live(t *testing.T, cfg *config.Config, with Options) *Gateway {
	t.Helper()
	d, err := New(cfg, slog.New(slog.DiscardHandler), with)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestDoorThatPanicsIsNeitherReadyNorWell: the service manager is not told that
// a version works whose door is dead, and the city is told that it does not.
func TestDoorThatPanicsIsNeitherReadyNorWell(t *testing.T) {
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	m := supervisetest.Listen(t, time.Minute)
	cfg := simulated(t, b.URL(), "")
	cfg.Readers[0].Poll = 0 // which no file can say: the door's own ticker panics
	d := live(t, cfg, Options{Systemd: watchedBy(t, m)})
	const code = "task-reader-door"
	messages := seen.Await("the alert", func(all []brokertest.Message) bool {
		return slices.ContainsFunc(all, func(m brokertest.Message) bool {
			return strings.HasSuffix(m.Topic, "/alert/"+code) && len(m.Payload) > 0
		})
	})
	v, err := asyncapi.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
		var a presence.Alert
		if strings.HasSuffix(m.Topic, "/alert/"+code) && (json.Unmarshal(m.Payload, &a) != nil || !slices.Equal(a.About, []string{"reader door"})) {
			t.Errorf("the alert does not name the task: %s", m.Payload)
		}
	}
	h := d.monitor.Snapshot()
	if r := h.Readers[0]; r.State == "ok" || !strings.Contains(r.Error, "non-positive interval") || strings.Contains(r.Error, "\n") {
		t.Errorf("the reader reads %+v", r)
	}
	if h.Level != presence.LevelFault || !slices.Contains(h.Alerts, code) || !slices.Contains(h.Alerts, "reader-door") {
		t.Errorf("level %s, alerts %v", h.Level, h.Alerts)
	}
	if m.Hears("READY=1", 3*time.Second) {
		t.Error("the service manager is told that it is ready")
	}
}

// TestVersionWhoseDoorIsDeadIsRolledBack: the script of the package judges by what
// the service manager has heard, on a root of its own.
func TestVersionWhoseDoorIsDeadIsRolledBack(t *testing.T) {
	for _, dead := range []bool{true, false} {
		t.Run(fmt.Sprintf("dead %v", dead), func(t *testing.T) {
			root := t.TempDir()
			write := func(path, content string) {
				t.Helper()
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			rollback := func(step string) {
				t.Helper()
				cmd := exec.Command("../../../scripts/deb/rollback", step)
				cmd.Env = append(os.Environ(), "GATEWAYD_ROOT="+root, "GATEWAYD_EXE="+filepath.Join(root, "usr/bin/gatewayd"),
					"PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("rollback %s: %v\n%s", step, err, out)
				}
			}
			write("bin/systemctl", "#!/bin/sh\n[ \"$1\" != is-active ] || cat \"$GATEWAYD_ROOT/state\"\n")
			write("var/lib/gatewayd-rollback/.keep", "")
			write("usr/bin/gatewayd", "#!/bin/sh\necho old\n")
			rollback("ready") // it worked here
			rollback("keep")
			write("usr/bin/gatewayd", "#!/bin/sh\necho new\n")
			rollback("trial")

			m := supervisetest.Listen(t, time.Minute)
			cfg := simulated(t, "tcp://127.0.0.1:1", "")
			if dead {
				cfg.Readers[0].Poll = 0 // the door panics at its first look
			}
			live(t, cfg, Options{Systemd: watchedBy(t, m)})
			state, bound := "activating", 3*time.Second
			if !dead {
				bound = supervisetest.Wait
			}
			if m.Hears("READY=1", bound) {
				state = "active"
				rollback("ready") // the unit's ExecStartPost
			}
			write("state", state+"\n")
			rollback("judge")
			out, err := exec.Command(filepath.Join(root, "usr/bin/gatewayd")).Output()
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "old\n", false: "new\n"}[dead]; string(out) != want {
				t.Errorf("the version that is there is %s", out)
			}
		})
	}
}
