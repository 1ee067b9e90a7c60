package scripts_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"presence/scripts/deb/debtest"
)

// desk is a city's authority and a gateway that is being provisioned.
type desk struct {
	*debtest.Root
	t     *testing.T
	ca    string
	stick string
}

var secrets = []string{"CA_PASSPHRASE=a", "BADGE_PASSPHRASE=b"}

func newDesk(t *testing.T) *desk {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		debtest.Skip(t, "openssl is not installed: run scripts/install-test-deps.sh")
	}
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
	d := &desk{r, t, t.TempDir(), t.TempDir()}
	d.authority(true, "init", "Kota Malang")
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
	out, ok := run(d.t, secrets, "./provision.sh", append([]string{"--root", d.Dir}, args...)...)
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
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "key")
	for name, text := range map[string]string{"short": "0123", "no hex": strings.Repeat("x", 64), "long": strings.Repeat("0", 65), "empty": ""} {
		debtest.Write(t, file, text, 0o600)
		d.provision("!64 hex digits are needed", "badge-key", file)
		if d.Has("etc/gatewayd/badge.key") {
			t.Errorf("%s: it was taken", name)
		}
	}
	key := strings.Repeat("0123456789abcdef", 4)
	debtest.Write(t, file, " "+key+"\r\n", 0o600)
	d.provision("only the gateway reads it", "badge-key", file)
	if got := debtest.Read(t, d.Path("etc/gatewayd/badge.key")); got != key+"\n" {
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
	if out, ok := run(t, []string{"BADGE_PASSPHRASE=guess"}, "./provision.sh", "--root", d.Dir, "badge-key", filepath.Join(d.stick, "badge.key.enc")); ok {
		t.Errorf("a wrong passphrase was taken: %s", out)
	}
	d.provision("only the gateway reads it", "badge-key", filepath.Join(d.stick, "badge.key.enc"))
}

func TestProvisionFromTheStick(t *testing.T) {
	d := newDesk(t)
	d.provision("!is the stick in", "usb", "/no/stick", "dinkes-01", "dinkes")
	d.provision("!no template dinkes.toml", "usb", d.stick, "dinkes-01", "dinkes")
	debtest.Write(t, filepath.Join(d.stick, "dinkes.toml"), "id = \"@ID@\" dinas = \"@DINAS@\"\n", 0o644)
	d.provision("!no city-ca.pem", "usb", d.stick, "dinkes-01", "dinkes")
	debtest.Write(t, filepath.Join(d.stick, "city-ca.pem"), debtest.Read(t, filepath.Join(d.ca, "ca.pem")), 0o644)
	debtest.Write(t, filepath.Join(d.stick, "renew-url"), "https://mqtt.example.go.id/issued\n", 0o644)
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != "id = \"dinkes-01\" dinas = \"dinkes\"\n" {
		t.Errorf("the configuration is %s", got)
	}
	debtest.Write(t, d.Path("etc/gatewayd/gatewayd.toml"), "changed at the office\n", 0o644)
	d.authority(true, "sign", filepath.Join(d.stick, "requests/dinkes-01.csr"))
	debtest.Write(t, filepath.Join(d.stick, "issued/dinkes-01.pem"), debtest.Read(t, filepath.Join(d.ca, "issued/dinkes-01.pem")), 0o644)
	d.provision("gatewayd-provision start", "usb", d.stick, "dinkes-01", "dinkes")
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != "changed at the office\n" {
		t.Errorf("the configuration is %s", got)
	}
	if got := debtest.Read(t, d.Path("etc/gatewayd/renew.conf")); got != "https://mqtt.example.go.id/issued\n" {
		t.Errorf("it looks at %s", got)
	}
	out, _ := run(t, append(secrets, "LC_ALL=id_ID.UTF-8"), "./provision.sh", "--root", d.Dir, "usb", d.stick, "dinkes-01", "dinkes")
	if !strings.Contains(out, "Selanjutnya: sudo gatewayd-provision start") {
		t.Errorf("in Indonesian: %s", out)
	}
}

func TestAuthorityRefusesNamesOfTheCity(t *testing.T) {
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

// renew runs what the timer runs each day, and returns what it said.
func (d *desk) renew(url string, wantOK bool, path string) string {
	d.t.Helper()
	debtest.Write(d.t, d.Path("etc/gatewayd/renew.conf"), url+"\n", 0o644)
	// As the unit does, with the rights of the gateway's user, who has to reach
	// what lies in the test's folders.
	if err := os.Chmod(filepath.Dir(d.Dir), 0o711); err != nil {
		d.t.Fatal(err)
	}
	script := filepath.Join(d.t.TempDir(), "renew")
	debtest.Write(d.t, script, debtest.Read(d.t, "deb/renew"), 0o755)
	cmd := exec.Command("/bin/bash", script)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GATEWAYD_ROOT="+d.Dir, "PATH="+path+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64123, Gid: 64123}}
	out, err := cmd.CombinedOutput()
	if (err == nil) != wantOK {
		d.t.Fatalf("renew from %s: %v %s", url, err, out)
	}
	return string(out)
}

func TestRenew(t *testing.T) {
	d, other := newDesk(t), newDesk(t)
	cityCA := filepath.Join(d.ca, "ca.pem")
	if out := d.renew("file:///", false, ""); !strings.Contains(out, "no certificate yet") {
		t.Error(out)
	}
	cert := d.signed("dinkes-01")
	d.provision("in place", "accept", cert, cityCA)
	now := func() string { return debtest.Read(t, d.tls("gateway.pem")) }
	first := now()

	offered := t.TempDir()
	offer := func(text string) { debtest.Write(t, filepath.Join(offered, "dinkes-01.pem"), text, 0o644) }
	url := "file://" + offered
	for name, tc := range map[string]struct {
		offer, says string
		ok          bool
	}{
		"the same":       {first, "", true},
		"ends sooner":    {debtest.Read(t, d.short()), "", true},
		"another's key":  {debtest.Read(t, d.foreign(other, "dinkes-01")), "another key", false},
		"another city's": {debtest.Read(t, other.foreign(d, "dinkes-01")), "not valid", false},
		"another name":   {d.renamed("dinkes-02"), "not for dinkes-01", false},
		"not one":        {"<html>not found</html>", "", false},
		"nothing":        {"", "", false},
	} {
		offer(tc.offer)
		if out := d.renew(url, tc.ok, ""); !strings.Contains(out, tc.says) || tc.ok && out != "" {
			t.Errorf("%s: %s", name, out)
		}
		if now() != first || d.Has("var/lib/gatewayd/tls/gateway.pem.new") {
			t.Fatalf("%s: it was taken", name)
		}
	}
	if out := d.renew("https://127.0.0.1:1", false, ""); !strings.Contains(out, "cannot get https://127.0.0.1:1/dinkes-01.pem") {
		t.Error(out)
	}

	// A later one, from a web server with a certificate of the city's own.
	d.authority(true, "broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.ca, "own/broker.pem"), filepath.Join(d.ca, "own/broker.key"))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(http.StripPrefix("/issued/", http.FileServer(http.Dir(filepath.Join(d.ca, "issued")))))
	web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	web.StartTLS()
	defer web.Close()
	if err := os.Remove(cert); err != nil { // so that it is made anew
		t.Fatal(err)
	}
	d.shorten()
	d.authority(true, "renew")
	if out := d.renew(web.URL+"/issued", true, ""); !strings.Contains(out, "renewed: dinkes-01 until") {
		t.Error(out)
	}
	if now() != debtest.Read(t, cert) {
		t.Error("the renewed certificate is not in place")
	}
	d.authority(true, "revoke", "dinkes-01")
	if out, ok := run(t, nil, "openssl", "crl", "-in", filepath.Join(d.ca, "crl.pem"), "-noout", "-text"); !ok || !strings.Contains(out, "Serial Number") {
		t.Errorf("nothing is revoked: %s", out)
	}
}

// shorten puts a certificate of one day in place.
func (d *desk) shorten() {
	d.t.Helper()
	d.provision("in place", "accept", d.short())
}

// short is a certificate of one day.
func (d *desk) short() (path string) {
	d.t.Helper()
	return d.certified(filepath.Join(d.stick, "dinkes-01.csr"), 1)
}

// renamed is a certificate for this gateway's key under another name.
func (d *desk) renamed(id string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	d.provision("", "request", id, dir)
	d.authority(true, "sign", filepath.Join(dir, id+".csr"))
	return debtest.Read(d.t, filepath.Join(d.ca, "issued", id+".pem"))
}

func TestRenewFromStepCA(t *testing.T) {
	d := newDesk(t)
	cert := d.signed("dinkes-01")
	cityCA := filepath.Join(d.ca, "ca.pem")
	d.provision("in place", "accept", cert, cityCA)
	// What `step ca renew` does, as far as renew sees it: it is told where the new
	// certificate goes.
	bin := t.TempDir()
	if err := os.Chmod(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	debtest.Write(t, filepath.Join(bin, "step"), "#!/bin/bash\necho \"$*\" >"+bin+"/told\ncp "+cert+" \"$9\"\n", 0o755)
	const url = "step:https://ca.example.go.id"
	if out := d.renew(url, true, bin); out != "" {
		t.Errorf("90 days before the end it says %s", out)
	}
	d.shorten()
	if out := d.renew(url, true, bin); !strings.Contains(out, "renewed: dinkes-01") {
		t.Error(out)
	}
	want := "ca renew --force --ca-url https://ca.example.go.id --root " + d.Path("etc/gatewayd/city-ca.pem")
	if got := debtest.Read(t, filepath.Join(bin, "told")); !strings.HasPrefix(got, want) {
		t.Errorf("step was told %s", got)
	}
}
