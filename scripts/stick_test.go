package scripts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/config"
	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// bundle makes the stick of a desk, as the city does.
func (d *desk) bundle() {
	d.t.Helper()
	debtest.Write(d.t, filepath.Join(d.ca, "dinkes.toml"), "id = \"@ID@\" dinas = \"@DINAS@\"\n", 0o644)
	key := filepath.Join(d.t.TempDir(), "badge.key")
	debtest.Write(d.t, key, strings.Repeat("0123456789abcdef", 4), 0o600)
	debtest.Write(d.t, filepath.Join(d.stick, "renew-url"), "https://mqtt.example.go.id/issued\n", 0o644)
	debtest.Write(d.t, filepath.Join(d.stick, "gatewayd_1_arm64.deb"), strings.Repeat("package ", 200_000), 0o644)
	d.authority(true, "bundle", d.stick, key)
}

func TestProvisionFromTheStick(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.provision("!is the stick in", "usb", "/no/stick", "dinkes-01", "dinkes")
	d.provision("!has no manifest", "usb", d.stick, "dinkes-01", "dinkes")
	d.bundle()
	d.provision("!no template dinkop.toml", "usb", d.stick, "dinkop-01", "dinkop")
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != "id = \"dinkes-01\" dinas = \"dinkes\"\n" {
		t.Errorf("the configuration is %s", got)
	}
	debtest.Write(t, d.Path("etc/gatewayd/gatewayd.toml"), "changed at the office\n", 0o644)
	d.authority(true, "sign", filepath.Join(d.stick, "requests/dinkes-01.csr")) // and puts the certificate on the stick
	// The second time nothing has to be typed.
	d.provisionWith("", "gatewayd-provision start", "usb", d.stick, "dinkes-01", "dinkes")
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != "changed at the office\n" {
		t.Errorf("the configuration is %s", got)
	}
	if got := debtest.Read(t, d.Path("etc/gatewayd/renew.conf")); got != "https://mqtt.example.go.id/issued\n" {
		t.Errorf("it looks at %s", got)
	}
	out, _ := run(t, append(secrets, "LC_ALL=id_ID.UTF-8"), "./provision.sh", "--root", d.Dir, "usb", d.stick, "dinkes-01", "dinkes")
	if !strings.Contains(out, "Di mesinnya sendiri: sudo gatewayd-provision start") {
		t.Errorf("in Indonesian: %s", out)
	}
}

// What a technician needs is on the stick, or the city is told at its desk that it is
// not.
func TestStickHasWhatTheOfficeNeeds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	put := func(name, text string) { debtest.Write(t, filepath.Join(d.ca, name), text, 0o644) }
	key := filepath.Join(t.TempDir(), "badge.key")
	debtest.Write(t, key, strings.Repeat("0123456789abcdef", 4), 0o600)
	out := d.authority(true, "bundle", d.stick)
	for _, what := range []string{"a template", "badge keys", "renew-url", "the city's public key", "offices.csv"} {
		if !strings.Contains(out, "the stick lacks "+what) {
			t.Errorf("it does not say that it lacks %s: %s", what, out)
		}
	}
	put("dinkes.toml", debtest.Read(t, "city/dinas.toml"))
	if out := d.authority(false, "bundle", d.stick); !strings.Contains(out, "dinkes.toml names the city's public key") {
		t.Errorf("it says %s", out)
	}
	private, _ := run(t, nil, "openssl", "genpkey", "-algorithm", "ed25519")
	put("city.key", private)
	put("city.pem", private)
	if out := d.authority(false, "bundle", d.stick); !strings.Contains(out, "private key") {
		t.Errorf("it says %s", out)
	}
	city := filepath.Join(d.ca, "city.pem")
	if out, ok := run(t, nil, "openssl", "pkey", "-in", filepath.Join(d.ca, "city.key"), "-pubout", "-out", city); !ok {
		t.Fatal(out)
	}
	put("renew-url", "https://mqtt.example.go.id/issued\n")
	put("offices.csv", "id,dinas,place,lat,lon,radius_m\ndinkes-01,dinkes,\"Jl. Ijen 1, \"\"Klojen\"\"\",-7.9778,112,100\n")
	put("gatewayd_1_arm64.deb", "a package")
	put("badge-ca.pem", "the authority of badges")
	out = d.authority(true, "bundle", d.stick, key)
	if strings.Contains(out, "lacks") || !strings.Contains(out, "is ready") {
		t.Errorf("it says %s", out)
	}
	for name, want := range map[string]string{
		"install.sh": debtest.Read(t, "install.sh"), "city-key.pem": debtest.Read(t, city), "gatewayd_1_arm64.deb": "a package",
	} {
		if got := debtest.Read(t, filepath.Join(d.stick, name)); got != want {
			t.Errorf("%s is %.40q", name, got)
		}
	}
	// And all of it is signed.
	if err := os.Chmod(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
	made := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml"))
	cfg, err := config.Parse("gatewayd.toml", []byte(made))
	if err != nil {
		t.Fatalf("%v\n%s", err, made)
	}
	if cfg.Office == nil || cfg.Office.Lat != -7.9778 || cfg.Office.Lon != 112 || cfg.Office.RadiusM != 100 || cfg.City.KeyFile != "/etc/gatewayd/city-key.pem" {
		t.Errorf("the office is %+v, the city %+v", cfg.Office, cfg.City)
	}
	if debtest.Read(t, d.Path("etc/gatewayd/city-key.pem")) != debtest.Read(t, city) || d.Owner("etc/gatewayd/city-key.pem") != "root:gatewayd 644" {
		t.Errorf("the city's public key is %s", d.Owner("etc/gatewayd/city-key.pem"))
	}
	if debtest.Read(t, d.Path("etc/gatewayd/badge-ca.pem")) != "the authority of badges" || d.Owner("etc/gatewayd/badge-ca.pem") != "root:gatewayd 644" {
		t.Errorf("the authority of badges is %s", d.Owner("etc/gatewayd/badge-ca.pem"))
	}
	// A newer package takes the place of the older one.
	put("gatewayd_2_arm64.deb", "a newer package")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(d.ca, "gatewayd_2_arm64.deb"), later, later); err != nil {
		t.Fatal(err)
	}
	d.authority(true, "bundle", d.stick)
	if found, err := filepath.Glob(filepath.Join(d.stick, "*_arm64.deb")); err != nil || len(found) != 1 || !strings.HasSuffix(found[0], "gatewayd_2_arm64.deb") {
		t.Errorf("the packages are %v %v", found, err)
	}
}

// Where an office is comes from the city's list, as Excel writes it too.
func TestOfficeOfTheList(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	debtest.Write(t, filepath.Join(d.ca, "dinkes.toml"), "before = 1\n#@OFFICE@\nafter = \"@ID@\"\n", 0o644)
	for name, tc := range map[string]struct{ list, says, want string }{
		"Excel":             {"\xef\xbb\xbfID;Dinas;Place;Lat;Lon;Radius_m\r\nx;y;z;1;2;3\r\ndinkes-01;dinkes;Kantor;-7,9778;112,6340;100\r\n", "The configuration is", "lat = -7.9778\nlon = 112.6340\nradius_m = 100\n"},
		"columns elsewhere": {"lon,radius_m,id,lat\n112.634,80,dinkes-01,-7\n", "The configuration is", "lat = -7.0\nlon = 112.634\nradius_m = 80\n"},
		"not in the list":   {"id,lat,lon,radius_m\ndinkes-011,1,2,3\n", "no tag is said to be", ""},
		"no position yet":   {"id,lat,lon,radius_m\ndinkes-01,,,\n", "no tag is said to be", ""},
		"no list":           {"", "no tag is said to be", ""},
		"no column":         {"id,lat,lon\ndinkes-01,1,2\n", "!offices.csv:1: there is no column radius", ""},
		"swapped":           {"id,lat,lon,radius_m\ndinkes-01,112.6,-7.9,100\n", "!offices.csv:2: lat is \"112.6\"", ""},
		"no number":         {"id,lat,lon,radius_m\ndinkes-01,7S,112,100\n", "!offices.csv:2: lat is \"7S\"", ""},
		"another's":         {"id,dinas,lat,lon,radius_m\ndinkes-01,dinkop,-7,112,100\n", "!in the list of offices dinkes-01 is of dinkop, not of dinkes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{filepath.Join(d.ca, "offices.csv"), filepath.Join(d.stick, "offices.csv"), d.Path("etc/gatewayd/gatewayd.toml")} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
			if tc.list != "" {
				debtest.Write(t, filepath.Join(d.ca, "offices.csv"), tc.list, 0o644)
			}
			d.authority(true, "bundle", d.stick)
			d.provision(tc.says, "usb", d.stick, "dinkes-01", "dinkes")
			if strings.HasPrefix(tc.says, "!") {
				if d.Has("etc/gatewayd/gatewayd.toml") {
					t.Error("there is a configuration")
				}
				return
			}
			want := "before = 1\nafter = \"dinkes-01\"\n"
			if tc.want != "" {
				want = "before = 1\n[office]\n" + tc.want + "after = \"dinkes-01\"\n"
			}
			if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != want {
				t.Errorf("the configuration is %s", got)
			}
		})
	}
}

// A stick that nobody has mounted is found, and mounted read-only but for the
// request; one that is mounted is found where it is.
func TestStickIsFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bundle()
	bin := t.TempDir()
	must := func(name string, args ...string) string {
		t.Helper()
		out, ok := run(t, nil, name, args...)
		if !ok {
			t.Fatalf("%s %v: %s", name, args, out)
		}
		return strings.TrimSpace(out)
	}
	plug := func(files string) string {
		t.Helper()
		image := filepath.Join(t.TempDir(), "stick.img")
		must("truncate", "-s", "256M", image) // the packages of dist/ may be on it
		must("mke2fs", "-q", "-F", "-t", "ext4", "-d", files, image)
		device, ok := run(t, nil, "losetup", "--find", "--show", image)
		if !ok {
			skiptest.NoRoot(t, "no image can be a device here: "+device)
		}
		device = strings.TrimSpace(device)
		t.Cleanup(func() { must("losetup", "-d", device) })
		return device
	}
	device := plug(d.stick)
	lists := func(at string) {
		debtest.Write(t, filepath.Join(bin, "lsblk"), "#!/bin/sh\nprintf '%s\\n' '/dev/mmcblk0p2 0 /' '/dev/none 1 ' '"+device+" 1 "+at+"'\n", 0o755)
	}
	usb := func(says string, args ...string) {
		t.Helper()
		env := append(slices.Clone(secrets), "CITY_FINGERPRINT="+d.paper, "PATH="+bin+":"+os.Getenv("PATH"))
		text, refuse := strings.CutPrefix(says, "!")
		out, ok := run(t, env, "./provision.sh", append([]string{"--root", d.Dir, "usb"}, args...)...)
		if ok == refuse || !strings.Contains(out, text) {
			t.Fatalf("usb %v: want %q, got: %s", args, says, out)
		}
		if mounts := debtest.Read(t, "/proc/mounts"); strings.Contains(mounts, device+" /tmp/tmp.") {
			t.Fatal("the stick is still mounted")
		}
	}
	lists("")
	usb("The stick "+device+" was not mounted", "dinkes-01", "dinkes")

	at := filepath.Join(t.TempDir(), "THE CITY")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	must("mount", "-o", "ro", device, at)
	t.Cleanup(func() { run(t, nil, "umount", at) }) // where the test failed before it did so itself
	if !strings.Contains(debtest.Read(t, filepath.Join(at, "requests/dinkes-01.csr")), "CERTIFICATE REQUEST") {
		t.Error("the request is not on the stick")
	}
	lists(strings.ReplaceAll(at, " ", `\x20`))
	// Whoever has mounted it read-only, as we advise, need not mount it anew.
	usb("The stick is at "+at, "dinkes-01", "dinkes")
	if out, ok := run(t, nil, "touch", filepath.Join(at, "x")); ok || !strings.Contains(debtest.Read(t, filepath.Join(at, "requests/dinkes-01.csr")), "REQUEST") {
		t.Errorf("the stick can be written to afterwards, or has no request: %s", out)
	}
	must("mount", "-o", "remount,rw", at)
	d.authority(true, "sign", filepath.Join(at, "requests/dinkes-01.csr"))
	usb("The stick is at "+at, "dinkes-01", "dinkes")
	if !d.Has("var/lib/gatewayd/tls/gateway.pem") {
		t.Error("the certificate was not taken")
	}
	// Where nothing has to be written, it is mounted read-only: nothing on it changes. The
	// stick so far may go on being mounted, in the copy of the mounts that a process of
	// another test took along, and be written to there; so this is another with the same files.
	files := filepath.Join(t.TempDir(), "files")
	must("cp", "-a", at, files)
	must("umount", at)
	device = plug(files)
	lists("")
	before := must("sha256sum", device)
	usb("The stick "+device+" was not mounted: it is now, read-only", "dinkes-01", "dinkes")
	if must("sha256sum", device) != before {
		t.Error("the stick was written to")
	}
	debtest.Write(t, filepath.Join(bin, "lsblk"), "#!/bin/sh\necho '/dev/mmcblk0p2 0 /'\n", 0o755)
	usb("!no stick of the city", "dinkes-01", "dinkes")
}

// What is on a stick counts only as the city put it there.
func TestStickThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	d.bundle()
	other.bundle()
	before := snapshot(t, d.Dir)
	refused := func(what, says string) {
		t.Helper()
		d.provision("!"+says, "usb", d.stick, "dinkes-01", "dinkes")
		if snapshot(t, d.Dir) != before {
			t.Fatalf("%s: something was taken", what)
		}
	}
	for _, name := range []string{"dinkes.toml", "renew-url", "badge.key.enc", "city-ca.pem", "gatewayd_1_arm64.deb", "manifest", "manifest.sig"} {
		path := filepath.Join(d.stick, name)
		whole := debtest.Read(t, path)
		debtest.Write(t, path, debtest.Read(t, filepath.Join(other.stick, name))+"#", 0o644)
		refused(name, "")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		refused(name+" gone", "")
		debtest.Write(t, path, whole, 0o644)
	}
	// A template that the city did not put there.
	debtest.Write(t, filepath.Join(d.stick, "dinkop.toml"), "id = \"@ID@\"\n", 0o644)
	d.provision("!no template dinkop.toml", "usb", d.stick, "dinkop-01", "dinkop")
	if err := os.Remove(filepath.Join(d.stick, "dinkop.toml")); err != nil {
		t.Fatal(err)
	}
	// The certificates in issued/ say themselves who signed them, and the requests are
	// the gateways': anybody may write there, but not through a link.
	target := filepath.Join(t.TempDir(), "passwd")
	debtest.Write(t, target, "root", 0o600)
	link := filepath.Join(d.stick, "requests/dinkes-01.csr")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
	if debtest.Read(t, target) != "root" || !strings.Contains(debtest.Read(t, link), "CERTIFICATE REQUEST") {
		t.Error("it wrote through a link on the stick")
	}
}

// A gateway belongs to the city whose fingerprint was typed, until another one is.
func TestAnotherCityHasToBeTyped(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	d.bundle()
	other.bundle()
	kept := func(of *desk) bool {
		return d.Has("etc/gatewayd/city-ca.pem") &&
			debtest.Read(t, d.Path("etc/gatewayd/city-ca.pem")) == debtest.Read(t, filepath.Join(of.ca, "ca.pem"))
	}
	for _, typed := range []string{"", other.paper, d.paper[:14], "0000-0000-0000-0000-0000"} {
		d.provisionWith(typed, "!another city", "usb", d.stick, "dinkes-01", "dinkes")
		if d.Has("etc/gatewayd/city-ca.pem") || d.Has("etc/gatewayd/gatewayd.toml") {
			t.Fatalf("with %q typed something was taken", typed)
		}
	}
	d.provisionWith(strings.ToLower(strings.ReplaceAll(d.paper, "-", " ")), "take the stick", "usb", d.stick, "dinkes-01", "dinkes")
	if !kept(d) {
		t.Fatal("the authority is not kept")
	}
	before := snapshot(t, d.Dir)
	d.provision("!another authority", "usb", other.stick, "dinkes-01", "dinkes")
	if snapshot(t, d.Dir) != before {
		t.Error("another city's stick changed something")
	}
	// Neither by a certificate alone.
	other.provision("", "usb", other.stick, "dinkes-01", "dinkes")
	d.provisionWith("", "The request is", "request", "dinkes-01", d.stick)
	foreign := other.foreign(d, "dinkes-01")
	d.provision("!another authority", "accept", foreign, filepath.Join(other.ca, "ca.pem"))
	if !kept(d) || d.Has("var/lib/gatewayd/tls/gateway.pem") {
		t.Error("another city's certificate was taken")
	}
	d.provisionWith(other.paper, "take the stick", "usb", other.stick, "dinkes-01", "dinkes")
	if !kept(other) {
		t.Error("the other city was typed, and is not kept")
	}
}

// The city and the Pi show the same fingerprint for a request, and each key has
// another one.
func TestRequestShowsTheSameFingerprintAtBothEnds(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	form := regexp.MustCompile(`\b([0-9A-F]{4}-){4}[0-9A-F]{4}\b`)
	var shown []string
	for _, at := range []*desk{d, other} {
		out, ok := run(t, secrets, "./provision.sh", "--root", at.Dir, "request", "dinkes-01", at.stick)
		if !ok {
			t.Fatal(out)
		}
		shown = append(shown, form.FindString(out))
	}
	out := d.authority(true, "sign", filepath.Join(d.stick, "dinkes-01.csr"))
	if shown[0] == "" || form.FindString(out) != shown[0] {
		t.Errorf("the Pi shows %q, the city says %s", shown[0], out)
	}
	if shown[1] == shown[0] {
		t.Error("two keys have one fingerprint")
	}
	if form.FindString(d.paper) != d.paper {
		t.Errorf("the city's own is %q", d.paper)
	}
}

// The passphrase of the badge key is made, never empty, and opens the stick.
func TestBundleMakesThePassphrase(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	key := filepath.Join(t.TempDir(), "badge.key")
	debtest.Write(t, key, strings.Repeat("0123456789abcdef", 4), 0o600)
	debtest.Write(t, filepath.Join(d.ca, "dinkes.toml"), "id = \"@ID@\"\n", 0o644)
	bundle := func(env ...string) (string, bool) {
		return run(t, append(env, "CA_PASSPHRASE=a", "CA_DIR="+d.ca), "city/ca.sh", "bundle", d.stick, key)
	}
	var made []string
	for range 3 {
		out, ok := bundle()
		words := regexp.MustCompile(`not for the stick: (([a-z]{4} ){5}[a-z]{4})\n`).FindStringSubmatch(out)
		if !ok || words == nil || slices.Contains(made, words[1]) {
			t.Fatalf("it says %s", out)
		}
		made = append(made, words[1])
	}
	if out, ok := bundle("BADGE_PASSPHRASE="); ok || !strings.Contains(out, "empty passphrase") {
		t.Errorf("with an empty passphrase: %s", out)
	}
	stick := filepath.Join(d.stick, "badge.key.enc")
	for typed, ok := range map[string]bool{"": false, made[0]: false, made[2]: true, strings.ToUpper(made[2]): true, strings.ReplaceAll(made[2], " ", "-") + " ": true} {
		if out, got := run(t, []string{"BADGE_PASSPHRASE=" + typed}, "./provision.sh", "--root", d.Dir, "badge-key", "dinkes-01", stick); got != ok {
			t.Errorf("%q is taken: %v %s", typed, got, out)
		}
	}
	// Made anew without a badge key, the stick keeps what is on it.
	before := debtest.Read(t, stick)
	d.authority(true, "bundle", d.stick)
	if debtest.Read(t, stick) != before {
		t.Error("the badge key on the stick is another")
	}
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
}
