//go:build vm

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/scripts/childtest"
)

const (
	vmBoot    = 4 * time.Minute // without KVM, on a busy machine
	vmCommand = 3 * time.Minute
)

// machine is a Debian under QEMU: the console of its root, its USB sockets, its power.
type machine struct {
	t     *testing.T // of the part of the test that runs
	image string     // the folder with kernel and initrd
	work  string     // disk and sockets
	boots int

	qemu  *exec.Cmd
	con   net.Conn
	lines chan string     // what the console prints
	tags  net.Conn        // the other end of the serial receiver
	qmp   net.Conn        // QEMU's own console
	said  *json.Decoder   // what that says
	gone  map[string]bool // devices that QEMU has said are unplugged
}

// boot starts the machine and waits for the prompt.
func (m *machine) boot() {
	m.t.Helper()
	chardev := func(id string) string {
		path := filepath.Join(m.work, id+".sock")
		_ = os.Remove(path) // of the boot before
		return fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off", id, path)
	}
	m.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max",
		"-m", "512", "-smp", "2", "-nodefaults", "-no-reboot", "-display", "none",
		"-chardev", chardev("qmp"), "-mon", "chardev=qmp,mode=control",
		"-kernel", filepath.Join(m.image, "vmlinuz"), "-initrd", filepath.Join(m.image, "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off",
		"-drive", "if=virtio,format=raw,file="+filepath.Join(m.work, "root.img"),
		"-chardev", chardev("con"), "-serial", "chardev:con",
		// restrict=off only lets it reach this machine's loopback as 10.0.2.2:
		// nothing in it asks for anything else.
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net",
		"-device", "qemu-xhci,id=usb", "-chardev", chardev("tags"), "-chardev", "null,id=other",
		"-device", "usb-serial,id=yard,serial=YARD,chardev=tags,always-plugged=on")
	m.qemu.Stderr = os.Stderr
	if err := childtest.Start(m.qemu); err != nil {
		m.t.Fatal(err)
	}
	m.boots++
	m.con, m.tags, m.qmp = m.dial("con"), m.dial("tags"), m.dial("qmp")
	m.said, m.gone = json.NewDecoder(m.qmp), make(map[string]bool)
	m.ask("qmp_capabilities", map[string]any{})
	m.lines = make(chan string, 1024)
	go read(m.con, m.lines)
	m.expect(vmBoot, regexp.MustCompile(`^root@`))
	// The shell's own echo and prompt would be in the way of answers.
	m.run("stty -echo -onlcr cols 1000; PS1= PS2=; export LC_ALL=C.UTF-8")
}

func (m *machine) dial(id string) net.Conn {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
		c, err := net.Dial("unix", filepath.Join(m.work, id+".sock"))
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			m.t.Fatal(err)
		}
	}
}

// ask has QEMU do something that must succeed.
func (m *machine) ask(command string, arguments map[string]any) {
	m.t.Helper()
	if err := json.NewEncoder(m.qmp).Encode(map[string]any{"execute": command, "arguments": arguments}); err != nil {
		m.t.Fatal(err)
	}
	m.hear(command, func(answer map[string]json.RawMessage) bool {
		if problem, ok := answer["error"]; ok {
			m.t.Fatalf("QEMU says to %s %v: %s", command, arguments, problem)
		}
		return answer["return"] != nil
	})
}

// hear reads what QEMU says until that is enough, and keeps in mind what is unplugged.
func (m *machine) hear(what string, enough func(map[string]json.RawMessage) bool) {
	m.t.Helper()
	if err := m.qmp.SetReadDeadline(time.Now().Add(vmCommand)); err != nil {
		m.t.Fatal(err)
	}
	for {
		var answer map[string]json.RawMessage
		if err := m.said.Decode(&answer); err != nil {
			m.t.Fatalf("QEMU says nothing to %s: %v", what, err)
		}
		var event struct{ Device string }
		if string(answer["event"]) == `"DEVICE_DELETED"` && json.Unmarshal(answer["data"], &event) == nil {
			m.gone[event.Device] = true
		}
		if enough(answer) {
			return
		}
	}
}

// plug puts a device into a USB socket.
func (m *machine) plug(driver, id string, properties map[string]any) {
	m.t.Helper()
	properties["driver"], properties["id"], properties["bus"] = driver, id, "usb.0"
	m.ask("device_add", properties)
}

// unplug pulls it out.
func (m *machine) unplug(id string) {
	m.t.Helper()
	m.ask("device_del", map[string]any{"id": id})
	if !m.gone[id] {
		m.hear("device_del", func(map[string]json.RawMessage) bool { return m.gone[id] })
	}
	delete(m.gone, id)
}

// read passes lines on, and a prompt or a question, which end without a line break.
func read(r io.Reader, to chan<- string) {
	defer close(to)
	var line []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			switch b {
			case '\n':
				to <- string(bytes.TrimRight(line, "\r"))
				line = line[:0]
			default:
				line = append(line, b)
			}
		}
		if bytes.HasSuffix(line, []byte("# ")) || bytes.HasSuffix(line, []byte("[y/N] ")) {
			to <- string(line)
			line = line[:0]
		}
		if err != nil {
			return
		}
	}
}

// expect waits for a line and returns those before it, and the line's matches.
func (m *machine) expect(bound time.Duration, want *regexp.Regexp) (before []string, match []string) {
	m.t.Helper()
	timeout := time.After(bound)
	for {
		select {
		case line, ok := <-m.lines:
			if !ok {
				m.t.Fatalf("the machine went while %s was awaited; it said\n%s", want, strings.Join(before, "\n"))
			}
			if match := want.FindStringSubmatch(line); match != nil {
				return before, match
			}
			before = append(before, line)
		case <-timeout:
			m.t.Fatalf("waited %s in vain for %s; the machine said\n%s", bound, want, strings.Join(before, "\n"))
		}
	}
}

// done is what follows a command: its exit code.
const done = `^@@([0-9]+)@@$`

// response is what somebody types when a command asks for it.
type response struct{ question, text string }

// try runs a command line, answers its questions, and returns what it printed and its
// exit code.
func (m *machine) try(command string, responses ...response) (output string, code int) {
	m.t.Helper()
	if _, err := fmt.Fprintf(m.con, "{ %s\n} 2>&1; code=$?; echo; echo @@$code@@\n", command); err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, r := range responses {
		before, match := m.expect(vmCommand, regexp.MustCompile(done+"|"+r.question))
		out = append(append(out, before...), match[0])
		if match[1] != "" {
			m.t.Fatalf("%s: ends and does not ask for %s\n%s", command, r.question, strings.Join(out, "\n"))
		}
		if _, err := fmt.Fprintln(m.con, r.text); err != nil {
			m.t.Fatal(err)
		}
	}
	rest, match := m.expect(vmCommand, regexp.MustCompile(done))
	code, err := strconv.Atoi(match[1])
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(strings.Join(append(out, rest...), "\n")), code
}

// run runs a command line that must succeed.
func (m *machine) run(command string) string {
	m.t.Helper()
	out, code := m.try(command)
	if code != 0 {
		m.t.Fatalf("%s: exit %d\n%s", command, code, out)
	}
	return out
}

// await runs a command line until it succeeds.
func (m *machine) await(bound time.Duration, command string) {
	m.t.Helper()
	for deadline := time.Now().Add(bound); ; <-time.After(500 * time.Millisecond) {
		out, code := m.try(command)
		if code == 0 {
			return
		}
		if time.Now().After(deadline) {
			log, _ := m.try("systemctl status --no-pager gatewayd; journalctl --no-pager -n 60 -u 'gatewayd*'")
			m.t.Fatalf("waited %s in vain: %s\n%s\n%s", bound, command, out, log)
		}
	}
}

// cut takes the power away.
func (m *machine) cut() {
	m.t.Helper()
	_ = m.qemu.Process.Kill()
	_ = m.qemu.Wait() // killed, as it should be
	for _, c := range []net.Conn{m.con, m.tags, m.qmp} {
		_ = c.Close()
	}
	for range m.lines {
	}
}

// stick is a USB stick: an image of a disk with one FAT file system, as it is bought.
type stick struct {
	t     *testing.T
	image string
}

// newStick makes an empty one.
func newStick(t *testing.T) *stick {
	t.Helper()
	s := &stick{t, filepath.Join(t.TempDir(), "stick.img")}
	command(t, "truncate", "-s", "256M", s.image)
	command(t, "sh", "-c", "echo start=2048,type=c | PATH=$PATH:/sbin:/usr/sbin sfdisk -q "+s.image)
	command(t, "sh", "-c", "PATH=$PATH:/sbin:/usr/sbin mkfs.vfat --offset 2048 -n CITY "+s.image+" 261120")
	return s
}

// write copies what a folder holds, and overwrites what is there.
func (s *stick) write(folder string) {
	s.t.Helper()
	command(s.t, "sh", "-c", "mcopy -s -o -Q -m -i "+s.image+"@@1M "+folder+"/* ::/")
}

// read copies a file to a path.
func (s *stick) read(name, path string) {
	s.t.Helper()
	command(s.t, "mcopy", "-n", "-i", s.image+"@@1M", "::/"+name, path)
}

// remove removes a file.
func (s *stick) remove(name string) {
	s.t.Helper()
	command(s.t, "mdel", "-i", s.image+"@@1M", "::/"+name)
}

// putIn puts a stick into the machine and waits until its kernel has it.
func (m *machine) putIn(s *stick) {
	m.t.Helper()
	m.putDisk("stick", s.image)
	m.await(time.Minute, "udevadm settle; lsblk -nro NAME,LABEL | grep CITY")
}

// takeOut pulls it, whatever the machine does with it.
func (m *machine) takeOut() {
	m.t.Helper()
	m.pullDisk("stick")
}

// putDisk plugs an image in as a USB disk, which is /dev/disk/by-id/*_NAME-*.
func (m *machine) putDisk(name, image string) {
	m.t.Helper()
	m.ask("blockdev-add", map[string]any{"driver": "raw", "node-name": name, "file": map[string]any{"driver": "file", "filename": image}})
	m.plug("usb-storage", name, map[string]any{"drive": name, "serial": name, "removable": true})
}

func (m *machine) pullDisk(name string) {
	m.t.Helper()
	m.unplug(name)
	m.ask("blockdev-del", map[string]any{"node-name": name})
}

// freshCard puts another card with a fresh Debian into the machine, which is off, and
// returns where the one before is.
func (m *machine) freshCard() (before string) {
	m.t.Helper()
	card := filepath.Join(m.work, "root.img")
	if _, err := os.Stat(card); err == nil {
		before = filepath.Join(m.work, "before.img")
		if err := os.Rename(card, before); err != nil {
			m.t.Fatal(err)
		}
	}
	command(m.t, "cp", "--sparse=always", "--reflink=auto", filepath.Join(m.image, "root.img"), card)
	return before
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
