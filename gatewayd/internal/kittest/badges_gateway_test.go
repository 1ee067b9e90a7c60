package kittest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/city"
	"presence/scripts/deb/debtest"
)

// door is a real gateway with a mocked reader, at the city's broker.
type door struct {
	t       *testing.T
	program string
	config  string
	log     *childtest.Log
}

// newDoor starts dinkes-01 with the badge authority of simulated cards, and waits until it
// is online. It goes with the test.
func newDoor(t *testing.T, c *kittest.City, b *brokertest.Broker) *door {
	t.Helper()
	dir := t.TempDir()
	d := &door{t: t, program: program(t, "gatewayd"), config: filepath.Join(dir, "gatewayd.toml"), log: new(childtest.Log)}
	cert, key := c.Issue("dinkes-01")
	var cityKey [32]byte
	if _, err := hex.Decode(cityKey[:], []byte(kittest.BadgeKey)); err != nil {
		t.Fatal(err)
	}
	own := city.GatewayBadgeKey(cityKey, "dinkes-01")
	debtest.Write(t, filepath.Join(dir, "badge.key"), hex.EncodeToString(own[:])+"\n", 0o600)
	debtest.Write(t, filepath.Join(dir, "badge-ca.pem"), d.run("sim", "badge-ca"), 0o600)
	debtest.Write(t, d.config, fmt.Sprintf(`
[gateway]
id = "dinkes-01"
dinas = "dinkes"
state_dir = %q
[[reader]]
name = "door"
bus = "sim"
[badges]
key_file = "badge.key"
ca_file = "badge-ca.pem"
repeat_window = "0s"
[city]
key_file = %q
[clock]
source = "trust"
[mqtt]
broker = "tls://%s"
ca_file = %q
cert_file = %q
key_file = %q
`, t.TempDir(), filepath.Join(c.CA, "city.pem"), b.Address(), filepath.Join(c.CA, "ca.pem"), cert, key), 0o600)
	online := b.Subscribe("presence/v1/dinkes/dinkes-01/status", c.AsProgram(b, "city"))
	cmd := exec.Command(d.program, "run", "--config", d.config)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	if err := childtest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", d.log)
		}
	})
	online.Await("the gateway", func(m []brokertest.Message) bool {
		return len(m) > 0 && bytes.Contains(m[len(m)-1].Payload, []byte(`"online"`))
	})
	return d
}

// run runs another command of the gateway's program, which has to succeed.
func (d *door) run(args ...string) string {
	d.t.Helper()
	out, err := exec.Command(d.program, args...).Output()
	if err != nil {
		d.t.Fatalf("gatewayd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tap shows a card, and returns what the lamp answers: "accepted", or why it was refused.
func (d *door) tap(args ...string) string {
	d.t.Helper()
	out, _ := exec.Command(d.program, append([]string{"sim", "--config", d.config, "tap", "--reader", "door"}, args...)...).Output()
	var said struct{ Outcome, Reason string }
	if err := json.Unmarshal(out, &said); err != nil {
		d.t.Fatalf("sim tap %v says %s", args, out)
	}
	return strings.TrimPrefix(said.Outcome+" "+said.Reason, "refused ")
}

// TestCityAndDoorAgreeOnBadges: a real gateway takes what the city signs about badges, opens
// the keys that were sealed to it, refuses the lost badge and the copy, and what it exports
// proves to the city who was there.
func TestCityAndDoorAgreeOnBadges(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin", "city")
	b := c.Broker()
	d := newDesk(t, c, b, threeOffices)
	gate := newDoor(t, c, b)
	const piv, desfire, other = "04A1B2C3D4E5F6", "04112233445566", "04778899AABBCC"
	master := sha256.Sum256([]byte("gatewayd sim badge master key\x00")) // of simulated cards
	debtest.Write(t, filepath.Join(c.CA, "badge-master.key"), hex.EncodeToString(master[:16])+"\n", 0o600)
	debtest.Write(t, filepath.Join(c.CA, "staff", "dinkes-01.csv"), "uid\n"+desfire+"\n", 0o600)
	d.says(0, []string{"lost badges: 1 of 1 gateways"}, "C", "badge-revoked", "dinkes-01")
	d.says(0, []string{"badge keys: 1 of 1 gateways"}, "C", "badge-keys", "dinkes-01")

	for _, tap := range []struct{ want, card, uid string }{
		{"accepted ", "piv", piv},
		{"accepted ", "piv", other},
		{"accepted ", "desfire-ev2", desfire},
		{"downgrade", "clone-of:" + desfire, desfire}, // the city's keys say that it can do more
		{"accepted ", "mifare-classic-1k", "04A1B2C3"},
	} {
		if got := gate.tap("--card", tap.card, "--uid", tap.uid); got != tap.want {
			t.Errorf("%s %s: %q, want %q", tap.card, tap.uid, got, tap.want)
		}
	}
	// Lost after that, each by its UID: the badge and whatever shows its number.
	d.says(0, []string{"lost badges: 1 of 3 gateways"}, "C", "badge-revoke", "--why", "lost", piv, desfire)
	for _, tap := range []struct{ want, card, uid string }{
		{"revoked", "piv", piv},
		{"revoked", "clone-of:" + piv, piv},
		{"revoked", "desfire-ev2", desfire},
		{"accepted ", "piv", other},
	} {
		if got := gate.tap("--card", tap.card, "--uid", tap.uid); got != tap.want {
			t.Errorf("afterwards, %s %s: %q, want %q", tap.card, tap.uid, got, tap.want)
		}
	}

	// The city's own record of certificates is that of its own authority; these cards are of
	// another one.
	events := filepath.Join(t.TempDir(), "events.jsonl")
	debtest.Write(t, events, gate.run("export", "--config", gate.config, "--format", "jsonl"), 0o600)
	cards := filepath.Join(t.TempDir(), "cards.pem")
	debtest.Write(t, cards, gate.run("sim", "badge-ca")+gate.run("sim", "badge-ca", "--uid", piv)+gate.run("sim", "badge-ca", "--uid", other), 0o600)
	out, err := exec.Command(program(t, "prove"), "-ca", cards, "-badge-key", filepath.Join(c.CA, "badge.key"),
		"-revoked", filepath.Join(c.CA, "published", "badge-revoked", "dinkes_dinkes-01.json"), events).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "hold=3 undecided=0 failed=0 desfire=1 uid=1\n") {
		t.Errorf("prove: %v\n%s", err, out)
	}
}
