package doctor_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/sealkey"
)

// certificateOf is a certificate of a seal key, as ca.sh makes it.
func certificateOf(t *testing.T, name string, public ed25519.PublicKey, end time.Time) string {
	t.Helper()
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "city"}}, public, ca)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestSealKey: whether the gateway can seal with its key, whether the city has certified
// it, and what mends it.
func TestSealKey(t *testing.T) {
	const key, cert = "var/lib/gatewayd/tls/seal.key", "var/lib/gatewayd/tls/seal.pem"
	const provision, look = "sudo gatewayd-provision seal-key", "sudo ls -l"
	for name, tc := range map[string]struct {
		breaks func(*office)
		level  doctor.Level
		mend   string
		says   string
	}{
		"certified": {func(*office) {}, doctor.OK, "", "certified"},
		"none":      {func(o *office) { o.opt.Config.Seal.KeyFile, o.opt.Config.Seal.CertFile = "", "" }, doctor.OK, "", "not sealed"},
		"beside the broker's key": {func(o *office) {
			o.opt.Config.Seal.KeyFile, o.opt.Config.Seal.CertFile = "", ""
			o.opt.Config.MQTT.KeyFile = "/var/lib/gatewayd/tls/gateway.key"
		}, doctor.OK, "", "certified"},
		"none beside the broker's key": {func(o *office) {
			o.remove(key)
			o.opt.Config.Seal.KeyFile, o.opt.Config.Seal.CertFile = "", ""
			o.opt.Config.MQTT.KeyFile = "/var/lib/gatewayd/tls/gateway.key"
		}, doctor.OK, "", "not sealed"},
		"missing":           {func(o *office) { o.remove(key) }, doctor.Fail, provision, "no such file"},
		"no provision tool": {func(o *office) { o.remove(key); o.remove("usr/sbin/gatewayd-provision") }, doctor.Fail, look, "no such file"},
		"for all":           {func(o *office) { o.mode(key, 0o644) }, doctor.Fail, "sudo chmod 600", "0644"},
		"garbage":           {func(o *office) { o.write(key, "x"); o.mode(key, 0o600) }, doctor.Fail, provision, "no seal key"},
		"not certified":     {func(o *office) { o.remove(cert) }, doctor.Warn, provision, "not certified"},
		"another gateway's": {func(o *office) { o.opt.Config.Gateway.ID = "dinkes-02" }, doctor.Warn, provision, "dinkes-01"},
		"for another user": {func(o *office) {
			o.write("etc/passwd", "gatewayd:x:64123:64123::/var/lib/gatewayd:/usr/sbin/nologin\n")
		}, doctor.Fail, "sudo chown gatewayd:", "user gatewayd may not read"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tcp://localhost")
			if os.Getuid() != 0 || name != "for another user" {
				// The files of the scratch root belong to whoever runs the tests.
				o.write("etc/passwd", "gatewayd:x:"+strconv.Itoa(os.Getuid())+":64123::/var/lib/gatewayd:/usr/sbin/nologin\n")
			}
			o.write("usr/sbin/gatewayd-provision", "")
			if err := os.MkdirAll(filepath.Join(o.root, filepath.Dir(key)), 0o700); err != nil {
				t.Fatal(err)
			}
			made, err := sealkey.Create(filepath.Join(o.root, key))
			if err != nil {
				t.Fatal(err)
			}
			o.write(cert, certificateOf(t, "dinkes-01", made.Public(), time.Now().Add(time.Hour)))
			o.opt.Config.Seal.KeyFile, o.opt.Config.Seal.CertFile = "/"+key, "/"+cert
			tc.breaks(o)
			for _, f := range doctor.Examine(t.Context(), o.opt) {
				if f.Code != "seal-key" {
					continue
				}
				if f.Level != tc.level || !strings.HasPrefix(f.Mend+f.Look, tc.mend) || !strings.Contains(f.EN, tc.says) || strings.Contains(f.EN+f.Mend+f.Look, o.root) {
					t.Errorf("%+v", f)
				}
				return
			}
			t.Error("nothing is said of the seal key")
		})
	}
}
