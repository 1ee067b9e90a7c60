package pi_test

import (
	"os"
	"path/filepath"
	"testing"

	"presence/drivers/pi"
)

func TestBoardOfARaspberryPi(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{
		"proc/device-tree/model":                              "Raspberry Pi 4 Model B Rev 1.5\x00",
		"etc/os-release":                                      "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
		"proc/sys/kernel/osrelease":                           "6.6.51+rpt-rpi-v8\n",
		"sys/class/thermal/thermal_zone0/temp":                "48686\n",
		"sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
		"sys/class/hwmon/hwmon0/name":                         "cpu_thermal\n",
		"sys/class/hwmon/hwmon0/in0_lcrit_alarm":              "0\n",
		"sys/class/hwmon/hwmon1/name":                         "rpi_volt\n",
		"sys/class/hwmon/hwmon1/in0_lcrit_alarm":              "1\n",
		"sys/fs/ext4/mmcblk0p2/errors_count":                  "3\n",
		"sys/fs/ext4/mmcblk0p3/errors_count":                  "4\n",
		"proc/self/mountinfo":                                 "21 1 179:2 / / ro,noatime shared:1 - ext4 /dev/root ro\n30 21 0:5 / /dev rw - devtmpfs x rw\n",
	} {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := pi.Board{Root: root}
	if m := b.Model(); m != "Raspberry Pi 4 Model B Rev 1.5" {
		t.Errorf("model %q", m)
	}
	if o := b.OS(); o != "Debian GNU/Linux 12 (bookworm)" {
		t.Errorf("os %q", o)
	}
	if k := b.Kernel(); k != "6.6.51+rpt-rpi-v8" {
		t.Errorf("kernel %q", k)
	}
	if c, ok := b.TempC(); !ok || c != 48.686 {
		t.Errorf("temperature %v %v", c, ok)
	}
	if bits, ok := b.Throttled(); !ok || bits != "0x50005" {
		t.Errorf("throttled %v %v", bits, ok)
	}
	if low, ok := b.UndervoltageNow(); !ok || !low {
		t.Errorf("under-voltage %v %v", low, ok)
	}
	if n, ok := b.StorageErrors(); !ok || n != 7 {
		t.Errorf("storage errors %v %v", n, ok)
	}
	if ro, ok := b.RootReadonly(); !ok || !ro {
		t.Errorf("root read-only %v %v", ro, ok)
	}
}

func TestUnknownBoardIsNoError(t *testing.T) {
	b := pi.Board{Root: t.TempDir()}
	if b.Model() != "" || b.OS() != "" || b.Kernel() != "" {
		t.Error("names out of nothing")
	}
	_, temp := b.TempC()
	_, throttled := b.Throttled()
	_, volt := b.UndervoltageNow()
	_, storage := b.StorageErrors()
	_, root := b.RootReadonly()
	if temp || throttled || volt || storage || root {
		t.Error("values out of nothing")
	}
	if n, ok := pi.DiskFree(t.TempDir()); !ok || n <= 0 {
		t.Errorf("disk free %d %v", n, ok)
	}
}
