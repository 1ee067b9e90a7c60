package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkMachine compares the configuration with the machine on which it is checked. A
// device that is missing is no mistake: it may be plugged in later. A path that leads
// to something else is one.
func (d *document) checkMachine(c *Config) {
	if !d.root.table("gateway").broken("state_dir") {
		d.root.table("gateway").checkStateDir(c.Gateway.StateDir)
	}
	d.checkCertificate(c)

	var buses, ports []device
	for i, t := range d.items("reader") {
		if i < len(c.Readers) && c.Readers[i].Bus != SimBus {
			buses = append(buses, device{t, "bus", c.Readers[i].Bus})
		}
	}
	for i, t := range d.items("receiver") {
		if i < len(c.Receivers) {
			ports = append(ports, device{t, "port", c.Receivers[i].Port})
		}
	}
	checkDevices(buses, "spidev", say("an SPI device, such as /dev/spidev0.0"))
	checkDevices(ports, "tty", say("a serial port, such as /dev/serial/by-id/usb-..."))
	d.checkPins(c)
}

// items are the tables of a list, in the order in which they became readers or
// receivers.
func (d *document) items(key string) (list []*table) {
	v := d.root.values[key]
	switch {
	case v == nil:
	case v.table != nil:
		list = append(list, v.table)
	default:
		for _, item := range v.items {
			if item.table != nil {
				list = append(list, item.table)
			}
		}
	}
	return list
}

// checkStateDir makes sure that the folder is one, or can become one.
func (t *table) checkStateDir(dir string) {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		t.problem("state_dir", "%s is no folder: write another, or move away what is there", show(dir))
		return
	case err == nil:
		for _, name := range []string{"journal.db", "control.sock"} {
			switch in, err := os.Stat(filepath.Join(dir, name)); {
			case err != nil || name == "journal.db" && in.Mode().IsRegular() || name == "control.sock" && in.Mode()&fs.ModeSocket != 0:
			default:
				t.problem("state_dir", "%s has something else for its %s: move it away", show(dir), name)
			}
		}
		return
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
		// The caller may not read the folder; the gateway's user may.
		if !errors.Is(err, fs.ErrPermission) {
			t.problem("state_dir", "%s cannot be used (%v): write another folder", show(dir), withoutPath(err))
		}
		return
	}
	above := dir
	for err != nil && above != filepath.Dir(above) {
		if _, e := os.Lstat(above); e == nil {
			t.problem("state_dir", "%s cannot be made: %s is a link to nothing", show(dir), show(above))
			return
		}
		above = filepath.Dir(above)
		info, err = os.Stat(above)
	}
	switch {
	case err != nil:
	case !info.IsDir():
		t.problem("state_dir", "%s cannot be made: %s is no folder", show(dir), show(above))
	default:
		// On some file systems no folder can be made by any user (proc, sys, one that
		// is mounted read-only). That can only be found out by trying.
		made, err := os.MkdirTemp(above, ".gatewayd-check-")
		if err == nil {
			err = os.Remove(made)
		}
		if err != nil && !(errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0) {
			t.problem("state_dir", "%s cannot be made in %s (%v): write another folder", show(dir), show(above), withoutPath(err))
		}
	}
}

// checkCertificate makes sure that the certificate is this gateway's: brokers go
// by its name.
func (d *document) checkCertificate(c *Config) {
	t := d.root.table("mqtt")
	if c.MQTT.CertFile == "" || c.Gateway.ID == "" || t.broken("cert_file") {
		return
	}
	data, err := readFile(c.MQTT.CertFile)
	if err != nil {
		return // reported already
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return
	}
	if name := cert.Subject.CommonName; name != c.Gateway.ID {
		t.problem("cert_file", "%s is the certificate of %s (CN), and gateway.id is %s: ask the city for one of that name, or correct gateway.id",
			show(c.MQTT.CertFile), show(name), show(c.Gateway.ID))
	}
}

// device is one that a key of a table names.
type device struct {
	t         *table
	key, path string
}

// checkDevices reports paths that are no devices of the kernel's subsystem, and
// those that lead to the same device.
func checkDevices(devices []device, subsystem string, want phrase) {
	type known struct {
		device
		info fs.FileInfo
	}
	var before []known
	for _, d := range devices {
		if d.path == "" {
			continue
		}
		info, err := os.Stat(d.path)
		if err != nil {
			continue // it may be plugged in later
		}
		if what, other := otherThan(info, subsystem); other {
			d.t.problem(d.key, "%s is %s: write the path of %s", show(d.path), what, want)
			continue
		}
		for _, b := range before {
			if b.path != d.path && os.SameFile(b.info, info) {
				d.t.problem(d.key, "%s is the same device as %s in line %d: each has one of its own", show(d.path), show(b.path), b.t.at(b.key))
			}
		}
		before = append(before, known{d, info})
	}
}

// otherThan tells what a path leads to if that is no device of a subsystem of the
// kernel; false if it is one, or if it cannot be found out.
func otherThan(info fs.FileInfo, subsystem string) (what phrase, other bool) {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return say("a folder"), true
	case mode.IsRegular():
		return say("an ordinary file"), true
	case mode&fs.ModeCharDevice == 0:
		return say("no device of that kind"), true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return phrase{}, false
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/char/%d:%d/subsystem", unix.Major(uint64(stat.Rdev)), unix.Minor(uint64(stat.Rdev))))
	if err != nil || filepath.Base(link) == subsystem {
		return phrase{}, false
	}
	return say("no device of that kind"), true
}

// spiPins are the pins that an SPI device on the header takes: MISO, MOSI and
// SCLK of its bus (BCM2711 ARM Peripherals, alternative functions of the GPIO
// pins), and the chip select that the overlays of Raspberry Pi OS give it.
func spiPins(bus string) []string {
	switch bus {
	case "/dev/spidev0.0":
		return []string{"GPIO9", "GPIO10", "GPIO11", "GPIO8"}
	case "/dev/spidev0.1":
		return []string{"GPIO9", "GPIO10", "GPIO11", "GPIO7"}
	case "/dev/spidev1.0":
		return []string{"GPIO19", "GPIO20", "GPIO21", "GPIO18"}
	case "/dev/spidev1.1":
		return []string{"GPIO19", "GPIO20", "GPIO21", "GPIO17"}
	case "/dev/spidev1.2":
		return []string{"GPIO19", "GPIO20", "GPIO21", "GPIO16"}
	}
	return nil
}

// checkPins reports pins that a reader's bus needs itself.
func (d *document) checkPins(c *Config) {
	taken := make(map[string]string) // pin to bus
	for _, r := range c.Readers {
		for _, pin := range spiPins(r.Bus) {
			taken[pin] = r.Bus
		}
	}
	claim := func(t *table, key, pin string) {
		if bus, ok := taken[pin]; ok && pin != "" {
			t.problem(key, "%s is a wire of %s: use another pin", show(pin), show(bus))
		}
	}
	for i, t := range d.items("reader") {
		if i < len(c.Readers) {
			claim(t, "reset_pin", c.Readers[i].ResetPin)
			claim(t, "irq_pin", c.Readers[i].IRQPin)
		}
	}
	lamp := d.root.table("feedback")
	claim(lamp, "green", c.Feedback.Green)
	claim(lamp, "red", c.Feedback.Red)
	claim(lamp, "buzzer", c.Feedback.Buzzer)
}
