package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// pages is a city and its offices, in which the pages of scripts/INSTALL.md about
// replacing, moving and restoring are followed to the letter.
type pages struct {
	*kittest.City
	t       *testing.T
	broker  *brokertest.Broker
	program string // gatewayd
	stick   string // what is on it, as long as no Pi has it
}

func newPages(t *testing.T) *pages {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &pages{City: kittest.New(t, "..", "city", "admin"), t: t, program: path}
	p.stick = p.Stick
	p.broker = p.Broker()
	template := p.Edit(debtest.Read(t, "../scripts/city/dinas.toml"), map[string]string{
		`bus  = "/dev/spidev0.0"`: `bus = "sim"`,
		`reset_pin = "GPIO25"`:    `poll = "10ms"`,
		"mqtt.example.go.id:8883": p.broker.Address(),
		"[feedback]\ngreen  = \"GPIO17\"\nred    = \"GPIO27\"\nbuzzer = \"GPIO22\"\n": "[clock]\nsource = \"trust\"\n",
		"receipts  = true": "receipts  = false", // this city has no recorder that would confirm
	})
	for _, dinas := range []string{"dinkes", "dishub"} {
		debtest.Write(t, filepath.Join(p.CA, dinas+".toml"), template, 0o644)
	}
	p.Bundle()
	return p
}

// blocks are the blocks of commands on a page.
func (p *pages) blocks(title string, want int) []string {
	p.t.Helper()
	_, page, found := strings.Cut(debtest.Read(p.t, "../scripts/INSTALL.md"), "\n## "+title+"\n")
	page, _, _ = strings.Cut(page, "\n## ")
	var all []string
	for _, m := range regexp.MustCompile("(?s)```sh root\n(.*?)```").FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	if !found || len(all) != want {
		p.t.Fatalf("the page %q has %d blocks of commands, and this test knows %d", title, len(all), want)
	}
	return all
}

// city runs commands at the city's desk, and has the broker learn what was revoked.
func (p *pages) city(commands string) string {
	p.t.Helper()
	commands = strings.NewReplacer("/media/pi/CITY", p.stick, "mqtt.example.go.id", p.broker.Address()).Replace(commands)
	cmd := exec.Command("bash", "-euc", `sudo() { "$@"; }; install() { :; }; systemctl() { :; }
ca.sh() { "$CA_SH" "$@"; }
`+commands)
	cmd.Dir = p.CA
	cmd.Env = append(os.Environ(), "LC_ALL=C", "CA_SH="+p.Path("scripts/city/ca.sh"), "CA_PASSPHRASE="+kittest.Passphrase)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%v\n%s\nof\n%s", err, out, commands)
	}
	p.broker.Stop()
	p.broker.Restart()
	return string(out)
}

// officePi is a Pi at an office: it has what the package brings, and a systemctl that starts
// and stops the gateway.
type officePi struct {
	*debtest.Machine
	t *testing.T
	p *pages
}

func (p *pages) pi() *officePi {
	p.t.Helper()
	m := &officePi{debtest.NewMachine(p.t), p.t, p}
	m.Put("etc/passwd", "root:x:0:0::/root:/bin/sh\ngatewayd:x:64123:64123::/:/usr/sbin/nologin\n", 0o644)
	m.Put("etc/group", "root:x:0:\ngatewayd:x:64123:\n", 0o644)
	for path, from := range map[string]string{
		"usr/bin/gatewayd": p.program, "usr/sbin/gatewayd-provision": p.Path("scripts/provision.sh"), "usr/lib/gatewayd/waiting": p.Path("scripts/deb/waiting"),
	} {
		m.Put(path, debtest.Read(p.t, from), 0o755)
	}
	for _, path := range []string{"etc/gatewayd/gatewayd.toml", "usr/share/doc/gatewayd/gatewayd.toml"} {
		m.Put(path, debtest.Read(p.t, p.Path("config/gatewayd.toml")), 0o644)
	}
	m.Put("usr/local/sbin/systemctl", `#!/bin/bash
case "$*" in
"start gatewayd" | "restart gatewayd")
	"$0" stop gatewayd
	setpriv --reuid=64123 --regid=64123 --clear-groups -- gatewayd run >>/log 2>&1 &
	echo $! >/run/gatewayd.pid
	for try in {1..100}; do ! gatewayd status >/dev/null 2>&1 || exit 0; sleep 0.1; done
	exit 1 ;;
"stop gatewayd" | "disable --now gatewayd"*)
	[ -f /run/gatewayd.pid ] || exit 0
	kill "$(cat /run/gatewayd.pid)"
	while kill -0 "$(cat /run/gatewayd.pid)" 2>/dev/null; do sleep 0.05; done
	rm /run/gatewayd.pid ;;
"reload gatewayd") kill -HUP "$(cat /run/gatewayd.pid)" ;;
esac
`, 0o755)
	m.Run("sh", "-ec", "mkdir -p /var/lib/gatewayd/tls /card && chown -R 64123:64123 /var/lib/gatewayd && chmod 700 /var/lib/gatewayd/tls")
	return m
}

// types runs commands on a Pi with the stick in it. The gateway runs meanwhile if it ran
// before, and goes on running until the next commands.
func (m *officePi) types(commands string) string {
	m.t.Helper()
	at := filepath.Join(m.Work, "upper/media/pi/CITY")
	move := func(from, to string) {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			m.t.Fatalf("%v %s", err, out)
		}
		if err := os.RemoveAll(from); err != nil {
			m.t.Fatal(err)
		}
	}
	move(m.p.stick, at)
	defer move(at, m.p.stick)
	const desk = `
sudo() { "$@"; }
lsblk() { echo /dev/sda1 1 /media/pi/CITY; }
export -f lsblk
mount() { command mount --bind /card "$2"; }
bash() { [ "$1" = /media/pi/CITY/install.sh ]; } # the package is there
leave() {
	[ ! -f /run/gatewayd.pid ] || { systemctl stop gatewayd && touch /runs; }
}
trap leave EXIT
if [ -f /runs ]; then rm /runs && systemctl start gatewayd; fi
cd /root 2>/dev/null || cd /
`
	cmd := m.Command("/bin/bash", "-euc", desk+commands)
	cmd.Env = append(cmd.Env, "LC_ALL=C", "CITY_FINGERPRINT="+m.p.Fingerprint(), "BADGE_PASSPHRASE="+kittest.BadgePassphrase)
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(m.Work, "upper/log"))
		m.t.Fatalf("%v\n%s\nof\n%s\nThe gateway said:\n%s", err, out, commands, log)
	}
	return string(out)
}

// untilDelivered waits until the city has all that the gateway that runs recorded.
const untilDelivered = "for try in {1..100}; do ! gatewayd status --json | grep -q '\"pending\": *0[,}]' || break; sleep 0.1; done\n"

// says fails the test unless commands print some words.
func (m *officePi) says(commands string, words ...string) {
	m.t.Helper()
	out := m.types(commands)
	for _, w := range words {
		if !strings.Contains(out, w) {
			m.t.Errorf("it does not say %q:\n%s\nof\n%s", w, out, commands)
		}
	}
}

// offline records taps while there is no line, and returns their ids.
func (m *officePi) offline(uid string, n int) (ids []string) {
	m.t.Helper()
	m.p.broker.Stop()
	out := m.types(fmt.Sprintf("gatewayd sim tap --reader door --uid %s --count %d --hold 0s --every 0s", uid, n))
	m.p.broker.Restart()
	for line := range strings.Lines(out) {
		var tap struct {
			Outcome, Stream string
			Seq             uint64
		}
		if json.Unmarshal([]byte(line), &tap) == nil && tap.Outcome == "accepted" {
			ids = append(ids, fmt.Sprintf("%s-%d", tap.Stream, tap.Seq))
		}
	}
	if len(ids) != n {
		m.t.Fatalf("of %d taps %d are green: %s", n, len(ids), out)
	}
	return ids
}

// arrive waits until the city has events on the topics of a gateway.
func (p *pages) arrive(seen *brokertest.City, gateway string, ids []string) {
	p.t.Helper()
	seen.Await("the taps of "+gateway, func(messages []brokertest.Message) bool {
		left := slices.Clone(ids)
		for _, m := range messages {
			var e struct{ ID string }
			if strings.HasPrefix(m.Topic, "presence/v1/"+gateway+"/event/") && json.Unmarshal(m.Payload, &e) == nil {
				left = slices.DeleteFunc(left, func(id string) bool { return id == e.ID })
			}
		}
		return len(left) == 0
	})
}

// seen listens with the city's own certificate.
func (p *pages) seen() *brokertest.City {
	return p.broker.Subscribe("presence/v1/#", p.AsProgram(p.broker, "city"))
}

// settled provisions a Pi under an id, with both visits.
func (p *pages) settled(id, dinas string) *officePi {
	p.t.Helper()
	m := p.pi()
	m.types("sudo gatewayd-provision usb " + id + " " + dinas)
	p.city("ca.sh sign /media/pi/CITY/requests/" + id + ".csr")
	m.says("sudo gatewayd-provision usb "+id+" "+dinas+"\ngatewayd status", "certificate of "+id+" is in place")
	return m
}

// card puts the disk of one Pi into the card reader of another.
func (m *officePi) card(of *officePi) {
	m.t.Helper()
	to := filepath.Join(m.Work, "upper/card")
	if err := os.RemoveAll(to); err != nil {
		m.t.Fatal(err)
	}
	for _, folder := range []string{"etc/gatewayd", "var/lib/gatewayd"} {
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(folder)), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", filepath.Join(of.Work, "upper", folder), filepath.Join(to, folder)).CombinedOutput(); err != nil {
			m.t.Fatalf("%v %s", err, out)
		}
	}
}

// TestPageOfReplacing follows the page from the broken Pi to the new one.
func TestPageOfReplacing(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	page := p.blocks("Replace a broken Pi", 5)
	old := p.settled("dinkes-01", "dinkes")
	waiting := old.offline("5C000001", 3)

	next := p.pi()
	next.card(old)
	next.says(page[0], "dinkes-01.csr")
	seen := p.seen()
	next.says(page[1], "dinkes/dinkes-01: ", "0 are left", " 0 waiting")
	p.arrive(seen, "dinkes/dinkes-01", waiting)
	seen.Disconnect()
	if out := p.city(page[2]); !strings.Contains(out, "revoked, with all") {
		t.Errorf("ca.sh says %s", out)
	}
	next.says(page[3], "certificate of dinkes-01 is in place", "connected")
	seen = p.seen()
	p.arrive(seen, "dinkes/dinkes-01", tapOnline(next, "5C000010"))
	seen.Disconnect()

	// The card of a Pi before turns up, whose certificate counts no more.
	late := old.offline("5C000101", 2)
	next.card(old)
	seen = p.seen()
	next.says(page[4], "dinkes/dinkes-01: ", "0 are left")
	p.arrive(seen, "dinkes/dinkes-01", late)
}

// tapOnline records a tap while the line is up, and waits until it is delivered.
func tapOnline(m *officePi, uid string) (ids []string) {
	m.t.Helper()
	out := m.types("gatewayd sim tap --reader door --uid " + uid + " --hold 0s\n" + untilDelivered)
	var tap struct {
		Outcome, Stream string
		Seq             uint64
	}
	line, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(line), &tap); err != nil || tap.Outcome != "accepted" {
		m.t.Fatalf("%v: %s", err, out)
	}
	return []string{fmt.Sprintf("%s-%d", tap.Stream, tap.Seq)}
}

// TestPageOfMoving follows the page from one office to another, and from one name to
// another.
func TestPageOfMoving(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	page := p.blocks("Move a Pi to another office", 5)
	m := p.settled("dinkes-01", "dinkes")
	tapOnline(m, "5C000001")
	m.says(page[0], "This Pi is dinkes-01 no more")
	if out := p.city(page[1]); !strings.Contains(out, "topics cleared") {
		t.Errorf("ca.sh retire says %s", out)
	}
	m.says(page[2], "dishub-03.csr")
	p.city("ca.sh sign /media/pi/CITY/requests/dishub-03.csr")
	m.says(page[2]+"gatewayd status", "certificate of dishub-03 is in place")
	seen := p.seen()
	p.arrive(seen, "dishub/dishub-03", tapOnline(m, "5C000002"))
	m.says("sudo gatewayd export --state /var/lib/gatewayd/former/dinkes-01", `"gateway":"dinkes-01"`)
	seen.Disconnect()

	// Another name at one office. What came without a line goes out under the old one.
	m = p.settled("dinkes-01", "dinkes")
	line := strings.SplitAfter(page[3], "\n")
	m.says(line[0], "goes on as dinkes-01")
	p.city(line[1])
	waiting := m.offline("5C000201", 2)
	p.broker.Stop()
	m.says("if "+strings.Split(line[2], "#")[0]+"; then exit 1; fi", "events wait to be delivered")
	m.says(strings.Replace(line[2], "rename", "--force rename", 1), "What waits is left", "dinkes-01 is dinkes-02 now", "gatewayd deliver --state /var/lib/gatewayd/former/dinkes-01")
	p.broker.Restart()
	seen = p.seen()
	p.arrive(seen, "dinkes/dinkes-02", tapOnline(m, "5C000202"))
	out := m.types("/usr/lib/gatewayd/waiting")
	if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < len(waiting) {
		t.Errorf("before a purge it says that %s events wait", out)
	}
	m.says(page[4], "dinkes/dinkes-01: ", "0 are left")
	p.arrive(seen, "dinkes/dinkes-01", waiting)
	seen.Disconnect()
	p.city(line[3])
}

// TestPageOfRestoring follows the page of an old card.
func TestPageOfRestoring(t *testing.T) {
	t.Parallel()
	p := newPages(t)
	page := p.blocks("Restore from an old card or a backup", 3)
	old := p.settled("dinkes-01", "dinkes")
	waiting := old.offline("5C000001", 2)
	config := filepath.Join(old.Work, "upper/etc/gatewayd/gatewayd.toml")
	debtest.Write(t, config, strings.Replace(debtest.Read(t, config), "[mqtt]", "# changed at the office\n[mqtt]", 1), 0o644)
	// Its certificate was taken back, and the Pi runs under another name.
	p.city("ca.sh revoke dinkes-01")
	m := p.settled("dinkes-02", "dinkes")
	m.card(old)
	mounted := func(commands string) string { return "mount /dev/sda2 /mnt\n" + commands + "umount /mnt\n" }
	verify, rest, _ := strings.Cut(page[1], "\n")
	export, _, _ := strings.Cut(rest, "\n")
	m.says(mounted(verify+"\n"+export+"\ncat events.csv\n"), " waiting", waiting[0], waiting[1], "dinkes-01")
	m.says(mounted("if sudo gatewayd deliver --state /mnt/var/lib/gatewayd; then exit 1; fi\n"), "no line to the broker")

	line := strings.SplitAfter(page[2], "\n")
	m.says(mounted(line[0]) + "cp dinkes-01.csr /media/pi/CITY/requests/")
	p.city("cp /media/pi/CITY/requests/dinkes-01.csr .\n" + line[1] + "cp issued/dinkes-01.pem /media/pi/CITY/issued/")
	seen := p.seen()
	m.says(mounted("mkdir -p issued && cp /media/pi/CITY/issued/dinkes-01.pem issued/\n"+line[2]+line[3]), "dinkes/dinkes-01: ", "0 are left")
	p.arrive(seen, "dinkes/dinkes-01", waiting)
	seen.Disconnect()
	p.city(line[4])

	// On a Pi that takes its place, the configuration comes back, and nothing else.
	m = p.settled("dinkes-01", "dinkes")
	m.card(old)
	m.says(mounted(page[0])+"cat /etc/gatewayd/gatewayd.toml\ngatewayd status", "ok (gateway dinkes-01", "# changed at the office")
}
