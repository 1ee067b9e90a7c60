package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/supervise/supervisetest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
)

// hup is systemctl reload: the service manager waits until it is ready again.
func (g *gateway) hup(m *supervisetest.Manager) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		g.t.Fatal(err)
	}
	m.Await("RELOADING=1")
	m.Await("READY=1")
}

// write writes a file beside the configuration.
func (g *gateway) write(name, content string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

const (
	soundFence = `{"type":"Polygon","coordinates":[[[112.63,-7.98],[112.64,-7.98],[112.64,-7.97],[112.63,-7.97],[112.63,-7.98]]]}`
	otherFence = `{"type":"Polygon","coordinates":[[[112.63,-7.98],[112.65,-7.98],[112.65,-7.97],[112.63,-7.97],[112.63,-7.98]]]}`
	badFence   = `{"type":"Polygon","coordinates":[]}`
	fenced     = "[office]\nfence_file = \"office.geojson\"\n"
)

// TestReloadNoticesEveryFileThatTheConfigurationNames, also where only its content
// has changed, and nothing where nothing has.
func TestReloadNoticesEveryFileThatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	content := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	g, m := underSystemd(t, "tls://127.0.0.1:1", time.Minute,
		"ca_file = \"ca.pem\"\ncert_file = \"gw.pem\"\nkey_file = \"gw.key\"\nusername = \"u\"\npassword_file = \"password\"\n"+
			fenced+"[tags]\nroster_file = \"roster.csv\"\n")
	g.write("ca.pem", content(ca.File))
	g.write("gw.pem", content(cert))
	g.write("gw.key", content(key))
	g.write("password", "rahasia")
	g.write("office.geojson", soundFence)
	g.write("roster.csv", "5A000000,kenwood:100-1001\n")
	g.start()
	m.Await("READY=1")
	stream := func(uid string) string {
		t.Helper()
		a := g.tap("--uid", uid)[0]
		if a.Outcome != "accepted" {
			t.Fatalf("%+v", a)
		}
		return a.Stream
	}
	before := stream("5A000000")
	for i, tc := range []struct{ name, content string }{
		{"badge.key", strings.Repeat("fedcba9876543210", 4)},
		{"office.geojson", otherFence},
		{"password", "lebih rahasia"},
		{"roster.csv", "5A000000,kenwood:100-1002\n"},
		{"ca.pem", content(ca.File) + content(cert)},
		{"gw.pem", content(cert) + "\n"},
		{"gw.key", content(key) + "\n"},
	} {
		g.write(tc.name, tc.content)
		g.hup(m)
		now := stream(fmt.Sprintf("5A0001%02X", i))
		if now == before {
			t.Errorf("%s has changed, and nobody has noticed", tc.name)
		}
		before = now
		g.hup(m)
		if again := stream(fmt.Sprintf("5A0002%02X", i)); again != before {
			t.Errorf("nothing has changed since %s, and it starts over", tc.name)
		}
	}
	// The new key is in use: a badge from before is another one.
	if a := g.tap("--uid", "5A000000")[0]; a.Outcome != "accepted" {
		t.Errorf("with another badge key: %+v", a)
	}
	g.stop()
}

// TestReloadMovesToAnotherPlace: the journal that it leaves ends well.
func TestReloadMovesToAnotherPlace(t *testing.T) {
	t.Parallel()
	g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, "")
	g.start()
	m.Await("READY=1")
	first := g.tap("--uid", "5A000001")[0]
	old := g.text()
	g.configure(strings.Replace(old, filepath.Join(g.dir, "state"), filepath.Join(g.dir, "moved"), 1))
	g.hup(m)
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" || a.Stream == first.Stream {
		t.Errorf("in the new place: %+v", a)
	}
	g.stop()
	for _, text := range []string{g.text(), old} {
		g.configure(text)
		if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
			t.Errorf("verify says %s", out)
		}
	}
	// It was closed and not cut off.
	g.start()
	if out := g.must("export"); !strings.Contains(out, `"clean":true`) {
		t.Errorf("the journal that was left says %s", out)
	}
}

// TestReloadIsTold: the city sees a reload, and no loss of a line.
func TestReloadIsTold(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/status")
	g, m := underSystemd(t, b.URL(), time.Minute, "")
	g.start()
	m.Await("READY=1")
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	g.configure(g.text() + "[health]\ninterval = \"50s\"\n")
	g.hup(m)
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	g.stop()
	var told []presence.Status
	for _, m := range seen.Await("all of it", func(all []brokertest.Message) bool {
		return slices.ContainsFunc(all, func(m brokertest.Message) bool { return strings.Contains(string(m.Payload), `"stop"`) })
	}) {
		var s presence.Status
		if err := json.Unmarshal(m.Payload, &s); err != nil {
			t.Fatal(err)
		}
		told = append(told, s)
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	var words []string
	for _, s := range told {
		words = append(words, s.State+" "+s.Reason)
	}
	if want := []string{"online start", "offline reload", "online start", "offline stop"}; !slices.Equal(words, want) {
		t.Fatalf("the city is told %v, want %v", words, want)
	}
	if told[0].Session != told[1].Session || told[1].Session == told[2].Session {
		t.Errorf("sessions %v", told)
	}
}

// TestTapsGoOnOverAReload: `sim tap` is asked for many, and the gateway starts
// over in the middle.
func TestTapsGoOnOverAReload(t *testing.T) {
	t.Parallel()
	g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, "")
	g.start()
	m.Await("READY=1")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 30
	cmd := exec.Command(path, "--config", g.config, "sim", "tap", "--reader", "door", "--uid", "5A000000", "--uid", "6A000000",
		"--count", fmt.Sprint(rounds), "--hold", "0s", "--every", "100ms")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := childtest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		<-time.After(700 * time.Millisecond)
		g.configure(g.text() + fmt.Sprintf("# %d\n", i))
		g.hup(m)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("sim tap ended with %v: %s", err, problems.String())
	}
	uids, streams := make(map[string]bool), make(map[string]bool)
	for dec := json.NewDecoder(&out); ; {
		var a answer
		if err := dec.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if uids[a.UID] {
			t.Errorf("%s was answered twice", a.UID)
		}
		uids[a.UID], streams[a.Stream] = true, true
	}
	if len(uids) != 2*rounds || len(streams) != 3 {
		t.Errorf("%d of %d cards answered, by %d gateways", len(uids), 2*rounds, len(streams))
	}
	g.stop()
}

// TestWatchGoesOnOverAReload, also to another place, and ends with the gateway.
func TestWatchGoesOnOverAReload(t *testing.T) {
	t.Parallel()
	g, m := underSystemd(t, "tcp://127.0.0.1:1", time.Minute, "")
	g.start()
	m.Await("READY=1")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--config", g.config, "watch")
	var seen childtest.Log
	cmd.Stdout, cmd.Stderr = &seen, &seen
	if err := childtest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	states := func() int { return strings.Count(seen.String(), "reader door ") }
	watched := func(uid string, n int) {
		t.Helper()
		g.await("the watcher to be shown the state", func() bool { return states() >= n })
		g.tap("--uid", uid)
		g.await("the tap", func() bool { return strings.Count(seen.String(), "accepted") == n })
	}
	watched("5A000001", 1)
	g.configure(g.text() + "# another\n")
	g.hup(m)
	watched("5A000002", 2)
	g.configure(strings.Replace(g.text(), filepath.Join(g.dir, "state"), filepath.Join(g.dir, "state2"), 1))
	g.hup(m)
	watched("5A000003", 3)
	g.stop()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(seen.String(), "gatewayd has stopped") {
			t.Errorf("after the stop: %v\n%s", err, seen.String())
		}
	case <-time.After(brokertest.Wait):
		t.Errorf("it goes on after the stop:\n%s", seen.String())
	}
}

// TestWhoeverAsksDuringAReloadIsAnswered: status waits for the next gateway a
// moment, and does not say that none is there.
func TestWhoeverAsksDuringAReloadIsAnswered(t *testing.T) {
	t.Parallel()
	g, m := underSystemd(t, silentBroker(t), time.Minute, "") // over which a stop takes long
	g.start()
	m.Await("READY=1")
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		text := g.text()
		for i := range 3 {
			g.write("next.toml", text+fmt.Sprintf("# %d\n", i))
			// Whole at any moment, for the commands that read it meanwhile.
			if err := os.Rename(filepath.Join(g.dir, "next.toml"), g.config); err != nil {
				t.Error(err)
				return
			}
			g.hup(m)
		}
	}()
	defer func() { <-reloaded }() // also where the test has failed
	asked, sessions := 0, make(map[string]bool)
	for asking := true; asking; asked++ {
		select {
		case <-reloaded:
			asking = false
		default:
		}
		out, code := g.try("status", "--json")
		var h struct{ Boots int }
		if code != 0 || json.Unmarshal([]byte(out), &h) != nil {
			t.Fatalf("status: exit %d: %s", code, out)
		}
		a := g.tap("--uid", fmt.Sprintf("5A%06X", asked))
		if len(a) != 1 || a[0].Outcome != "accepted" {
			t.Fatalf("sim tap: %+v", a)
		}
		sessions[a[0].Stream] = true
	}
	if len(sessions) < 2 {
		t.Errorf("%d questions were answered by %d gateways", asked, len(sessions))
	}
	g.stop()
	if _, err := os.Stat(filepath.Join(g.dir, "state", "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestGoodbyeComesAfterWhatWasTakenIn: a tag that waits in memory for its commit
// when the gateway is stopped is with the city before the goodbye.
func TestGoodbyeComesAfterWhatWasTakenIn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port)+"[journal]\ncommit_interval = \"10s\"\n")
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	const tags = 50
	for i := range tags {
		if _, err := io.WriteString(radio, beacontest.PKLDS(100, 1000+i, -7.975, 112.635, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	g.await("the tags to be heard", func() bool { return g.health().Receivers[0].Frames == tags })
	if n := count(seen.Messages(), "tag"); n != 0 {
		t.Fatalf("%d tags are with the city already", n)
	}
	g.stop()
	messages := seen.Await("goodbye", func(all []brokertest.Message) bool {
		return slices.ContainsFunc(all, func(m brokertest.Message) bool { return strings.Contains(string(m.Payload), `"reason":"stop"`) })
	})
	if n := count(messages, "tag"); n != tags {
		t.Errorf("%d of %d tags came before the goodbye", n, tags)
	}
	if last := messages[len(messages)-1]; !strings.HasSuffix(last.Topic, "/status") {
		t.Errorf("after the goodbye came %s", last.Topic)
	}
}
