package kittest_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"presence/scripts/brokertest"
	"presence/scripts/skiptest"
)

// network is machines that see nobody but each other: mqtt.example.go.id is one of them,
// and its port 8883 no port of this machine's.
type network struct {
	t     *testing.T
	dir   string
	wire  string // where scp puts what another machine gets
	init  *exec.Cmd
	lower string // the tree that the machines begin with
}

// newNetwork makes a network for machines that begin as a Debian in a folder; "/" is the
// machine of the test, of which they see a copy that they can write.
func newNetwork(t *testing.T, lower string) *network {
	t.Helper()
	skiptest.Root(t, "to set up machines")
	for _, name := range []string{"unshare", "nsenter", "apt-get", "mosquitto", "mosquitto_sub", "openssl"} {
		skiptest.Program(t, name)
	}
	n := &network{t: t, dir: t.TempDir(), lower: lower}
	n.wire = filepath.Join(n.dir, "wire")
	ready := filepath.Join(n.dir, "ready")
	n.init = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
		"sh", "-c", fmt.Sprintf("mkdir -p %[1]s && mount -t tmpfs tmpfs %[1]s && mkdir %[1]s/wire && touch %[2]s && exec sleep infinity", n.dir+"/disks", ready))
	n.wire = filepath.Join(n.dir, "disks", "wire")
	var said bytes.Buffer
	n.init.Stdout, n.init.Stderr = &said, &said
	started := make(chan error, 1)
	go func() {
		// The thread goes with its network when this ends; who was started in it stays.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopbackUp()
		}
		if err == nil {
			err = n.init.Start()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		skiptest.NoRoot(t, "no network of its own can be made here: "+err.Error())
	}
	t.Cleanup(func() {
		_ = n.init.Process.Kill()
		_ = n.init.Wait()
	})
	for end := time.Now().Add(brokertest.Wait); ; time.Sleep(10 * time.Millisecond) {
		if out, err := n.command("test", "-e", ready).CombinedOutput(); err == nil {
			return n
		} else if time.Now().After(end) {
			t.Fatalf("the network does not start: %v\n%s%s", err, out, said.String())
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// child is the process in whose namespaces the machines are: unshare's first child.
func (n *network) child() string {
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", n.init.Process.Pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// command is a command on the network, outside of its machines.
func (n *network) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", n.child(), "-m", "-n", "-p"}, args...)...)
}

// machine is a Debian of its own on the network.
type machine struct {
	n    *network
	name string
	root string
}

// home is where people work on a machine.
const home = "/home/petugas"

// newMachine makes a machine. What a test's machine lacks of a real one is played: sudo
// where it is not installed, scp, and systemctl, which does what mosquitto's unit says.
func (n *network) newMachine(name string) *machine {
	n.t.Helper()
	m := &machine{n: n, name: name, root: filepath.Join(n.dir, "disks", name, "root")}
	disk := filepath.Dir(m.root)
	m.outside("set -e; mkdir -p %[1]s/root %[1]s/up %[1]s/work; mount -t overlay overlay -o lowerdir=%[2]s,upperdir=%[1]s/up,workdir=%[1]s/work %[1]s/root; "+
		"mount -t proc proc %[1]s/root/proc; mount --rbind /dev %[1]s/root/dev; mkdir -p %[1]s/root%[3]s %[1]s/root/media/stick %[1]s/root/srv/wire; "+
		"mount --bind %[4]s %[1]s/root/srv/wire; rm -rf %[1]s/root/etc/mosquitto/conf.d/*; rm -f %[1]s/root/usr/sbin/policy-rc.d", disk, n.lower, home, n.wire)
	self, err := os.Hostname()
	if err != nil {
		n.t.Fatal(err)
	}
	m.write("/etc/hosts", "127.0.0.1 localhost mqtt.example.go.id "+self+"\n", 0o644)
	m.write("/etc/apt/apt.conf.d/99-test", "Acquire::Retries \"0\";\n", 0o644) // there is nobody to ask
	m.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
	m.write("/usr/local/bin/scp", "#!/bin/sh\ncase $2 in *:) exec cp \"$1\" /srv/wire/ ;; esac\nexit 1\n", 0o755)
	m.write("/usr/local/bin/systemctl", `#!/bin/bash
[ "$*" = "restart mosquitto" ] || exit 0
if pid=$(cat /run/mosquitto/mosquitto.pid 2>/dev/null) && kill "$pid" 2>/dev/null; then
	while grep -q '^State:.[^Z]' "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
fi
rm -f /run/mosquitto/mosquitto.pid
unit=$(cat /lib/systemd/system/mosquitto.service)
while read -r line; do $line; done < <(sed -n 's/^ExecStartPre=//p' <<<"$unit")
setsid $(sed -n 's/^ExecStart=//p' <<<"$unit") >>/var/log/mosquitto.service 2>&1 </dev/null &
for i in {1..200}; do [ ! -s /run/mosquitto/mosquitto.pid ] || exit 0; sleep 0.05; done
exit 1
`, 0o755)
	if _, err := os.Stat(filepath.Join(n.lower, "usr/bin/sudo")); err != nil {
		m.write("/usr/local/bin/sudo", "#!/bin/sh\nexec \"$@\"\n", 0o755)
	}
	return m
}

// outside runs a script beside the machines.
func (m *machine) outside(script string, args ...any) string {
	m.n.t.Helper()
	out, err := m.n.command("bash", "-c", fmt.Sprintf(script, args...)).CombinedOutput()
	if err != nil {
		m.n.t.Fatalf("%s: %v\n%s", m.name, err, out)
	}
	return string(out)
}

// write writes a file of the machine.
func (m *machine) write(path, text string, mode os.FileMode) {
	m.n.t.Helper()
	cmd := m.n.command("bash", "-c", fmt.Sprintf("mkdir -p $(dirname %[1]s) && rm -f %[1]s && cat >%[1]s && chmod %[2]o %[1]s", m.root+path, mode))
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.n.t.Fatalf("%s: write %s: %v\n%s", m.name, path, err, out)
	}
}

// command is a command on the machine.
func (m *machine) command(args ...string) *exec.Cmd {
	return m.n.command(append([]string{
		"chroot", m.root, "env", "-i", "HOME=" + home, "LC_ALL=C", "TERM=dumb", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}, args...)...)
}

// sh runs a script on the machine, which has to succeed.
func (m *machine) sh(script string) string {
	m.n.t.Helper()
	out, err := m.command("bash", "-euc", "cd "+home+"\n"+script).CombinedOutput()
	if err != nil {
		m.n.t.Fatalf("%s: %v\n%s\nof\n%s", m.name, err, out, script)
	}
	return string(out)
}

// question is what somebody at the keyboard is asked.
var question = regexp.MustCompile(`(assphrase[^\n:]*: |Once more: |\[y/N\] |\[Y/n\] )$`)

// typed types a script at the machine's terminal, and answers what is asked there: the
// passphrase, and yes. failed are the commands that did not succeed; asked is how often
// the passphrase was asked for.
func (m *machine) typed(script, passphrase string) (said string, failed []string, asked int) {
	m.n.t.Helper()
	cmd := m.command("bash", "-uc", "cd "+home+"\ntrap 'echo \"FAILED: $BASH_COMMAND\"' ERR\n"+script)
	terminal, err := pty.Start(cmd)
	if err != nil {
		m.n.t.Fatalf("%s: %v", m.name, err)
	}
	defer terminal.Close()
	timeout := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	var all, line []byte
	for buffer := make([]byte, 4096); ; {
		n, err := terminal.Read(buffer)
		all, line = append(all, buffer[:n]...), append(line, buffer[:n]...)
		if q := question.FindSubmatch(line); q != nil {
			answer := "y\n"
			if !bytes.HasPrefix(q[1], []byte("[")) {
				answer = passphrase + "\n"
				asked++
			}
			line = nil
			if _, err := io.WriteString(terminal, answer); err != nil {
				break
			}
		}
		if err != nil {
			break // EIO: nobody is at the other end any more
		}
	}
	if err := cmd.Wait(); err != nil && !strings.Contains(string(all), "FAILED: ") {
		failed = append(failed, err.Error())
	}
	said = strings.ReplaceAll(string(all), "\r\n", "\n")
	for _, f := range regexp.MustCompile(`(?m)^FAILED: (.*)$`).FindAllStringSubmatch(said, -1) {
		failed = append(failed, f[1])
	}
	return said, failed, asked
}
