package scripts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// card is a mounted SD card on which the package is installed.
func (h *hall) card() {
	h.t.Helper()
	debtest.Write(h.t, h.Path("usr/bin/gatewayd"), debtest.Read(h.t, h.program), 0o755)
	for _, name := range []string{"gatewayd.service", "gatewayd-renew.timer", "gatewayd-renew.service", "gatewayd-first-certificate.timer", "gatewayd-first-certificate.service"} {
		debtest.Write(h.t, h.Path("usr/lib/systemd/system", name), debtest.Read(h.t, "../systemd/"+name), 0o644)
	}
	debtest.Write(h.t, h.Path("usr/share/doc/gatewayd/gatewayd.toml"), "# reference\n", 0o644)
	debtest.Write(h.t, h.Path("etc/gatewayd/gatewayd.toml"), "# reference\n", 0o644)
	debtest.Write(h.t, h.Path("boot/firmware/config.txt"), "dtparam=audio=on\n[pi4]\narm_boost=1\n", 0o644)
	debtest.Write(h.t, h.Path("boot/firmware/cmdline.txt"), "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait\n", 0o644)
	if err := os.MkdirAll(h.Path("run"), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// prepare prepares the card for an office that offices.sh has made.
func (h *hall) prepare(wantOK bool, id string) string {
	h.t.Helper()
	passphrase := strings.TrimSpace(debtest.Read(h.t, h.office(id, "passphrase")))
	out, ok := run(h.t, []string{"BADGE_PASSPHRASE=" + passphrase, "CITY_FINGERPRINT=" + h.paper}, "./provision.sh", "--root", h.Dir, "usb", h.office(id, "stick"), id, "dinkes")
	if ok != wantOK {
		h.t.Fatal(out)
	}
	return out
}

const enabled = "etc/systemd/system/multi-user.target.wants/gatewayd.service"

// A card is prepared at the city's desk: all but the certificate is there, and it starts
// by itself. The key is made on it, and the request lies where the city signs it.
func TestCardIsPrepared(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns+"dinkes-01,dinkes,,,-7.9778,112.634,100,,yard=kenwood\ndinkes-02,dinkes,,,,,,,\n")
	h.offices(true)
	h.card()
	out := h.prepare(true, "dinkes-01")
	for _, want := range []string{"There is no certificate yet", "The card is ready: dinkes-01", "Write down its fingerprint"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q but %s", want, out)
		}
	}
	for _, link := range []string{enabled, "etc/systemd/system/timers.target.wants/gatewayd-renew.timer", "etc/systemd/system/timers.target.wants/gatewayd-first-certificate.timer"} {
		if !h.Has(link) {
			t.Errorf("%s is not there", link)
		}
	}
	if got := h.Owner("var/lib/gatewayd/tls/gateway.key"); got != "gatewayd:gatewayd 600" {
		t.Errorf("the key is %s", got)
	}
	config := debtest.Read(t, h.Path("boot/firmware/config.txt"))
	if !strings.HasPrefix(config, "dtparam=audio=on\n") || !strings.HasSuffix(config, "[all]\n# The receiver of gatewayd on the pins of the header.\nenable_uart=1\n[pi5]\ndtparam=uart0=on\n[all]\n") {
		t.Errorf("config.txt is %s", config)
	}
	if got := debtest.Read(t, h.Path("boot/firmware/cmdline.txt")); got != "console=tty1 root=PARTUUID=1-02 rootwait\n" {
		t.Errorf("cmdline.txt is %s", got)
	}
	// Once more changes nothing.
	before := snapshot(t, h.Dir)
	h.prepare(true, "dinkes-01")
	if snapshot(t, h.Dir) != before {
		t.Error("the second time changed something")
	}
	// The city signs it, and either the card is given the certificate here ...
	if out, _ := h.offices(true); !strings.Contains(out, "signed: dinkes-01") {
		t.Errorf("it says %s", out)
	}
	if out := h.prepare(true, "dinkes-01"); !strings.Contains(out, "The certificate of dinkes-01 is in place") || !strings.Contains(out, "The card is ready") {
		t.Errorf("it says %s", out)
	}
	// A configuration that the gateway would refuse is found here and not at the office.
	debtest.Write(t, h.Path("etc/gatewayd/gatewayd.toml"), strings.Replace(debtest.Read(t, h.Path("etc/gatewayd/gatewayd.toml")), "GPIO17", "GPIO99", 1), 0o644)
	if out := h.prepare(false, "dinkes-01"); !strings.Contains(out, "feedback.green") || !strings.Contains(out, "configuration is wrong") {
		t.Errorf("it says %s", out)
	}
	if out := h.prepare(false, "dinkes-02"); !strings.Contains(out, "this gateway is dinkes-01") {
		t.Errorf("it says %s", out)
	}
}

// ... or the gateway fetches it: the first one as every later one.
func TestFirstCertificateIsFetched(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	cert := d.signed("dinkes-01")
	foreign := debtest.Read(t, d.foreign(other, "dinkes-01"))
	renamed := d.renamed("dinkes-02")
	good := debtest.Read(t, cert)
	offered := t.TempDir()
	url := "file://" + offered
	debtest.Write(t, d.Path("etc/gatewayd/city-ca.pem"), debtest.Read(t, filepath.Join(d.ca, "ca.pem")), 0o644)
	if out := d.renew(url, false, ""); !strings.Contains(out, "does not say who this gateway is") && !strings.Contains(out, "gatewayd.toml") {
		t.Errorf("without a configuration it says %s", out)
	}
	debtest.Write(t, d.Path("etc/gatewayd/gatewayd.toml"), "[x]\nid = \"dinkes-09\"\n[gateway]\nid = \"dinkes-01\" # this one\n", 0o644)
	if out := d.renew("step:https://127.0.0.1:1", false, ""); !strings.Contains(out, "step-ca renews what there is") {
		t.Errorf("of a step-ca it says %s", out)
	}
	if out := d.renew(url, false, ""); !strings.Contains(out, "cannot get "+url+"/dinkes-01.pem") {
		t.Errorf("before it is signed it says %s", out)
	}
	for name, text := range map[string]string{"another's key": foreign, "another name": renamed, "not one": "<html>"} {
		debtest.Write(t, filepath.Join(offered, "dinkes-01.pem"), text, 0o644)
		d.renew(url, false, "")
		if d.Has("var/lib/gatewayd/tls/gateway.pem") {
			t.Fatalf("%s: it was taken", name)
		}
	}
	debtest.Write(t, filepath.Join(offered, "dinkes-01.pem"), good, 0o644)
	if out := d.renew(url, true, ""); !strings.Contains(out, "renewed: dinkes-01 until") || debtest.Read(t, d.tls("gateway.pem")) != good {
		t.Errorf("it says %s", out)
	}
}

// What a card's file system says is nothing that root of this machine goes by: a link on
// it would lead to files of this machine. Nothing is read, changed or handed out then.
func TestLinksOnACardAreNotFollowed(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns+"dinkes-01,dinkes,,,,,,,yard=kenwood\n")
	h.offices(true)
	h.card()
	deb := packageFor(t, filepath.Join(t.TempDir(), "gatewayd.deb"), "gatewayd", "1", "all", "")
	// This machine, as a link would reach it: a file for each that is asked for.
	machine := t.TempDir()
	for _, path := range []string{"passwd", "group", "gatewayd.toml", "config.txt", "cmdline.txt", "gatewayd", "badge.key", "status", "waiting"} {
		debtest.Write(t, filepath.Join(machine, path), "gatewayd:x:64123:64123:secret of this machine\n", 0o600)
	}
	before, owners := snapshot(t, machine), func() string {
		out, _ := run(t, nil, "sh", "-c", "stat -c '%n %u:%g %a' "+machine+"/*")
		return out
	}
	ours := owners()
	for _, path := range []string{
		"etc", "etc/passwd", "etc/group", "etc/gatewayd", "etc/gatewayd/gatewayd.toml", "etc/gatewayd/badge.key", "etc/systemd", enabled[:len(enabled)-len("/gatewayd.service")],
		"usr", "usr/bin", "usr/bin/gatewayd", "usr/share/doc/gatewayd", "var", "var/lib", "var/lib/gatewayd", "boot", "boot/firmware", "boot/firmware/config.txt", "boot/firmware/cmdline.txt",
	} {
		at, away := h.Path(path), h.Path(path)+".away"
		had := h.Has(path)
		if had {
			if err := os.Rename(at, away); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		target := machine
		if _, err := os.Stat(filepath.Join(machine, filepath.Base(path))); err == nil && filepath.Base(path) != "gatewayd" || path == "usr/bin/gatewayd" {
			target = filepath.Join(machine, filepath.Base(path))
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
		if out := h.prepare(false, "dinkes-01"); !strings.Contains(out, "this card has been changed") && !strings.Contains(out, "is no ordinary file") {
			t.Errorf("%s: gatewayd-provision says %s", path, out)
		}
		if strings.HasPrefix(path, "etc/gatewayd/badge") || strings.HasSuffix(path, "cmdline.txt") || path == "usr/share/doc/gatewayd" {
			// install.sh leaves these alone.
		} else if out, ok := run(t, nil, "./install.sh", "--root", h.Dir, deb); ok || !strings.Contains(out, "this card has been changed") {
			t.Errorf("%s: install.sh says %s", path, out)
		}
		if got := owners(); got != ours || snapshot(t, machine) != before {
			t.Fatalf("%s: this machine's files were changed: %s", path, got)
		}
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
		if had {
			if err := os.Rename(away, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, found := run(t, nil, "grep", "-rl", "secret of this machine", h.Dir, h.office("dinkes-01")); found {
		t.Errorf("a secret of this machine is in %s", out)
	}
}

// The old place of the firmware's settings may be a link, which is passed over.
func TestALinkToOldSettingsIsPassedOver(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns+"dinkes-01,dinkes,,,,,,,yard=kenwood\n")
	h.offices(true)
	h.card()
	machine := t.TempDir()
	debtest.Write(t, filepath.Join(machine, "config.txt"), "dtparam=audio=on\n", 0o600)
	before := snapshot(t, machine)
	if err := os.RemoveAll(h.Path("boot/firmware")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(machine, "config.txt"), h.Path("boot/config.txt")); err != nil {
		t.Fatal(err)
	}
	if out := h.prepare(true, "dinkes-01"); !strings.Contains(out, "there is no config.txt") || snapshot(t, machine) != before {
		t.Errorf("of a link to settings it says %s", out)
	}
}

// In the gateway's own folder its user may have put links: another key takes their
// place, and none of this machine's is used.
func TestAnotherKeyTakesThePlaceOfALink(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns+"dinkes-01,dinkes,,,,,,,yard=kenwood\n")
	h.offices(true)
	h.card()
	h.prepare(true, "dinkes-01")
	key := newSecret(t, debtest.Read(t, h.tls("gateway.key")))
	if err := os.Chown(key.path, 64123, 64123); err != nil { // as a service of this machine may have that number
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(key.path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.tls("gateway.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(key.path, h.tls("gateway.key")); err != nil {
		t.Fatal(err)
	}
	h.prepare(true, "dinkes-01")
	if info, err := os.Lstat(h.tls("gateway.key")); err != nil || !info.Mode().IsRegular() || debtest.Read(t, h.tls("gateway.key")) == key.text {
		t.Errorf("the key of the card is one of this machine: %v %v", info, err)
	}
}

// A card's processor is what its own packages say, also where dpkg has no list of them.
func TestInstallTakesThePackageForTheCard(t *testing.T) {
	t.Parallel()
	r, _ := sdCard(t)
	debtest.Write(t, r.Path("var/lib/dpkg/status"), "Package: dpkg\nStatus: install ok installed\nArchitecture: armhf\nVersion: 1\nMaintainer: x <x@x>\nDescription: x\n\n", 0o644)
	dir := t.TempDir()
	for _, arch := range []string{"amd64", "arm64", "armhf"} {
		packageFor(t, filepath.Join(dir, "gatewayd_1_"+arch+".deb"), "gatewayd", "1", arch, "")
	}
	out, _ := run(t, nil, "./install.sh", "--root", r.Dir, dir+"/")
	if !strings.Contains(out, "gatewayd:armhf") && !strings.Contains(out, "gatewayd (armhf)") && !strings.Contains(out, "gatewayd_1_armhf.deb") {
		t.Errorf("it says %s", out)
	}
}
