package sealkey_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sealkey"
)

// authority is a city's authority.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(dir, name)}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: name}}, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	write(t, a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	return a
}

// certify writes a certificate of a public key.
func (a *authority) certify(file, name string, public any, end time.Time) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: end,
	}, a.cert, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func write(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// pkcs8 is a private key as openssl genpkey writes it.
func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

var (
	now  = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	late = now.Add(24 * time.Hour)
)

// rig is a folder with a certified key.
type rig struct {
	*sealkey.Key
	dir  string
	city *authority
	opt  sealkey.Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{dir: dir, city: newAuthority(t, dir, "ca.pem"), opt: sealkey.Options{
		KeyFile: filepath.Join(dir, "seal.key"), CertFile: filepath.Join(dir, "seal.pem"),
		CAFile: filepath.Join(dir, "ca.pem"), Gateway: "dinkes-01",
	}}
	var err error
	if r.Key, err = sealkey.Create(r.opt.KeyFile); err != nil {
		t.Fatal(err)
	}
	r.city.certify(r.opt.CertFile, "dinkes-01", r.Public(), late)
	return r
}

// TestKeyIsReadAndSigns: what Create makes is read, is certified, and its signatures are
// those that openssl and any other program check with the public key.
func TestKeyIsReadAndSigns(t *testing.T) {
	r := newRig(t)
	files := sealkey.Read(r.opt)
	if p := files.Check(now); p != nil {
		t.Fatal(p)
	}
	key := files.Key()
	if key == nil || key.KeyID() != r.KeyID() || key.KeyID() != presence.KeyIDOf(r.Public()) {
		t.Fatalf("%v", key)
	}
	sig, err := key.Sign([]byte("text"))
	if err != nil || !ed25519.Verify(r.Public(), []byte("text"), sig) {
		t.Error("its signature is not right")
	}
	block, _ := pem.Decode([]byte(key.PublicPEM()))
	if public, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !r.Public().Equal(public) {
		t.Errorf("%v %v", public, err)
	}
	want, err := os.ReadFile(r.opt.CertFile)
	if err != nil || files.Certificate() != string(want) {
		t.Errorf("%s", files.Certificate())
	}
	if _, err := sealkey.Create(r.opt.KeyFile); err == nil {
		t.Error("a key was written over another")
	}
	if info, err := os.Stat(r.opt.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if none := sealkey.Read(sealkey.Options{}); none.Key() != nil || none.Check(now) != nil || none.Refresh() {
		t.Error("no key is configured, and that is a problem")
	}
}

// spoilt is a way in which the files of a key are wrong.
type spoilt struct {
	spoil func(r *rig)
	fault sealkey.Fault
	seals bool
	says  string
}

func spoiltFiles(t *testing.T) map[string]spoilt {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]spoilt{
		"missing":   {func(r *rig) { os.Remove(r.opt.KeyFile) }, sealkey.Unreadable, false, "no such file"},
		"a folder":  {func(r *rig) { os.Remove(r.opt.KeyFile); os.Mkdir(r.opt.KeyFile, 0o700) }, sealkey.Unreadable, false, "no ordinary file"},
		"for all":   {func(r *rig) { os.Chmod(r.opt.KeyFile, 0o644) }, sealkey.Exposed, false, "0644"},
		"for group": {func(r *rig) { os.Chmod(r.opt.KeyFile, 0o640) }, sealkey.Exposed, false, "0640"},
		"empty":     {func(r *rig) { write(t, r.opt.KeyFile, nil, 0o600) }, sealkey.NotEd25519, false, "no key"},
		"garbage":   {func(r *rig) { write(t, r.opt.KeyFile, []byte("\x00\xff garbage"), 0o600) }, sealkey.NotEd25519, false, "no key"},
		"garbage in PEM": {func(r *rig) {
			write(t, r.opt.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("garbage")}), 0o600)
		}, sealkey.NotEd25519, false, "cannot be read"},
		"RSA":   {func(r *rig) { write(t, r.opt.KeyFile, pkcs8(t, rsaKey), 0o600) }, sealkey.NotEd25519, false, "rsa"},
		"ECDSA": {func(r *rig) { write(t, r.opt.KeyFile, pkcs8(t, r.city.key), 0o600) }, sealkey.NotEd25519, false, "ecdsa"},
		"passphrase": {func(r *rig) {
			write(t, r.opt.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), 0o600)
		}, sealkey.NotEd25519, false, "passphrase"},
		"a certificate": {func(r *rig) {
			text, _ := os.ReadFile(r.opt.CertFile)
			write(t, r.opt.KeyFile, text, 0o600)
		}, sealkey.NotEd25519, false, "CERTIFICATE"},
		"too large":           {func(r *rig) { write(t, r.opt.KeyFile, make([]byte, 1<<20), 0o600) }, sealkey.NotEd25519, false, "larger"},
		"no certificate":      {func(r *rig) { os.Remove(r.opt.CertFile) }, sealkey.Uncertified, true, "is not there"},
		"garbage certificate": {func(r *rig) { write(t, r.opt.CertFile, []byte("x"), 0o644) }, sealkey.WrongCertificate, true, "no certificate"},
		"another key's":       {func(r *rig) { r.city.certify(r.opt.CertFile, "dinkes-01", r.city.key.Public(), late) }, sealkey.WrongCertificate, true, "another key"},
		"another gateway's":   {func(r *rig) { r.city.certify(r.opt.CertFile, "dinkes-02", r.Public(), late) }, sealkey.WrongCertificate, true, "dinkes-02"},
		"another authority's": {func(r *rig) {
			newAuthority(t, r.dir, "other.pem").certify(r.opt.CertFile, "dinkes-01", r.Public(), late)
		}, sealkey.WrongCertificate, true, "authority"},
		"ended": {func(r *rig) { r.city.certify(r.opt.CertFile, "dinkes-01", r.Public(), now) }, sealkey.Expired, true, "ended"},
	}
}

// TestEachFaultHasItsName: what is wrong with key or certificate, whether the gateway
// seals all the same, and that it heals by itself when the file is right again.
func TestEachFaultHasItsName(t *testing.T) {
	for name, tc := range spoiltFiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			right := make(map[string][]byte)
			for _, path := range []string{r.opt.KeyFile, r.opt.CertFile} {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				right[path] = text
			}
			tc.spoil(r)
			files := sealkey.Read(r.opt)
			p := files.Check(now)
			if p == nil || p.Fault != tc.fault || p.Unusable() == tc.seals || !strings.Contains(p.Err.Error(), tc.says) {
				t.Fatalf("%+v", p)
			}
			if (files.Key() != nil) != tc.seals {
				t.Errorf("seals with %v", files.Key())
			}
			if files.Certificate() != "" && tc.fault != sealkey.Expired {
				t.Error("a certificate that is wrong is shown")
			}
			for path, text := range right {
				mode := os.FileMode(0o600)
				if path == r.opt.CertFile {
					mode = 0o644
				}
				write(t, path, text, mode)
			}
			if tc.fault == sealkey.Expired {
				r.city.certify(r.opt.CertFile, "dinkes-01", r.Public(), late)
			}
			if !files.Refresh() {
				t.Error("the right files change nothing")
			}
			if p := files.Check(now); p != nil || files.Key() == nil {
				t.Errorf("with the right files: %v", p)
			}
			if files.Refresh() {
				t.Error("nothing has changed")
			}
		})
	}
}

// TestCertificateWithoutAuthority: where mqtt.ca_file cannot be read, whose signature the
// certificate has is not checked; the line says what is wrong there.
func TestCertificateWithoutAuthority(t *testing.T) {
	r := newRig(t)
	r.opt.CAFile = ""
	if p := sealkey.Read(r.opt).Check(now); p != nil {
		t.Error(p)
	}
	r.opt.CertFile = ""
	if p := sealkey.Read(r.opt).Check(now); p == nil || p.Fault != sealkey.Uncertified {
		t.Error(p)
	}
}
