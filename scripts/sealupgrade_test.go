package scripts_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// A gateway of before there were seals gets its key at the upgrade, and its certificate
// over the line, without anybody at the office.
func TestUpgradedGatewayGetsASealKeyWithoutAVisit(t *testing.T) {
	t.Parallel()
	d, thief := newDesk(t), newDesk(t)
	d.provision("no key for the broker yet", "seal-key") // of a package that was only installed
	if d.Has("var/lib/gatewayd/tls/seal.key") {
		t.Fatal("a key without a gateway")
	}
	d.before()
	debtest.Write(t, d.Path("etc/gatewayd/gatewayd.toml"), "[gateway]\nid = \"dinkes-01\"\n", 0o644)
	old := debtest.Read(t, d.tls("gateway.pem"))
	for range 2 {
		d.provision("The seal key of dinkes-01 is there", "seal-key")
	}
	key := d.sealKey()
	if got := d.Owner("var/lib/gatewayd/tls/seal.csr"); got != "gatewayd:gatewayd 644" {
		t.Errorf("the request is %s", got)
	}
	request := d.tls("seal.csr") // which the city fetches from the broker
	// A broker can hand it another one; only what is signed with the gateway's key counts.
	thief.provision("", "request", "dinkes-01", thief.stick)
	thief.provision("", "request", "dinkes-02", thief.stick)
	call, _ := blocks(t, request)
	_, itsSeal := blocks(t, filepath.Join(thief.stick, "dinkes-01.csr"))
	swapped := filepath.Join(t.TempDir(), "swapped.csr")
	debtest.Write(t, swapped, call+itsSeal, 0o644)
	plain := filepath.Join(t.TempDir(), "plain.csr")
	debtest.Write(t, plain, d.plain("dinkes-01"), 0o644)
	for path, want := range map[string]string{
		swapped: "was changed on its way", plain: "has no seal key",
		filepath.Join(thief.stick, "dinkes-01.csr"): "is not signed by the key of a gateway with a certificate",
		filepath.Join(thief.stick, "dinkes-02.csr"): "is not signed by the key of a gateway with a certificate",
	} {
		if out := d.authority(false, "seal", path); !strings.Contains(out, want) {
			t.Errorf("it says %s, want %s", out, want)
		}
	}
	d.authority(true, "seal", request)
	url := "file://" + filepath.Join(d.ca, "issued")
	if out := d.renew(url, true, ""); !strings.Contains(out, "certified: the seal key of dinkes-01") || strings.Contains(out, "renewed") {
		t.Errorf("it says %s", out)
	}
	if got := certificateIn(t, d.tls("seal.pem")); !key.Public().(ed25519.PublicKey).Equal(got.PublicKey) || d.Has("var/lib/gatewayd/tls/seal.csr") {
		t.Errorf("the certificate is for %s, or the request is still there", got.Subject)
	}
	if debtest.Read(t, d.tls("gateway.pem")) != old {
		t.Error("it has another certificate for the broker")
	}
	if out := d.renew(url, true, ""); out != "" {
		t.Errorf("the next day it says %s", out)
	}
	before := snapshot(t, d.Dir)
	d.provision("", "seal-key") // the next upgrade
	if snapshot(t, d.Dir) != before {
		t.Error("the next upgrade changed something")
	}
	// Over the broker no other key takes its place.
	if err := os.Remove(d.tls("seal.key")); err != nil {
		t.Fatal(err)
	}
	d.provision("The seal key of dinkes-01 is there", "seal-key")
	if out := d.authority(false, "seal", request); !strings.Contains(out, "another seal key by now") || len(keys(d)) != 1 {
		t.Errorf("it says %s", out)
	}
}

// before makes a gateway as versions of before there were seals did.
func (d *desk) before() {
	d.t.Helper()
	d.provision("", "request", "dinkes-01", d.stick)
	debtest.Write(d.t, filepath.Join(d.stick, "dinkes-01.csr"), d.plain("dinkes-01"), 0o644)
	if err := os.Remove(d.tls("seal.key")); err != nil {
		d.t.Fatal(err)
	}
	d.authority(true, "sign", filepath.Join(d.stick, "dinkes-01.csr"))
	d.provision("in place", "accept", filepath.Join(d.ca, "issued/dinkes-01.pem"), filepath.Join(d.ca, "ca.pem"))
	if d.Has("var/lib/gatewayd/tls/seal.pem") {
		d.t.Fatal("it has a certificate for a seal key")
	}
}

// A technician who comes by with a stick brings the request along, as for a new gateway.
func TestUpgradedGatewayGetsASealKeyFromTheStick(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bundle()
	d.before()
	debtest.Write(t, filepath.Join(d.stick, "issued/dinkes-01.pem"), debtest.Read(t, filepath.Join(d.ca, "issued/dinkes-01.pem")), 0o644)
	d.provision("Only its seal key has no certificate yet", "usb", d.stick, "dinkes-01", "dinkes")
	// The city's key for the gateway is the one that it knows: it has nothing to compare.
	if out := d.authority(true, "sign", filepath.Join(d.stick, "requests/dinkes-01.csr")); strings.Contains(out, "fingerprint") {
		t.Errorf("it says %s", out)
	}
	d.provision("So is that of its seal key", "usb", d.stick, "dinkes-01", "dinkes")
	d.provision("So is that of its seal key", "usb", d.stick, "dinkes-01", "dinkes")
}

// A request that an earlier ca.sh has signed is made good by the weekly renewal; a wrong
// one keeps nobody else's certificate from being renewed.
func TestRenewalCertifiesWhatAnEarlierVersionLeftOut(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	d.signed("dinkes-01")
	for _, path := range []string{"issued/dinkes-01.seal.pem", "issued/dinkes-01.pem", "seal-keys/dinkes-01.pem"} {
		if err := os.Remove(filepath.Join(d.ca, path)); err != nil {
			t.Fatal(err)
		}
	}
	call, _ := blocks(t, filepath.Join(d.stick, "dinkes-01.csr"))
	other.provision("", "request", "dinkes-01", other.stick)
	_, seal := blocks(t, filepath.Join(other.stick, "dinkes-01.csr"))
	debtest.Write(t, filepath.Join(d.ca, "requests/a-wrong-one.csr"), call+seal, 0o644)
	out := d.authority(true, "renew")
	if !strings.Contains(out, "a-wrong-one.csr was changed on its way") || len(keys(d)) != 1 {
		t.Errorf("it says %s", out)
	}
	certificateIn(t, filepath.Join(d.ca, "issued/dinkes-01.pem"))
	if got := certificateIn(t, filepath.Join(d.ca, "issued/dinkes-01.seal.pem")); !d.sealKey().Public().(ed25519.PublicKey).Equal(got.PublicKey) {
		t.Errorf("certified %s", got.Subject)
	}
	if _, ok := certificateIn(t, filepath.Join(d.ca, "issued/dinkes-01.pem")).PublicKey.(*ecdsa.PublicKey); !ok {
		t.Error("the gateway's certificate is for another kind of key")
	}
}

// What lies at the address of renewed certificates is the city's to say: only a certificate of
// this gateway's seal key is taken, and what is wrong there leaves what is in place.
func TestRenewTakesItsOwnSealCertificateOnly(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	d.provision("in place", "accept", d.signed("dinkes-01"), filepath.Join(d.ca, "ca.pem"))
	good := debtest.Read(t, d.tls("seal.pem"))
	other.signed("dinkes-01")
	foreign := debtest.Read(t, filepath.Join(other.ca, "issued/dinkes-01.seal.pem"))
	d.provision("", "request", "dinkes-02", d.stick)
	d.authority(true, "sign", filepath.Join(d.stick, "dinkes-02.csr"))
	renamed := debtest.Read(t, filepath.Join(d.ca, "issued/dinkes-02.seal.pem"))
	seal := filepath.Join(d.ca, "issued/dinkes-01.seal.pem")
	url := "file://" + filepath.Join(d.ca, "issued")
	if err := os.Remove(d.tls("seal.pem")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ text, says string }{
		"another city's": {foreign, "is not for the seal key of dinkes-01"}, "another name": {renamed, "is not for the seal key of dinkes-01"},
		"the other certificate": {debtest.Read(t, d.tls("gateway.pem")), "is not for the seal key of dinkes-01"}, "not one": {"<html>", "cannot load"},
	} {
		debtest.Write(t, seal, tc.text, 0o644)
		if out := d.renew(url, false, ""); !strings.Contains(out, tc.says) {
			t.Errorf("%s: it says %s", name, out)
		}
		if left := d.left(); len(left) != 0 || d.Has("var/lib/gatewayd/tls/seal.pem") {
			t.Fatalf("%s: it was taken, or left %v", name, left)
		}
	}
	// A city that has issued none yet is no failure.
	if err := os.Remove(seal); err != nil {
		t.Fatal(err)
	}
	if out := d.renew(url, true, ""); out != "" {
		t.Errorf("without one it says %s", out)
	}
	debtest.Write(t, seal, good, 0o644)
	if d.renew(url, true, ""); debtest.Read(t, d.tls("seal.pem")) != good {
		t.Error("its own was not taken")
	}
}
