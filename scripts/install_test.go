package scripts_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/drivers/pi"
	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// run runs a program and returns what it printed and whether it succeeded.
func run(t *testing.T, env []string, name string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// sdCard is a scratch root with the users of the package, and a package that
// brings one file.
func sdCard(t *testing.T) (r *debtest.Root, deb string) {
	t.Helper()
	r = debtest.NewRoot(t)
	debtest.Write(t, r.Path("etc/passwd"), "gatewayd:x:64123:64123::/var/lib/gatewayd:/usr/sbin/nologin\n", 0o644)
	debtest.Write(t, r.Path("etc/group"), "spi:x:64120:\ngpio:x:64121:\ndialout:x:64122:\ngatewayd:x:64123:\n", 0o644)
	return r, packageFor(t, filepath.Join(t.TempDir(), "gatewayd.deb"), "gatewayd", "1", "all", "")
}

// packageFor makes a package that brings a program and a configuration.
func packageFor(t *testing.T, path, name, version, arch, preinst string) string {
	t.Helper()
	tree := t.TempDir()
	debtest.Write(t, filepath.Join(tree, "usr/bin/gatewayd"), "#!/bin/sh\n# "+version+"\n", 0o755)
	debtest.Write(t, filepath.Join(tree, "DEBIAN/control"),
		"Package: "+name+"\nVersion: "+version+"\nArchitecture: "+arch+"\nMaintainer: test <root@localhost>\nDescription: test\n", 0o644)
	debtest.Write(t, filepath.Join(tree, "etc/gatewayd/gatewayd.toml"), "# reference\n", 0o644)
	debtest.Write(t, filepath.Join(tree, "DEBIAN/conffiles"), "/etc/gatewayd/gatewayd.toml\n", 0o644)
	if preinst != "" {
		debtest.Write(t, filepath.Join(tree, "DEBIAN/preinst"), preinst, 0o755)
	}
	if out, ok := run(t, nil, "dpkg-deb", "--build", "--root-owner-group", tree, path); !ok {
		t.Fatal(out)
	}
	return path
}

// What dpkg cannot install is no success: it says which package is the right one,
// and leaves nothing changed.
func TestInstallStopsBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	debtest.Write(t, r.Path("boot/firmware/config.txt"), "dtparam=audio=on\n", 0o644)
	debtest.Write(t, r.Path("var/lib/dpkg/arch"), debtest.Arch()+"\n", 0o644)
	dir := t.TempDir()
	other := map[string]string{"amd64": "arm64", "arm64": "armhf", "armhf": "amd64"}[debtest.Arch()]
	wrong := packageFor(t, filepath.Join(dir, "gatewayd_1_"+other+".deb"), "gatewayd", "1", other, "")
	old := packageFor(t, filepath.Join(dir, "gatewayd_1_"+debtest.Arch()+".deb"), "gatewayd", "1", debtest.Arch(), "")
	whole := debtest.Read(t, deb)
	cut := filepath.Join(t.TempDir(), "cut.deb")
	debtest.Write(t, cut, whole[:len(whole)-100], 0o644)
	text := filepath.Join(t.TempDir(), "page.deb")
	debtest.Write(t, text, "<html>", 0o644)
	foreign := packageFor(t, filepath.Join(t.TempDir(), "other.deb"), "mosquitto", "1", "all", "")
	refuses := packageFor(t, filepath.Join(t.TempDir(), "refuses.deb"), "gatewayd", "1", "all", "#!/bin/sh\nexit 1\n")
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"another processor":   {[]string{wrong}, "another processor (" + other + "). For this machine: sudo bash ./install.sh " + old},
		"several by a glob":   {[]string{wrong, old}, "2 packages are named: " + wrong + " " + old + ". For this machine: sudo bash ./install.sh " + old},
		"cut off":             {[]string{cut}, "damaged or no package"},
		"no package":          {[]string{text}, "damaged or no package"},
		"another package":     {[]string{foreign}, "is the package of mosquitto"},
		"that refuses itself": {[]string{refuses}, "nothing of it is left"},
	} {
		before := snapshot(t, r.Dir)
		out, ok := run(t, nil, "./install.sh", append([]string{"--root", r.Dir}, tc.args...)...)
		if ok || !strings.Contains(out, tc.says) || strings.Contains(out, "gatewayd-provision") {
			t.Errorf("%s: %v, says %s", name, ok, out)
		}
		if r.Has("usr/bin/gatewayd") || r.Has("etc/gatewayd") || debtest.Read(t, r.Path("boot/firmware/config.txt")) != "dtparam=audio=on\n" {
			t.Errorf("%s: something was changed", name)
		}
		if name != "that refuses itself" && snapshot(t, r.Dir) != before {
			t.Errorf("%s: something was changed", name)
		}
	}
	out, ok := run(t, nil, "dpkg", "--root="+r.Dir, "-l", "gatewayd")
	if ok && strings.Contains(out, "\ni") {
		t.Errorf("dpkg knows it:\n%s", out)
	}
}

// After an upgrade nothing has to be provisioned again.
func TestInstallAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	install := func(deb string) string {
		t.Helper()
		out, ok := run(t, nil, "./install.sh", "--root", r.Dir, deb)
		if !ok {
			t.Fatal(out)
		}
		return out
	}
	install(deb)
	later := packageFor(t, filepath.Join(t.TempDir(), "later.deb"), "gatewayd", "2", "all", "")
	if out := install(later); !strings.Contains(out, "gatewayd-provision usb") {
		t.Errorf("a gateway that was never provisioned: %s", out)
	}
	wants := r.Path("etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/systemd/system/gatewayd.service", filepath.Join(wants, "gatewayd.service")); err != nil {
		t.Fatal(err)
	}
	install(deb)
	for _, says := range []string{"Upgraded to 2", "Version 2 is installed again"} {
		if out := install(later); !strings.Contains(out, says) || strings.Contains(out, "gatewayd-provision") {
			t.Errorf("it says %s", out)
		}
	}
	broken := packageFor(t, filepath.Join(t.TempDir(), "broken.deb"), "gatewayd", "3", "all", "#!/bin/sh\nexit 1\n")
	out, ok := run(t, nil, "./install.sh", "--root", r.Dir, broken)
	if ok || !strings.Contains(out, "now: installed 2") || !strings.Contains(debtest.Read(t, r.Path("usr/bin/gatewayd")), "# 2") {
		t.Errorf("an upgrade that fails: %s", out)
	}
}

// A FAT stick is mounted in such a way that nothing on it can be run itself.
func TestInstallFromAStickThatRunsNothing(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	stick := t.TempDir()
	if out, ok := run(t, nil, "mount", "-t", "tmpfs", "-o", "noexec,nosuid,nodev", "stick", stick); !ok {
		skiptest.NoRoot(t, "nothing can be mounted here: "+out)
	}
	t.Cleanup(func() {
		if out, ok := run(t, nil, "umount", stick); !ok {
			t.Error(out)
		}
	})
	script := filepath.Join(stick, "install.sh")
	debtest.Write(t, script, debtest.Read(t, "install.sh"), 0o755)
	debtest.Write(t, filepath.Join(stick, "gatewayd_1_"+debtest.Arch()+".deb"), debtest.Read(t, deb), 0o644)
	if _, ok := run(t, nil, script, "--root", r.Dir); ok {
		t.Fatal("this stick can be run")
	}
	if out, ok := run(t, nil, "bash", script, "--root", r.Dir); !ok || !r.Has("usr/bin/gatewayd") {
		t.Error(out)
	}
}

func TestInstallSwitchesSPIOn(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	for name, tc := range map[string]struct {
		before string
		added  bool
	}{
		"as delivered":           {"# For more options\n#dtparam=spi=on\ndtparam=audio=on\n[cm4]\notg_mode=1\n[all]\n", true},
		"on":                     {"dtparam=spi=on\n", false},
		"on among others":        {"dtparam=i2c_arm=on,spi=on\n", false},
		"on without a word":      {"dtparam=spi\n", false},
		"off":                    {"dtparam=spi=off\n", true},
		"switched off by update": {"dtparam=spi=on\n[all]\ndtparam=spi=off\n", true},
		"only on a Pi 4":         {"[pi4]\ndtparam=spi=on\n", true},
		"never":                  {"[none]\ndtparam=spi=on\n", true},
		"written under Windows":  {"dtparam=audio=on\r\ndtparam=spi=on\r\n", false},
		"no end of line":         {"dtparam=audio=on", true},
		"empty":                  {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			const path = "boot/firmware/config.txt"
			debtest.Write(t, r.Path("boot/config.txt"), "DO NOT EDIT THIS FILE\n", 0o644)
			debtest.Write(t, r.Path(path), tc.before, 0o644)
			var first string
			for range 2 {
				if out, ok := run(t, nil, "./install.sh", "--root", r.Dir, deb); !ok {
					t.Fatal(out)
				}
				now := debtest.Read(t, r.Path(path))
				if first == "" {
					first = now
				}
				if now != first {
					t.Errorf("the second time it wrote\n%s", now)
				}
			}
			if on, _ := pi.SPIOn(first, "", 0); !on {
				t.Errorf("SPI is not on in\n%s", first)
			}
			if !strings.HasPrefix(first, tc.before) || (first != tc.before) != tc.added {
				t.Errorf("it wrote\n%s", first)
			}
			if debtest.Read(t, r.Path("boot/config.txt")) != "DO NOT EDIT THIS FILE\n" {
				t.Error("it wrote into the note")
			}
		})
	}
}

func TestInstallBeforeBookworm(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	debtest.Write(t, r.Path("boot/config.txt"), "dtparam=audio=on\n", 0o644)
	if out, ok := run(t, nil, "./install.sh", "--root", r.Dir, deb); !ok || !strings.Contains(out, "SPI is now on in") {
		t.Error(out)
	}
	if on, _ := pi.SPIOn(debtest.Read(t, r.Path("boot/config.txt")), "", 0); !on {
		t.Error("SPI is not on")
	}
}

// With the names of a gateway it goes on from the stick that it lies on.
func TestInstallGoesOnToProvision(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	stick := t.TempDir()
	debtest.Write(t, filepath.Join(stick, "install.sh"), debtest.Read(t, "install.sh"), 0o644)
	debtest.Write(t, filepath.Join(stick, filepath.Base(deb)), debtest.Read(t, deb), 0o644)
	debtest.Write(t, r.Path("usr/sbin/gatewayd-provision"), "#!/bin/sh\necho \"provision: $*\"\n", 0o755)
	install := func(says string, args ...string) {
		t.Helper()
		text, refuse := strings.CutPrefix(says, "!")
		out, ok := run(t, nil, "bash", append([]string{filepath.Join(stick, "install.sh"), "--root", r.Dir}, args...)...)
		if ok == refuse || !strings.Contains(out, text) || strings.Contains(out, "Now: sudo") {
			t.Errorf("%v: %v, want %q, says %s", args, ok, says, out)
		}
	}
	for _, args := range [][]string{{deb, "dinkes-01"}, {"dinkes-01", "dinkes", "x"}, {"uninstall", "dinkes-01", "dinkes"}, {"Dinkes-01", "dinkes"}} {
		install("!dinkes-01 dinkes)", args...)
	}
	if r.Has("usr/bin/gatewayd") {
		t.Error("something refused was installed")
	}
	install("provision: --root "+r.Dir+" usb dinkes-01 dinkes\n", deb, "dinkes-01", "dinkes")
	debtest.Write(t, filepath.Join(stick, "manifest"), "gatewayd stick v1\n", 0o644)
	install("provision: --root "+r.Dir+" usb "+stick+" dinkes-01 dinkes\n", deb, "dinkes-01", "dinkes")
	install("would run: gatewayd-provision usb dinkes-01 dinkes", "--dry-run", deb, "dinkes-01", "dinkes")
}

// snapshot is all files of a root with their content.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(path + " " + d.Type().String() + "\n")
		if d.Type().IsRegular() {
			b.WriteString(debtest.Read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInstallDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	debtest.Write(t, r.Path("boot/firmware/config.txt"), "\n", 0o644)
	before := snapshot(t, r.Dir)
	for _, args := range [][]string{{deb}, {"uninstall"}, {"uninstall", "--purge"}} {
		out, ok := run(t, nil, "./install.sh", append([]string{"--dry-run", "--root", r.Dir}, args...)...)
		if !ok {
			t.Errorf("%v: %s", args, out)
		}
		if args[0] == deb && (!strings.Contains(out, "would run: dpkg") || !strings.Contains(out, "would add dtparam=spi=on to "+r.Path("boot/firmware/config.txt"))) {
			t.Errorf("it says %s", out)
		}
		if snapshot(t, r.Dir) != before {
			t.Fatalf("%v changed something", args)
		}
	}
}

func TestUninstall(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	debtest.Write(t, r.Path("boot/firmware/config.txt"), "dtparam=spi=on\n", 0o644)
	steps := []struct {
		args         []string
		binary, conf bool
		says         string
	}{
		{[]string{"uninstall"}, false, false, "not installed"},
		{[]string{deb}, true, true, "gatewayd-provision usb"},
		{[]string{deb}, true, true, ""},
		{[]string{"uninstall"}, false, true, "--purge"},
		{[]string{"uninstall"}, false, true, ""},
		{[]string{deb}, true, true, ""},
		{[]string{"uninstall", "--purge"}, false, false, "Whether the journal holds events that the city does not have cannot be told"}, // of a card
		{[]string{"uninstall", "--purge"}, false, false, "not installed"},
	}
	for i, s := range steps {
		out, ok := run(t, nil, "./install.sh", append([]string{"--root", r.Dir}, s.args...)...)
		if !ok || !strings.Contains(out, s.says) {
			t.Errorf("step %d %v: %s", i, s.args, out)
		}
		if r.Has("usr/bin/gatewayd") != s.binary || r.Has("etc/gatewayd/gatewayd.toml") != s.conf {
			t.Errorf("step %d %v: binary %v, configuration %v", i, s.args, r.Has("usr/bin/gatewayd"), r.Has("etc/gatewayd/gatewayd.toml"))
		}
	}
}

func TestInstallSaysWhatToDo(t *testing.T) {
	t.Parallel()
	r, deb := sdCard(t)
	if out, ok := run(t, nil, "./install.sh", "--root", r.Dir, "/no/such.deb"); ok || !strings.Contains(out, "there is no package /no/such.deb") {
		t.Error(out)
	}
	if out, ok := run(t, nil, "./install.sh", "--fast"); ok || !strings.Contains(out, "--help") {
		t.Error(out)
	}
	if out, ok := run(t, nil, "./install.sh", "--help"); !ok || !strings.Contains(out, "uninstall --purge") {
		t.Error(out)
	}
	if out, ok := run(t, []string{"LC_ALL=id_ID.UTF-8"}, "./install.sh", "--root", r.Dir, deb); !ok || !strings.Contains(out, "Selanjutnya: sudo gatewayd-provision") {
		t.Error(out)
	}
	debtest.Write(t, r.Path("etc/group"), "gatewayd:x:64123:\n", 0o644)
	if out, ok := run(t, nil, "./install.sh", "--root", r.Dir, deb); ok || !strings.Contains(out, "group spi is missing: sudo systemd-sysusers") {
		t.Error(out)
	}
}
