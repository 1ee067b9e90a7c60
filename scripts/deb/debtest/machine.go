package debtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// Machine is this machine with a layer over it that takes all that is written. What
// systemctl and udevadm are there is the test's business.
type Machine struct {
	// Work holds the layer: what is written to /x is in Work/upper/x, between two
	// programs also from outside.
	Work string

	t testing.TB
}

// NewMachine makes a machine on which nothing has been written. Only root may lay a layer
// over a machine, and not everywhere: elsewhere the test is skipped, or fails under
// CI=true.
func NewMachine(t testing.TB) *Machine {
	t.Helper()
	skiptest.Root(t, "to install a package")
	m := &Machine{Work: t.TempDir(), t: t}
	for _, dir := range []string{"upper/run/systemd/system", "layer", "root"} {
		if err := os.MkdirAll(filepath.Join(m.Work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := m.Try("true"); err != nil {
		skiptest.NoRoot(t, "no layer can be laid over this machine: "+out)
	}
	return m
}

// Put writes a file on the machine.
func (m *Machine) Put(path, text string, mode os.FileMode) {
	m.t.Helper()
	Write(m.t, filepath.Join(m.Work, "upper", path), text, mode)
}

// Command is a program on the machine. One runs at a time.
func (m *Machine) Command(args ...string) *exec.Cmd {
	const enter = `mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/layer" "$1/root" &&
		mount -t proc proc "$1/root/proc" && mount --bind /dev "$1/root/dev" && cd / && root=$1/root && shift && exec chroot "$root" "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", enter, "sh", m.Work}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "GATEWAYD_EXE=/usr/bin/gatewayd",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	return cmd
}

// Try runs a program on the machine.
func (m *Machine) Try(args ...string) (string, error) {
	out, err := m.Command(args...).CombinedOutput()
	return string(out), err
}

// Run runs a program on the machine that has to succeed.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
