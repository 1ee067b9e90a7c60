package scripts_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// desk is a city's authority and a gateway that is being provisioned.
type desk struct {
	*debtest.Root
	t     *testing.T
	ca    string
	stick string
	paper string // the fingerprint of the city's authority
}

var secrets = []string{"CA_PASSPHRASE=a", "BADGE_PASSPHRASE=b"}

func newDesk(t *testing.T) *desk {
	t.Helper()
	skiptest.Program(t, "openssl")
	r, _ := sdCard(t)
	for _, dir := range []string{"etc/gatewayd", "var/lib/gatewayd/tls"} {
		if err := os.MkdirAll(r.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"var/lib/gatewayd", "var/lib/gatewayd/tls"} {
		if err := os.Chown(r.Path(dir), 64123, 64123); err != nil {
			t.Fatal(err)
		}
	}
	d := &desk{r, t, t.TempDir(), t.TempDir(), ""}
	d.authority(true, "init", "Kota Malang")
	d.paper = strings.TrimSpace(d.authority(true, "fingerprint"))
	return d
}

// authority runs ca.sh.
func (d *desk) authority(wantOK bool, args ...string) string {
	d.t.Helper()
	out, ok := run(d.t, append(secrets, "CA_DIR="+d.ca), "city/ca.sh", args...)
	if ok != wantOK {
		d.t.Fatalf("ca.sh %v: %s", args, out)
	}
	return out
}

// provision runs provision.sh; says is part of what it must print, and a "!" in
// front means that it must refuse.
func (d *desk) provision(says string, args ...string) {
	d.t.Helper()
	d.provisionWith(d.paper, says, args...)
}

// provisionWith does the same with another fingerprint typed.
func (d *desk) provisionWith(paper, says string, args ...string) {
	d.t.Helper()
	out, ok := run(d.t, append(secrets, "CITY_FINGERPRINT="+paper), "./provision.sh", append([]string{"--root", d.Dir}, args...)...)
	text, refuse := strings.CutPrefix(says, "!")
	if ok == refuse || !strings.Contains(out, text) {
		d.t.Fatalf("provision.sh %v: want %q, got: %s", args, says, out)
	}
}

// signed has the city sign the gateway's request.
func (d *desk) signed(id string) (cert string) {
	d.t.Helper()
	d.provision("", "request", id, d.stick)
	d.authority(true, "sign", filepath.Join(d.stick, id+".csr"))
	return filepath.Join(d.ca, "issued", id+".pem")
}

func (d *desk) tls(name string) string { return d.Path("var/lib/gatewayd/tls", name) }

func TestProvisionKeepsTheKeyAndTakesItsCertificateOnly(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	for _, id := range []string{"", "Dinkes-01", "a b", "../x", strings.Repeat("a", 33), "a;reboot", "a\nb"} {
		d.provision("!is no ID", "request", id, d.stick)
	}
	cert := d.signed("dinkes-01")
	key := debtest.Read(t, d.tls("gateway.key"))
	d.provision("The request is", "request", "dinkes-01", d.stick)
	if debtest.Read(t, d.tls("gateway.key")) != key {
		t.Error("a second request made another key")
	}
	if got := d.Owner("var/lib/gatewayd/tls/gateway.key"); got != "gatewayd:gatewayd 600" {
		t.Errorf("the key is %s", got)
	}

	cityCA := filepath.Join(d.ca, "ca.pem")
	d.provision("!no certificate", "accept", "/dev/null", cityCA)
	der := filepath.Join(t.TempDir(), "der")
	debtest.Write(t, der, string(certificateIn(t, cert).Raw), 0o644)
	d.provision("!no certificate", "accept", der, cityCA)
	d.provision("!another city", "accept", cert, filepath.Join(other.ca, "ca.pem"))
	d.provision("!another key", "accept", d.foreign(other, "dinkes-01"), cityCA)
	if d.Has("etc/gatewayd/city-ca.pem") || d.Has("var/lib/gatewayd/tls/gateway.pem") {
		t.Error("something refused was taken")
	}
	d.provision("The certificate of dinkes-01 is in place", "accept", cert, cityCA)

	// Another key takes the place of the first together with its certificate.
	d.provision("The request is", "--new-key", "request", "dinkes-01", d.stick)
	if debtest.Read(t, d.tls("gateway.key")) != key {
		t.Error("the key is gone before there is a certificate for the new one")
	}
	if out := d.authority(false, "sign", filepath.Join(d.stick, "dinkes-01.csr")); !strings.Contains(out, "another key") {
		t.Errorf("the authority says %s", out)
	}
	if out, ok := run(t, append(secrets, "CA_DIR="+d.ca, "REPLACE=dinkes-01"), "city/ca.sh", "sign", filepath.Join(d.stick, "dinkes-01.csr")); !ok {
		t.Fatal(out)
	}
	d.provision("in place", "accept", cert)
	if debtest.Read(t, d.tls("gateway.key")) == key || d.Has("var/lib/gatewayd/tls/gateway.key.next") {
		t.Error("the new key is not in place")
	}
}

// foreign is a certificate of this city for an id, and for a key of somebody else.
func (d *desk) foreign(thief *desk, id string) string {
	d.t.Helper()
	thief.provision("", "request", id, thief.stick)
	return d.certified(filepath.Join(thief.stick, id+".csr"), 90)
}

// certified is a certificate of this city that its authority knows nothing of.
func (d *desk) certified(request string, days int) (path string) {
	d.t.Helper()
	path = filepath.Join(d.t.TempDir(), "cert.pem")
	ext := filepath.Join(d.t.TempDir(), "ext")
	debtest.Write(d.t, ext, "extendedKeyUsage = clientAuth\n", 0o644)
	if out, ok := run(d.t, secrets, "openssl", "x509", "-req", "-in", request, "-CA", filepath.Join(d.ca, "ca.pem"),
		"-CAkey", filepath.Join(d.ca, "ca.key"), "-passin", "env:CA_PASSPHRASE", "-days", strconv.Itoa(days), "-set_serial", "7", "-extfile", ext, "-out", path); !ok {
		d.t.Fatal(out)
	}
	return path
}

func TestProvisionBadgeKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "key")
	for name, text := range map[string]string{"short": "0123", "no hex": strings.Repeat("x", 64), "long": strings.Repeat("0", 65), "empty": ""} {
		debtest.Write(t, file, text, 0o600)
		d.provision("!64 hex digits are needed", "badge-key", "dinkes-01", file)
		if d.Has("etc/gatewayd/badge.key") {
			t.Errorf("%s: it was taken", name)
		}
	}
	key := strings.Repeat("0123456789abcdef", 4)
	debtest.Write(t, file, " "+key+"\r\n", 0o600)
	d.provision("!is no ID", "badge-key", file)
	d.provision("only the gateway reads it", "badge-key", "dinkes-01", file)
	// Not the city's, but what is made of it for this gateway.
	const own, other = "a32b69cf93b46adb52164402b7aaad35ac71613a094049d4adf11ca40094936c", "dinkes-02"
	if got := debtest.Read(t, d.Path("etc/gatewayd/badge.key")); got != own+"\n" {
		t.Errorf("it holds %q", got)
	}
	if got := d.Owner("etc/gatewayd/badge.key"); got != "gatewayd:gatewayd 600" {
		t.Errorf("it is %s", got)
	}
	// On the stick it is under a passphrase.
	debtest.Write(t, filepath.Join(d.ca, "dinkes.toml"), "id = \"@ID@\"\ndinas = \"@DINAS@\"\n", 0o644)
	d.authority(true, "bundle", d.stick, file)
	if out, found := run(t, nil, "grep", "-rl", key, d.stick); found {
		t.Errorf("the badge key lies on the stick: %s", out)
	}
	if err := os.Remove(d.Path("etc/gatewayd/badge.key")); err != nil {
		t.Fatal(err)
	}
	if out, ok := run(t, []string{"BADGE_PASSPHRASE=guess"}, "./provision.sh", "--root", d.Dir, "badge-key", "dinkes-01", filepath.Join(d.stick, "badge.key.enc")); ok {
		t.Errorf("a wrong passphrase was taken: %s", out)
	}
	d.provision("only the gateway reads it", "badge-key", "dinkes-01", filepath.Join(d.stick, "badge.key.enc"))
	if got := debtest.Read(t, d.Path("etc/gatewayd/badge.key")); got != own+"\n" {
		t.Errorf("from the stick, it holds %q", got)
	}
	// A stick for named offices carries their keys and not the city's.
	d.authority(true, "bundle", d.stick, file, "dinkes-01", "dinkes-03")
	d.provision("only the gateway reads it", "badge-key", "dinkes-01", filepath.Join(d.stick, "badge.key.enc"))
	if got := debtest.Read(t, d.Path("etc/gatewayd/badge.key")); got != own+"\n" {
		t.Errorf("from the stick of this office, it holds %q", got)
	}
	d.provision("!none for "+other, "badge-key", other, filepath.Join(d.stick, "badge.key.enc"))
	plain, ok := run(t, secrets, "openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-a", "-pass", "env:BADGE_PASSPHRASE",
		"-in", filepath.Join(d.stick, "badge.key.enc"))
	if !ok || strings.Contains(plain, key) || !strings.Contains(plain, own) {
		t.Errorf("the stick of two offices holds %s", plain)
	}
}

func TestAuthorityRefusesNamesOfTheCity(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, name := range []string{"city", "monitor"} {
		d.provision("", "request", name, d.stick)
		if out := d.authority(false, "sign", filepath.Join(d.stick, name+".csr")); !strings.Contains(out, "name of the city itself") {
			t.Errorf("%s: %s", name, out)
		}
	}
	d.authority(false, "client", "dinkes-01")
	d.authority(false, "init", "again")
	garbled := filepath.Join(d.stick, "garbled.csr")
	debtest.Write(t, garbled, "garbled", 0o644)
	d.authority(false, "sign", garbled)
}
