package main_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/kittest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/city"
	"presence/scripts/deb/debtest"
)

// kit is what a city and a technician have: the authority, its broker, a stick.
type kit struct {
	*kittest.City
	t      *testing.T
	broker *brokertest.Broker
}

// sh runs a program that has to succeed.
func sh(t *testing.T, dir string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "CA_PASSPHRASE="+kittest.Passphrase, "BADGE_PASSPHRASE="+kittest.BadgePassphrase)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newKit does what BROKER.md says, with the broker on this machine.
func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{City: kittest.New(t, "..", "city"), t: t}
	k.broker = k.Broker()
	template := k.Edit(debtest.Read(t, "../scripts/city/dinas.toml"), map[string]string{
		`bus  = "/dev/spidev0.0"`: `bus = "sim"`,
		`reset_pin = "GPIO25"`:    `poll = "10ms"`,
		"mqtt.example.go.id:8883": k.broker.Address(),
		"[feedback]\ngreen  = \"GPIO17\"\nred    = \"GPIO27\"\nbuzzer = \"GPIO22\"\n": "[clock]\nsource = \"trust\"\n",
	})
	debtest.Write(t, filepath.Join(k.CA, "dinkes.toml"), template, 0o644)
	k.Bundle()
	return k
}

// city listens with the city's own certificate.
func (k *kit) city() *brokertest.City {
	k.t.Helper()
	return k.broker.Subscribe("presence/v1/#", k.AsProgram(k.broker, "city"))
}

// installed is a scratch root with the package, provisioned from the stick, and
// its daemon.
type installed struct {
	*debtest.Root
	t     *testing.T
	id    string
	paper string // the fingerprint of the city's authority
	log   bytes.Buffer
}

func (k *kit) install(deb, id string) *installed {
	k.t.Helper()
	g := &installed{Root: debtest.NewRoot(k.t), t: k.t, id: id, paper: k.Fingerprint()}
	g.Dpkg("-i", deb)
	// The gateway's user must reach what its programs read here.
	if err := os.Chmod(filepath.Dir(g.Dir), 0o711); err != nil {
		k.t.Fatal(err)
	}
	for _, dir := range []string{"proc", "run", "dev"} { // as every card has them
		if err := os.MkdirAll(g.Path(dir), 0o755); err != nil {
			k.t.Fatal(err)
		}
	}
	g.provision("usb", k.Stick, id, "dinkes")                          // leaves the request
	k.Authority("sign", filepath.Join(k.Stick, "requests", id+".csr")) // and puts the certificate on the stick
	g.provision("usb", k.Stick, id, "dinkes")                          // takes the certificate
	g.provision("renew-url", "file://"+filepath.Join(k.CA, "issued"))
	return g
}

func (g *installed) provision(args ...string) string {
	g.t.Helper()
	return sh(g.t, "", "env", append([]string{"CITY_FINGERPRINT=" + g.paper, g.Path("usr/sbin/gatewayd-provision"), "--root", g.Dir}, args...)...)
}

// start runs the installed daemon as the unit would: in its own root, as its own
// user, with its groups.
func (g *installed) start() {
	g.t.Helper()
	user, group := g.ID("passwd", "gatewayd"), g.ID("group", "gatewayd")
	var groups []string
	for _, name := range []string{"gatewayd", "spi", "gpio", "dialout"} {
		groups = append(groups, g.ID("group", name))
	}
	// It goes with the test: unshare takes the shell along when it is killed, and
	// the kernel all that runs under that shell.
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc="+g.Path("proc"),
		"sh", "-c", `chroot "$@" & wait`, "sh",
		"--userspec="+user+":"+group, "--groups="+strings.Join(groups, ","), g.Dir, "/usr/bin/gatewayd", "run")
	cmd.Stderr = &g.log
	cmd.WaitDelay = 5 * time.Second
	if err := childtest.Start(cmd); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("gatewayd of %s said:\n%s", g.id, g.log.String())
		}
	})
	g.await("the daemon", func() bool { _, err := g.command("status", "--json"); return err == nil })
}

func (g *installed) command(args ...string) (string, error) {
	out, err := exec.Command("chroot", append([]string{g.Dir, "/usr/bin/gatewayd"}, args...)...).Output()
	return string(out), err
}

func (g *installed) await(what string, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(brokertest.Wait); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("waited in vain for %s\n%s", what, g.log.String())
		}
	}
}

func (g *installed) health() presence.Health {
	g.t.Helper()
	out, err := g.command("status", "--json")
	if err != nil {
		g.t.Fatalf("gatewayd status: %v", err)
	}
	var h presence.Health
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// tap taps n new cards, which must all turn green, and returns their events' ids.
func (g *installed) tap(uid string, n int) (ids []string) {
	g.t.Helper()
	out, err := g.command("sim", "tap", "--reader", "door", "--uid", uid, "--hold", "0s", "--every", "0s", "--count", fmt.Sprint(n))
	if err != nil {
		g.t.Fatalf("sim tap: %v\n%s", err, out)
	}
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var a answer
		if err := dec.Decode(&a); err != nil || a.Outcome != "accepted" {
			g.t.Fatalf("%+v %v", a, err)
		}
		ids = append(ids, a.id())
	}
	return ids
}

// arrived waits until the city has all events.
func arrived(t *testing.T, seen *brokertest.City, ids []string) {
	t.Helper()
	seen.Await(fmt.Sprintf("%d events", len(ids)), func(m []brokertest.Message) bool {
		got := events(t, validator(t), m)
		return !slices.ContainsFunc(ids, func(id string) bool { _, ok := got[id]; return !ok })
	})
}

// expire puts a certificate in place that has ended years ago, for the same key.
func (g *installed) expire(k *kit) {
	g.t.Helper()
	conf := filepath.Join(g.t.TempDir(), "conf")
	debtest.Write(g.t, conf, fmt.Sprintf("[ca]\ndefault_ca = city\n[city]\ndatabase = %s/index.txt\nnew_certs_dir = %[2]s\nprivate_key = %[1]s/ca.key\ncertificate = %[1]s/ca.pem\n"+
		"default_md = sha256\nrand_serial = yes\nunique_subject = no\npolicy = p\nx509_extensions = x\n[p]\ncommonName = supplied\n[x]\nextendedKeyUsage = clientAuth\n",
		k.CA, g.t.TempDir()), 0o600)
	old := filepath.Join(k.CA, "issued", g.id+".pem")
	sh(g.t, "", "openssl", "ca", "-batch", "-notext", "-config", conf, "-passin", "env:CA_PASSPHRASE",
		"-in", filepath.Join(k.CA, "requests", g.id+".csr"), "-startdate", "20240101000000Z", "-enddate", "20240401000000Z", "-out", old)
	g.provision("accept", old)
}

// renew runs what the timer runs each day.
func (g *installed) renew() {
	g.t.Helper()
	cmd := exec.Command("chroot", "--userspec="+g.ID("passwd", "gatewayd")+":"+g.ID("group", "gatewayd"), "/", g.Path("usr/lib/gatewayd/renew"))
	cmd.Env = append(os.Environ(), "GATEWAYD_ROOT="+g.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("renew: %v\n%s", err, out)
	}
}

func TestPackageProvisionedWithTheKit(t *testing.T) {
	t.Parallel()
	deb := debtest.Build(t, "..", "1.0.0")
	k := newKit(t)
	ours, other := k.install(deb, "dinkes-01"), k.install(deb, "dinkes-02")

	t.Run("secrets are for the gateway alone", func(t *testing.T) { secretsAreForTheGateway(t, k, ours) })

	t.Run("nobody comes in with a seal key", func(t *testing.T) { sealKeyIsNoTicket(t, k, other) })

	seen := k.city()
	t.Run("an upgraded gateway gets its seal key certified without a visit", func(t *testing.T) { upgradedGatewaySeals(t, k, seen, k.install(deb, "dinkes-03")) })

	ours.start()
	green := ours.tap("04A1B2C3D40000", 10)
	arrived(t, seen, green)

	t.Run("each gateway has a badge key of its own, and the city knows which", func(t *testing.T) { badgeKeysDiffer(t, seen, ours, other) })

	t.Run("another gateway can neither write nor read ours", func(t *testing.T) { othersAreKeptOut(t, k, seen, ours, other) })

	t.Run("a renewed certificate is taken up while people tap", func(t *testing.T) { renewalWhilePeopleTap(t, k, seen, ours) })

	t.Run("an expired certificate is refused, shows, and is renewed without a visit", func(t *testing.T) { expiredCertificate(t, k, seen, other) })
}

func secretsAreForTheGateway(t *testing.T, k *kit, ours *installed) {
	for path, want := range map[string]string{
		"etc/gatewayd":                     "root:gatewayd 750",
		"etc/gatewayd/badge.key":           "gatewayd:gatewayd 600",
		"etc/gatewayd/gatewayd.toml":       "root:gatewayd 644",
		"var/lib/gatewayd/tls":             "gatewayd:gatewayd 700",
		"var/lib/gatewayd/tls/gateway.key": "gatewayd:gatewayd 600",
		"var/lib/gatewayd/tls/gateway.pem": "gatewayd:gatewayd 644",
		"var/lib/gatewayd/tls/seal.key":    "gatewayd:gatewayd 600",
		"var/lib/gatewayd/tls/seal.pem":    "gatewayd:gatewayd 644",
	} {
		if got := ours.Owner(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	// None of them is on the stick, nor with the authority.
	key := strings.Split(debtest.Read(t, ours.Path("var/lib/gatewayd/tls/gateway.key")), "\n")
	seal := strings.Split(debtest.Read(t, ours.Path("var/lib/gatewayd/tls/seal.key")), "\n")
	for _, secret := range []string{kittest.BadgeKey, key[1], seal[1]} {
		if out, err := exec.Command("grep", "-rlF", "-e", secret, k.Stick, k.CA).Output(); err == nil {
			t.Errorf("a secret lies in %s", out)
		}
	}
}

func badgeKeysDiffer(t *testing.T, seen *brokertest.City, ours, other *installed) {
	var cityKey [32]byte
	if _, err := hex.Decode(cityKey[:], []byte(kittest.BadgeKey)); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*installed{ours, other} {
		key := city.GatewayBadgeKey(cityKey, g.id)
		if got := debtest.Read(t, g.Path("etc/gatewayd/badge.key")); got != hex.EncodeToString(key[:])+"\n" {
			t.Errorf("%s has the key %s", g.id, got)
		}
		want := city.BadgeIdentity(key, []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0, 0})
		if got, err := g.command("badge", "04:A1:B2:C3:D4:00:00"); err != nil || got != want+"\n" {
			t.Errorf("%s: gatewayd badge says %q, %v; the city's table %s", g.id, got, err, want)
		}
		if g != ours {
			continue
		}
		seen.Await("the card in an event, and the key in info", func(m []brokertest.Message) bool {
			var badge, fingerprint bool
			for _, m := range m {
				badge = badge || strings.HasSuffix(m.Topic, "/dinkes-01/event/badge") && strings.Contains(string(m.Payload), want)
				fingerprint = fingerprint || strings.HasSuffix(m.Topic, "/dinkes-01/info") &&
					strings.Contains(string(m.Payload), `"badge_key":"`+city.BadgeKeyFingerprint(key)+`"`)
			}
			return badge && fingerprint
		})
	}
}

func othersAreKeptOut(t *testing.T, k *kit, seen *brokertest.City, ours, other *installed) {
	const forged = `{"forged":true}`
	// mosquitto 2.0.11 hangs up on who says what is forbidden: each message has a
	// connection of its own.
	forge := func(topic, payload string) {
		t.Helper()
		sh(t, "", "mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(k.broker.Port), "--cafile", filepath.Join(k.CA, "ca.pem"),
			"--cert", other.Path("var/lib/gatewayd/tls/gateway.pem"), "--key", other.Path("var/lib/gatewayd/tls/gateway.key"),
			"-t", topic, "-m", payload)
	}
	for _, topic := range []string{"status", "info", "health", "event/badge", "alert/x", "reply/ping", "log", "receipt", "cmd/ping", "roster", "policy/hours", "badge-keys", "badge-revoked", "time/request"} {
		forge("presence/v1/dinkes/dinkes-01/"+topic, forged)
	}
	// Nor may it speak to itself as the city does.
	forge("presence/v1/dinkes/dinkes-02/receipt", forged)
	forge("presence/v1/dinkes/dinkes-02/log", `{"time":null,"level":"WARN","text":"my own"}`)
	own := func(m brokertest.Message) bool { return m.Topic == "presence/v1/dinkes/dinkes-02/log" }
	for _, m := range seen.Await("its own log", func(m []brokertest.Message) bool { return slices.ContainsFunc(m, own) }) {
		if string(m.Payload) == forged {
			t.Errorf("it could write %s", m.Topic)
		}
	}
	arrived(t, seen, ours.tap("04A1B2C3D41000", 3))
	// After the forgeries: a certificate has one connection at a time.
	intruder := k.broker.Subscribe("presence/v1/#", k.As(k.broker,
		other.Path("var/lib/gatewayd/tls/gateway.pem"), other.Path("var/lib/gatewayd/tls/gateway.key")))
	defer intruder.Disconnect()
	soon := time.Now().Add(time.Minute).Format(time.RFC3339)
	seen.Publish("presence/v1/dinkes/dinkes-01/cmd/ping", false, fmt.Appendf(nil, `{"tx":"1","expires":%q}`, soon))
	seen.Publish("presence/v1/dinkes/dinkes-02/cmd/ping", false, fmt.Appendf(nil, `{"tx":"2","expires":%q}`, soon))
	for _, m := range intruder.Await("its own command", func(m []brokertest.Message) bool {
		return slices.ContainsFunc(m, func(m brokertest.Message) bool { return m.Topic == "presence/v1/dinkes/dinkes-02/cmd/ping" })
	}) {
		if strings.Contains(m.Topic, "dinkes-01") {
			t.Errorf("it could read %s", m.Topic)
		}
	}
	reply := func(m brokertest.Message) bool { return m.Topic == "presence/v1/dinkes/dinkes-01/reply/ping" }
	seen.Await("our gateway's reply", func(m []brokertest.Message) bool { return slices.ContainsFunc(m, reply) })
}

func renewalWhilePeopleTap(t *testing.T, k *kit, seen *brokertest.City, ours *installed) {
	k.Authority("sign", filepath.Join(k.CA, "requests/dinkes-01.csr"))
	before := debtest.Read(t, ours.Path("var/lib/gatewayd/tls/gateway.pem"))
	// A second later it ends a second later.
	ours.await("a later certificate", func() bool {
		k.Authority("sign", filepath.Join(k.CA, "requests/dinkes-01.csr"))
		ours.renew()
		return debtest.Read(t, ours.Path("var/lib/gatewayd/tls/gateway.pem")) != before
	})
	if got := ours.Owner("var/lib/gatewayd/tls/gateway.pem"); got != "gatewayd:gatewayd 644" {
		t.Errorf("it is %s", got)
	}
	ids := ours.tap("04A1B2C3D42000", 5)
	k.broker.Kill()
	ids = append(ids, ours.tap("04A1B2C3D43000", 5)...)
	k.broker.Restart()
	ids = append(ids, ours.tap("04A1B2C3D44000", 5)...)
	// What comes before the city is back, a broker that was killed keeps for nobody: the
	// city asks for it again.
	ours.await("the line", func() bool { return ours.health().MQTT.Connected })
	end := strings.LastIndex(ids[0], "-")
	seen.Publish("presence/v1/dinkes/dinkes-01/cmd/resync", false, fmt.Appendf(nil, `{"tx":"3","expires":%q,"args":{"stream":%q,"seq":%s}}`,
		time.Now().Add(time.Minute).Format(time.RFC3339), ids[0][:end], ids[0][end+1:]))
	arrived(t, seen, ids)
}

func expiredCertificate(t *testing.T, k *kit, seen *brokertest.City, other *installed) {
	other.expire(k)
	other.start()
	ids := other.tap("04A1B2C3D45000", 5)
	other.await("the alert", func() bool { return slices.Contains(other.health().Alerts, "certificate-expired") })
	if h := other.health(); h.MQTT.Connected || h.MQTT.Acked != 0 {
		t.Errorf("the broker let it in: %+v", h.MQTT)
	}
	k.Authority("renew")
	other.renew()
	arrived(t, seen, ids)
}
