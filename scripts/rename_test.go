package scripts_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// office is a desk with a gateway that was provisioned from the stick.
func office(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.bundle()
	debtest.Write(t, filepath.Join(d.ca, "dinkes.toml"),
		"[gateway]\nid    = \"@ID@\" # who it is\ndinas = \"@DINAS@\"\n\n[[reader]]\nname = \"door\"\nid = \"of something else\"\n", 0o644)
	debtest.Write(t, d.Path("usr/share/doc/gatewayd/gatewayd.toml"), "# reference\n", 0o644)
	d.authority(true, "bundle", d.stick)
	d.visit("dinkes-01")
	return d
}

// visit is both visits with the stick.
func (d *desk) visit(id string) {
	d.t.Helper()
	d.provision("take the stick", "usb", d.stick, id, "dinkes")
	d.authority(true, "sign", filepath.Join(d.stick, "requests", id+".csr"))
	d.provision("gatewayd-provision start", "usb", d.stick, id, "dinkes")
}

// The certificate of one name with the configuration of another makes a gateway that
// the broker hangs up on for ever.
func TestProvisionTakesNoOtherName(t *testing.T) {
	t.Parallel()
	d := office(t)
	request := filepath.Join(t.TempDir(), "dinkes-02.csr")
	if out, ok := run(t, nil, "openssl", "req", "-new", "-key", d.tls("gateway.key"), "-subj", "/CN=dinkes-02", "-out", request); !ok {
		t.Fatal(out)
	}
	d.authority(true, "sign", request)
	other := filepath.Join(d.ca, "issued/dinkes-02.pem")
	debtest.Write(t, filepath.Join(d.stick, "issued/dinkes-02.pem"), debtest.Read(t, other), 0o644)
	before := snapshot(t, d.Dir)
	for _, args := range [][]string{
		{"usb", d.stick, "dinkes-02", "dinkes"},
		{"request", "dinkes-02", d.stick},
		{"accept", other},
		{"badge-key", "dinkes-02", filepath.Join(d.stick, "badge.key.enc")},
		{"config", filepath.Join(d.ca, "dinkes.toml"), "dinkes-02", "dinkes"},
	} {
		d.provision("!gatewayd-provision rename dinkes-02", args...)
		if snapshot(t, d.Dir) != before {
			t.Fatalf("%v changed something", args)
		}
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	d := office(t)
	key, badge := debtest.Read(t, d.tls("gateway.key")), debtest.Read(t, d.Path("etc/gatewayd/badge.key"))
	config := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml"))
	d.provision("!is dinkes-01 already", "rename", d.stick, "dinkes-01", "dinkes")
	for range 2 { // asked for twice, it is one request
		d.provision("goes on as dinkes-01", "rename", d.stick, "dinkop-07", "dinkop")
	}
	if debtest.Read(t, d.tls("gateway.key")) != key || debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")) != config {
		t.Fatal("the gateway is another one before the city has signed")
	}
	d.authority(true, "sign", filepath.Join(d.stick, "requests/dinkop-07.csr"))
	old := debtest.Read(t, d.tls("gateway.pem"))
	d.records("taps of dinkes-01")
	d.provision("dinkes-01 is dinkop-07 now. In the city: ca.sh retire dinkes-01", "rename", d.stick, "dinkop-07", "dinkop")
	d.holds("former/dinkes-01", "taps of dinkes-01")
	if d.Has("var/lib/gatewayd/journal.db") || d.Has("var/lib/gatewayd/roster.json") {
		t.Error("it goes on with the journal or the roster of its old name")
	}
	if debtest.Read(t, d.Path("var/lib/gatewayd/former/dinkes-01/tls/gateway.pem")) != old ||
		debtest.Read(t, d.Path("var/lib/gatewayd/former/dinkes-01/tls/gateway.key")) != key {
		t.Error("what its old journal holds cannot be delivered any more")
	}
	want := strings.NewReplacer(`"dinkes-01"`, `"dinkop-07"`, `"dinkes"`, `"dinkop"`).Replace(config)
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); got != want {
		t.Errorf("the configuration is\n%s\nwant\n%s", got, want)
	}
	if got := certificateIn(t, d.tls("gateway.pem")).Subject.CommonName; got != "dinkop-07" {
		t.Errorf("the certificate is for %s", got)
	}
	if debtest.Read(t, d.tls("gateway.key")) == key || debtest.Read(t, d.Path("etc/gatewayd/badge.key")) == badge {
		t.Error("it goes on with the keys of its old name")
	}
	d.provision("gatewayd-provision start", "usb", d.stick, "dinkop-07", "dinkes")
}

// records is a journal, and a roster that the city signed.
func (d *desk) records(text string) {
	d.t.Helper()
	for name, text := range map[string]string{"journal.db": text, "journal.mark": "{}", "roster.json": "{}"} {
		debtest.Write(d.t, d.Path("var/lib/gatewayd", name), text, 0o600)
	}
}

// holds fails the test unless the journal in a folder of the gateway's holds a text.
func (d *desk) holds(folder, text string) {
	d.t.Helper()
	if got := debtest.Read(d.t, d.Path("var/lib/gatewayd", folder, "journal.db")); got != text {
		d.t.Errorf("in %s there are %s, want %s", folder, got, text)
	}
	if !d.Has(filepath.Join("var/lib/gatewayd", folder, "journal.mark")) {
		d.t.Errorf("in %s there is no mark", folder)
	}
}

// Each name has a journal of its own, also where a name comes back.
func TestEachNameHasItsJournal(t *testing.T) {
	t.Parallel()
	d := office(t)
	for i, name := range []string{"dinkes-02", "dinkes-01", "dinkes-02"} {
		d.records("taps before rename " + strconv.Itoa(i))
		d.provision("goes on as", "rename", d.stick, name, "dinkes")
		d.replaced(name)
		d.provision("is "+name+" now", "rename", d.stick, name, "dinkes")
	}
	d.holds("former/dinkes-01", "taps before rename 0")
	d.holds("former/dinkes-02", "taps before rename 1")
	d.holds("former/dinkes-01-2", "taps before rename 2")
	d.records("taps before retire")
	d.provision("journal is in /var/lib/gatewayd/former/dinkes-02-2", "retire")
	d.holds("former/dinkes-02-2", "taps before retire")
	if d.Has("var/lib/gatewayd/former/dinkes-02-2/tls/gateway.key") {
		t.Error("a key is left on a Pi that was retired")
	}
}

// replaced signs a request for another key under a name that may have a certificate.
func (d *desk) replaced(id string) {
	d.t.Helper()
	if out, ok := run(d.t, append(secrets, "CA_DIR="+d.ca, "REPLACE="+id), "city/ca.sh", "sign", filepath.Join(d.stick, "requests", id+".csr")); !ok {
		d.t.Fatal(out)
	}
}

// Another department of the same gateway takes no certificate, only another journal.
func TestAnotherDepartment(t *testing.T) {
	t.Parallel()
	d := office(t)
	d.records("taps of dinkes")
	before := debtest.Read(t, d.tls("gateway.pem"))
	d.provision("dinkes-01 is of dinkop now", "rename", d.stick, "dinkes-01", "dinkop")
	d.holds("former/dinkes-01", "taps of dinkes")
	if got := debtest.Read(t, d.Path("etc/gatewayd/gatewayd.toml")); !strings.Contains(got, `dinas = "dinkop"`) || !strings.Contains(got, `id    = "dinkes-01"`) {
		t.Errorf("the configuration is %s", got)
	}
	if debtest.Read(t, d.tls("gateway.pem")) != before {
		t.Error("it has another certificate")
	}
	d.provision("!is dinkes-01 already", "rename", d.stick, "dinkes-01", "dinkop")
}

// Where the city has another key by now, or is another city, a gateway takes that only
// with its new name: until then it needs what it has.
func TestRenameTakesTheCitysNewKey(t *testing.T) {
	t.Parallel()
	d := office(t)
	ours := debtest.Read(t, d.Path("etc/gatewayd/city-ca.pem"))
	other := newDesk(t)
	other.bundle()
	debtest.Write(t, filepath.Join(other.ca, "dinkes.toml"), "id = \"@ID@\"\n", 0o644)
	private, _ := run(t, nil, "openssl", "genpkey", "-algorithm", "ed25519")
	debtest.Write(t, filepath.Join(other.ca, "city.key"), private, 0o600)
	public, _ := run(t, nil, "openssl", "pkey", "-in", filepath.Join(other.ca, "city.key"), "-pubout")
	debtest.Write(t, filepath.Join(other.ca, "city.pem"), public, 0o644)
	other.authority(true, "bundle", other.stick)
	paper := strings.TrimSpace(other.authority(true, "fingerprint"))
	key := d.Path("etc/gatewayd/city-key.pem")
	d.provisionWith("", "!fingerprint is not that", "rename", other.stick, "dinkes-02", "dinkes")
	d.provisionWith(paper, "goes on as dinkes-01", "rename", other.stick, "dinkes-02", "dinkes")
	if debtest.Read(t, d.Path("etc/gatewayd/city-ca.pem")) != ours || d.Has("etc/gatewayd/city-key.pem") {
		t.Error("it has another authority before it has another name")
	}
	other.authority(true, "sign", filepath.Join(other.stick, "requests/dinkes-02.csr"))
	d.provisionWith(paper, "dinkes-01 is dinkes-02 now", "rename", other.stick, "dinkes-02", "dinkes")
	if debtest.Read(t, key) != public || d.Owner("etc/gatewayd/city-key.pem") != "root:gatewayd 644" {
		t.Errorf("the city's key is %s", debtest.Read(t, key))
	}
	if debtest.Read(t, d.Path("etc/gatewayd/city-ca.pem")) == ours {
		t.Error("it has the authority of the city before")
	}
}

// A Pi that was retired holds no secret of its old name, and can be another gateway.
func TestRetire(t *testing.T) {
	t.Parallel()
	d := office(t)
	d.records("taps")
	d.provision("is dinkes-01 no more", "retire")
	for _, name := range []string{"etc/gatewayd/badge.key", "etc/gatewayd/renew.conf", "etc/gatewayd/city-ca.pem", "var/lib/gatewayd/tls/gateway.key", "var/lib/gatewayd/tls/gateway.pem"} {
		if d.Has(name) {
			t.Errorf("%s is still there", name)
		}
	}
	d.holds("former/dinkes-01", "taps")
	d.provision("!has no id", "retire")
	if err := os.Remove(filepath.Join(d.stick, "issued/dinkes-01.pem")); err != nil {
		t.Fatal(err)
	}
	d.visit("dinkes-09")
}
