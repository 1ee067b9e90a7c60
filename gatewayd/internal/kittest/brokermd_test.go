package kittest_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/city"
	"presence/scripts/deb/debtest"
)

// technician plays who goes to the offices of BROKER.md, and the Pis there: their
// programs' own tests are elsewhere. Each Pi is a real gatewayd with a simulated reader.
type technician struct {
	t    *testing.T
	city *machine
	seen map[string]int // how often a Pi has met the stick
	last string
}

// do does what a block says that is typed at a Pi.
func (p *technician) do(block string) {
	p.t.Helper()
	for line := range strings.Lines(block) {
		word := strings.Fields(line)
		switch {
		case strings.Contains(line, "gatewayd-provision usb "):
			p.meet(word[3])
		case strings.Contains(line, "gatewayd-provision rename "):
			p.meet(word[3])
		case strings.Contains(line, "gatewayd-provision start"):
			p.start(p.last)
		case strings.Contains(line, "gatewayd export "):
			export, file, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "sudo ")), " >")
			p.city.sh("/usr/lib/gatewayd-city/" + strings.Replace(export, "export", "--config /srv/pi/dinkes-01/gatewayd.toml export", 1) + " >" + file)
		}
	}
}

// meet leaves a request on the stick, or takes the certificate. Who comes a third time
// is another Pi.
func (p *technician) meet(id string) {
	p.t.Helper()
	p.last = id
	p.seen[id]++
	if p.seen[id] == 2 {
		p.city.sh(fmt.Sprintf("cp /media/stick/issued/%[1]s.pem /srv/pi/%[1]s/gateway.pem", id))
		return
	}
	p.city.sh(fmt.Sprintf("mkdir -p /srv/pi/%[1]s/new && cd /srv/pi/%[1]s/new && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "+
		"-keyout key -subj /CN=%[1]s -out csr 2>/dev/null && cp csr /media/stick/requests/%[1]s.csr && { [ -e ../key ] || cp key ../key; }", id))
}

// start starts the gateway of a Pi, and shows it a card.
func (p *technician) start(id string) {
	p.t.Helper()
	dinas, _, _ := strings.Cut(id, "-")
	var key [32]byte
	if _, err := hex.Decode(key[:], []byte(strings.TrimSpace(p.city.sh("cat gatewayd-city/badge.key")))); err != nil {
		p.t.Fatal(err)
	}
	own := city.GatewayBadgeKey(key, id)
	dir := "/srv/pi/" + id
	p.city.write(dir+"/badge.key", hex.EncodeToString(own[:])+"\n", 0o600)
	p.city.sh(fmt.Sprintf("cp gatewayd-city/ca.pem gatewayd-city/city.pem %s/", dir))
	p.city.write(dir+"/gatewayd.toml", fmt.Sprintf(`[gateway]
id = %q
dinas = %q
state_dir = "state"
[[reader]]
name = "door"
bus = "sim"
poll = "10ms"
[clock]
source = "trust"
[badges]
key_file = "badge.key"
[city]
key_file = "city.pem"
[mqtt]
broker = "tls://mqtt.example.go.id:8883"
ca_file = "ca.pem"
cert_file = "gateway.pem"
key_file = "key"
`, id, dinas), 0o600)
	p.city.sh(fmt.Sprintf("mkdir -p -m 700 %s/state", dir))
	log := filepath.Join(p.t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd := p.city.command("/usr/lib/gatewayd-city/gatewayd", "--config", dir+"/gatewayd.toml", "run")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("gatewayd of %s said:\n%s", id, debtest.Read(p.t, log))
		}
	})
	p.await("the line of "+id, func() bool { return p.connected(id) })
	p.city.sh("/usr/lib/gatewayd-city/gatewayd --config " + dir + "/gatewayd.toml sim tap --reader door --uid 04A1B2C3D4E5F6")
}

func (p *technician) connected(id string) bool {
	out, err := p.city.command("/usr/lib/gatewayd-city/gatewayd", "--config", "/srv/pi/"+id+"/gatewayd.toml", "status", "--json").Output()
	var h struct{ MQTT struct{ Connected bool } }
	return err == nil && json.Unmarshal(out, &h) == nil && h.MQTT.Connected
}

func (p *technician) await(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(brokertest.Wait); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestBrokerMD types BROKER.md, block by block and word for word, at two machines that
// begin as this one.
func TestBrokerMD(t *testing.T) {
	t.Parallel()
	typeBrokerMD(t, "/")
}

// TestBrokerMDWordForWord does so at two Debians that have nothing of it yet: see make
// city-kit-test.
func TestBrokerMDWordForWord(t *testing.T) {
	lower := os.Getenv("CITY_TREE")
	if lower == "" {
		t.Skip("make city-kit-test makes a Debian for it, and names it in CITY_TREE")
	}
	begun := time.Now()
	blocks, commands := typeBrokerMD(t, lower)
	fmt.Printf("city-kit-test: blocks=%d commands=%d seconds=%.0f\n", blocks, commands, time.Since(begun).Seconds())
}

// typeBrokerMD types all blocks of BROKER.md, and looks at what comes of each.
func typeBrokerMD(t *testing.T, lower string) (count, commands int) {
	t.Helper()
	n := newNetwork(t, lower)
	machines := map[string]*machine{"city": n.newMachine("city"), "broker": n.newMachine("broker")}
	machines["city"].outside("cp %s %s%s/", theDelivery(t).deb, machines["city"].root, home)
	p := &technician{t: t, city: machines["city"], seen: make(map[string]int)}
	document := debtest.Read(t, filepath.Join(tree, "scripts/city/BROKER.md"))
	transcript := ""
	for _, m := range regexp.MustCompile("(?m)^```sh (city|broker|pi)\n((?:.*\n)*?)```$").FindAllStringSubmatch(document, -1) {
		where, block := m[1], m[2]
		count++
		if where == "pi" {
			p.do(block)
			continue
		}
		if where == "broker" {
			machines["broker"].sh("find /srv/wire -type f -exec mv {} . \\;")
		}
		commands += len(regexp.MustCompile(`(?m)^[a-z]`).FindAllString(block, -1))
		said, failed, asked := machines[where].typed(block, "pembawa kunci kota")
		transcript += said
		t.Logf("%s, on the %s:\n%ssays\n%s", time.Now().Format(time.TimeOnly), where, block, said)
		failed = slices.DeleteFunc(failed, func(c string) bool {
			return c == "gatewayd-city offline" || c == "gatewayd-city wrong" // there is something to tell
		})
		if most := strings.Count(block, "gatewayd-city ") + strings.Count(block, "gatewayd-city init"); len(failed) > 0 || asked > most {
			t.Fatalf("on the %s, %q failed, and the passphrase was asked for %d times (at most %d); it said:\n%s\nof\n%s\nand mosquitto\n%s",
				where, failed, asked, most, said, block, brokerLog(machines["broker"]))
		}
		for command, want := range whatBrokerMDShows() {
			if !strings.Contains(block, command) {
				continue
			}
			for _, w := range want {
				if !regexp.MustCompile(w).MatchString(said) {
					t.Errorf("%s does not say %q but\n%s", command, w, said)
				}
			}
		}
		if strings.Contains(block, "systemctl restart") {
			awaitBroker(t, machines["broker"])
		}
		if strings.Contains(block, "tar -xf") {
			ownership(t, machines["broker"])
		}
	}
	// The first Pi was replaced, and its certificate revoked.
	p.await("the first Pi to be kept out", func() bool { return !p.connected("dinkes-01") })
	if said := machines["city"].sh("gatewayd-city list"); said != "dinkes-01\tdinkes\tPuskesmas Dinoyo\ndinkes-12\tdinkes\tPuskesmas Janti\n" {
		t.Errorf("the list is\n%s", said)
	}
	// The broker's new certificate is for the same name.
	if said, _, _ := machines["city"].typed("gatewayd-city offline", ""); !strings.Contains(said, "dinkes/dinkes-01 (Puskesmas Dinoyo): offline") || !strings.Contains(said, "offline: 2 of 2 offices") {
		t.Errorf("at last it says\n%s", said)
	}
	if strings.Contains(transcript, "pembawa kunci kota") {
		t.Error("the passphrase is on the screen")
	}
	if log := brokerLog(machines["broker"]); regexp.MustCompile(`owner is not|group is not|world readable|: Error`).MatchString(log) {
		t.Errorf("mosquitto says\n%s", log)
	}
	return count, commands
}

// brokerLog is all that mosquitto has said.
func brokerLog(broker *machine) string {
	return broker.sh("cat /var/log/mosquitto/mosquitto.log /var/log/mosquitto.service 2>/dev/null || true")
}

// awaitBroker waits until mosquitto listens at 8883, by the kernel's own table.
func awaitBroker(t *testing.T, broker *machine) {
	t.Helper()
	for end := time.Now().Add(brokertest.Wait); broker.command("grep", "-q", ":22B3 0*:0000 0A", "/proc/net/tcp").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("mosquitto does not listen, and says\n%s", brokerLog(broker))
		}
	}
}

// whatBrokerMDShows is what comes of its commands.
func whatBrokerMDShows() map[string][]string {
	return map[string][]string{
		"gatewayd-city init":    {`its fingerprint, for the technician's paper: [0-9A-F]{4}-`, `is ready`},
		"gatewayd-city stick":   {`the passphrase of the badge key`, `is ready`},
		"gatewayd-city offices": {`offices: made=3 .*signed=0`, `offices: made=0 unchanged=3 .*signed=0`},
		"gatewayd-city sign":    {`dinkes-\d\d: .*issued/dinkes-\d\d\.pem, until`},
		"gatewayd-city offline": {`dinkes/dinkes-02 \(Puskesmas Janti\): never connected`, `dishub/dishub-01 .*: never connected`, `offline: 2 of 3 offices are not there`},
		"gatewayd-city wrong":   {`wrong: \d+ alerts? at \d of 3 offices`},
		"gatewayd-city ask":     {`"pong": true`},
		"gatewayd-city hours":   {`never connected; takes it when it does`, `(?s)(hours: 1 of 3 gateways have taken it.*){3}`},
		"gatewayd-city roster":  {`roster: 1 of 1 gateways have taken it`, `hours: 1 of 3`},
		"gatewayd-city day":     {`\d\d:\d\d:\d\d  dinkes/dinkes-01 \(Puskesmas Dinoyo\)  badge shown`, `day: 1 moments`},
		"gatewayd-city replace": {`dinkes-01: revoked, with all 1 certificates`, `dinkes-01: .*until`},
		"gatewayd-city revoke":  {`dinkes-12: revoked`, `monitor: .*until`, `broker: .*until`},
	}
}

// ownership holds what mosquitto's versions ask of its files.
func ownership(t *testing.T, broker *machine) {
	t.Helper()
	said := broker.sh("cd /etc/mosquitto && stat -c '%n %U:%G %a' gatewayd gatewayd/* conf.d/gatewayd.conf")
	for line := range strings.Lines(said) {
		want := "mosquitto:mosquitto 600"
		switch name, _, _ := strings.Cut(line, " "); name {
		case "gatewayd":
			want = "root:mosquitto 750"
		case "conf.d/gatewayd.conf":
			want = "root:root 644"
		}
		if !strings.HasSuffix(line, " "+want+"\n") {
			t.Errorf("%swant %s", line, want)
		}
	}
}
