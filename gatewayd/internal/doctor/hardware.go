package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/pi"
	"presence/gatewayd/internal/terminal"
)

// readers looks at the SPI devices that the readers are wired to.
func (e *exam) readers(ctx context.Context) {
	for _, r := range e.Config.Readers {
		if r.Bus == config.SimBus {
			e.ok("spi", r.Name, say("reader %q is mocked", "pembaca %q disimulasikan", r.Name))
			continue
		}
		if _, err := e.Board.File(r.Bus); err != nil {
			e.noSPI(r, err)
			continue
		}
		if e.device("spi", r.Name, r.Bus, "spi") {
			e.ok("spi", r.Name, say("%s is there for user %s", "%s tersedia bagi pengguna %s", r.Bus, e.account.Name))
			e.selfTest(ctx, r)
		}
	}
	if e.Health == nil {
		return
	}
	for _, r := range e.Health.Readers {
		if r.State == "ok" {
			e.ok("reader", r.Name, say("reader %q reads, chip %s", "pembaca %q membaca, cip %s", r.Name, r.Version))
			continue
		}
		e.fail("reader", r.Name, "gatewayd watch", say(
			"reader %q %s: check its wiring and its 3.3 V supply (%s)",
			"pembaca %q %s: periksa kabel dan catu daya 3,3 V (%s)", r.Name, terminal.ReaderState(r.State), r.Error))
	}
}

// selfTest has a reader's chip test itself. That is only possible while no
// gateway runs: it holds the chip.
func (e *exam) selfTest(ctx context.Context, r config.Reader) {
	if e.Chip == nil || e.Health != nil || e.Unasked || e.Silent {
		return
	}
	if holders := e.Board.Holders(r.Bus); len(holders) > 0 {
		e.warn("self-test", r.Name, fmt.Sprintf("sudo kill %d", holders[0].PID), say(
			"the chip of reader %q cannot be tested: %s is held by %s (process %d)",
			"cip pembaca %q tidak dapat diuji: %s dipakai oleh %s (proses %d)", r.Name, r.Bus, holders[0].Name, holders[0].PID))
		return
	}
	chip, err := e.Chip(r)
	if err == nil {
		err = chip.SelfTest(ctx)
		if closing := chip.Close(); err == nil {
			err = closing
		}
	}
	why := ""
	if err != nil {
		why = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	switch {
	case err == nil:
		e.ok("self-test", r.Name, say(
			"the chip of reader %q, version %s, passes its self test", "cip pembaca %q, versi %s, lulus uji mandiri", r.Name, chip.Version()))
	case errors.Is(err, card.ErrNoReference):
		e.ok("self-test", r.Name, say(
			"the chip of reader %q answers; it is a copy, version %s, of which nobody knows what its self test must find",
			"cip pembaca %q menjawab; cip ini tiruan, versi %s, yang hasil uji mandirinya tidak diketahui", r.Name, chip.Version()))
	case errors.Is(err, fs.ErrPermission):
		e.warn("self-test", r.Name, asRoot, say(
			"user %s may not test the chip of reader %q", "pengguna %s tidak boleh menguji cip pembaca %q", e.Self.Name, r.Name))
	case errors.Is(err, card.ErrNotSPI):
		e.fail("self-test", r.Name, "sudo poweroff", say(
			"the board of reader %q has power but does not speak SPI: with the Pi switched off, set the board's switches to SPI, and check the wire of its chip select",
			"papan pembaca %q mendapat daya tetapi tidak memakai SPI: matikan Pi, lalu atur sakelar papan ke SPI dan periksa kabel chip select", r.Name))
	case errors.Is(err, card.ErrBusDead):
		e.fail("self-test", r.Name, "sudo poweroff", say(
			"the chip of reader %q does not answer: check its wires and its 3.3 V with the Pi switched off (%s)",
			"cip pembaca %q tidak menjawab: matikan Pi, lalu periksa kabel dan catu daya 3,3 V (%s)", r.Name, why))
	case errors.Is(err, card.ErrDeaf):
		e.fail("self-test", r.Name, "sudo poweroff", say(
			"the chip of reader %q does not work: change the board with the Pi switched off (%s)",
			"cip pembaca %q tidak berfungsi: matikan Pi, lalu ganti papannya (%s)", r.Name, why))
	default:
		e.fail("self-test", r.Name, "gatewayd check", say(
			"the chip of reader %q cannot be tested: %s", "cip pembaca %q tidak dapat diuji: %s", r.Name, why))
	}
}

// noSPI says why a SPI device is missing.
func (e *exam) noSPI(r config.Reader, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		e.fail("spi", r.Name, "ls -l "+quote(r.Bus), say("%s cannot be seen: %v", "%s tidak dapat dilihat: %v", r.Bus, err))
		return
	}
	var bus, chip int
	if _, err := fmt.Sscanf(filepath.Base(r.Bus), "spidev%d.%d", &bus, &chip); err != nil {
		e.fail("spi", r.Name, "ls /dev/spidev*", say(
			"%s is missing, and no name of a SPI device", "%s tidak ada, dan bukan nama perangkat SPI", r.Bus))
		return
	}
	path, text := e.Board.BootConfig()
	on, elsewhere := pi.SPIOn(text, e.Board.Model(), bus)
	driver := e.Board.SPIDriver(bus, chip)
	switch {
	case path == "":
		e.fail("spi", r.Name, "sudo modprobe spidev", say(
			"%s is missing, and there is no config.txt: is this a Raspberry Pi?",
			"%s tidak ada, dan tidak ada config.txt: apakah ini Raspberry Pi?", r.Bus))
	case driver != "":
		e.takenSPI(r, path, text, driver)
	case on && slices.ContainsFunc(pi.Overlays(text, e.Board.Model()), pi.TakesSPI) && bus == 0:
		e.takenSPI(r, path, text, "?")
	case on:
		e.fail("spi", r.Name, "sudo reboot", say(
			"%s is missing although %s switches SPI on: it takes a restart",
			"%s tidak ada meskipun SPI aktif di %s: perlu mulai ulang", r.Bus, path))
	case elsewhere:
		// raspi-config would change the line where it stands.
		e.fail("spi", r.Name, forAll("dtparam=spi=on", path), say(
			"%s is missing: %s switches SPI on for other models only (below a filter such as [pi4]), and this is a %s",
			"%s tidak ada: %s mengaktifkan SPI hanya untuk model lain (di bawah saringan seperti [pi4]), dan ini %s", r.Bus, path, e.Board.Model()))
	default:
		mend := "sudo raspi-config nonint do_spi 0 && sudo reboot"
		switch {
		case bus != 0:
			mend = forAll(fmt.Sprintf("dtoverlay=spi%d-%dcs", bus, chip+1), path)
		case !e.Board.HasTool("raspi-config"):
			mend = forAll("dtparam=spi=on", path)
		}
		e.fail("spi", r.Name, mend, say(
			"%s is missing: SPI is off in %s", "%s tidak ada: SPI tidak aktif di %s", r.Bus, path))
	}
}

// forAll is the command that adds a line to the firmware's configuration for every
// model: the last section of that file may be for another one.
func forAll(line, path string) string {
	return fmt.Sprintf(`printf '\n[all]\n%s\n' | sudo tee -a %s && sudo reboot`, line, path)
}

// takenSPI says which overlay has given the reader's place on the bus to something
// else, such as a display: no restart brings it back.
func (e *exam) takenSPI(r config.Reader, path, text, driver string) {
	w := say(
		"%s is missing: a display or another device (%s) has its place on the bus",
		"%s tidak ada: layar atau perangkat lain (%s) memakai tempatnya di bus", r.Bus, driver)
	for _, overlay := range pi.Overlays(text, e.Board.Model()) {
		if pi.TakesSPI(overlay) {
			e.fail("spi", r.Name, fmt.Sprintf(`sudo sed -i 's/^[ \t]*dtoverlay=%s/#&/' %s && sudo reboot`, overlay, path), say(
				"%s, by dtoverlay=%s in %s: take it out, or wire the reader to another bus",
				"%s, oleh dtoverlay=%s di %s: hapus, atau pasang pembaca di bus lain", w, overlay, path))
			return
		}
	}
	e.fail("spi", r.Name, "ls -l /sys/bus/spi/devices/*/driver", w)
}

// device reports whether the gateway may open a device, and says why not.
func (e *exam) device(code, item, path, group string) bool {
	f, err := e.Board.File(path)
	if err != nil {
		e.fail(code, item, "ls -l "+quote(path), say("%s cannot be seen: %v", "%s tidak dapat dilihat: %v", path, err))
		return false
	}
	if f.Allows(e.account, pi.ReadWrite) {
		return true
	}
	owner := e.Board.GroupName(f.GID)
	switch _, exists := e.Board.Group(group); {
	case !exists:
		e.fail("permission", item, "sudo groupadd --system "+group+" && sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG "+group+" "+e.account.Name+restart, say(
			"user %s may not open %s (group %s, mode %04o), and there is no group %s",
			"pengguna %s tidak boleh membuka %s (grup %s, mode %04o), dan grup %s tidak ada", e.account.Name, path, owner, f.Mode, group))
	case f.Mode>>3&6 == 6 && owner != "root":
		e.fail("permission", item, "sudo usermod -aG "+owner+" "+e.account.Name+restart, say(
			"user %s may not open %s: it is not in the group %s",
			"pengguna %s tidak boleh membuka %s: tidak termasuk grup %s", e.account.Name, path, owner))
	default:
		e.fail("permission", item, "sudo udevadm control --reload && sudo udevadm trigger", say(
			"user %s may not open %s (group %s, mode %04o): the udev rules did not give it to the group %s",
			"pengguna %s tidak boleh membuka %s (grup %s, mode %04o): aturan udev tidak memberikannya kepada grup %s", e.account.Name, path, owner, f.Mode, group))
	}
	return false
}

// pins looks at the devices through which lamp and reader are wired.
func (e *exam) pins() {
	f := e.Config.Feedback
	used := f.Green != "" || f.Red != "" || f.Buzzer != "" ||
		slices.ContainsFunc(e.Config.Readers, func(r config.Reader) bool { return r.ResetPin+r.IRQPin != "" && r.Bus != config.SimBus })
	if !used {
		return
	}
	chips := e.Board.GPIOChips()
	if len(chips) == 0 {
		e.fail("gpio", "", "ls -l /dev/gpiochip*", say(
			"pins are configured, but there is no /dev/gpiochip: is this a Raspberry Pi?",
			"pin dikonfigurasi, tetapi /dev/gpiochip tidak ada: apakah ini Raspberry Pi?"))
		return
	}
	for _, chip := range chips {
		if f, err := e.Board.File(chip); err == nil && f.Allows(e.account, pi.ReadWrite) {
			e.ok("gpio", "", say("%s is there for user %s", "%s tersedia bagi pengguna %s", chip, e.account.Name))
			return
		}
	}
	e.device("gpio", "", chips[0], "gpio")
}

// receivers looks at the serial ports.
func (e *exam) receivers() {
	for _, r := range e.Config.Receivers {
		if e.debugPort(r) {
			continue
		}
		if _, err := e.Board.File(r.Port); err != nil {
			e.noPort(r)
			continue
		}
		if !e.device("serial", r.Name, r.Port, "dialout") {
			continue
		}
		if e.heldByOther(r) {
			continue
		}
		target := filepath.Base(e.Board.Target(r.Port))
		header := strings.HasPrefix(target, "ttyAMA") || strings.HasPrefix(target, "ttyS")
		stable := e.Board.StableName(r.Port)
		switch {
		case header && e.Board.SerialConsole():
			e.warn("serial", r.Name, "sudo raspi-config nonint do_serial_cons 1 && sudo reboot", say(
				"the login console is on the header's serial port, which receiver %q uses as well",
				"konsol login ada di porta serial header, yang juga dipakai penerima %q", r.Name))
		case strings.HasPrefix(r.Port, "/dev/tty") && !header && stable != "":
			e.warn("serial", r.Name, fmt.Sprintf("sudo sed -i 's|\"%s\"|\"%s\"|' %s && sudo systemctl reload gatewayd", r.Port, stable, quote(e.Path)), say(
				"%s is there, but may get another number when something else is plugged in",
				"%s tersedia, tetapi nomornya dapat berubah bila ada perangkat lain dipasang", r.Port))
		default:
			e.ok("serial", r.Name, say("%s is there for user %s", "%s tersedia bagi pengguna %s", r.Port, e.account.Name))
		}
	}
	if e.Health == nil {
		return
	}
	for _, r := range e.Health.Receivers {
		if r.State == "gone" {
			e.fail("receiver", r.Name, "gatewayd watch", say(
				"receiver %q is gone: %s", "penerima %q hilang: %s", r.Name, r.Error))
		} else {
			e.ok("receiver", r.Name, say(
				"receiver %q is open, %d frames so far", "penerima %q terbuka, %d paket data sejauh ini", r.Name, r.Frames))
		}
	}
}

// debugPort reports whether a receiver is looked for at the debug connector of a Pi 5,
// which has the name of the header's port on other models.
func (e *exam) debugPort(r config.Receiver) bool {
	if r.Port != "/dev/serial0" || !e.Board.DebugSerial0() {
		return false
	}
	e.fail("serial", r.Name,
		fmt.Sprintf(`sudo sed -i 's|"/dev/serial0"|"/dev/gatewayd/header"|' %s && sudo raspi-config nonint do_serial_hw 0 && sudo reboot`, quote(e.Path)), say(
			"on this model /dev/serial0 is the debug connector between the HDMI sockets; the header's port is /dev/gatewayd/header",
			"pada model ini /dev/serial0 adalah konektor debug di antara soket HDMI; porta header adalah /dev/gatewayd/header"))
	return true
}

// noPort says which port is missing and which are there.
func (e *exam) noPort(r config.Receiver) {
	if base := filepath.Base(r.Port); base == "serial0" || base == "header" || base == "ttyAMA0" || base == "ttyS0" {
		e.fail("serial", r.Name, "sudo raspi-config nonint do_serial_hw 0 && sudo raspi-config nonint do_serial_cons 1 && sudo reboot", say(
			"%s is missing: the header's serial port is off", "%s tidak ada: porta serial header tidak aktif", r.Port))
		return
	}
	if e.Board.TakenByBrltty() {
		e.fail("serial", r.Name, "sudo apt-get remove -y brltty && sudo reboot", say(
			"%s is missing: brltty has taken the CH340 adapter away, which it takes for a Braille display",
			"%s tidak ada: brltty mengambil adaptor CH340, yang dikiranya layar Braille", r.Port))
		return
	}
	there := e.Board.SerialPorts()
	if len(there) == 0 {
		e.fail("serial", r.Name, "ls -l /dev/serial/by-id/", say(
			"%s is missing, and no other receiver is plugged in: plug it in, or try another cable",
			"%s tidak ada, dan tidak ada penerima lain yang terpasang: pasang, atau coba kabel lain", r.Port))
		return
	}
	e.fail("serial", r.Name, "sudoedit "+quote(e.Path), say(
		"%s is missing; plugged in are: %s", "%s tidak ada; yang terpasang: %s", r.Port, strings.Join(there, ", ")))
}

// heldByOther reports whether another program has the port open.
func (e *exam) heldByOther(r config.Receiver) bool {
	for _, h := range e.Board.Holders(r.Port) {
		if h.Name == "gatewayd" || h.PID == e.PID {
			continue
		}
		mend := fmt.Sprintf("sudo kill %d", h.PID)
		switch h.Name {
		case "ModemManager", "brltty":
			mend = "sudo systemctl disable --now " + h.Name
		case "gpsd":
			mend = "sudo systemctl disable --now gpsd.socket gpsd"
		case "agetty":
			mend = "sudo raspi-config nonint do_serial_cons 1 && sudo reboot"
		}
		e.fail("serial", r.Name, mend, say(
			"%s is held by %s (process %d)", "%s dipakai oleh %s (proses %d)", r.Port, h.Name, h.PID))
		return true
	}
	return false
}
