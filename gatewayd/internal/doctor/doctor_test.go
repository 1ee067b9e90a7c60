package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/config"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/drivers/pi"
	"presence/drivers/pn532/pn532test"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestEachBrokenThingIsNamedAndNothingElse breaks one thing of a sound office at
// a time.
func TestEachBrokenThingIsNamedAndNothingElse(t *testing.T) { //nolint:funlen // a table of cases
	for name, tc := range map[string]struct {
		breaks func(*office)
		level  doctor.Level
		code   string
		mend   string // in the command that mends it or, where none does, that shows more
	}{
		"nothing": {func(*office) {}, "", "", ""},
		"SPI off": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.write("boot/firmware/config.txt", "#dtparam=spi=on\n[none]\ndtparam=spi=on\n")
			}, doctor.Fail, "spi", "sudo raspi-config nonint do_spi 0 && sudo reboot",
		},
		"SPI off on Bullseye": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.remove("boot/firmware")
				o.remove("usr/bin/raspi-config")
				o.write("boot/config.txt", "dtparam=spi=off\n")
			}, doctor.Fail, "spi", "tee -a /boot/config.txt",
		},
		"SPI on, not restarted": {func(o *office) { o.remove("dev/spidev0.0") }, doctor.Fail, "spi", "sudo reboot"},
		"SPI on for another model": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.write("proc/device-tree/model", "Raspberry Pi 3 Model B Rev 1.2\x00")
				o.write("boot/firmware/config.txt", "dtparam=audio=on\n[pi4]\ndtparam=spi=on\n")
			}, doctor.Fail, "spi", `printf '\n[all]\ndtparam=spi=on\n' | sudo tee -a /boot/firmware/config.txt && sudo reboot`,
		},
		"a display on the reader's bus": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.write("boot/firmware/config.txt", "dtparam=spi=on\ndtoverlay=vc4-kms-v3d\ndtoverlay=piscreen,speed=16000000,rotate=90\n")
				o.link("../../../../bus/spi/drivers/fb_ili9486", "sys/bus/spi/devices/spi0.0/driver")
			}, doctor.Fail, "spi", `sudo sed -i 's/^[ \t]*dtoverlay=piscreen/#&/' /boot/firmware/config.txt && sudo reboot`,
		},
		"a display whose driver is not there": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.write("boot/firmware/config.txt", "dtparam=spi=on\ndtoverlay=tft35a:rotate=90\n")
			}, doctor.Fail, "spi", "dtoverlay=tft35a",
		},
		"something else on the reader's bus": {
			func(o *office) {
				o.remove("dev/spidev0.0")
				o.write("sys/bus/spi/devices/spi0.0/modalias", "spi:tlv5638\n")
			}, doctor.Fail, "spi", "ls -l /sys/bus/spi/devices",
		},
		"second bus": {
			func(o *office) {
				o.opt.Config.Readers[0].Bus = "/dev/spidev1.2"
			}, doctor.Fail, "spi", "dtoverlay=spi1-3cs",
		},
		"no Pi": {
			func(o *office) { o.remove("dev/spidev0.0"); o.remove("boot") },
			doctor.Fail, "spi", "modprobe spidev",
		},
		"wrong group for SPI": {
			func(o *office) {
				o.write("usr/lib/systemd/system/gatewayd.service", "[Service]\nUser=gatewayd\n")
				o.write("etc/group", fmt.Sprintf("spi:x:%d:\ngpio:x:%d:\ndialout:x:%d:\n", os.Getgid(), serviceGroup, serviceGroup))
				o.mode("dev/gpiochip0", 0o666)
				o.mode("dev/ttyUSB0", 0o666)
				o.opt.Config.Badges.KeyFile = ""
				o.mode("var/lib/gatewayd", 0o777)
			}, doctor.Fail, "permission", "sudo usermod -aG spi gatewayd",
		},
		"rolled back": {
			func(o *office) {
				o.write("var/lib/gatewayd-rollback/rolled-back", "gatewayd v1.3.0 commit x\ngatewayd v1.2.0 commit y\n1.3.0\nff\n")
			}, doctor.Warn, "rolled-back", "sudo bash install.sh",
		},
		"no udev rule": {
			func(o *office) { o.mode("dev/gpiochip0", 0o600) },
			doctor.Fail, "permission", "udevadm trigger",
		},
		"port missing": {
			func(o *office) { o.remove("dev/serial") },
			doctor.Fail, "serial", "ls -l /dev/serial/by-id/",
		},
		"another port": {
			func(o *office) { o.opt.Config.Receivers[0].Port = "/dev/serial/by-id/usb-other" },
			doctor.Fail, "serial", "sudoedit /etc/gatewayd/gatewayd.toml",
		},
		"header's port off": {
			func(o *office) { o.opt.Config.Receivers[0].Port = "/dev/serial0" },
			doctor.Fail, "serial", "do_serial_hw 0",
		},
		"debug connector of a Pi 5": {
			func(o *office) {
				o.write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\x00")
				o.write("dev/serial0", "")
				o.mode("dev/serial0", 0o660)
				o.opt.Config.Receivers[0].Port = "/dev/serial0"
			}, doctor.Fail, "serial", `s|"/dev/serial0"|"/dev/gatewayd/header"|`,
		},
		"serial0 of a Pi 4": {
			func(o *office) {
				o.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\x00")
				o.write("dev/serial0", "")
				o.mode("dev/serial0", 0o660)
				o.opt.Config.Receivers[0].Port = "/dev/serial0"
			}, "", "", "",
		},
		"header's port off, by its own name": {
			func(o *office) { o.opt.Config.Receivers[0].Port = "/dev/gatewayd/header" },
			doctor.Fail, "serial", "do_serial_hw 0",
		},
		"CH340 taken by brltty": {
			func(o *office) {
				o.remove("dev/serial")
				o.write("usr/bin/brltty", "")
				o.write("sys/bus/usb/devices/1-1.2/idVendor", "1a86\n")
				o.write("sys/bus/usb/devices/1-1.2/idProduct", "7523\n")
			}, doctor.Fail, "serial", "sudo apt-get remove -y brltty",
		},
		"brltty that has not taken it": {
			func(o *office) {
				o.remove("dev/serial")
				o.write("usr/bin/brltty", "")
				o.write("sys/bus/usb/devices/1-1.2/idVendor", "1a86\n")
				o.write("sys/bus/usb/devices/1-1.2/idProduct", "7523\n")
				o.write("sys/bus/usb/devices/1-1.2/1-1.2:1.0/ttyUSB0/x", "")
			}, doctor.Fail, "serial", "ls -l /dev/serial/by-id/",
		},
		"port with a number": {
			func(o *office) { o.opt.Config.Receivers[0].Port = "/dev/ttyUSB0" },
			doctor.Warn, "serial", `s|"/dev/ttyUSB0"|"/dev/serial/by-id/usb-FTDI-if00-port0"|`,
		},
		"port held": {
			func(o *office) {
				o.write("proc/812/comm", "ModemManager\n")
				o.link("/dev/ttyUSB0", "proc/812/fd/9")
			}, doctor.Fail, "serial", "systemctl disable --now ModemManager",
		},
		"port held by another than the gateway": {
			func(o *office) {
				o.opt.PID = 811
				o.write("proc/811/comm", "gatewayd-arm64\n")
				o.link("/dev/ttyUSB0", "proc/811/fd/9")
				o.write("proc/812/comm", "minicom\n")
				o.link("/dev/ttyUSB0", "proc/812/fd/9")
			}, doctor.Fail, "serial", "sudo kill 812",
		},
		"console on the header": {
			func(o *office) {
				o.write("dev/ttyAMA0", "")
				o.mode("dev/ttyAMA0", 0o660)
				o.write("boot/firmware/cmdline.txt", "console=serial0,115200 console=tty1\n")
				o.opt.Config.Receivers[0].Port = "/dev/ttyAMA0"
			}, doctor.Warn, "serial", "do_serial_cons 1",
		},
		"clock unsynced": {
			func(o *office) { o.opt.Now = func() presence.Reading { return presence.Reading{} } },
			doctor.Fail, "clock", "timedatectl set-ntp true",
		},
		"no clock chip": {func(o *office) { o.remove("sys/class/rtc") }, doctor.Warn, "rtc", `printf '\n[all]\ndtoverlay=i2c-rtc,ds3231\n' | sudo tee -a /boot/firmware/config.txt`},
		"clock chip without a cell": {
			func(o *office) { o.write("sys/class/rtc/rtc0/battery_voltage", "12000\n") },
			doctor.Warn, "rtc", "sudo poweroff",
		},
		"clock chip with a cell": {func(o *office) { o.write("sys/class/rtc/rtc0/battery_voltage", "3012000\n") }, "", "", ""},
		"disk full": {
			func(o *office) { o.opt.Disk = func(string) (int64, bool) { return 3 << 20, true } },
			doctor.Fail, "disk", "journalctl --vacuum-size",
		},
		"disk small": {
			func(o *office) { o.opt.Disk = func(string) (int64, bool) { return 200 << 20, true } },
			doctor.Warn, "disk", "apt-get clean",
		},
		"disk read-only": {
			func(o *office) {
				o.write("proc/self/mountinfo", "21 1 179:2 / / rw - ext4 x rw\n30 21 179:3 / /var/lib/gatewayd ro,noatime - ext4 x ro\n")
			}, doctor.Fail, "disk-readonly", "sudo mount -o remount,rw /var/lib/gatewayd",
		},
		"overlay": {
			func(o *office) {
				o.write("proc/self/mountinfo", "21 1 0:2 / / rw - overlay overlayroot rw\n")
				o.write("proc/cmdline", "coherent_pool=1M boot=overlay root=PARTUUID=x\n")
			}, doctor.Fail, "disk-volatile", "do_overlayfs 1",
		},
		"container": {
			func(o *office) { o.write("proc/self/mountinfo", "21 1 0:2 / / rw - overlay overlay rw\n") },
			doctor.Warn, "disk-partition", "/etc/fstab",
		},
		"memory": {
			func(o *office) {
				o.write("proc/self/mountinfo", "21 1 179:2 / / rw - ext4 x rw\n30 21 0:30 / /var/lib rw - tmpfs tmpfs rw\n")
			}, doctor.Fail, "disk-volatile", "sudoedit /etc/fstab",
		},
		"journal on the root partition": {
			func(o *office) { o.write("proc/self/mountinfo", "21 1 179:2 / / rw - ext4 x rw\n") },
			doctor.Warn, "disk-partition", "/etc/fstab",
		},
		"not the service's folder": {
			func(o *office) { o.mode("var/lib/gatewayd", 0o700) },
			doctor.Fail, "state-dir", "sudo chown -R gatewayd: /var/lib/gatewayd",
		},
		"SD card dies": {func(o *office) { o.write("sys/fs/ext4/mmcblk0p2/errors_count", "3\n") }, doctor.Warn, "sd-card", "dmesg"},
		"weak power":   {func(o *office) { o.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n") }, doctor.Warn, "power", "vcgencmd"},
		"weak now":     {func(o *office) { o.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n") }, doctor.Fail, "power", "vcgencmd"},
		"hot":          {func(o *office) { o.write("sys/devices/platform/soc/soc:firmware/get_throttled", "8\n") }, doctor.Warn, "heat", "vcgencmd"},
		"Wi-Fi sleeps": {func(o *office) { o.remove("etc/NetworkManager") }, doctor.Warn, "wifi", "wifi.powersave = 2"},
		"key for all":  {func(o *office) { o.mode("etc/gatewayd/badge.key", 0o644) }, doctor.Fail, "badge-key", "sudo chown gatewayd: /etc/gatewayd/badge.key && sudo chmod 600"},
		"key for root": {func(o *office) { o.mode("etc/gatewayd/badge.key", 0o600) }, doctor.Fail, "badge-key", "chmod 600"},
		"key for technicians": {
			func(o *office) {
				o.write("etc/group", fmt.Sprintf("spi:x:%d:\ngpio:x:%d:\ndialout:x:%d:\ngatewayd:x:%d:\n", os.Getgid(), os.Getgid(), os.Getgid(), os.Getgid()))
			}, doctor.Warn, "badge-key", "sudo chown gatewayd: /etc/gatewayd/badge.key && sudo chmod 600",
		},
		"user unknown":           {func(o *office) { o.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n") }, doctor.Fail, "service", "sudo systemd-sysusers"},
		"chip broken":            {func(o *office) { o.chip(mfrc522test.FaultSelfTest) }, doctor.Fail, "self-test", "sudo poweroff"},
		"chip deaf":              {func(o *office) { o.chip(mfrc522test.FaultDeaf) }, doctor.Fail, "self-test", "sudo poweroff"},
		"chip not wired":         {func(o *office) { o.chip(mfrc522test.FaultBusHigh) }, doctor.Fail, "self-test", "sudo poweroff"},
		"chip copied":            {func(o *office) { o.chip(mfrc522test.FaultNone, mfrc522test.Version(0xB2)) }, "", "", ""},
		"PN532":                  {func(o *office) { o.pn532(pn532test.FaultNone) }, "", "", ""},
		"PN532 set to I2C":       {func(o *office) { o.pn532(pn532test.FaultI2C) }, doctor.Fail, "self-test", "sudo poweroff"},
		"PN532 not wired":        {func(o *office) { o.pn532(pn532test.FaultBusLow) }, doctor.Fail, "self-test", "sudo poweroff"},
		"chip tested as it runs": {func(o *office) { o.opt.Health = running("ok", true); o.chip(mfrc522test.FaultBusHigh) }, "", "", ""},
		"chip of root": {
			func(o *office) {
				o.opt.Chip = func(config.Reader) (doctor.Chip, error) {
					return nil, &fs.PathError{Op: "open", Path: "/dev/spidev0.0", Err: fs.ErrPermission}
				}
			}, doctor.Warn, "self-test", "sudo gatewayd doctor",
		},
		"chip without its pin": {
			func(o *office) {
				o.opt.Chip = func(config.Reader) (doctor.Chip, error) { return nil, errors.New("no such pin\nat all") }
			}, doctor.Fail, "self-test", "gatewayd check",
		},
		"chip in use": {
			func(o *office) {
				o.write("proc/77/comm", "python3\n")
				o.link("/dev/spidev0.0", "proc/77/fd/5")
			}, doctor.Warn, "self-test", "sudo kill 77",
		},
		"reader broken": {func(o *office) { o.opt.Health = running("bus-dead", true) }, doctor.Fail, "reader", "gatewayd watch"},
		"broker away":   {func(o *office) { o.opt.Health = running("ok", false) }, doctor.Fail, "broker", "gatewayd status"},
		"topics denied while it runs": {
			func(o *office) {
				o.opt.Health = running("ok", true)
				o.opt.Health.AlertTexts = []presence.Alert{{Code: "topics-denied", ID: "ditolak", EN: "denied"}}
			},
			doctor.Fail, "topics", "systemctl reload mosquitto",
		},
		"nobody confirms": {
			func(o *office) {
				o.opt.Health = running("ok", true)
				o.opt.Health.MQTT.Receipts = true
				o.opt.Health.AlertTexts = []presence.Alert{{Code: "delivery-late", ID: "menunggu tanda terima", EN: "wait for the receipt"}}
			},
			doctor.Warn, "receipts", "gatewayd-recorder",
		},
		"batches denied while it runs": {
			func(o *office) {
				o.opt.Health = running("ok", true)
				o.opt.Health.AlertTexts = []presence.Alert{{Code: "topics-denied", About: []string{uplink.BatchTopic}, ID: "ditolak", EN: "denied"}}
			},
			doctor.Warn, "topics", "systemctl reload mosquitto",
		},
		"all well while it runs": {func(o *office) { o.opt.Health = running("ok", true) }, "", "", ""},
		"power was weak while it runs": {
			func(o *office) {
				o.opt.Health = running("ok", true)
				n := int64(3)
				o.opt.Health.Pi.Undervoltage = &n
			}, doctor.Warn, "power", "vcgencmd",
		},
		"time known without NTP": {
			func(o *office) {
				o.opt.Now = func() presence.Reading { return presence.Reading{} }
				o.opt.Health = running("ok", true)
				within := 120.0
				o.opt.Health.Clock.ErrorMS = &within
			}, "", "", "",
		},
		"a file of the configuration missing": {
			func(o *office) {
				o.remove("etc/gatewayd/badge.key")
				o.opt.Problems = config.Problems{{File: "/etc/gatewayd/gatewayd.toml", Line: 17, Key: "badges.key_file", Text: "is not there"}}
			}, doctor.Fail, "config", "sudoedit /etc/gatewayd/gatewayd.toml",
		},
		"asked by somebody else": {
			func(o *office) {
				o.opt.Self = pi.Account{Name: "pi", UID: 64124, Groups: []int{64124}}
				o.opt.Problems = config.Problems{{File: "/etc/gatewayd/gatewayd.toml", Line: 17, Key: "badges.key_file", Text: "cannot be read (permission denied)"}}
			}, doctor.Warn, "config", "sudo gatewayd doctor",
		},
		"configuration wrong": {
			func(o *office) {
				o.opt.Config = nil
				o.opt.Problems = config.Problems{{File: "/etc/gatewayd/gatewayd.toml", Line: 3, Key: "gateway.id", Text: "is missing"}}
			}, doctor.Fail, "config", "sudoedit /etc/gatewayd/gatewayd.toml",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tls://mqtt.example.go.id:8883")
			tc.breaks(o)
			got := o.unsound()
			if tc.code == "" {
				if len(got) > 0 {
					t.Errorf("accused: %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Code != tc.code || got[0].Level != tc.level || !strings.Contains(got[0].Mend+got[0].Look, tc.mend) {
				t.Errorf("got %+v, want %s %s with %q alone", got, tc.level, tc.code, tc.mend)
			}
		})
	}
}

// TestAGatewayThatDoesNotAnswerIsAFailure, and its name is not used at the broker
// beside it.
func TestAGatewayThatDoesNotAnswerIsAFailure(t *testing.T) {
	o := newOffice(t, "tls://mqtt.example.go.id:8883")
	o.opt.Silent = true
	tried := false
	o.opt.Try = func(_ context.Context, reach bool) uplink.Probe {
		tried = tried || !reach
		return uplink.Probe{}
	}
	for _, f := range doctor.Examine(t.Context(), o.opt) {
		if f.Code == "running" && (f.Level != doctor.Fail || f.Mend != "sudo systemctl restart gatewayd") {
			t.Errorf("%+v", f)
		}
	}
	if tried {
		t.Error("a silent gateway's name was used at the broker")
	}
}

// TestBrokers goes to real ones.
func TestBrokers(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("topic read presence/#\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := brokertest.Nobody(t)
	for name, tc := range map[string]struct {
		broker *brokertest.Broker
		code   string
	}{
		"all well":     {brokertest.Start(t), ""},
		"away":         {gone, "broker"},
		"refuses":      {brokertest.Start(t, "allow_anonymous false"), "broker"},
		"denies topic": {brokertest.Start(t, "allow_anonymous true", "acl_file "+acl), "topics"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, tc.broker.URL())
			line := uplink.Options{
				Origin:  presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
				Address: tc.broker.Address(), Log: slog.New(slog.DiscardHandler),
			}
			o.opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
			got := o.unsound()
			if tc.code == "" && len(got) > 0 || tc.code != "" && (len(got) != 1 || got[0].Code != tc.code || got[0].Level != doctor.Fail) {
				t.Errorf("got %+v, want %q", got, tc.code)
			}
		})
	}
}
