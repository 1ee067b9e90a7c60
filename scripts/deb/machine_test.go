package deb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// machine is this machine with a layer over it that takes all that is written,
// and with a systemctl that only writes down what it was told. The package's
// scripts see a machine that runs.
type machine struct {
	t    *testing.T
	work string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		debtest.Skip(t, "only root can install a package")
	}
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"upper/run/systemd/system", "layer", "root"} {
		if err := os.MkdirAll(filepath.Join(m.work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	debtest.Write(t, filepath.Join(m.work, "upper/usr/local/sbin/systemctl"), `#!/bin/sh
echo "$*" >>/told
case "$*" in
*is-active*) cat /state ;;
*is-enabled*) [ -e /enabled ] ;;
esac
`, 0o755)
	debtest.Write(t, filepath.Join(m.work, "upper/usr/local/sbin/udevadm"), "#!/bin/sh\n", 0o755)
	m.put("told", "")
	if out, err := m.try("true"); err != nil {
		debtest.Skip(t, "no layer can be laid over this machine: "+out)
	}
	return m
}

func (m *machine) put(path, text string) {
	m.t.Helper()
	debtest.Write(m.t, filepath.Join(m.work, "upper", path), text, 0o644)
}

// try runs a program on the machine.
func (m *machine) try(args ...string) (string, error) {
	const enter = `mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/layer" "$1/root" &&
		mount -t proc proc "$1/root/proc" && cd / && root=$1/root && shift && exec chroot "$root" "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", enter, "sh", m.work}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "GATEWAYD_EXE=/usr/bin/gatewayd",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// dpkg installs or removes, and returns what systemctl was told.
func (m *machine) dpkg(args ...string) string {
	m.t.Helper()
	m.put("told", "")
	m.run(append([]string{"dpkg", "--force-confdef", "--force-confold"}, args...)...)
	return debtest.Read(m.t, filepath.Join(m.work, "upper/told"))
}

// TestInstallUndoesWhatDpkgLeft: on a machine of its own, a package that needs what
// is not there is no success, and is not left half installed.
func TestInstallUndoesWhatDpkgLeft(t *testing.T) {
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

	m.put("state", "inactive\n")
	if all := m.dpkg("-i", second); restarted(all) {
		t.Error("a gateway that somebody had stopped was started")
	}
	told(t, m.dpkg("--remove", "gatewayd"),
		"stop gatewayd.service gatewayd-renew.timer gatewayd-rollback.timer gatewayd-renew.service gatewayd-rollback.service",
		"--root=/ --quiet disable gatewayd.service gatewayd-renew.timer gatewayd-rollback.timer", "daemon-reload")
	m.dpkg("--purge", "gatewayd")
	if out, err := m.try("ls", "/etc/gatewayd", "/var/lib/gatewayd", "/var/lib/gatewayd-rollback"); err == nil {
		t.Errorf("after the purge there is\n%s", out)
	}
}
