package deb_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// project is the top of the source tree.
const project = "../.."

// arch is this machine's name in a package.
var arch = map[string]string{"amd64": "amd64", "arm64": "arm64", "arm": "armhf"}[runtime.GOARCH]

// build makes packages of this machine's architecture from a source tree.
func build(t *testing.T, tree, version string) string {
	t.Helper()
	dist := t.TempDir()
	cmd := exec.Command("make", "-s", "-C", tree, "deb", "DEB_ARCHES="+arch, "DIST="+dist,
		"VERSION=v"+version, "COMMIT=0123456789ab", "SOURCE_DATE_EPOCH=1764000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make deb: %v\n%s", err, out)
	}
	path := filepath.Join(dist, fmt.Sprintf("gatewayd_%s_%s.deb", version, arch))
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyTree copies the source tree to another place, without its history: a
// package must not tell where or when it was built.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := exec.Command("git", "-C", project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(project, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), read(t, filepath.Join(project, name)), info.Mode())
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// root is a scratch root that dpkg installs into.
type root struct {
	t   *testing.T
	dir string
}

// newRoot makes an empty root. The scripts of the package give files to other
// users, which only root may: without it the test is skipped, or fails under
// CI=true.
func newRoot(t *testing.T) root {
	t.Helper()
	for _, name := range []string{"dpkg", "systemd-sysusers", "systemd-tmpfiles", "systemctl"} {
		if _, err := exec.LookPath(name); err != nil {
			skip(t, name+" is not installed: run scripts/install-test-deps.sh on Debian or Ubuntu")
		}
	}
	if os.Getuid() != 0 {
		skip(t, "only root can install a package into a scratch root")
	}
	r := root{t, t.TempDir()}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(r.path("var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available", "etc/passwd", "etc/group"} {
		write(t, r.path(file), "", 0o644)
	}
	return r
}

func skip(t *testing.T, text string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}

func (r root) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// dpkg runs dpkg on the root. What the package needs is not installed there.
func (r root) dpkg(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("dpkg", append([]string{
		"--root=" + r.dir, "--log=" + r.path("dpkg.log"),
		"--force-script-chrootless", "--force-depends", "--force-bad-path", "--force-confdef", "--force-confold",
	}, args...)...)
	// Nobody is asked, and a script sees no service manager of this machine.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (r root) has(path string) bool {
	_, err := os.Lstat(r.path(path))
	return err == nil
}

// owner is who owns a file by the root's own passwd and group, and its mode.
func (r root) owner(path string) string {
	r.t.Helper()
	out, err := exec.Command("stat", "-c", "%u %g %a", r.path(path)).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	f := strings.Fields(string(out))
	return r.name("etc/passwd", f[0]) + ":" + r.name("etc/group", f[1]) + " " + f[2]
}

func (r root) name(file, id string) string {
	for line := range strings.Lines(read(r.t, r.path(file))) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return map[string]string{"0": "root"}[id]
}

// packages are built once for all tests that install them: one of this tree, and
// a later version whose reference configuration differs, from a copy elsewhere.
func packages(t *testing.T) (first, again, second string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds packages")
	}
	if arch == "" {
		t.Skip("no package is made for " + runtime.GOARCH)
	}
	elsewhere := copyTree(t)
	first, again = build(t, project, "1.0.0"), build(t, elsewhere, "1.0.0")
	reference := filepath.Join(elsewhere, "config/gatewayd.toml")
	write(t, reference, read(t, reference)+"\n# A later version says more.\n", 0o644)
	return first, again, build(t, elsewhere, "2.0.0")
}

func TestPackage(t *testing.T) {
	first, again, second := packages(t)

	t.Run("two builds are identical", func(t *testing.T) {
		if a, b := read(t, first), read(t, again); !bytes.Equal([]byte(a), []byte(b)) {
			t.Errorf("they differ: %s", first)
		}
	})

	t.Run("says what dpkg needs", func(t *testing.T) {
		out, err := exec.Command("dpkg-deb", "--field", first, "Package", "Version", "Architecture", "Maintainer", "Depends", "Section", "Priority").CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		for _, field := range []string{"Package: gatewayd", "Version: 1.0.0", "Architecture: " + arch, "Maintainer: ", "Depends: systemd", "Section: ", "Priority: optional"} {
			if !strings.Contains(string(out), field) {
				t.Errorf("no %q in\n%s", field, out)
			}
		}
	})

	t.Run("install, upgrade, remove, purge", func(t *testing.T) {
		r := newRoot(t)
		r.dpkg("-i", first)
		for path, want := range map[string]string{
			"usr/bin/gatewayd":                               "root:root 755",
			"etc/gatewayd":                                   "root:gatewayd 750",
			"etc/gatewayd/gatewayd.toml":                     "root:root 644",
			"var/lib/gatewayd":                               "gatewayd:gatewayd 750",
			"var/lib/gatewayd/tls":                           "gatewayd:gatewayd 700",
			"usr/lib/systemd/system/gatewayd.service":        "root:root 644",
			"usr/share/man/man8/gatewayd.8.gz":               "root:root 644",
			"usr/share/doc/gatewayd/copyright":               "root:root 644",
			"usr/lib/udev/rules.d/60-gatewayd.rules":         "root:root 644",
			"usr/lib/gatewayd/rollback":                      "root:root 755",
			"usr/share/bash-completion/completions/gatewayd": "root:root 644",
		} {
			if !r.has(path) {
				t.Errorf("%s is not there", path)
			} else if got := r.owner(path); got != want {
				t.Errorf("%s is %s, want %s", path, got, want)
			}
		}
		if out, err := exec.Command(r.path("usr/bin/gatewayd"), "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "gatewayd v1.0.0 commit 0123456789ab") {
			t.Errorf("gatewayd version: %v %s", err, out)
		}
		if r.has("etc/systemd/system/multi-user.target.wants/gatewayd.service") {
			t.Error("a gateway that does not know who it is would be started at boot")
		}
		if !r.has("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer") {
			t.Error("the rollback timer is not enabled")
		}

		// The same again changes nothing.
		passwd := read(t, r.path("etc/passwd"))
		r.dpkg("-i", first)
		if now := read(t, r.path("etc/passwd")); now != passwd {
			t.Errorf("installed again, passwd is\n%s", now)
		}

		// What the office changed stays, and what the package says now lies
		// beside it.
		office := read(t, r.path("etc/gatewayd/gatewayd.toml")) + "\n# changed at the office\n"
		write(t, r.path("etc/gatewayd/gatewayd.toml"), office, 0o644)
		write(t, r.path("etc/gatewayd/badge.key"), "secret", 0o640)
		write(t, r.path("var/lib/gatewayd/journal.db"), "taps", 0o640)
		if err := os.Remove(r.path("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer")); err != nil {
			t.Fatal(err)
		}
		r.dpkg("-i", second)
		if got := read(t, r.path("etc/gatewayd/gatewayd.toml")); got != office {
			t.Error("the upgrade changed the office's configuration")
		}
		if got := read(t, r.path("etc/gatewayd/gatewayd.toml.dpkg-dist")); !strings.Contains(got, "A later version says more.") {
			t.Error("the new reference configuration is not beside the old one")
		}
		if r.has("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer") {
			t.Error("the upgrade switched on what the administrator had switched off")
		}

		r.dpkg("--remove", "gatewayd")
		for path, want := range map[string]bool{
			"usr/bin/gatewayd": false, "usr/lib/systemd/system/gatewayd.service": false,
			"etc/gatewayd/gatewayd.toml": true, "etc/gatewayd/badge.key": true, "var/lib/gatewayd/journal.db": true,
		} {
			if r.has(path) != want {
				t.Errorf("after the removal: %s is there: %v", path, !want)
			}
		}
		r.dpkg("--purge", "gatewayd")
		for _, path := range []string{"etc/gatewayd", "var/lib/gatewayd", "var/lib/gatewayd-rollback"} {
			if r.has(path) {
				t.Errorf("after the purge: %s is there", path)
			}
		}
		out, err := exec.Command("dpkg", "--root="+r.dir, "-l", "gatewayd").CombinedOutput()
		if err == nil && strings.Contains(string(out), "\nii") {
			t.Errorf("dpkg still knows it:\n%s", out)
		}
	})

	t.Run("the manual page is sound and names each command", func(t *testing.T) {
		page := filepath.Join(t.TempDir(), "gatewayd.8")
		r := newRoot(t)
		r.dpkg("-i", first)
		text, err := exec.Command("gzip", "-dc", r.path("usr/share/man/man8/gatewayd.8.gz")).Output()
		if err != nil {
			t.Fatal(err)
		}
		write(t, page, string(text), 0o644)
		if _, err := exec.LookPath("groff"); err != nil {
			skip(t, "groff is not installed: run scripts/install-test-deps.sh")
		}
		out, err := exec.Command("groff", "-mandoc", "-Tascii", "-P-cbou", "-ww", page).CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning:") {
			t.Errorf("groff: %v\n%s", err, out)
		}
		for _, command := range []string{"run", "check", "demo", "status", "watch", "doctor", "export", "verify", "sim tap", "version"} {
			if !strings.Contains(string(out), "\n     "+command) {
				t.Errorf("%q is not in the page", command)
			}
		}
		if strings.Contains(string(out), "manual") && strings.Contains(string(out), "\n     manual") {
			t.Error("a hidden command is in the page")
		}
	})

	t.Run("bash completes commands and flags", func(t *testing.T) {
		r := newRoot(t)
		r.dpkg("-i", first)
		for line, want := range map[string]string{
			"gatewayd ex":                          "export",
			"gatewayd --config /x.toml sta":        "status",
			"gatewayd export --un":                 "--until",
			"gatewayd sim t":                       "tap",
			"gatewayd sim reader --fault bus-l":    "bus-low",
			"gatewayd --config /x.toml sim tap --": "--card --count --every --help --hold --reader --uid",
		} {
			words := strings.Split(line, " ")
			script := fmt.Sprintf(`. %q; COMP_WORDS=(%s); COMP_CWORD=%d; _gatewayd; printf '%%s\n' "${COMPREPLY[@]}" | sort | xargs`,
				r.path("usr/share/bash-completion/completions/gatewayd"), line+map[bool]string{true: "''"}[strings.HasSuffix(line, " ")], len(words)-1)
			out, err := exec.Command("bash", "-c", script).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%q: %v, got %q, want %q", line, err, out, want)
			}
		}
	})
}
