package doctor

import (
	"fmt"
	"path/filepath"
	"strings"

	"presence/drivers/pi"
)

func (e *exam) clock() {
	switch now := e.Now(); {
	case e.Config != nil && e.Config.Clock.Source == "sim":
		e.ok("clock", "", say("the clock is mocked", "jam disimulasikan"))
	case e.Config != nil && e.Config.Clock.Source == "trust":
		e.ok("clock", "", say(
			"the clock is taken to be right (clock.source = \"trust\")",
			"jam dianggap benar (clock.source = \"trust\")"))
	case e.Health != nil && e.Health.Clock.ErrorMS != nil:
		e.ok("clock", "", say(
			"the gateway knows the time within %.0f ms", "gateway mengetahui waktu dalam batas %.0f ms", *e.Health.Clock.ErrorMS))
	case now.Known():
		e.ok("clock", "", say(
			"the clock is reported in sync, within %s", "jam dilaporkan sinkron, dalam batas %s", now.MaxError.String()))
	default:
		e.fail("clock", "", setClock, say(
			"the clock is not in sync: events carry no time until it is; where the office blocks NTP (UDP 123), name a time server of the city in /etc/systemd/timesyncd.conf",
			"jam tidak sinkron: data tidak memuat waktu sampai jam sinkron; bila kantor memblokir NTP (UDP 123), tulis server waktu kota di /etc/systemd/timesyncd.conf"))
	}
	// A full cell has 3 V; without one the chip measures next to nothing.
	if volts, known := e.Board.RTCCell(); known && volts < 1 {
		e.warn("rtc", "", "sudo poweroff", say(
			"the clock chip has no cell (%.1f V): after a power cut without a network the time is unknown; with the Pi off, plug one in (connector BAT)",
			"cip jam (RTC) tidak mempunyai baterai (%.1f V): setelah listrik padam tanpa jaringan, waktu tidak diketahui; matikan Pi, lalu pasang (konektor BAT)", volts))
		return
	}
	if e.Board.HasRTC() {
		e.ok("rtc", "", say("there is a clock chip", "ada cip jam (RTC)"))
		return
	}
	path, _ := e.Board.BootConfig()
	if path == "" {
		path = "/boot/firmware/config.txt"
	}
	e.warn("rtc", "", forAll("dtoverlay=i2c-rtc,ds3231", path), say(
		"there is no clock chip: after a power cut without a network the time is unknown; wire a DS3231, and then",
		"tidak ada cip jam (RTC): setelah listrik padam tanpa jaringan, waktu tidak diketahui; pasang DS3231, lalu"))
}

// leastFree is how many bytes must be free: with less it is a failure, since a Pi that
// fills up stops in other ways first.
const leastFree = 64 << 20

func (e *exam) disk() {
	dir, largest := "/var/lib/gatewayd", int64(256)<<20
	if e.Config != nil {
		dir, largest = e.Config.Gateway.StateDir, int64(e.Config.Journal.MaxMB)<<20
	}
	if f, err := e.Board.File(dir); err == nil && e.Health == nil && !f.Allows(e.account, pi.Enter) {
		e.fail("state-dir", "", fmt.Sprintf("sudo chown -R %s: %s", e.account.Name, quote(dir)), say(
			"user %s may not write to %s (mode %04o)", "pengguna %s tidak boleh menulis ke %s (mode %04o)", e.account.Name, dir, f.Mode))
	}
	const clean = "sudo journalctl --vacuum-size=50M && sudo apt-get clean"
	switch free, known := e.freeSpace(dir); {
	case !known:
		e.warn("disk", "", "df -h "+quote(dir), say("the room at %s is unknown", "ruang di %s tidak diketahui", dir))
	case free < leastFree:
		e.fail("disk", "", clean, say(
			"%d MB are free at %s: soon nothing can be recorded", "%d MB kosong di %s: sebentar lagi tidak dapat mencatat", free>>20, dir))
	case free < largest:
		e.warn("disk", "", clean, say(
			"%d MB are free at %s, the journal may need %d MB",
			"%d MB kosong di %s, jurnal dapat memerlukan %d MB", free>>20, dir, largest>>20))
	default:
		e.ok("disk", "", say("%d MB are free at %s", "%d MB kosong di %s", free>>20, dir))
	}
	if m, known := e.Board.MountOf(dir); known {
		e.mount(dir, m)
	}
	if n, known := e.Board.StorageErrors(); known && n > 0 {
		e.warn("sd-card", "", "sudo dmesg | grep -iE 'mmc|ext4|i/o error'", say(
			"the file system has recorded %d errors: replace the SD card soon",
			"sistem berkas mencatat %d galat: segera ganti kartu SD", n))
	} else if known {
		e.ok("sd-card", "", say("no errors of the storage are recorded", "tidak ada galat penyimpanan yang tercatat"))
	}
}

// freeSpace is how many bytes are free where a folder is, or will be made.
func (e *exam) freeSpace(dir string) (free int64, known bool) {
	for {
		if free, known = e.Disk(dir); known || dir == filepath.Dir(dir) {
			return free, known
		}
		dir = filepath.Dir(dir)
	}
}

// mount looks at the file system under the journal.
func (e *exam) mount(dir string, m pi.Mount) {
	switch {
	case m.Type == "tmpfs" || m.Type == "overlay" && e.Board.OverlayRoot():
		mend := "sudo raspi-config nonint do_overlayfs 1 && sudo reboot"
		if m.Type == "tmpfs" {
			mend = "sudoedit /etc/fstab && sudo reboot"
		}
		e.fail("disk-volatile", "", mend, say(
			"%s lies in memory (%s): all that is recorded is lost when the power goes; switch the overlay off, or mount a partition there",
			"%s berada di memori (%s): semua catatan hilang saat listrik padam; matikan overlay, atau pasang partisi di sana", dir, m.Type))
	case m.Readonly:
		e.fail("disk-readonly", "", "sudo mount -o remount,rw "+quote(m.Point), say(
			"%s is mounted read-only: nothing can be recorded; the card may be worn out",
			"%s hanya dapat dibaca: tidak dapat mencatat; kartu SD mungkin aus", m.Point))
	case m.Point == "/":
		e.warn("disk-partition", "", fmt.Sprintf("echo 'LABEL=gatewayd %s ext4 defaults,noatime,nofail 0 2' | sudo tee -a /etc/fstab", dir), say(
			"the journal lies on the root partition: what fills or damages that one stops the recording; make a partition labelled gatewayd, then",
			"jurnal berada di partisi root: apa pun yang memenuhi atau merusaknya menghentikan pencatatan; buat partisi berlabel gatewayd, lalu"))
	default:
		e.ok("disk-partition", "", say("the journal has the partition %s", "jurnal memakai partisi %s", m.Point))
	}
}

func (e *exam) power() {
	const look = "vcgencmd get_throttled"
	printed, known := e.Board.Throttled()
	bits, _ := pi.ThrottledBits(printed)
	low, volt := e.Board.UndervoltageNow()
	var counted int64
	if e.Health != nil && e.Health.Pi.Undervoltage != nil {
		counted = *e.Health.Pi.Undervoltage
	}
	switch {
	case low || bits&pi.UndervoltageNow != 0:
		e.fail("power", "", look, say(
			"the supply is too weak at this moment: use the official power supply and a short cable",
			"catu daya saat ini terlalu lemah: pakai catu daya resmi dan kabel pendek"))
	case counted > 0 || bits&pi.UndervoltageSeen != 0:
		e.warn("power", "", look, say(
			"the supply was too weak at times since the start: use the official power supply and a short cable",
			"catu daya pernah terlalu lemah sejak menyala: pakai catu daya resmi dan kabel pendek"))
	case known || volt:
		e.ok("power", "", say("the supply is strong enough", "catu daya cukup"))
	}
	if bits&(pi.ThrottledNow|pi.HotNow|pi.CappedNow) != 0 && bits&pi.UndervoltageNow == 0 {
		e.warn("heat", "", "vcgencmd measure_temp", say(
			"the processor is slowed down because it is hot: give the case air, or a cooler",
			"prosesor diperlambat karena panas: beri ventilasi atau pendingin"))
	}
}

func (e *exam) wifi() {
	device := e.Board.WiFi()
	switch {
	case device == "":
	case e.Board.WiFiPowerSave():
		e.warn("wifi", "", `printf '[connection]\nwifi.powersave = 2\n' | sudo tee /etc/NetworkManager/conf.d/wifi-powersave-off.conf && sudo systemctl restart NetworkManager`, say(
			"the line goes over %s with power saving on, which drops connections",
			"sambungan lewat %s dengan hemat daya aktif, yang memutus sambungan", strings.TrimSpace(device)))
	default:
		e.ok("wifi", "", say("the line goes over %s without power saving", "sambungan lewat %s tanpa hemat daya", device))
	}
}
