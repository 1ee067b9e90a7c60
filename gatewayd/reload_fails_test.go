package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// TestReloadThatCannotBeTakenUpLeavesTheGatewayRunning: whatever is wrong with
// the new configuration, or with what it names, people go on tapping.
func TestReloadThatCannotBeTakenUpLeavesTheGatewayRunning(t *testing.T) {
	t.Parallel()
	other := newGateway(t, "tcp://127.0.0.1:1", "")
	other.start()
	for _, tc := range []struct {
		name  string
		more  string
		spoil func(g *gateway)
		says  string
	}{
		{"a fence that is none", fenced, func(g *gateway) { g.write("office.geojson", badFence) }, "office.geojson"},
		{"a fence that is gone", fenced, func(g *gateway) { os.Remove(filepath.Join(g.dir, "office.geojson")) }, "office.fence_file"},
		{"a badge key that is gone", "", func(g *gateway) { os.Remove(filepath.Join(g.dir, "badge.key")) }, "badges.key_file"},
		{"a badge key that is none", "", func(g *gateway) { g.write("badge.key", "abcd") }, "badges.key_file"},
		{"a roster that is none", "", func(g *gateway) {
			g.write("roster.csv", "badge,tag\nwho,knows\n")
			g.configure(g.text() + "[tags]\nroster_file = \"roster.csv\"\n")
		}, "roster.csv"},
		{"a CA that is none", "", func(g *gateway) {
			g.write("ca.pem", "nobody")
			g.configure(strings.Replace(g.text(), "tcp://127.0.0.1:1", "tls://127.0.0.1:1", 1) + "ca_file = \"ca.pem\"\n")
		}, "mqtt.ca_file"},
		{"the place of another gateway", "", func(g *gateway) {
			g.configure(strings.Replace(g.text(), filepath.Join(g.dir, "state"), filepath.Join(other.dir, "state"), 1))
		}, "another gatewayd is running"},
		{"a place that is a file", "", func(g *gateway) {
			g.write("no-folder", "")
			g.configure(strings.Replace(g.text(), filepath.Join(g.dir, "state"), filepath.Join(g.dir, "no-folder"), 1))
		}, "no-folder"},
		{"a place that takes nothing", "", func(g *gateway) {
			g.configure(strings.Replace(g.text(), filepath.Join(g.dir, "state"), "/proc/gatewayd", 1))
		}, "/proc/gatewayd"},
		{"a journal that is a folder", "", func(g *gateway) {
			if err := os.MkdirAll(filepath.Join(g.dir, "elsewhere/journal.db.new/x"), 0o755); err != nil {
				g.t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(g.dir, "elsewhere/journal.db/x"), 0o755); err != nil {
				g.t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(g.dir, "elsewhere/control.sock/x"), 0o755); err != nil {
				g.t.Fatal(err)
			}
			g.configure(strings.Replace(g.text(), filepath.Join(g.dir, "state"), filepath.Join(g.dir, "elsewhere"), 1))
		}, "elsewhere"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, tc.more)
			g.write("office.geojson", soundFence)
			g.start()
			m.Await("READY=1")
			first := g.tap("--uid", "5A000001")[0]
			healthy := g.text()
			tc.spoil(g)
			g.hup(m)
			spoilt := g.text()
			g.configure(healthy) // for the commands, which find the gateway by it
			second := g.tap("--uid", "5A000002")[0]
			if second.Outcome != "accepted" || second.Stream != first.Stream || second.Seq != first.Seq+1 {
				t.Errorf("after %+v came %+v", first, second)
			}
			g.configure(spoilt)
			g.stop() // also of an exit code of 0
			if log := g.log.String(); !strings.Contains(log, "the old one stays in force") || !strings.Contains(log, tc.says) {
				t.Errorf("the log does not name %s:\n%s", tc.says, log)
			} else if strings.Contains(log, "nothing can be recorded") {
				t.Errorf("the gateway goes on, and its log says that nothing can be recorded:\n%s", log)
			}
		})
	}
}

// TestReloadThatFailsHalfwayBringsTheOldConfigurationBack: somebody holds the
// journal at the very moment at which nobody else does.
func TestReloadThatFailsHalfwayBringsTheOldConfigurationBack(t *testing.T) {
	t.Parallel()
	g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, "")
	g.start()
	m.Await("READY=1")
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Fatalf("%+v", a)
	}
	// A copy that is held already takes the journal's place: the gateway that runs
	// keeps its own until it stops.
	path := filepath.Join(g.dir, "state", "journal.db")
	journal, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".copy", journal, 0o640); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path + ".copy")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".copy", path); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { // longer than a gateway waits for it
		held <- unix.Flock(int(file.Fd()), unix.LOCK_UN)
	})
	old := g.text()
	g.configure(strings.Replace(old, `name = "door"`, `name = "gate"`, 1))
	g.hup(m)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if a := g.tap("--uid", "5A000002"); len(a) != 1 || a[0].Outcome != "accepted" {
		t.Errorf("at the old reader: %+v", a)
	}
	// What was asked for is still wanted.
	g.hup(m)
	g.await("the new reader", func() bool {
		out, _ := g.try("sim", "tap", "--reader", "gate", "--uid", "5A000003")
		return strings.Contains(out, "accepted")
	})
	g.stop()
	if !strings.Contains(g.log.String(), "the configuration before it goes on") {
		t.Errorf("the log does not say what happened:\n%s", g.log.String())
	}
}

// TestGatewayWhoseFenceBecameBadStarts without one, and says so; a corrected one is
// taken up by a reload.
func TestGatewayWhoseFenceBecameBadStarts(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	radio, port := openTTY(t)
	g, m := underSystemd(t, b.URL(), time.Minute, everyTag+receiver(port)+fenced)
	g.write("office.geojson", soundFence)
	if out, code := g.try("check"); code != 0 {
		t.Fatalf("check: %s", out)
	}
	for i, spoil := range []func(){
		func() { os.Remove(filepath.Join(g.dir, "office.geojson")) },
		func() { g.write("office.geojson", "lat,lon") },
		func() { g.write("office.geojson", badFence) },
	} {
		if i > 0 {
			g.stop()
		}
		spoil()
		g.start()
		m.Await("READY=1")
		if a := g.tap("--uid", fmt.Sprintf("5A00000%d", i))[0]; a.Outcome != "accepted" {
			t.Errorf("%+v", a)
		}
	}
	tag := func(i int) (zone *string) {
		t.Helper()
		line := beacontest.PKLDS(100, 1000+i, -7.975, 112.635, time.Now())
		if _, err := io.WriteString(radio, line); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("kenwood:100-%d", 1000+i)
		var e struct {
			Tag  string
			Zone *string
		}
		seen.Await("the tag "+id, func(all []brokertest.Message) bool {
			return slices.ContainsFunc(all, func(m brokertest.Message) bool {
				return strings.HasSuffix(m.Topic, "/event/tag") && json.Unmarshal(m.Payload, &e) == nil && e.Tag == id
			})
		})
		return e.Zone
	}
	if zone := tag(1); zone != nil {
		t.Errorf("without a fence the zone is %s", *zone)
	}
	alert := func(stands bool) func(all []brokertest.Message) bool {
		return func(all []brokertest.Message) bool {
			for _, m := range slices.Backward(all) {
				if strings.HasSuffix(m.Topic, "/alert/fence") {
					return len(m.Payload) > 0 == stands
				}
			}
			return false
		}
	}
	messages := seen.Await("the alert", alert(true))
	g.write("office.geojson", soundFence)
	g.hup(m)
	if zone := tag(2); zone == nil || *zone != "inside" {
		t.Errorf("with its fence the zone is %v", zone)
	}
	seen.Await("the alert to go", alert(false))
	for _, m := range messages {
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	g.stop()
}
