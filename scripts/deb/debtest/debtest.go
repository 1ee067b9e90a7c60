package debtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"presence/scripts/skiptest"
)

// Arch is what packages for this machine are called, "" if none are made.
func Arch() string {
	return map[string]string{"amd64": "amd64", "arm64": "arm64", "arm": "armhf"}[runtime.GOARCH]
}

// Build makes the package of this machine's architecture from a source tree, and
// returns its path. With -short the test is skipped.
func Build(t testing.TB, tree, version string) string {
	t.Helper()
	return build(t, tree, "deb", "gatewayd", version)
}

// MakeCity makes the package of the city's machine in a folder, for tests that share it.
// Lib is the folder with what the package installs in /usr/lib/gatewayd-city.
func MakeCity(tree, version, dist string) (deb, lib string, err error) {
	deb, err = makePackage(tree, "city-deb", "gatewayd-city", version, dist)
	return deb, filepath.Join(dist, "build", Arch(), "city"), err
}

func build(t testing.TB, tree, target, name, version string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a package")
	}
	if Arch() == "" {
		t.Skip("no package is made for " + runtime.GOARCH)
	}
	path, err := makePackage(tree, target, name, version, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// makePackage makes a package of this machine's architecture in the folder dist, and
// returns its path.
func makePackage(tree, target, name, version, dist string) (string, error) {
	cmd := exec.Command("make", "-s", "-C", tree, target, "DEB_ARCHES="+Arch(), "CITY_ARCHES="+Arch(), "DIST="+dist,
		"VERSION=v"+version, "COMMIT=0123456789ab", "SOURCE_DATE_EPOCH=1764000000")
	// `make test` hands down what it exports for its own packages.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DEB_") || strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make %s: %w\n%s", target, err, out)
	}
	path := filepath.Join(dist, fmt.Sprintf("%s_%s_%s.deb", name, version, Arch()))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("make %s: %w", target, err)
	}
	return path, nil
}

// Root is a scratch root that dpkg installs into.
type Root struct {
	Dir string

	t testing.TB
}

// NewRoot makes a root with nothing in it. The package's scripts give files to
// other users, which only root may do: without it, or without the programs that
// they call, the test is skipped, or fails under CI=true.
func NewRoot(t testing.TB) *Root {
	t.Helper()
	for _, name := range []string{"dpkg", "systemd-sysusers", "systemd-tmpfiles", "systemctl"} {
		skiptest.Program(t, name)
	}
	skiptest.Root(t, "to install a package into a scratch root")
	r := &Root{t.TempDir(), t}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(r.Path("var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available", "etc/passwd", "etc/group"} {
		Write(t, r.Path(file), "", 0o644)
	}
	return r
}

// Read returns a file.
func Read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Write writes a file and the folders above it.
func Write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// While a program is open for writing nobody can run it (ETXTBSY), and a process that
	// another test starts right now would have it open for a moment too.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// Path is a path below the root.
func (r *Root) Path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

// Dpkg runs dpkg on the root. What the package needs is not installed there.
func (r *Root) Dpkg(args ...string) {
	r.t.Helper()
	cmd := exec.Command("dpkg", append([]string{
		"--root=" + r.Dir, "--log=" + r.Path("dpkg.log"),
		"--force-unsafe-io", "--force-script-chrootless", "--force-depends", "--force-bad-path", "--force-confdef", "--force-confold",
	}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive") // nobody is asked
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Has reports whether something is at a path.
func (r *Root) Has(path string) bool {
	_, err := os.Lstat(r.Path(path))
	return err == nil
}

// Owner is who owns a file by the root's own passwd and group, and its mode:
// "root:gatewayd 750".
func (r *Root) Owner(path string) string {
	r.t.Helper()
	out, err := exec.Command("stat", "-c", "%u %g %a", r.Path(path)).Output()
	if err != nil {
		r.t.Fatalf("stat %s: %v", path, err)
	}
	f := strings.Fields(string(out))
	return r.name("etc/passwd", f[0]) + ":" + r.name("etc/group", f[1]) + " " + f[2]
}

func (r *Root) name(file, id string) string {
	for line := range strings.Lines(Read(r.t, r.Path(file))) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	if id == "0" {
		return "root"
	}
	return id
}

// ID is the number of a user or group by the root's own passwd or group.
func (r *Root) ID(file, name string) string {
	r.t.Helper()
	for line := range strings.Lines(Read(r.t, r.Path("etc", file))) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[0] == name {
			return f[2]
		}
	}
	r.t.Fatalf("there is no %s in etc/%s", name, file)
	return ""
}
