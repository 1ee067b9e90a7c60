package deb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// TestHeaderPort: on each model the one serial port whose pins are on the header.
func TestHeaderPort(t *testing.T) {
	t.Parallel()
	const pl011, mini = "/soc/serial@7e201000", "/soc/serial@7e215040"
	for name, tc := range map[string]struct {
		compatible, serial0 string
		ports               map[string]string // and their nodes
		depth               string            // of the serial core
		want                string
	}{
		"Pi 3 with Bluetooth":    {"raspberrypi,3-model-b\x00brcm,bcm2837\x00", mini, map[string]string{"ttyAMA0": pl011, "ttyS0": mini}, "", "ttyS0"},
		"Pi 3 without Bluetooth": {"raspberrypi,3-model-b\x00brcm,bcm2837\x00", pl011, map[string]string{"ttyAMA0": pl011, "ttyS0": mini}, "", "ttyAMA0"},
		"Pi 4, Linux 6.6":        {"raspberrypi,4-model-b\x00brcm,bcm2711\x00", mini, map[string]string{"ttyAMA0": pl011, "ttyS0": mini}, "ctrl/port", "ttyS0"},
		"Pi Zero":                {"raspberrypi,model-zero\x00brcm,bcm2835\x00", pl011, map[string]string{"ttyAMA0": pl011}, "", "ttyAMA0"},
		"Pi 5": {
			"raspberrypi,5-model-b\x00brcm,bcm2712\x00", "/soc@107c000000/serial@7d001000",
			map[string]string{"ttyAMA0": "/axi/pcie@1000120000/rp1/serial@30000", "ttyAMA10": "/soc@107c000000/serial@7d001000"},
			"ctrl/port", "ttyAMA0",
		},
		"no Pi": {"pc\x00", "", map[string]string{"ttyS0": ""}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			base := filepath.Join(root, "sys/firmware/devicetree/base")
			link := func(to, path string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(to, path); err != nil {
					t.Fatal(err)
				}
			}
			debtest.Write(t, filepath.Join(base, "compatible"), tc.compatible, 0o644)
			if tc.serial0 != "" {
				debtest.Write(t, filepath.Join(base, "aliases/serial0"), tc.serial0+"\x00", 0o644)
			}
			link(base, filepath.Join(root, "proc/device-tree"))
			for port, node := range tc.ports {
				chip := filepath.Join(root, "sys/devices", port+"-chip")
				device := filepath.Join(chip, tc.depth)
				if err := os.MkdirAll(device, 0o755); err != nil {
					t.Fatal(err)
				}
				link(device, filepath.Join(root, "sys/class/tty", port, "device"))
				if node != "" {
					debtest.Write(t, filepath.Join(base, node, "status"), "okay", 0o644)
					link(filepath.Join(base, node), filepath.Join(chip, "of_node"))
				}
			}
			found := ""
			for port := range tc.ports {
				cmd := exec.Command("./header", port)
				cmd.Env = append(os.Environ(), "GATEWAYD_ROOT="+root)
				if cmd.Run() == nil {
					found += port
				}
			}
			if found != tc.want {
				t.Errorf("the header's port is %q, want %q", found, tc.want)
			}
		})
	}
	if rules := debtest.Read(t, "../../systemd/udev.rules"); !strings.Contains(rules, `PROGRAM="/usr/lib/gatewayd/header %k", SYMLINK+="gatewayd/header"`) {
		t.Error("the udev rules do not ask for it")
	}
}
