package scripts_test

import (
	"os"
	"path/filepath"
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
	d.provision("dinkes-01 is dinkop-07 now. In the city: ca.sh retire dinkes-01", "rename", d.stick, "dinkop-07", "dinkop")
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

// A Pi that was retired holds no secret of its old name, and can be another gateway.
func TestRetire(t *testing.T) {
	t.Parallel()
	d := office(t)
	debtest.Write(t, d.Path("var/lib/gatewayd/journal.db"), "taps", 0o600)
	d.provision("is dinkes-01 no more", "retire")
	for _, name := range []string{"etc/gatewayd/badge.key", "etc/gatewayd/renew.conf", "etc/gatewayd/city-ca.pem", "var/lib/gatewayd/tls/gateway.key", "var/lib/gatewayd/tls/gateway.pem"} {
		if d.Has(name) {
			t.Errorf("%s is still there", name)
		}
	}
	if !d.Has("var/lib/gatewayd/journal.db") {
		t.Error("the journal is gone")
	}
	d.provision("!has no id", "retire")
	if err := os.Remove(filepath.Join(d.stick, "issued/dinkes-01.pem")); err != nil {
		t.Fatal(err)
	}
	d.visit("dinkes-09")
}
