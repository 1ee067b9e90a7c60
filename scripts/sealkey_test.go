package scripts_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// withEnv runs ca.sh with more in its environment.
func (d *desk) withEnv(env string, wantOK bool, args ...string) string {
	d.t.Helper()
	out, ok := run(d.t, append(slices.Clone(secrets), "CA_DIR="+d.ca, env), "city/ca.sh", args...)
	if ok != wantOK {
		d.t.Fatalf("%s ca.sh %v: %s", env, args, out)
	}
	return out
}

// sealKeys is every key that the city has certified for a gateway's seals, as an audit
// reads them: the blocks of seal-keys/ID.pem, whatever stands between them.
func (d *desk) sealKeys(id string) (keys []ed25519.PublicKey) {
	d.t.Helper()
	rest := []byte(debtest.Read(d.t, filepath.Join(d.ca, "seal-keys", id+".pem")))
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return keys
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil || block.Type != "PUBLIC KEY" {
			d.t.Fatalf("%s: %v", block.Type, err)
		}
		keys = append(keys, key.(ed25519.PublicKey))
	}
}

// sealKey is the gateway's own, which has to be an Ed25519 key in PKCS#8.
func (d *desk) sealKey() ed25519.PrivateKey {
	d.t.Helper()
	block, _ := pem.Decode([]byte(debtest.Read(d.t, d.tls("seal.key"))))
	if block == nil || block.Type != "PRIVATE KEY" {
		d.t.Fatal("seal.key is no PKCS#8 PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		d.t.Fatal(err)
	}
	return key.(ed25519.PrivateKey)
}

// blocks are the two requests in a file.
func blocks(t *testing.T, path string) (call, seal string) {
	t.Helper()
	const end = "-----END CERTIFICATE REQUEST-----\n"
	all := strings.SplitAfter(debtest.Read(t, path), end)
	if len(all) != 3 || all[2] != "" {
		t.Fatalf("%s has %d blocks", path, len(all)-1)
	}
	return all[0], all[1]
}

func sealID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// The seal key from the Pi to the city and back: made once, with one request on the stick
// and one fingerprint on paper, certified by one command, and taken in one visit.
func TestSealKeyIsMadeCertifiedAndTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bundle()
	d.provision("take the stick to the city", "usb", d.stick, "dinkes-01", "dinkes")
	if got := d.Owner("var/lib/gatewayd/tls/seal.key"); got != "gatewayd:gatewayd 600" {
		t.Errorf("the key is %s", got)
	}
	key := d.sealKey()
	request := filepath.Join(d.stick, "requests/dinkes-01.csr")
	blocks(t, request)
	d.authority(true, "sign", request)
	d.provision("So is that of its seal key", "usb", d.stick, "dinkes-01", "dinkes")
	if got := d.Owner("var/lib/gatewayd/tls/seal.pem"); got != "gatewayd:gatewayd 644" {
		t.Errorf("the certificate is %s", got)
	}
	cert := certificateIn(t, d.tls("seal.pem"))
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) || cert.Subject.CommonName != "dinkes-01" || !slices.Equal(cert.Subject.OrganizationalUnit, []string{"gatewayd seal"}) {
		t.Errorf("it is for %s", cert.Subject)
	}
	if cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment || len(cert.ExtKeyUsage) != 0 ||
		len(cert.UnknownExtKeyUsage) != 1 || cert.UnknownExtKeyUsage[0].String() != "1.3.6.1.5.5.7.3.36" {
		t.Errorf("it is good for %v %v %v", cert.KeyUsage, cert.ExtKeyUsage, cert.UnknownExtKeyUsage)
	}
	// What was sealed must not become wrong on some day.
	if ca := certificateIn(t, filepath.Join(d.ca, "ca.pem")); !cert.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("it ends on %s, the authority on %s", cert.NotAfter, ca.NotAfter)
	}
	if keys := d.sealKeys("dinkes-01"); len(keys) != 1 || !keys[0].Equal(key.Public()) {
		t.Errorf("the city knows %d keys", len(keys))
	}
	if text := debtest.Read(t, filepath.Join(d.ca, "seal-keys/dinkes-01.pem")); !strings.Contains(text, "# dinkes-01 seals with the key "+sealID(keys(d)[0])+", certified ") {
		t.Errorf("it notes %s", text)
	}
	// All of it again changes neither key nor certificate, also after a renewal.
	before := debtest.Read(t, d.tls("seal.pem"))
	d.provision("The request is", "request", "dinkes-01", d.stick)
	d.authority(true, "sign", filepath.Join(d.stick, "dinkes-01.csr"))
	d.authority(true, "renew")
	d.authority(true, "bundle", d.stick)
	d.provision("So is that of its seal key", "usb", d.stick, "dinkes-01", "dinkes")
	if !d.sealKey().Equal(key) || debtest.Read(t, d.tls("seal.pem")) != before || len(d.sealKeys("dinkes-01")) != 1 {
		t.Error("the second time made another one")
	}
	// And nothing of it left the Pi that must not.
	secret := strings.Split(debtest.Read(t, d.tls("seal.key")), "\n")[1]
	if out, found := run(t, nil, "grep", "-rlF", secret, d.stick, d.ca); found {
		t.Errorf("the seal key is in %s", out)
	}
}

func keys(d *desk) []ed25519.PublicKey { return d.sealKeys("dinkes-01") }

// The power goes between the key and the request: the next run goes on with the same key.
func TestSealKeyOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	blocked := filepath.Join(t.TempDir(), "file")
	debtest.Write(t, blocked, "no folder", 0o644)
	d.provision("!", "request", "dinkes-01", filepath.Join(blocked, "requests"))
	key := d.sealKey()
	debtest.Write(t, d.tls("seal.key.new"), "of a run that was cut off", 0o600)
	d.signed("dinkes-01")
	if !d.sealKey().Equal(key) || !d.sealKeys("dinkes-01")[0].Equal(key.Public()) {
		t.Error("another key was made")
	}
}

// A key that others may read is theirs no more; one that is no seal key is not used.
func TestSealKeyWithAWrongModeOrKindIsMendedOrRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.provision("", "request", "dinkes-01", d.stick)
	key := d.sealKey()
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o400, 0o666} {
		if err := os.Chmod(d.tls("seal.key"), mode); err != nil {
			t.Fatal(err)
		}
		d.provision("now it is 600", "request", "dinkes-01", d.stick)
		if got := d.Owner("var/lib/gatewayd/tls/seal.key"); got != "gatewayd:gatewayd 600" || !d.sealKey().Equal(key) {
			t.Errorf("after mode %o it is %s", mode, got)
		}
	}
	if err := os.Chown(d.tls("seal.key"), 0, 0); err != nil {
		t.Fatal(err)
	}
	d.provision("!no Ed25519 key that the gateway can read", "request", "dinkes-01", d.stick)
	if err := os.Chmod(d.tls("seal.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.provision("!is not the gateway's own", "request", "dinkes-01", d.stick)
	debtest.Write(t, d.tls("seal.key"), debtest.Read(t, d.tls("gateway.key")), 0o600)
	if err := os.Chown(d.tls("seal.key"), 64123, 64123); err != nil {
		t.Fatal(err)
	}
	d.provision("!no Ed25519 key", "request", "dinkes-01", d.stick)
}

// Whatever was changed in a request on its way shows, though only the fingerprint of its
// first block is on paper.
func TestSwappedSealRequestIsRefused(t *testing.T) {
	t.Parallel()
	d, thief := newDesk(t), newDesk(t)
	request := filepath.Join(d.stick, "dinkes-01.csr")
	d.provision("", "request", "dinkes-01", d.stick)
	call, seal := blocks(t, request)
	thief.provision("", "request", "dinkes-01", thief.stick)
	itsCall, itsSeal := blocks(t, filepath.Join(thief.stick, "dinkes-01.csr"))
	thief.provision("", "request", "dinkes-02", thief.stick)
	_, other := blocks(t, filepath.Join(thief.stick, "dinkes-02.csr"))
	for name, tc := range map[string]struct{ text, says string }{
		"the seal's was swapped":      {call + itsSeal, "was changed on its way: the seal key"},
		"the seal's was taken out":    {call, "was changed on its way: the seal key"},
		"the first was swapped":       {itsCall + seal, "was changed on its way: the seal key"},
		"a third was added":           {call + seal + itsSeal, "was changed on its way: the seal key"},
		"one was added":               {d.plain("dinkes-01") + seal, "was changed on its way: the seal key"},
		"the seal's for another name": {d.naming("dinkes-01", other), "seal key for another gateway"},
		"no seal key":                 {d.naming("dinkes-01", d.plain("dinkes-01")), "another kind than Ed25519"},
		"the first's signature":       {broken(t, call) + seal, "no certificate request, or was changed"},
		"the seal's signature":        {d.naming("dinkes-01", broken(t, seal)), "was changed on its way: the seal key"},
	} {
		debtest.Write(t, request, tc.text, 0o644)
		if out := d.authority(false, "sign", request); !strings.Contains(out, tc.says) {
			t.Errorf("%s: it says %s", name, out)
		}
		for _, path := range []string{"issued/dinkes-01.pem", "issued/dinkes-01.seal.pem", "seal-keys/dinkes-01.pem"} {
			if _, err := os.Stat(filepath.Join(d.ca, path)); err == nil {
				t.Fatalf("%s: %s was issued", name, path)
			}
		}
	}
	debtest.Write(t, request, call+seal, 0o644)
	d.authority(true, "sign", request)
	// Of an earlier version of gatewayd there is no seal key.
	debtest.Write(t, request, d.plain("dinkes-01"), 0o644)
	d.authority(true, "sign", request)
}

// plain is a request of an earlier version: for the gateway's key alone.
func (d *desk) plain(id string) string {
	d.t.Helper()
	return d.openssl("req", "-new", "-key", d.tls("gateway.key"), "-subj", "/CN="+id)
}

// naming is a request whose first block names the key in a second one, whatever that is.
func (d *desk) naming(id, seal string) string {
	d.t.Helper()
	block, _ := pem.Decode([]byte(seal))
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		d.t.Fatal(err)
	}
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	return d.openssl("req", "-new", "-key", d.tls("gateway.key"), "-subj", "/CN="+id, "-addext", "nsComment=gatewayd seal key "+hex.EncodeToString(sum[:])) + seal
}

func (d *desk) openssl(args ...string) string {
	d.t.Helper()
	out, ok := run(d.t, nil, "openssl", args...)
	if !ok {
		d.t.Fatal(out)
	}
	return out
}

// broken is a request whose signature does not hold.
func broken(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	block.Bytes[len(block.Bytes)-1] ^= 1
	return string(pem.EncodeToMemory(block))
}

// A certificate that is not for this gateway's seal key is left alone, and the gateway
// gets what it needs all the same.
func TestProvisionTakesItsOwnSealCertificateOnly(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	cert, cityCA := d.signed("dinkes-01"), filepath.Join(d.ca, "ca.pem")
	seal := filepath.Join(d.ca, "issued/dinkes-01.seal.pem")
	good := debtest.Read(t, seal)
	other.signed("dinkes-01")
	foreign := debtest.Read(t, filepath.Join(other.ca, "issued/dinkes-01.seal.pem"))
	d.provision("", "request", "dinkes-02", d.stick)
	d.authority(true, "sign", filepath.Join(d.stick, "dinkes-02.csr"))
	for name, text := range map[string]string{
		"another city's": foreign, "the other certificate": debtest.Read(t, cert), "not one": "<html>",
		"another name": debtest.Read(t, filepath.Join(d.ca, "issued/dinkes-02.seal.pem")),
	} {
		debtest.Write(t, seal, text, 0o644)
		d.provision("is not for the seal key of dinkes-01, so it is not taken", "accept", cert, cityCA)
		if d.Has("var/lib/gatewayd/tls/seal.pem") || !d.Has("var/lib/gatewayd/tls/gateway.pem") {
			t.Errorf("%s: it was taken, or nothing was", name)
		}
	}
	debtest.Write(t, seal, good, 0o644)
	// It is no certificate for the broker, whatever it is called.
	d.provision("!another city", "accept", seal, cityCA)
	d.provision("So is that of its seal key", "accept", cert, cityCA)
}

// Another key of a gateway that has one is said to be another, and both stay known.
func TestAnotherSealKeyIsANewStatement(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.provision("in place", "accept", d.signed("dinkes-01"), filepath.Join(d.ca, "ca.pem"))
	first := d.sealKey()
	request := filepath.Join(d.stick, "dinkes-01.csr")
	// The file was lost, and the gateway's other key is the one that the city knows.
	if err := os.Remove(d.tls("seal.key")); err != nil {
		t.Fatal(err)
	}
	d.provision("The request is", "request", "dinkes-01", d.stick)
	second := d.sealKey()
	another := "ANOTHER seal key, " + sealID(second.Public().(ed25519.PublicKey)) + ", than the one before, " + sealID(first.Public().(ed25519.PublicKey)) + ": a new statement"
	if out := d.authority(false, "sign", request); !strings.Contains(out, another) || !strings.Contains(out, "nobody can be asked") {
		t.Errorf("it says %s", out)
	}
	if got := d.sealKeys("dinkes-01"); len(got) != 1 {
		t.Fatalf("the city knows %d keys before anybody has agreed", len(got))
	}
	if out := d.withEnv("NEW_SEAL_KEY=dinkes-02", false, "sign", request); !strings.Contains(out, another) {
		t.Errorf("it says %s", out)
	}
	// At a terminal it asks.
	for answer, agreed := range map[string]bool{"n": false, "y": true} {
		if out := d.atTerminal(answer, "sign", request); !strings.Contains(out, "Has this gateway lost its seal key?") || strings.Contains(out, "is not signed") == agreed {
			t.Errorf("with %q it says %s", answer, out)
		}
	}
	if got := d.sealKeys("dinkes-01"); len(got) != 2 || !got[0].Equal(first.Public()) || !got[1].Equal(second.Public()) {
		t.Errorf("the city knows %d keys", len(got))
	}
	// A whole new Pi, or both keys anew: the old one stays until its certificate is there.
	d.provision("in place", "accept", filepath.Join(d.ca, "issued/dinkes-01.pem"))
	d.provision("The request is", "--new-key", "request", "dinkes-01", d.stick)
	if !d.sealKey().Equal(second) {
		t.Error("the key is gone before there is a certificate for the new one")
	}
	if out := d.withEnv("REPLACE=dinkes-01", true, "sign", request); !strings.Contains(out, "ANOTHER seal key") {
		t.Errorf("it says %s", out)
	}
	d.provision("So is that of its seal key", "accept", filepath.Join(d.ca, "issued/dinkes-01.pem"))
	third := d.sealKey()
	if third.Equal(second) || d.Has("var/lib/gatewayd/tls/seal.key.next") || !third.Public().(ed25519.PublicKey).Equal(certificateIn(t, d.tls("seal.pem")).PublicKey) {
		t.Error("the new key is not in place")
	}
	if got := d.sealKeys("dinkes-01"); len(got) != 3 || !got[2].Equal(third.Public()) {
		t.Errorf("the city knows %d keys", len(got))
	}
}

// atTerminal runs ca.sh as a person does who answers its question.
func (d *desk) atTerminal(answer string, args ...string) string {
	d.t.Helper()
	line := "printf '" + answer + "\\n' | script -qec 'city/ca.sh " + strings.Join(args, " ") + "' /dev/null; true"
	out, _ := run(d.t, append(slices.Clone(secrets), "CA_DIR="+d.ca), "sh", "-c", line)
	return out
}

// What was revoked is refused from then on, and stays good for what it has sealed.
func TestRevokedSealKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.provision("in place", "accept", d.signed("dinkes-01"), filepath.Join(d.ca, "ca.pem"))
	key := d.sealKey()
	d.authority(true, "revoke", "dinkes-01")
	note := regexp.MustCompile(`(?m)^# revoked \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: the certificates of dinkes-01$`)
	if text := debtest.Read(t, filepath.Join(d.ca, "seal-keys/dinkes-01.pem")); !note.MatchString(text) || !keys(d)[0].Equal(key.Public()) {
		t.Errorf("of what was sealed the city knows %s", text)
	}
	serial := certificateIn(t, d.tls("seal.pem")).SerialNumber.Text(16)
	if out := d.openssl("crl", "-in", filepath.Join(d.ca, "crl.pem"), "-noout", "-text"); !strings.Contains(out, strings.ToUpper(serial)) {
		t.Error("its certificate is not on the list")
	}
	// The thief makes another key for the broker, and keeps the one that seals.
	if err := os.Remove(d.tls("gateway.key")); err != nil {
		t.Fatal(err)
	}
	d.provision("The request is", "request", "dinkes-01", d.stick)
	request := filepath.Join(d.stick, "dinkes-01.csr")
	if out := d.authority(false, "sign", request); !strings.Contains(out, "a seal key that was revoked") {
		t.Errorf("it says %s", out)
	}
	// Who takes the place of what was taken back has another key, as is to be expected.
	d.provision("The request is", "--new-key", "request", "dinkes-01", d.stick)
	if out := d.authority(true, "sign", request); !strings.Contains(out, "ANOTHER seal key") {
		t.Errorf("it says %s", out)
	}
	if got := keys(d); len(got) != 2 || !got[0].Equal(key.Public()) {
		t.Errorf("the city knows %d keys", len(got))
	}
}

// Another name has another key, and what is retired has none.
func TestSealKeyIsOfOneName(t *testing.T) {
	t.Parallel()
	d := office(t)
	first := d.sealKey()
	d.provision("goes on as dinkes-01", "rename", d.stick, "dinkop-07", "dinkop")
	if !d.sealKey().Equal(first) {
		t.Error("it has another key before it has another name")
	}
	d.authority(true, "sign", filepath.Join(d.stick, "requests/dinkop-07.csr"))
	d.provision("So is that of its seal key", "rename", d.stick, "dinkop-07", "dinkop")
	if got := certificateIn(t, d.tls("seal.pem")); d.sealKey().Equal(first) || got.Subject.CommonName != "dinkop-07" || !d.sealKey().Public().(ed25519.PublicKey).Equal(got.PublicKey) {
		t.Errorf("it seals as %s", got.Subject)
	}
	d.authority(true, "revoke", "dinkes-01") // as retire does
	d.authority(true, "renew")
	d.provision("is dinkop-07 no more", "retire")
	for _, name := range []string{"seal.key", "seal.key.next", "seal.pem", "seal.csr"} {
		if d.Has("var/lib/gatewayd/tls/" + name) {
			t.Errorf("%s is still there", name)
		}
	}
}
