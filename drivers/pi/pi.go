package pi

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Board reads the files of one machine, below a root directory ("/" for this
// one).
type Board struct {
	Root string
}

// Model is the board's name out of the device tree, for example
// "Raspberry Pi 4 Model B Rev 1.5", or "" where there is none.
func (b Board) Model() string {
	return string(bytes.TrimRight(b.read("proc/device-tree/model"), "\x00\n"))
}

// OS is the system's name as os-release(5) prints it.
func (b Board) OS() string {
	for line := range strings.Lines(string(b.read("etc/os-release"))) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// Kernel is the running kernel's release.
func (b Board) Kernel() string {
	return strings.TrimSpace(string(b.read("proc/sys/kernel/osrelease")))
}

// TempC is the processor's temperature in degrees Celsius; false where unknown.
func (b Board) TempC() (float64, bool) {
	milli, ok := b.number("sys/class/thermal/thermal_zone0/temp", 10)
	return float64(milli) / 1000, ok
}

// Throttled are the firmware's throttling bits (bits 0-3 now, 16-19 since the
// boot; "vcgencmd get_throttled"), as "0x50005"; false where unknown.
func (b Board) Throttled() (string, bool) {
	for _, pattern := range []string{
		"sys/devices/platform/soc/soc:firmware/get_throttled",
		"sys/devices/platform/*/get_throttled",
		"sys/devices/platform/*/*/get_throttled",
	} {
		for _, path := range b.glob(pattern) {
			if v, ok := b.number(path, 16); ok {
				return "0x" + strconv.FormatInt(v, 16), true
			}
		}
	}
	return "", false
}

// UndervoltageNow reports whether the supply is too low at this moment (the
// raspberrypi-hwmon driver's in0_lcrit_alarm); false where unknown. The driver
// forgets a dip after 2 s, so ask that often.
func (b Board) UndervoltageNow() (low, known bool) {
	for _, path := range b.glob("sys/class/hwmon/hwmon*/in0_lcrit_alarm") {
		name := b.read(filepath.Join(filepath.Dir(path), "name"))
		if strings.TrimSpace(string(name)) != "rpi_volt" {
			continue
		}
		v, ok := b.number(path, 10)
		return v != 0, ok
	}
	return false, false
}

// StorageErrors adds up the errors that ext4 has recorded on all mounted file
// systems; false where there is none to ask.
func (b Board) StorageErrors() (int64, bool) {
	var sum int64
	known := false
	for _, path := range b.glob("sys/fs/ext4/*/errors_count") {
		if v, ok := b.number(path, 10); ok {
			sum, known = sum+v, true
		}
	}
	return sum, known
}

// RootReadonly reports whether the machine's root file system cannot be written;
// known is false where that cannot be found out.
//
// What counts is not how this process sees it: systemd's ProtectSystem=strict
// shows a service every file system as read-only. Where the first process can be
// looked at, its mounts are the machine's; elsewhere the super options of our
// own mount tell, which belong to the file system itself and are what a kernel
// changes that finds errors on it.
func (b Board) RootReadonly() (readonly, known bool) {
	if m, known := mountOf("/", b.read("proc/1/mountinfo")); known {
		return m.Readonly, true
	}
	m, known := mountOf("/", b.read("proc/self/mountinfo"))
	return m.super, known
}

// The bits of Throttled (vcgencmd get_throttled): what is now, and what has been
// since the boot.
const (
	UndervoltageNow  = 1 << 0
	CappedNow        = 1 << 1
	ThrottledNow     = 1 << 2
	HotNow           = 1 << 3
	UndervoltageSeen = 1 << 16
	CappedSeen       = 1 << 17
	ThrottledSeen    = 1 << 18
	HotSeen          = 1 << 19
)

// ThrottledBits are the bits that Throttled prints.
func ThrottledBits(printed string) (int64, bool) {
	bits, err := strconv.ParseInt(strings.TrimPrefix(printed, "0x"), 16, 64)
	return bits, err == nil
}

// DiskFree is how many bytes an ordinary user may still write to the file
// system that holds path; false where it cannot be asked.
func DiskFree(path string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

// ReadFile reads a file of the board.
func (b Board) ReadFile(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(b.Root, path))
}

func (b Board) read(path string) []byte {
	content, err := os.ReadFile(filepath.Join(b.Root, path))
	if err != nil {
		return nil
	}
	return content
}

func (b Board) number(path string, base int) (int64, bool) {
	text := strings.TrimSpace(string(b.read(path)))
	if base == 16 {
		text = strings.TrimPrefix(text, "0x")
	}
	v, err := strconv.ParseInt(text, base, 64)
	return v, err == nil
}

// glob finds files below the root and names them relative to it.
func (b Board) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(b.Root, pattern)) // the patterns are well formed
	for i, path := range found {
		if rel, err := filepath.Rel(b.Root, path); err == nil {
			found[i] = rel
		}
	}
	return found
}
