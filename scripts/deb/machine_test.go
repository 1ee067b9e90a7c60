package deb_test

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"presence/scripts/deb/debtest"
)

// machine is a machine with a systemctl that only writes down what it was told. The
// package's scripts see a machine that runs.
type machine struct {
	*debtest.Machine
	t    *testing.T
	work string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{debtest.NewMachine(t), t, ""}
	m.work = m.Work
	m.Put("usr/local/sbin/systemctl", `#!/bin/sh
echo "$*" >>/told
case "$*" in
*is-active*) cat /state ;;
*is-enabled*) [ -e /enabled ] ;;
esac
`, 0o755)
	m.Put("usr/local/sbin/udevadm", "#!/bin/sh\n", 0o755)
	m.put("told", "")
	return m
}

func (m *machine) put(path, text string) {
	m.t.Helper()
	m.Put(path, text, 0o644)
}

func (m *machine) command(args ...string) *exec.Cmd { return m.Command(args...) }

func (m *machine) try(args ...string) (string, error) { return m.Try(args...) }

func (m *machine) run(args ...string) string {
	m.t.Helper()
	return m.Run(args...)
}

// answered runs a program before which somebody sits, who types an answer.
func (m *machine) answered(answer string, args ...string) (string, error) {
	m.t.Helper()
	cmd := m.command(args...)
	terminal, err := pty.Start(cmd)
	if err != nil {
		m.t.Fatal(err)
	}
	defer terminal.Close()
	if _, err := io.WriteString(terminal, answer+"\n"); err != nil {
		m.t.Fatal(err)
	}
	// Reading a terminal ends with an error when the program has left.
	out, _ := io.ReadAll(terminal)
	return string(out), cmd.Wait()
}

// dpkg installs or removes, and returns what systemctl was told.
func (m *machine) dpkg(args ...string) string {
	m.t.Helper()
	m.put("told", "")
	m.run(append([]string{"dpkg", "--force-unsafe-io", "--force-confdef", "--force-confold"}, args...)...)
	return debtest.Read(m.t, filepath.Join(m.work, "upper/told"))
}

// TestInstallUndoesWhatDpkgLeft: on a machine of its own, a package that needs what
// is not there is no success, and is not left half installed.
func TestInstallUndoesWhatDpkgLeft(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tree := t.TempDir()
	debtest.Write(t, filepath.Join(tree, "DEBIAN/control"), "Package: gatewayd\nVersion: 1\nArchitecture: all\n"+
		"Depends: no-such-package\nMaintainer: test <root@localhost>\nDescription: test\n", 0o644)
	debtest.Write(t, filepath.Join(tree, "etc/gatewayd/gatewayd.toml"), "# reference\n", 0o644)
	deb := filepath.Join(m.work, "upper/gatewayd.deb")
	if out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", tree, deb).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	m.put("install.sh", debtest.Read(t, "../install.sh"))
	out, err := m.try("bash", "/install.sh", "/gatewayd.deb")
	if err == nil || !strings.Contains(out, "nothing of it is left") || strings.Contains(out, "gatewayd-provision") {
		t.Errorf("%v, it says %s", err, out)
	}
	if out, err := m.try("ls", "/etc/gatewayd"); err == nil {
		t.Errorf("it left %s", out)
	}
	if out, err := m.try("dpkg-query", "-W", "-f", "${db:Status-Status}", "gatewayd"); err == nil && !strings.Contains(out, "not-installed") {
		t.Errorf("dpkg says %s", out)
	}
	m.run("dpkg", "--configure", "-a") // and nothing is pending
}

// TestRetireWaitsForWhatIsNotDelivered: on a machine of its own, events that wait for
// the city keep a gateway from becoming another one.
func TestRetireWaitsForWhatIsNotDelivered(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.put("etc/passwd", "root:x:0:0::/root:/bin/sh\ngatewayd:x:64123:64123::/:/usr/sbin/nologin\n")
	m.put("etc/group", "root:x:0:\ngatewayd:x:64123:\n")
	m.put("etc/gatewayd/gatewayd.toml", "[gateway]\nid = \"dinkes-01\"\n")
	m.put("usr/share/doc/gatewayd/gatewayd.toml", "# reference\n")
	m.put("var/lib/gatewayd/tls/gateway.key", "a key")
	m.put("provision.sh", debtest.Read(t, "../provision.sh"))
	m.run("chown", "-R", "64123:64123", "/var/lib/gatewayd")
	says := func(answer string) {
		debtest.Write(t, filepath.Join(m.work, "upper/usr/local/bin/gatewayd"), "#!/bin/sh\n"+answer+"\n", 0o755)
	}
	retire := func(args ...string) (string, error) {
		t.Helper()
		return m.try(append([]string{"bash", "/provision.sh", "retire"}, args...)...)
	}
	m.put("var/lib/gatewayd/journal.db", "taps")
	for answer, want := range map[string]string{
		`echo '{"v":1,"journal":{"pending":17,"oldest_pending_s":3}}'`: "17 events wait",
		`echo "gatewayd: no line to the broker" >&2; exit 1`:           "no line to the broker",
	} {
		says(answer)
		if out, err := retire(); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v %s", answer, err, out)
		}
		if m.run("cat", "/var/lib/gatewayd/tls/gateway.key") != "a key" {
			t.Fatal("the key is gone")
		}
	}
	says(`case $1 in
status) echo '{"v":1,"journal":{"pending":0,"oldest_pending_s":0}}' ;;
deliver) [ "$(id -u)" = 64123 ] && echo "1 events delivered" ;;
esac`)
	m.put("told", "")
	if out, err := retire(); err != nil || !strings.Contains(out, "1 events delivered") || !strings.Contains(out, "dinkes-01 no more") {
		t.Errorf("with nothing left: %v %s", err, out)
	}
	if m.run("cat", "/var/lib/gatewayd/former/dinkes-01/journal.db") != "taps" {
		t.Error("the journal is gone")
	}
	told(t, debtest.Read(t, filepath.Join(m.work, "upper/told")), "disable --now gatewayd gatewayd-renew.timer gatewayd-first-certificate.timer")
}

// TestStartSaysWhenNothingRenews: a gateway whose certificate nobody renews falls silent
// on a day that nobody expects.
func TestStartSaysWhenNothingRenews(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.put("etc/passwd", "root:x:0:0::/root:/bin/sh\ngatewayd:x:64123:64123::/:/usr/sbin/nologin\n")
	m.put("etc/group", "root:x:0:\ngatewayd:x:64123:\n")
	m.put("var/lib/gatewayd/x", "")
	m.run("chown", "-R", "64123:64123", "/var/lib/gatewayd")
	debtest.Write(t, filepath.Join(m.work, "upper/usr/local/bin/gatewayd"), "#!/bin/sh\n", 0o755)
	m.put("provision.sh", debtest.Read(t, "../provision.sh"))
	const note = "nothing renews the certificate"
	if out := m.run("bash", "/provision.sh", "start"); !strings.Contains(out, note) {
		t.Errorf("without an address it says %s", out)
	}
	m.put("etc/gatewayd/renew.conf", "https://mqtt.example.go.id/issued\n")
	if out := m.run("bash", "/provision.sh", "start"); strings.Contains(out, note) {
		t.Errorf("with an address it says %s", out)
	}
}

// told fails the test unless systemctl was told all of these in this order.
func told(t *testing.T, all string, wants ...string) {
	t.Helper()
	rest := all
	for _, want := range wants {
		_, after, ok := strings.Cut(rest, want+"\n")
		if !ok {
			t.Fatalf("systemctl was not told %q (in this order) but\n%s", want, all)
		}
		rest = after
	}
}

// removalCounts is what is said of events that the city does not have, before the
// package and then its journal are removed.
func removalCounts(t *testing.T, m *machine) {
	t.Helper()
	m.put("etc/gatewayd/gatewayd.toml", "[gateway]\nid = \"dinkes-01\"\ndinas = \"dinkes\"\n[[reader]]\nname = \"door\"\nbus = \"sim\"\n"+
		"[badges]\nplain_uid = true\n[mqtt]\nbroker = \"tcp://127.0.0.1:1\"\n")
	// --foreground: it is told to stop once, for a second signal ends it at once.
	gateway := []string{"setpriv", "--reuid=gatewayd", "--regid=gatewayd", "--init-groups", "--", "timeout", "--foreground", "--preserve-status", "8", "gatewayd", "run"}
	m.run(gateway...) // its start is an event that nobody fetches
	waits := "1 events wait that the city does not have"
	if out, _ := m.try("/usr/lib/gatewayd/waiting"); out != "1\n" {
		t.Errorf("there wait %q", out)
	}
	m.put("install.sh", debtest.Read(t, "../install.sh"))
	// Whoever sits before it is asked.
	if out, err := m.answered("n", "bash", "/install.sh", "uninstall", "--purge"); err == nil || !strings.Contains(out, waits) || !strings.Contains(out, "nothing is removed") {
		t.Errorf("%v, install.sh says %s", err, out)
	}
	if out := m.run("dpkg", "--remove", "gatewayd"); !strings.Contains(out, waits) {
		t.Errorf("the removal says %s", out)
	}
	if out := m.run("bash", "/install.sh", "uninstall", "--purge"); !strings.Contains(out, waits) || !strings.Contains(out, "1 events that the city does not have are removed") {
		t.Errorf("the purge says %s", out)
	}
}

// lifeOnAMachine is what happens to a package where systemd runs.
func lifeOnAMachine(t *testing.T, first, second string) {
	m := newMachine(t)
	const rollback = "/usr/lib/gatewayd/rollback"
	restarted := func(all string) bool { return strings.Contains(all, "restart --no-block gatewayd.service") }

	all := m.dpkg("-i", first)
	told(t, all, "--root=/ --quiet enable gatewayd-renew.timer gatewayd-rollback.timer", "daemon-reload")
	if restarted(all) {
		t.Error("a gateway that does not know who it is was started")
	}
	if all := m.dpkg("-i", second); restarted(all) || strings.Contains(all, "enable gatewayd") {
		t.Errorf("it was upgraded and nobody had enabled it; systemctl was told\n%s", all)
	}

	m.dpkg("-i", first)
	m.put("enabled", "")
	m.put("state", "active\n")
	m.run(rollback, "ready")
	told(t, m.dpkg("-i", second), "daemon-reload", "restart gatewayd-rollback.timer", "restart --no-block gatewayd.service")
	if out := m.run("gatewayd", "version"); !strings.Contains(out, "v2.0.0") {
		t.Fatalf("after the upgrade: %s", out)
	}
	m.put("state", "activating\n")
	if out := m.run(rollback, "judge"); !strings.Contains(out, "rolled back") {
		t.Errorf("it says %s", out)
	}
	if out := m.run("gatewayd", "version"); !strings.Contains(out, "v1.0.0") {
		t.Errorf("after the rollback: %s", out)
	}
	if out, _ := m.try("gatewayd", "doctor"); !strings.Contains(out, "v1.0.0 is back, though dpkg -l says 2.0.0") {
		t.Errorf("doctor says %s", out)
	}
	m.run("dpkg", "--force-confold", "-i", first) // what runs is what dpkg says again
	if r := rolledBack(filepath.Join(m.work, "upper")); r != "" {
		t.Errorf("after the next package: %s", r)
	}

	m.put("state", "inactive\n")
	if all := m.dpkg("-i", second); restarted(all) {
		t.Error("a gateway that somebody had stopped was started")
	}
	told(t, m.dpkg("--remove", "gatewayd"),
		"stop gatewayd.service gatewayd-first-certificate.timer gatewayd-renew.timer gatewayd-rollback.timer gatewayd-renew.service gatewayd-rollback.service",
		"--root=/ --quiet disable gatewayd.service gatewayd-first-certificate.timer gatewayd-renew.timer gatewayd-rollback.timer", "daemon-reload")
	m.dpkg("-i", second)
	removalCounts(t, m)
	if out, err := m.try("ls", "/etc/gatewayd", "/var/lib/gatewayd", "/var/lib/gatewayd-rollback"); err == nil {
		t.Errorf("after the purge there is\n%s", out)
	}
}
