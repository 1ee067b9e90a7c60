package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/kittest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// sdCard is a gateway whose folders lie below one, as on an SD card, with its certificate.
type sdCard struct {
	*gateway
	root  string
	state string
}

// newCard makes a gateway of the city with a certificate of its own, which the city
// issues in place of an earlier one.
func newCard(t *testing.T, k *kittest.City, b *brokertest.Broker, id, more string) *sdCard {
	t.Helper()
	request, key := k.Request(id)
	k.Replace(id, request)
	g := newGateway(t, "tls://"+b.Address(), "")
	c := &sdCard{gateway: g, root: filepath.Join(g.dir, "card")}
	c.state = filepath.Join(c.root, "var", "lib", "gatewayd")
	etc := filepath.Join(c.root, "etc", "gatewayd")
	for _, dir := range []string{filepath.Join(c.state, "tls"), etc} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.NewReplacer(fmt.Sprintf("state_dir = %q", filepath.Join(g.dir, "state")), `state_dir = "../../var/lib/gatewayd"`,
		`"dinkes-01"`, `"`+id+`"`).Replace(g.text())
	g.config = filepath.Join(etc, "gatewayd.toml")
	g.configure(text + `ca_file = "city-ca.pem"
cert_file = "../../var/lib/gatewayd/tls/gateway.pem"
key_file = "../../var/lib/gatewayd/tls/gateway.key"
` + more)
	for from, to := range map[string]string{
		filepath.Join(g.dir, "badge.key"): filepath.Join(etc, "badge.key"),
		filepath.Join(k.CA, "ca.pem"):     filepath.Join(etc, "city-ca.pem"),
		k.Issued(id):                      filepath.Join(c.state, "tls", "gateway.pem"),
		key:                               filepath.Join(c.state, "tls", "gateway.key"),
	} {
		debtest.Write(t, to, debtest.Read(t, from), 0o600)
	}
	return c
}

// alone runs a command on a machine that has no configuration, such as a laptop.
func (c *sdCard) alone(args ...string) (output string, code int) {
	c.t.Helper()
	if _, err := os.Stat("/etc/gatewayd/gatewayd.toml"); err == nil {
		skiptest.Skip(c.t, "this machine has a configuration of its own")
	}
	path, err := binary()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	out, _ := cmd.CombinedOutput() // what came of it says the exit code
	return string(out), cmd.ProcessState.ExitCode()
}

// said fails the test unless a command said something and exited with a code.
func said(t *testing.T, what, output string, code, want int, words ...string) {
	t.Helper()
	for _, w := range words {
		if code != want || !strings.Contains(output, w) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", what, code, want, w, output)
		}
	}
}

// taps records some taps and returns their ids.
func (c *sdCard) taps(n, first int) (ids []string) {
	c.t.Helper()
	for _, a := range c.tap("--uid", fmt.Sprintf("5C%06X", first), "--count", fmt.Sprint(n)) {
		if a.Outcome != "accepted" {
			c.t.Fatalf("%+v", a)
		}
		ids = append(ids, a.id())
	}
	return ids
}

// have reports whether a city has all of some events of a gateway, by the topic.
func have(prefix string, ids []string) func([]brokertest.Message) bool {
	return func(messages []brokertest.Message) bool {
		left := slices.Clone(ids)
		for _, m := range messages {
			var e event
			if strings.HasPrefix(m.Topic, prefix+"event/") && json.Unmarshal(m.Payload, &e) == nil {
				left = slices.DeleteFunc(left, func(id string) bool { return id == e.ID })
			}
		}
		return len(left) == 0
	}
}

// retained is what a broker keeps of a gateway, by topic.
func retained(t *testing.T, k *kittest.City, b *brokertest.Broker, prefix string) map[string]string {
	t.Helper()
	city := b.Subscribe("presence/v1/#", k.AsProgram(b, "city"))
	defer city.Disconnect()
	kept := make(map[string]string)
	for _, m := range city.Await("what the broker keeps", func(m []brokertest.Message) bool {
		return brokertest.Came(prefix+"status")(m) && brokertest.Came(prefix+"info")(m) && brokertest.Came(prefix+"health")(m)
	}) {
		kept[m.Topic] = string(m.Payload)
	}
	return kept
}

// TestDeliverAfterAReplacement: a Pi breaks while its line is down, and another one takes
// its place under the same id, with another certificate. What was on the old card reaches
// the city as the old one would have sent it, and nothing else changes.
func TestDeliverAfterAReplacement(t *testing.T) {
	t.Parallel()
	k := kittest.New(t, "..", "city")
	b := k.Broker()
	seen := b.Subscribe("presence/v1/#", k.AsProgram(b, "city"))
	old := newCard(t, k, b, "dinkes-01", "")
	old.start()
	before := old.taps(2, 0)
	seen.Await("the taps before", have(prefix, before))
	old.await("the cursor", func() bool { return old.health().Journal.Pending == 0 })
	told := seen.Messages()
	seen.Disconnect()
	b.Stop()
	waiting := old.taps(3, 100)
	old.kill()

	pi := newCard(t, k, b, "dinkes-01", "") // which takes the old certificate back
	b.Restart()
	pi.start()
	pi.await("the line", func() bool { return pi.health().MQTT.Connected })
	deliver := []string{"deliver", "--state", old.state, "--patience", "20s"}
	out, code := pi.try(deliver...)
	said(t, "while the new one runs", out, code, 1, "it runs on this machine", "systemctl stop gatewayd")
	out, code = old.alone(deliver...)
	said(t, "with the certificate that was taken back", out, code, 1, "no line to the broker")
	if h := pi.health().MQTT; h.Reconnects != 0 {
		t.Errorf("the new gateway was thrown off: %+v", h)
	}
	pi.stop()
	kept := retained(t, k, b, prefix)
	seen = b.Subscribe("presence/v1/#", k.AsProgram(b, "city"))
	out, code = pi.try(deliver...)
	said(t, "deliver", out, code, 0, "dinkes/dinkes-01: 3 events delivered, 3 were delivered before, 0 are left")
	came := seen.Await("the taps of the old card", have(prefix, waiting))
	got := events(t, validator(t), append(told, came...))
	for _, id := range waiting {
		if e := got[id]; e.Rev != 0 || e.Quality != "trusted" {
			t.Errorf("came as %+v", e)
		}
	}
	for _, m := range came { // beside the question whether the broker passes on what is published
		if !m.Retained && m.Topic != prefix+"event/badge" && m.Topic != prefix+"alert/doctor" {
			t.Errorf("something else was published on %s", m.Topic)
		}
	}
	seen.Disconnect()
	if now := retained(t, k, b, prefix); fmt.Sprint(now) != fmt.Sprint(kept) {
		t.Errorf("the broker keeps\n%v\nit kept\n%v", now, kept)
	}
	out, code = pi.try(deliver...)
	said(t, "once more", out, code, 0, "0 events delivered, 6 were delivered before, 0 are left")
	out, code = old.alone("export", "--state", old.state)
	said(t, "export without a configuration", out, code, 0, waiting[2], `"gateway":"dinkes-01","dinas":"dinkes"`)
	pi.start()
	pi.await("the line", func() bool { return pi.health().MQTT.Connected })
}

// TestDeliverSpeaksOnlyForItself: in the name of a gateway speaks who has its certificate,
// and nobody else; and nothing counts as delivered that the broker does not pass on.
func TestDeliverSpeaksOnlyForItself(t *testing.T) {
	t.Parallel()
	k := kittest.New(t, "..", "city", "admin")
	b := k.Broker()
	old, other := newCard(t, k, b, "dinkes-01", ""), newCard(t, k, b, "dinkes-02", "")
	b.Stop()
	old.start()
	waiting := old.taps(3, 0)
	out, code := old.alone("deliver", "--state", old.state)
	said(t, "while it runs", out, code, 1, "a gateway runs on "+old.state)
	old.kill()
	b.Restart()
	out, code = old.alone("deliver", "--state", "dinkes-02="+old.state)
	said(t, "under another name", out, code, 2, "DINAS/dinkes-02=")
	out, code = old.alone("deliver", "--state", "dinkes/dinkes-02="+old.state)
	said(t, "under another name", out, code, 2, "Its journal says dinkes/dinkes-01")
	out, code = old.alone("deliver", "--state", old.root)
	said(t, "where no journal is", out, code, 1, "there is no journal in "+old.root)
	pair := filepath.Join(old.state, "tls", "gateway.")
	own := map[string]string{"pem": debtest.Read(t, pair+"pem"), "key": debtest.Read(t, pair+"key")}
	for name, as := range map[string]string{"another gateway": filepath.Join(other.state, "tls", "gateway."), "a program of the city": k.Own("admin.")} {
		for kind := range own {
			debtest.Write(t, pair+kind, debtest.Read(t, as+kind), 0o600)
		}
		out, code = old.alone("deliver", "--state", old.state)
		said(t, "with the certificate of "+name, out, code, 1, "there is no certificate for it")
	}
	for kind, text := range own {
		debtest.Write(t, pair+kind, text, 0o600)
	}
	// A broker that lets it in, and passes nothing on.
	acl := filepath.Join(t.TempDir(), "acl")
	debtest.Write(t, acl, "user city\ntopic read #\n", 0o644)
	deaf := k.BrokerWith(acl)
	old.configure(strings.Replace(old.text(), b.Address(), deaf.Address(), 1))
	out, code = old.alone("deliver", "--state", old.state)
	said(t, "without an ACL for it", out, code, 1, "does its ACL allow that?")
	out, code = old.alone("--config", old.config, "verify")
	said(t, "after all that", out, code, 0, "4 waiting")

	old.configure(strings.Replace(old.text(), deaf.Address(), b.Address(), 1))
	seen := b.Subscribe("presence/v1/#", k.AsProgram(b, "city"))
	out, code = old.alone("deliver", "--state", old.state)
	said(t, "with its own", out, code, 0, "dinkes/dinkes-01: 4 events delivered")
	seen.Await("the taps", have(prefix, waiting))
}

// TestDeliverIsKilled in the middle: the next one goes on, and in the end the city has
// every event, in order.
func TestDeliverIsKilled(t *testing.T) {
	t.Parallel()
	const n = 20_000
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "")
	g.fillJournal(n)
	seen := b.Subscribe(prefix + "event/#")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, enough := range []int{100, 2000} {
		cmd := exec.Command(path, "--config", g.config, "deliver")
		if err := childtest.Start(cmd); err != nil {
			t.Fatal(err)
		}
		seen.Await("some events", func(m []brokertest.Message) bool { return len(m) >= enough })
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("it was through before it was killed")
		}
	}
	out, code := g.try("deliver")
	said(t, "deliver", out, code, 0, "0 are left")
	all := events(t, validator(t), seen.Await("all events", func(m []brokertest.Message) bool {
		return len(m) > n && strings.Contains(string(m[len(m)-1].Payload), fmt.Sprintf(`"seq":%d,`, n+1))
	}))
	if len(all) != n+1 {
		t.Errorf("%d events came, want %d", len(all), n+1)
	}
	if out := g.must("verify"); !strings.Contains(out, fmt.Sprintf("%d in 1 streams, %d delivered, 0 waiting", n+1, n+1)) {
		t.Errorf("verify: %s", out)
	}
}

// fillJournal records taps as the gateway would.
func (g *gateway) fillJournal(n int) {
	g.t.Helper()
	state := filepath.Join(g.dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		g.t.Fatal(err)
	}
	now := func() presence.Reading {
		return presence.Reading{Boot: presence.ID{7}, Boottime: time.Hour, Wall: time.Now().UnixNano(), State: presence.ClockTrusted}
	}
	j, err := journal.Open(journal.Options{
		Origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
		Path:   filepath.Join(state, "journal.db"), Keep: time.Hour, MaxBytes: 64 << 20, CommitInterval: time.Second,
		Now: now, Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for i := range n {
		err := j.Enqueue(g.t.Context(), presence.Draft{
			Kind: presence.KindBadge, At: now(),
			Badge: &presence.Badge{Reader: "door", Badge: fmt.Sprintf("h:%032x", i), Card: "unknown", Assurance: "uid"},
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		g.t.Fatal(err)
	}
}

// TestDeliverFromAMediumThatCannotBeWritten: all goes, nothing is marked, and it says so.
func TestDeliverFromAMediumThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	skiptest.Root(t, "to mount")
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "")
	g.fillJournal(50)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	for range 2 {
		seen := b.Subscribe(prefix + "event/#")
		cmd := exec.Command("unshare", "--mount", "sh", "-ec",
			`mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" --config "$3" deliver`, "sh", filepath.Join(g.dir, "state"), path, g.config)
		cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		said(t, "deliver", string(out), 0, 0, "51 events delivered, 0 were delivered before, 0 are left", "cannot be written")
		seen.Await("all events", func(m []brokertest.Message) bool { return len(m) == 51 })
		seen.Disconnect()
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
	if out := g.must("verify"); !strings.Contains(out, "0 delivered, 51 waiting") {
		t.Errorf("verify: %s", out)
	}
}

// TestDeliverWaitsForReceipts where the gateway was to wait for them.
func TestDeliverWaitsForReceipts(t *testing.T) {
	t.Parallel()
	cityKey := newSigner(t)
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "receipts = true\n")
	g.withCityKey(cityKey)
	g.fillJournal(20)
	seen := b.Subscribe(prefix + "event/#")
	out, code := g.try("deliver", "--patience", "1s")
	said(t, "without a receipt", out, code, 1, "the city sends no receipts", "0 events delivered, 0 were delivered before, 21 are left")
	var e event
	if err := json.Unmarshal(seen.Messages()[0].Payload, &e); err != nil {
		t.Fatal(err)
	}
	seen.Publish(prefix+"receipt", true, fmt.Appendf(nil, `{"stream":%q,"upto":21}`, e.Stream))
	out, code = g.try("deliver", "--patience", "1s")
	said(t, "with a forged one", out, code, 1, "21 are left")
	seen.Publish(prefix+"receipt", true, cityKey.run("../scripts/city/sign.sh", "-k", cityKey.key, "-d", "dinkes", "-g", "dinkes-01", "receipt", e.Stream, "18"))
	out, code = g.try("deliver", "--patience", "1s")
	said(t, "with one for a part", out, code, 1, "18 events delivered, 0 were delivered before, 3 are left")
	seen.Publish(prefix+"receipt", true, cityKey.run("../scripts/city/sign.sh", "-k", cityKey.key, "-d", "dinkes", "-g", "dinkes-01", "receipt", e.Stream, "21"))
	out, code = g.try("deliver", "--patience", "10s")
	said(t, "with all", out, code, 0, "3 events delivered, 18 were delivered before, 0 are left")
}

// TestDeliverKnowsTheTimeAsTheGatewayDid: also what had been sent without a time before
// is sent again with it, by what the gateway's own clock knew, and nothing more.
func TestDeliverKnowsTheTimeAsTheGatewayDid(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	g := simClock(t, b.URL())
	g.start()
	sent := g.timedTap("5A000001")
	seen.Await("the tap without a time", have(prefix, []string{sent.id()}))
	g.await("the cursor", func() bool { return g.health().Journal.Pending == 0 })
	b.Stop()
	waits := g.timedTap("5A000002")
	const ahead = 3 * time.Hour
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	g.await("the taps to get their time", func() bool {
		all := g.exported()
		return sent.right(t, all[sent.id()], "corrected", ahead) && waits.right(t, all[waits.id()], "corrected", ahead)
	})
	g.kill()
	want := g.exported()
	b.Restart()
	seen = b.Subscribe("presence/v1/#")
	out, code := g.try("deliver")
	said(t, "deliver", out, code, 0, "0 are left")
	came := seen.Await("the taps", have(prefix, []string{sent.id(), waits.id()}))
	got := make(map[string]event) // as last told
	for _, m := range came {
		var e event
		if strings.Contains(m.Topic, "/event/") && json.Unmarshal(m.Payload, &e) == nil {
			got[e.ID] = e
		}
	}
	for _, x := range []timed{sent, waits} {
		e, w := got[x.id()], want[x.id()]
		if !x.right(t, e, "corrected", ahead) || *e.Time != *w.Time || e.Rev != w.Rev {
			t.Errorf("the tap came as %+v, want %+v", e, w)
		}
	}
	if got[sent.id()].Rev == 0 {
		t.Error("another time came under the rev of the first")
	}
}

// TestNobodyTakesOverAJournal: a gateway that was given another id or department by hand
// goes on as before, and where it starts it sends nothing of the old journal.
func TestNobodyTakesOverAJournal(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), "")
	g.start()
	stream := g.tap("--uid", "5A000000")[0].Stream
	good := g.text()
	renamed := strings.Replace(good, `id = "dinkes-01"`, `id = "dinkop-07"`, 1)
	g.configure(renamed)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.await("the reload to be refused", func() bool { return strings.Contains(g.log.String(), "the old one stays in force") })
	out, code := g.try("check")
	said(t, "check", out, code, 2, "journal.db: it holds the events of dinkes/dinkes-01", "gatewayd-provision rename")
	g.kill()
	old := g.image()
	g.start()
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Errorf("under the new name: %+v", a)
	}
	seen.Await("the alert", brokertest.Came("presence/v1/dinkes/dinkop-07/alert/journal-foreign"))
	g.stop()
	aside := filepath.Join(g.dir, "state", "former", "dinkes-01")
	if kept, err := os.ReadFile(filepath.Join(aside, "journal.db")); err != nil || !bytes.Equal(kept, old["journal.db"]) {
		t.Errorf("the old journal was changed (%v)", err)
	}
	for _, m := range seen.Messages() {
		if strings.Contains(m.Topic, "/dinkop-07/event/") && bytes.Contains(m.Payload, []byte(stream)) {
			t.Errorf("under the new name goes out %s", m.Payload)
		}
	}
	g.configure(good)
	out, code = g.try("deliver", "--state", aside)
	said(t, "deliver what was put aside", out, code, 0, "dinkes/dinkes-01: ", "0 are left")
}
