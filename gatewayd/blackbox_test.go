package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/config"
	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

func TestTapsOfAllUIDSizesArriveOnceAndValid(t *testing.T) {
	t.Parallel()
	for _, chip := range config.Chips() {
		t.Run(chip, func(t *testing.T) {
			t.Parallel()
			tapsArrive(t, chip)
		})
	}
}

func tapsArrive(t *testing.T, chip string) {
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), "")
	g.configure(strings.Replace(g.text(), `bus = "sim"`, "bus = \"sim\"\nchip = \""+chip+"\"", 1))
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
	seen := b.Subscribe("presence/v1/+/+/event/#")
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
	for _, args := range [][]string{{}, {"fly"}, {"sim", "tap"}, {"export", "--since", "yesterday"}, {"demo", "--for", "-3s"}, {"demo", "--chip", "pn533"}} {
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
