package main_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// TestABrokenFileDoesNotSilenceAHealthyGateway: while somebody edits the
// configuration, or moves its key files, the gateway that runs can be asked.
func TestABrokenFileDoesNotSilenceAHealthyGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	good := g.text()
	for name, text := range map[string]string{
		"unknown key":  good + "[lunch]\nat = 12\n",
		"wrong value":  strings.Replace(good, `poll = "10ms"`, `poll = 10`, 1),
		"no TOML":      strings.Replace(good, "[mqtt]", "[mqtt", 1),
		"half a file":  good[:strings.Index(good, "[badges]")+3],
		"a bad start":  "this is no TOML\n" + good,
		"no key file":  good,
		"two gateways": good + "[gateway]\nid = \"x\"\n",
	} {
		g.configure(text)
		if name == "no key file" {
			if err := os.Rename(filepath.Join(g.dir, "badge.key"), filepath.Join(g.dir, "moved")); err != nil {
				t.Fatal(err)
			}
		}
		if name != "no key file" {
			if out, code := g.try("check"); code != 2 {
				t.Errorf("%s: check exits %d, %s", name, code, out)
			}
		}
		for _, args := range [][]string{
			{"status"},
			{"status", "--json"},
			{"verify"},
			{"export"},
			{"export", "--since", "1d"},
			{"sim", "tap", "--reader", "door", "--uid", "04A1B2C3D4E5F6"},
			{"sim", "reader", "--reader", "door", "--fault", "none"},
		} {
			if out, code := g.try(args...); code != 0 {
				t.Errorf("%s: %v exits %d, %s", name, args, code, out)
			}
		}
		if line := firstLine(t, g, "watch"); !strings.Contains(line, "reader door") {
			t.Errorf("%s: watch begins with %q", name, line)
		}
		if name == "no key file" {
			if err := os.Rename(filepath.Join(g.dir, "moved"), filepath.Join(g.dir, "badge.key")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// firstLine is what a command that goes on prints first.
func firstLine(t *testing.T, g *gateway, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"--config", g.config}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := childtest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return line
}

// TestNoCommandWaitsForASilentGateway: one that was stopped by a signal holds its
// socket, and nobody hears anything.
func TestNoCommandWaitsForASilentGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	watch := exec.Command(path, "--config", g.config, "watch")
	seen, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	watch.Stderr = watch.Stdout
	if err := childtest.Start(watch); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(seen)
	if _, err := lines.ReadString('\n'); err != nil { // it is in the middle of its answer
		t.Fatal(err)
	}
	if err := g.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	for some := range slices.Chunk([][]string{
		{"status"},
		{"status", "--json"},
		{"watch"},
		{"doctor"},
		{"verify"},
		{"export"},
		{"export", "--day", "2026-11-23", "--format", "html"},
		{"export", "--month", "2026-11", "--format", "csv-id"},
		{"export", "--badge", "h:00112233445566778899aabbccddeeff", "--day", "2026-11-23", "--format", "csv"},
		{"forget", "--tag", "reyax:50"},
		{"sim", "tap", "--reader", "door", "--uid", "04A1B2C3D4E5F6"},
		{"sim", "reader", "--reader", "door", "--fault", "none"},
		{"sim", "clock", "--synced=true"},
	}, 4) { // not all at once, which would itself take a moment
		var all sync.WaitGroup
		for _, args := range some {
			all.Go(func() {
				began := time.Now()
				out, code := g.try(args...)
				if took := time.Since(began); code != failed(args) || took > 5*time.Second || !strings.Contains(out, "does not answer") {
					t.Errorf("%v: exit %d after %s, %s", args, code, took, out)
				}
			})
		}
		all.Wait()
	}
	rest, _ := lines.ReadString(0)
	if err := watch.Wait(); err == nil || !strings.Contains(rest, "does not answer") {
		t.Errorf("watch goes on: %v, %s", err, rest)
	}
	t.Logf("all were through after %s", time.Since(stopped))
	if err := g.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.must("status")
}

// failed is the exit code of a command that could not do its work. Code 1 of verify means
// that the journal is damaged, whatever else may be wrong.
func failed(args []string) int {
	if args[0] == "verify" {
		return 2
	}
	return 1
}

// TestMissingFilesAreSaidInWords: what a person should do, and not what the
// library said.
func TestMissingFilesAreSaidInWords(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	for _, args := range [][]string{{"export"}, {"export", "--day", "2026-11-23", "--format", "csv"}, {"verify"}, {"forget", "--tag", "reyax:50"}} {
		if out, code := g.try(args...); code != failed(args) || !strings.Contains(out, "there is no journal in ") || strings.Contains(out, "open /") {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "state")); err == nil {
		t.Error("a question made a state folder")
	}
	for _, args := range [][]string{{"status"}, {"watch"}, {"sim", "tap", "--reader", "door", "--uid", "04A1B2C3"}} {
		if out, code := g.try(args...); code != 1 || !strings.Contains(out, "gatewayd is not running here") {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	if err := os.Remove(g.config); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"export"}, {"verify"}, {"forget", "--tag", "reyax:50"}, {"status"}, {"watch"}, {"check"}, {"run"}, {"badge", "04A1B2C3"}} {
		if out, code := g.try(args...); code != 2 || out != g.config+": cannot be read: no such file or directory\n" {
			t.Errorf("%v without a configuration: exit %d, %s", args, code, out)
		}
	}
}

// Users of the test, whom no machine has.
const (
	serviceID  = 64123
	memberID   = 64124
	strangerID = 64125
)

// TestWhatTheGroupMay: a technician in the gateway's group may ask how it is, but
// not read keys, forget people, make recaps or drive the mocks; and who looked
// is written down and told to the city.
func TestWhatTheGroupMay(t *testing.T) {
	t.Parallel()
	skiptest.Root(t, "to become other users")
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/+/+/log")
	g := newGateway(t, b.URL(), "")
	state := g.giveToService()
	user := func(id int) *syscall.Credential {
		return &syscall.Credential{Uid: uint32(id), Gid: uint32(id), Groups: []uint32{}}
	}
	service, stranger := user(serviceID), user(strangerID)
	member := &syscall.Credential{Uid: memberID, Gid: memberID, Groups: []uint32{serviceID}}
	g.user = service
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	g.tap("--uid", "04A1B2C3D4E5F6")

	asks := [][]string{{"status"}, {"status", "--json"}, {"export"}, {"export", "--format", "csv", "--since", "1d"}, {"export", "--badge", "h:00112233445566778899aabbccddeeff"}, {"verify"}}
	owners := [][]string{
		{"sim", "tap", "--reader", "door", "--uid", "04A1B2C3D4E5F7"},
		{"sim", "reader", "--reader", "door", "--fault", "none"},
		{"export", "--day", "2026-11-23", "--format", "csv"},
		{"export", "--day", "2026-11-23", "--format", "html"},
		{"export", "--month", "2026-11", "--format", "csv-id"},
		{"export", "--badge", "h:00112233445566778899aabbccddeeff", "--day", "2026-11-23", "--format", "csv"},
		{"export", "--month", "2026-11", "--format", "html", "--state", state},
		{"forget", "--tag", "reyax:50"},
	}
	for _, args := range asks {
		if out, code := g.tryAs(member, args...); code != 0 {
			t.Errorf("a member's %v: exit %d, %s", args, code, out)
		}
		if out, code := g.tryAs(stranger, args...); code != failed(args) || !strings.Contains(out, "permission denied; run as root or join the group") {
			t.Errorf("a stranger's %v: exit %d, %s", args, code, out)
		}
	}
	for _, args := range owners {
		if out, code := g.tryAs(member, args...); code != 1 || !strings.Contains(out, "only root and the gateway's own user may do that") {
			t.Errorf("a member's %v: exit %d, %s", args, code, out)
		}
		for who, as := range map[string]*syscall.Credential{"root": nil, "the gateway's user": service} {
			if out, code := g.tryAs(as, args...); code != 0 {
				t.Errorf("%v of %s: exit %d, %s", args, who, code, out)
			}
		}
	}
	if out, code := g.tryAs(member, "record", "--receiver", "yard", filepath.Join(t.TempDir(), "never")); code != 1 || !strings.Contains(out, "only root and the gateway's own user may do that") {
		t.Errorf("a member's record: exit %d, %s", code, out)
	}
	if out, code := g.tryAs(member, "badge", "04A1B2C3D4E5F6"); code != 1 || !strings.Contains(out, "badge.key") || !strings.Contains(out, "permission denied") {
		t.Errorf("a member's badge: exit %d, %s", code, out)
	}
	if out, code := g.tryAs(service, "badge", "04A1B2C3D4E5F6"); code != 0 || !strings.HasPrefix(out, "h:") {
		t.Errorf("badge of the gateway's user: exit %d, %s", code, out)
	}
	firstLine(t, g, "watch")
	checkExportsLog(t, state)
	awaitToldOfExports(t, city)

	// While no gateway runs, the files themselves say who may.
	g.stop()
	for _, args := range owners[2:] {
		if out, code := g.tryAs(member, args...); code != 1 || !strings.Contains(out, "only root and the gateway's own user may do that") {
			t.Errorf("a member's %v of a stopped gateway: exit %d, %s", args, code, out)
		}
	}
	g.refusesWhileStopped(member)
	g.must("export", "--day", "2026-11-23", "--format", "csv") // as root
	var s syscall.Stat_t
	if err := syscall.Stat(filepath.Join(state, "exports.log"), &s); err != nil || s.Uid != serviceID || s.Mode&0o777 != 0o600 {
		t.Errorf("exports.log belongs to %d with mode %o, %v", s.Uid, s.Mode, err)
	}
}

// refusesWhileStopped has a member of the group read the journal of a gateway that does
// not run: nobody would log it, so it needs root.
func (g *gateway) refusesWhileStopped(member *syscall.Credential) {
	g.t.Helper()
	for _, args := range [][]string{{"export"}, {"verify"}} {
		if out, code := g.tryAs(member, args...); code != failed(args) || !strings.Contains(out, "call it with sudo") {
			g.t.Errorf("a member's %v of a stopped gateway: exit %d, %.200s", args, code, out)
		}
	}
}

// giveToService gives the gateway's files to the gateway's own user, as the package
// does, and returns the state directory.
func (g *gateway) giveToService() (state string) {
	t := g.t
	t.Helper()
	state = filepath.Join(g.dir, "state")
	if err := os.Mkdir(state, 0o750); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{
		filepath.Dir(g.dir): 0o755, g.dir: 0o755, g.config: 0o644, filepath.Join(g.dir, "badge.key"): 0o600, state: 0o750,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{state, filepath.Join(g.dir, "badge.key")} {
		if err := os.Chown(path, serviceID, serviceID); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// checkExportsLog looks for who had access, and for nobody else.
func checkExportsLog(t *testing.T, state string) {
	t.Helper()
	logged := looks(t, state)
	for _, want := range []look{
		{"export", memberID, "jsonl", ""},
		{"export", memberID, "csv", ""},
		{"export", 0, "html", "2026-11-23"},
		{"export", serviceID, "csv", "2026-11-23"},
		{"forget", 0, "", ""},
		{"forget", serviceID, "", ""},
		{"watch", 0, "", ""},
	} {
		if !logged[want] {
			t.Errorf("%+v is not in exports.log: %v", want, logged)
		}
	}
	for l := range logged {
		if l.UID == strangerID || l.UID == memberID && (l.Action == "forget" || l.Day != "") {
			t.Errorf("%+v is in exports.log", l)
		}
	}
}

// awaitToldOfExports waits until the city's log has who had access.
func awaitToldOfExports(t *testing.T, city *brokertest.City) {
	t.Helper()
	v := validator(t)
	city.Await("the city to be told", func(m []brokertest.Message) bool {
		told := make(map[string]bool)
		for _, one := range m {
			var line struct {
				Details struct{ Action, UID, Format string }
			}
			if err := v.Validate(one.Topic, one.Payload); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(one.Payload, &line); err != nil {
				t.Fatal(err)
			}
			told[line.Details.Action+" "+line.Details.UID] = true
		}
		return told["export 64124"] && told["export 0"] && told["forget 64123"] && told["forget 0"] && told["watch 0"]
	})
}

// look is a line of exports.log.
type look struct {
	Action string
	UID    int
	Format string
	Day    string
}

func looks(t *testing.T, state string) map[look]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(state, "exports.log"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[look]bool)
	for line := range strings.Lines(string(text)) {
		var l look
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all[l] = true
	}
	return all
}

// TestTheLogOfExportsFollowsNoLink: what lies in the state folder may have been
// put there by the gateway's user, and root must not be led elsewhere by it.
func TestTheLogOfExportsFollowsNoLink(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.stop()
	other := filepath.Join(g.dir, "other")
	if err := os.WriteFile(other, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(g.dir, "state", "exports.log")
	for _, target := range []string{other, "../other", "journal.db", filepath.Join(g.dir, "new")} {
		_ = os.Remove(log)
		if err := os.Symlink(target, log); err != nil {
			t.Fatal(err)
		}
		if out, _ := g.try("export"); !strings.Contains(out, "write log of exports") {
			t.Errorf("with a link to %s: %s", target, out)
		}
	}
	_ = os.Remove(log)
	if err := os.Link(other, log); err != nil {
		t.Fatal(err)
	}
	if out, _ := g.try("export"); !strings.Contains(out, "write log of exports") {
		t.Errorf("with a hard link: %s", out)
	}
	_ = os.Remove(log)
	if err := syscall.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := g.try("export"); !strings.Contains(out, "write log of exports") {
		t.Errorf("with a pipe: %s", out)
	}
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify says %s", out)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "untouched" {
		t.Errorf("the other file says %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "new")); err == nil {
		t.Error("a file was made behind the link")
	}
}
