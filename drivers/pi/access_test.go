package pi_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/drivers/pi"
)

// scratch makes a root of files.
func scratch(t *testing.T, files map[string]string) pi.Board {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pi.Board{Root: root}
}

func TestAccountsAndUnits(t *testing.T) {
	b := scratch(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbad\ngatewayd:x:990:991::/x:/y\n",
		"etc/group":  "spi:x:10:pi,gatewayd\ngpio:x:11:pi\nbad\ndialout:x:12:\n",
		"usr/lib/systemd/system/gatewayd.service":                "[Service]\nUser = gatewayd\nSupplementaryGroups=spi dialout\n",
		"etc/systemd/system/gatewayd.service.d/local.conf":       "[Service]\nSupplementaryGroups=gpio\n",
		"usr/lib/systemd/system/other.service":                   "[Service]\nUser=x\nSupplementaryGroups=a\n",
		"usr/lib/systemd/system/other.service.d/10-groups.conf":  "SupplementaryGroups=\n",
		"usr/lib/systemd/system/other.service.d/20-another.conf": "User=y\n",
	})
	a, ok := b.Account("gatewayd")
	if !ok || a.UID != 990 || !slices.Equal(a.Groups, []int{991, 10}) {
		t.Errorf("account %+v %v", a, ok)
	}
	if _, ok := b.Account("nobody"); ok {
		t.Error("an account out of nothing")
	}
	u := b.Unit("gatewayd.service")
	if u.User != "gatewayd" || u.Path != "/usr/lib/systemd/system/gatewayd.service" || !slices.Equal(u.Groups, []string{"spi", "dialout", "gpio"}) {
		t.Errorf("unit %+v", u)
	}
	if u := b.Unit("other.service"); u.User != "y" || len(u.Groups) != 0 {
		t.Errorf("unit %+v", u)
	}
	if u := b.Unit("none.service"); u.Path != "" {
		t.Errorf("unit %+v", u)
	}
	if a := b.With(a, "gpio", "none"); !slices.Equal(a.Groups, []int{991, 10, 11}) {
		t.Errorf("with gpio: %v", a.Groups)
	}
	if b.GroupName(11) != "gpio" || b.GroupName(99) != "99" {
		t.Error("group names are wrong")
	}
}

func TestAllowsGoesByTheFirstClassThatFits(t *testing.T) {
	a := pi.Account{UID: 5, Groups: []int{7, 8}}
	for _, tc := range []struct {
		file pi.File
		a    pi.Account
		want bool
	}{
		{pi.File{UID: 5, Mode: 0o600}, a, true},
		{pi.File{UID: 5, GID: 7, Mode: 0o066}, a, false}, // the owner has the rights of the owner only
		{pi.File{UID: 1, GID: 8, Mode: 0o660}, a, true},
		{pi.File{UID: 1, GID: 8, Mode: 0o606}, a, false},
		{pi.File{UID: 1, GID: 9, Mode: 0o660}, a, false},
		{pi.File{UID: 1, GID: 9, Mode: 0o666}, a, true},
		{pi.File{UID: 1, GID: 9, Mode: 0o664}, a, false},
		{pi.File{UID: 1, GID: 9, Mode: 0}, pi.Account{}, true}, // root
	} {
		if got := tc.file.Allows(tc.a, pi.ReadWrite); got != tc.want {
			t.Errorf("%+v for %+v: %v", tc.file, tc.a, got)
		}
	}
}

func TestSPIOn(t *testing.T) {
	for text, want := range map[string]bool{
		"dtparam=spi=on\n": true, "dtparam=i2c_arm=on,spi=on\n": true, "  dtparam=spi=on # yes\n": true, "dtparam=spi\n": true,
		"": false, "#dtparam=spi=on\n": false, "dtparam=spi=off\n": false, "dtparam=spi=on\ndtparam=spi=off\n": false,
		"[none]\ndtparam=spi=on\n": false, "[none]\n[all]\ndtparam=spi=on\n": true, "dtoverlay=spi0-1cs\n": true, "dtoverlay=spi1-1cs\n": false,
	} {
		if got, _ := pi.SPIOn(text, "", 0); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	second, _ := pi.SPIOn("dtoverlay=spi1-3cs\n", "", 1)
	first, _ := pi.SPIOn("dtparam=spi=on\n", "", 1)
	if !second || first {
		t.Error("the second bus has an overlay of its own")
	}
}

// A setting below a filter counts for the models that the filter names.
func TestSPIOnOfThisModel(t *testing.T) {
	for model, want := range map[string]string{
		"Raspberry Pi 5 Model B Rev 1.0": "pi5", "Raspberry Pi 500 Rev 1.0": "pi5 pi500", "Raspberry Pi Compute Module 5 Rev 1.0": "pi5 cm5",
		"Raspberry Pi 4 Model B Rev 1.5": "pi4", "Raspberry Pi 400 Rev 1.1": "pi4 pi400", "Raspberry Pi Compute Module 4 Rev 1.0": "pi4 cm4",
		"Raspberry Pi 3 Model B Plus Rev 1.3": "pi3 pi3+", "Raspberry Pi 3 Model B Rev 1.2": "pi3", "Raspberry Pi Compute Module 3 Rev 1.0": "pi3",
		"Raspberry Pi 2 Model B Rev 1.1": "pi2", "Raspberry Pi Zero W Rev 1.1": "pi0 pi0w", "Raspberry Pi Zero 2 W Rev 1.0": "pi0 pi0w pi02",
		"Raspberry Pi Zero Rev 1.3": "pi0", "Raspberry Pi Model B Plus Rev 1.2": "pi1",
	} {
		for _, filter := range strings.Fields("pi0 pi0w pi02 pi1 pi2 pi3 pi3+ pi4 pi400 pi5 pi500 cm4 cm4s cm5") {
			on, elsewhere := pi.SPIOn("["+filter+"]\ndtparam=spi=on\n[all]\n", model, 0)
			if met := slices.Contains(strings.Fields(want), filter); on != met || elsewhere == met {
				t.Errorf("[%s] on %s: on %v, elsewhere %v", filter, model, on, elsewhere)
			}
		}
		for text, want := range map[string]bool{
			"[pi1]\n[pi2]\n[all]\ndtparam=spi=on\n": true, "dtparam=spi=on\n[none]\ndtparam=spi=off\n": true, "[EDID=x]\ndtparam=spi=on\n": true,
		} {
			if on, elsewhere := pi.SPIOn(text, model, 0); on != want || elsewhere {
				t.Errorf("%q on %s: on %v, elsewhere %v", text, model, on, elsewhere)
			}
		}
	}
}

func TestMountOf(t *testing.T) {
	b := scratch(t, map[string]string{"proc/self/mountinfo": "" +
		"20 1 0:2 / / rw - overlay overlayroot rw,lowerdir=/x\n" +
		"21 20 179:3 / /var/lib rw,noatime shared:1 master:2 - ext4 /dev/a rw\n" +
		"22 21 179:4 / /var/lib/gate\\040way ro - ext4 /dev/b ro\n" +
		"short\n"})
	for path, want := range map[string]pi.Mount{
		"/etc":                   {Point: "/", Type: "overlay"},
		"/var/lib":               {Point: "/var/lib", Type: "ext4"},
		"/var/library":           {Point: "/", Type: "overlay"},
		"/var/lib/x/y":           {Point: "/var/lib", Type: "ext4"},
		"/var/lib/gate way/j.db": {Point: "/var/lib/gate way", Type: "ext4", Readonly: true},
	} {
		if got, known := b.MountOf(path); !known || got != want {
			t.Errorf("%s: %+v %v", path, got, known)
		}
	}
	if _, known := (pi.Board{Root: t.TempDir()}).MountOf("/"); known {
		t.Error("a mount out of nothing")
	}
}

// What a sandbox shows a service is not how the machine is.
func TestRootReadonlyIsTheMachines(t *testing.T) {
	const (
		writable = "21 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n"
		sandbox  = "21 1 179:2 / / ro,noatime shared:1 - ext4 /dev/root rw\n"
		failed   = "21 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root ro,emergency_ro\n"
	)
	for name, tc := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"writable":                        {map[string]string{"proc/self/mountinfo": writable}, false},
		"sandbox":                         {map[string]string{"proc/self/mountinfo": sandbox}, false},
		"sandbox, the machine is seen":    {map[string]string{"proc/self/mountinfo": sandbox, "proc/1/mountinfo": writable}, false},
		"mounted so":                      {map[string]string{"proc/self/mountinfo": sandbox, "proc/1/mountinfo": sandbox}, true},
		"failed":                          {map[string]string{"proc/self/mountinfo": failed}, true},
		"failed, in the sandbox":          {map[string]string{"proc/self/mountinfo": strings.Replace(sandbox, "root rw", "root ro", 1)}, true},
		"failed, and the machine is seen": {map[string]string{"proc/self/mountinfo": sandbox, "proc/1/mountinfo": failed}, true},
	} {
		if got, known := scratch(t, tc.files).RootReadonly(); !known || got != tc.want {
			t.Errorf("%s: read-only %v, known %v", name, got, known)
		}
	}
}
