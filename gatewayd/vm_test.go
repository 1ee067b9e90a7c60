//go:build vm

package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/brokertest"
	"presence/scripts/deb/debtest"
)

const (
	// vmBound is how long the whole test may take; a boot without KVM takes a
	// minute on a busy machine.
	vmBound = 20 * time.Minute
	vmBoot  = 4 * time.Minute

	// powerCuts is how often the machine loses its power in the middle of taps.
	powerCuts = 5
)

// guest is a machine under QEMU and the console of its root.
type guest struct {
	t     *testing.T
	dir   string // kernel and initrd
	work  string // disk and sockets
	qemu  *exec.Cmd
	con   net.Conn
	lines chan string // what the console prints
	tags  net.Conn    // the other end of the serial receiver
}

// boot starts the machine and waits for the prompt.
func (g *guest) boot() {
	g.t.Helper()
	for _, name := range []string{"con.sock", "tags.sock"} {
		_ = os.Remove(filepath.Join(g.work, name)) // of the boot before
	}
	chardev := func(id string) string {
		return fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off", id, filepath.Join(g.work, id+".sock"))
	}
	g.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max",
		"-m", "512", "-smp", "2", "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none",
		"-kernel", filepath.Join(g.dir, "vmlinuz"), "-initrd", filepath.Join(g.dir, "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off",
		"-drive", "if=virtio,format=raw,file="+filepath.Join(g.work, "root.img"),
		"-drive", "if=virtio,format=raw,readonly=on,file="+filepath.Join(g.work, "payload.img"),
		"-chardev", chardev("con"), "-serial", "chardev:con",
		// restrict=off only lets it reach this machine's loopback as 10.0.2.2:
		// nothing in it asks for anything else.
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net",
		"-device", "qemu-xhci", "-chardev", chardev("tags"), "-device", "usb-serial,chardev=tags,always-plugged=on")
	g.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.qemu.Stderr = os.Stderr
	if err := g.qemu.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.con, g.tags = g.dial("con.sock"), g.dial("tags.sock")
	g.lines = make(chan string, 1024)
	go read(g.con, g.lines)
	g.expect(vmBoot, regexp.MustCompile(`^root@`))
	// The shell's own echo and prompt would be in the way of answers.
	g.run("stty -echo -onlcr cols 1000; PS1= PS2=; export LC_ALL=C.UTF-8")
}

func (g *guest) dial(name string) net.Conn {
	g.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("unix", filepath.Join(g.work, name))
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			g.t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// read passes lines on, and a prompt, which ends without a line break.
func read(r io.Reader, to chan<- string) {
	defer close(to)
	var line []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			switch {
			case b == '\n':
				to <- string(bytes.TrimRight(line, "\r"))
				line = line[:0]
			default:
				line = append(line, b)
			}
		}
		if bytes.HasSuffix(line, []byte("# ")) {
			to <- string(line)
			line = line[:0]
		}
		if err != nil {
			return
		}
	}
}

// expect waits for a line and returns those before it, and the line's matches.
func (g *guest) expect(bound time.Duration, want *regexp.Regexp) (before []string, match []string) {
	g.t.Helper()
	timeout := time.After(bound)
	for {
		select {
		case line, ok := <-g.lines:
			if !ok {
				g.t.Fatalf("the machine went while %s was awaited; it said\n%s", want, strings.Join(before, "\n"))
			}
			if match := want.FindStringSubmatch(line); match != nil {
				return before, match
			}
			before = append(before, line)
		case <-timeout:
			g.t.Fatalf("waited %s in vain for %s; the machine said\n%s", bound, want, strings.Join(before, "\n"))
		}
	}
}

var done = regexp.MustCompile(`^@@([0-9]+)@@$`)

// try runs a command line and returns what it printed and its exit code.
func (g *guest) try(command string) (output string, code int) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.con, "{ %s\n} 2>&1; code=$?; echo; echo @@$code@@\n", command); err != nil {
		g.t.Fatal(err)
	}
	out, match := g.expect(3*time.Minute, done)
	code, err := strconv.Atoi(match[1])
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(strings.Join(out, "\n")), code
}

// run runs a command line that must succeed.
func (g *guest) run(command string) string {
	g.t.Helper()
	out, code := g.try(command)
	if code != 0 {
		g.t.Fatalf("%s: exit %d\n%s", command, code, out)
	}
	return out
}

// await runs a command line until it succeeds.
func (g *guest) await(bound time.Duration, command string) {
	g.t.Helper()
	for deadline := time.Now().Add(bound); ; {
		out, code := g.try(command)
		if code == 0 {
			return
		}
		if time.Now().After(deadline) {
			log, _ := g.try("systemctl status --no-pager gatewayd; journalctl --no-pager -n 40 -u gatewayd")
			g.t.Fatalf("waited %s in vain: %s\n%s\n%s", bound, command, out, log)
		}
		<-time.After(500 * time.Millisecond)
	}
}

// cut takes the power away.
func (g *guest) cut() {
	g.t.Helper()
	_ = g.qemu.Process.Kill()
	_ = g.qemu.Wait() // killed, as it should be
	_ = g.con.Close()
	_ = g.tags.Close()
	for range g.lines {
	}
}

// put writes a file in the machine.
func (g *guest) put(path, content string) {
	g.t.Helper()
	g.run(fmt.Sprintf("base64 -d > %s <<'END'\n%s\nEND", path, base64.StdEncoding.EncodeToString([]byte(content))))
}

// TestVM is a gateway's life in a machine of its own: the package is installed
// with dpkg, a real systemd runs the unit in its sandbox, a daemon that hangs is
// killed and started again, and the power goes in the middle of taps.
func TestVM(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), vmBound)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { panic("the test in the machine took longer than " + vmBound.String()) })
	defer stop()
	started := time.Now()

	dir, deb := os.Getenv("VM_IMAGE"), os.Getenv("VM_DEB")
	if dir == "" || deb == "" {
		t.Fatal("say make vm-test, which makes VM_IMAGE and VM_DEB")
	}
	g := &guest{t: t, dir: dir, work: t.TempDir()}
	command(t, "cp", "--sparse=always", "--reflink=auto", filepath.Join(dir, "root.img"), filepath.Join(g.work, "root.img"))

	// The city's side as its guide says, and a stick for this office.
	k := newKit(t)
	seen := k.city()
	k.writeTemplate()

	payload := filepath.Join(g.work, "payload")
	command(t, "cp", "-r", k.Stick, payload)
	command(t, "cp", deb, filepath.Join(payload, "gatewayd.deb"))
	command(t, "truncate", "-s", "64M", filepath.Join(g.work, "payload.img"))
	command(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", payload, filepath.Join(g.work, "payload.img"))

	g.boot()
	g.provision(k)
	g.run("gatewayd check")
	g.run("gatewayd-provision start")
	g.await(time.Minute, "systemctl is-active gatewayd && systemctl is-enabled gatewayd") // active is READY
	g.run("systemctl is-active gatewayd && systemctl show -p NotifyAccess,User,ProtectSystem,NRestarts gatewayd")

	// Tags over the virtual serial port, taps by the mocked chip.
	green := make(map[string]bool)
	for _, a := range g.tapped("gatewayd sim tap --reader door --uid 04A1B2C3D4E5F6 --count 3 --hold 50ms --every 100ms", 3, time.Minute) {
		green[a.id()] = true
	}
	g.beacon()
	seen.AwaitFor(time.Minute, "taps and a tag", func(m []brokertest.Message) bool {
		return count(m, "badge") >= 3 && count(m, "tag") >= 1
	})

	// A daemon that hangs does not feed the watchdog.
	if n := g.run("systemctl show -p NRestarts --value gatewayd"); n != "0" {
		t.Fatalf("it was started again %s times before anything hung\n%s", n, g.run("journalctl --no-pager -n 60 -u gatewayd"))
	}
	g.run("systemctl kill -s STOP gatewayd")
	g.await(3*time.Minute, `test "$(systemctl show -p NRestarts --value gatewayd)" = 1 && systemctl is-active gatewayd && gatewayd status`)
	if log := g.run("journalctl --no-pager -u gatewayd | grep -i watchdog"); log == "" {
		t.Error("nobody says that it was the watchdog")
	}

	for round := range powerCuts {
		uid := fmt.Sprintf("04B0%02X00000000", round)
		for _, a := range g.tapped(fmt.Sprintf("gatewayd sim tap --reader door --uid %s --count 1000 --hold 20ms --every 0s", uid), 5+rand.IntN(40), 2*time.Minute) {
			green[a.id()] = true
		}
		g.cut()
		g.boot()
		g.await(2*time.Minute, "systemctl is-active gatewayd && gatewayd status")
		if n := g.run("systemctl show -p NRestarts --value gatewayd"); n != "0" {
			t.Errorf("after boot %d it was started again %s times\n%s", round+2, n, g.run("journalctl --no-pager -n 60 -u gatewayd"))
		}
	}
	messages := seen.AwaitFor(2*time.Minute, "every tap that went green", func(m []brokertest.Message) bool {
		return missing(m, green) == 0
	})
	all := events(t, validator(t), messages)
	g.run("systemctl stop gatewayd && gatewayd verify")
	g.cut()
	t.Logf("vm-test: boots=%d watchdog-restarts=1 power-cuts=%d green=%d delivered=%d lost=%d in %s",
		powerCuts+1, powerCuts, len(green), len(all), missing(messages, green), time.Since(started).Round(time.Second))
}

// tapped runs a command that taps, and returns what went green as soon as that
// is enough; the command goes on.
func (g *guest) tapped(command string, enough int, bound time.Duration) (green []answer) {
	g.t.Helper()
	if _, err := fmt.Fprintln(g.con, command); err != nil {
		g.t.Fatal(err)
	}
	timeout := time.After(bound)
	var other []string
	for len(green) < enough {
		select {
		case line, ok := <-g.lines:
			if !ok {
				g.t.Fatal("the machine went")
			}
			var a answer
			if json.Unmarshal([]byte(line), &a) != nil {
				other = append(other, line)
				continue
			}
			if a.Outcome != "accepted" {
				g.t.Fatalf("a tap was not accepted: %s", line)
			}
			green = append(green, a)
		case <-timeout:
			_, _ = io.WriteString(g.con, "\x03") // whatever runs there ends
			log, _ := g.try("systemctl show -p NRestarts gatewayd; journalctl --no-pager -n 60 -u gatewayd")
			g.t.Fatalf("%d of %d taps in %s; the machine said\n%s\n%s", len(green), enough, bound, strings.Join(other, "\n"), log)
		}
	}
	return green
}

// beacon sends what a tag's radio would, until it is heard.
func (g *guest) beacon() {
	g.t.Helper()
	if _, err := io.WriteString(g.tags, beacontest.PKLDS(100, 1001, -7.9778, 112.634, time.Now())); err != nil {
		g.t.Fatal(err)
	}
}

// missing counts the green taps that did not come.
func missing(messages []brokertest.Message, green map[string]bool) int {
	came := make(map[string]bool)
	for _, m := range messages {
		var e event
		if strings.Contains(m.Topic, "/event/") && json.Unmarshal(m.Payload, &e) == nil {
			came[e.ID] = true
		}
	}
	n := 0
	for id := range green {
		if !came[id] {
			n++
		}
	}
	return n
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// writeTemplate changes the city's template for the machine of the test, and makes the
// stick of it.
func (k *kit) writeTemplate() {
	t := k.t
	t.Helper()
	template := filepath.Join(k.CA, "dinkes.toml")
	text := debtest.Read(t, template)
	for from, to := range map[string]string{
		k.broker.Address(): fmt.Sprintf("mqtt.example.go.id:%d", k.broker.Port),
		`source = "trust"`: `source = "kernel"`,
		"[badges]\n":       "[badges]\nrepeat_window = \"0s\"\n",
		"#[[receiver]]\n#name     = \"yard\"\n#protocol = \"kenwood\"\n#port     = \"/dev/serial/by-id/usb-FTDI_FT232R_A1B2C3-if00-port0\"\n": "[[receiver]]\nname = \"yard\"\nprotocol = \"kenwood\"\nport = \"/dev/ttyUSB0\"\n[hours]\nalways = true\n",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("the template has no %q", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	debtest.Write(t, template, text, 0o644)
	k.Bundle()
}

// provision installs the package in the machine and provisions it with the stick, as
// the guide says.
func (g *guest) provision(k *kit) {
	t := g.t
	t.Helper()
	g.run("echo 10.0.2.2 mqtt.example.go.id >> /etc/hosts")
	g.run("mkdir -p /mnt/payload && mount -o ro /dev/vdb /mnt/payload && cp -r /mnt/payload /root/stick && dpkg -i /root/stick/gatewayd.deb")
	provision := "CITY_FINGERPRINT=" + k.Fingerprint() + " BADGE_PASSPHRASE='of the technician' gatewayd-provision usb /root/stick dinkes-01 dinkes"
	g.run(provision) // leaves the request
	request := filepath.Join(k.Stick, "requests", "dinkes-01.csr")
	debtest.Write(t, request, g.run("cat /root/stick/requests/dinkes-01.csr")+"\n", 0o644)
	k.Authority("sign", request)
	g.put("/root/stick/issued/dinkes-01.pem", debtest.Read(t, filepath.Join(k.CA, "issued", "dinkes-01.pem")))
	g.run(provision) // takes the certificate
}
