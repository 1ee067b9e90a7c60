package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/config"
	"presence/drivers/pi"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

// codes are those of alerts that have all that they need.
func codes(t *testing.T, as []alerts.Alert) string {
	t.Helper()
	list := ""
	for _, a := range as {
		if a.ID() == "" || a.EN() == "" || a.Level() == "" {
			t.Errorf("%s lacks a text or a level", a.Code())
		}
		list += fmt.Sprintf("%s:%s ", a.Code(), a.Level())
	}
	return list
}

func TestBoardAlertsComeAndGo(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const (
		throttled = "sys/devices/platform/soc/soc:firmware/get_throttled"
		volt      = "sys/class/hwmon/hwmon0/in0_lcrit_alarm"
		temp      = "sys/class/thermal/thermal_zone0/temp"
		rtc       = "sys/class/rtc/rtc0/name"
	)
	write(throttled, "0\n")
	write("sys/class/hwmon/hwmon0/name", "rpi_volt\n")
	write(volt, "0\n")
	write(temp, "48000\n")
	write(rtc, "rtc\n")
	sim, err := clock.NewSim()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := pi.Board{Root: root}
		d := &Gateway{
			cfg: &config.Config{Clock: config.Clock{Source: "kernel"}}, board: board{Board: b, power: pi.NewPower(b)},
			time: timekeeping{Clock: clock.New(sim)},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.board.power.Run(ctx) }()
		defer func() { cancel(); <-done }()
		const none = ""
		for _, step := range []struct {
			path, content string
			wait          time.Duration
			want          string
		}{
			{throttled, "0\n", 0, none},
			{volt, "1\n", 3 * time.Second, "undervoltage:warn "},
			{volt, "0\n", 3 * time.Second, "undervoltage:warn "},
			{volt, "0\n", alerts.PowerWeak.Limit().Window, none},
			{throttled, "1\n", 0, "undervoltage:warn "},
			{throttled, "50005\n", 0, "undervoltage:warn "}, // slowed down by weak power, not by heat
			{throttled, "50000\n", 0, none},                 // it is over
			{throttled, "8\n", 0, "throttled:warn "},
			{throttled, "0\n", 0, none},
			{temp, "81000\n", 0, "throttled:warn "},
			{temp, "79000\n", 0, none},
		} {
			write(step.path, step.content)
			time.Sleep(step.wait)
			synctest.Wait()
			if got := codes(t, d.boardConditions()); got != step.want {
				t.Errorf("%s %q: %q, want %q", step.path, step.content, got, step.want)
			}
		}
		write(build.RollbackFile, "gatewayd v2\ngatewayd v1\n2\nff\n")
		if got := codes(t, d.boardConditions()); got != "rolled-back:warn " {
			t.Errorf("after a rollback: %q", got)
		}
		if err := os.Remove(filepath.Join(root, build.RollbackFile)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(root, "sys/class/rtc")); err != nil {
			t.Fatal(err)
		}
		if got := codes(t, d.boardConditions()); got != "no-rtc:ok " {
			t.Errorf("without a clock chip, unsynced: %q", got)
		}
		sim.Set(true, 0)
		if got := codes(t, d.boardConditions()); got != none {
			t.Errorf("without a clock chip, synced: %q", got)
		}
	})
}

// TestARollbackIsToldUntilAnotherVersionTakesItsPlace: the alert and `info` come and go
// together, also while the gateway runs.
func TestARollbackIsToldUntilAnotherVersionTakesItsPlace(t *testing.T) {
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	cfg := simulated(t, b.URL(), "[health]\ninterval = \"1s\"\n")
	root := t.TempDir()
	path := filepath.Join(root, build.RollbackFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// As scripts/deb/rollback leaves it.
	if err := os.WriteFile(path, []byte("gatewayd v1.3.0 commit x\ngatewayd v1.2.0 commit y\n1.3.0\nff\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	told := func(want *presence.InfoRollback) {
		t.Helper()
		seen.Await(fmt.Sprintf("info and alert/rolled-back to say %v", want), func(all []brokertest.Message) bool {
			last := make(map[string][]byte)
			for _, m := range all {
				last[strings.TrimPrefix(m.Topic, "presence/v1/dinkes/dinkes-01/")] = m.Payload
			}
			var i presence.Info
			alert, came := last["alert/rolled-back"]
			return came && json.Unmarshal(last["info"], &i) == nil && (len(alert) > 0) == (want != nil) && cmp.Equal(i.RolledBack, want)
		})
	}
	live(t, cfg, Options{around: surroundings{board: root}})
	told(&presence.InfoRollback{Version: "v1.3.0", Package: "1.3.0"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	told(nil)
}
