package piv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

const testGUID = "8ca01f9e-5a9e-8d1b-9c0d-51e3a5b2c7d8"

// The days of the tests.
var (
	day0 = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) // badges begin
	tap  = day0.AddDate(0, 6, 0)
)

// authority is one that signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// key makes a key over a curve.
func key(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newAuthority makes an authority, after a change to what would be a sound one.
func newAuthority(t testing.TB, name string, change func(*x509.Certificate)) authority {
	t.Helper()
	k := key(t, elliptic.P256())
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             day0.AddDate(-1, 0, 0),
		NotAfter:              day0.AddDate(9, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if change != nil {
		change(c)
	}
	return authority{parse(t, c, c, k.Public(), k), k}
}

// parse signs a certificate and reads it.
func parse(t testing.TB, c, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// badge is what an authority signs for a badge.
func badge(t testing.TB) *x509.Certificate {
	t.Helper()
	u, err := url.Parse("urn:uuid:" + testGUID)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber:       new(big.Int).SetBytes(bytes.Repeat([]byte{0x5A}, 16)),
		Subject:            pkix.Name{CommonName: testGUID},
		NotBefore:          day0,
		NotAfter:           day0.AddDate(3, 0, 0),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{cardAuth()},
		URIs:               []*url.URL{u},
	}
}

// sign signs a badge's certificate, after a change.
func (a authority) sign(t testing.TB, public crypto.PublicKey, change func(*x509.Certificate)) []byte {
	t.Helper()
	c := badge(t)
	if change != nil {
		change(c)
	}
	return parse(t, c, a.certificate, public, a.key).Raw
}

// trusted are authorities as read from a file.
func trusted(t testing.TB, list ...authority) *Authorities {
	t.Helper()
	var text []byte
	for _, a := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})...)
	}
	all, err := ParseAuthorities(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCertificate takes a badge's certificate over each curve, and what its key signs.
func TestCertificate(t *testing.T) {
	ca := newAuthority(t, "badge CA", nil)
	for _, tc := range []struct {
		curve elliptic.Curve
		want  Algorithm
	}{{elliptic.P256(), P256}, {elliptic.P384(), P384}} {
		k := key(t, tc.curve)
		der := ca.sign(t, k.Public(), nil)
		c, err := trusted(t, newAuthority(t, "another", nil), ca).Verify(der, tap, tap)
		if err != nil {
			t.Fatal(err)
		}
		if c.GUID != uuid.MustParse(testGUID) || c.Algorithm != tc.want || c.Fingerprint() != sha256.Sum256(der) {
			t.Errorf("GUID %v, %v, fingerprint %x", c.GUID, c.Algorithm, c.Fingerprint())
		}
		if alone, err := ParseCertificate(der); err != nil || alone.GUID != c.GUID {
			t.Errorf("by itself: %v", err)
		}
		hash := c.Algorithm.Hash().New().Sum(nil)
		signature, err := ecdsa.SignASN1(rand.Reader, k, hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(hash, signature); err != nil {
			t.Error(err)
		}
		other, err := ecdsa.SignASN1(rand.Reader, key(t, tc.curve), hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(hash, other); !errors.Is(err, ErrSignature) {
			t.Errorf("another key's signature: %v", err)
		}
		hash[0] ^= 1
		if err := c.Verify(hash, signature); !errors.Is(err, ErrSignature) {
			t.Errorf("signature over another challenge: %v", err)
		}
	}
}

// profileCase is a certificate of our authority that has not the form of a badge's.
type profileCase struct {
	public crypto.PublicKey // nil: one over P-256
	change func(*x509.Certificate)
	want   string // in the error
}

// refused signs each certificate and checks that it is refused, also by itself.
func refused(t *testing.T, cases map[string]profileCase) {
	t.Helper()
	ca := newAuthority(t, "badge CA", nil)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			public := tc.public
			if public == nil {
				public = key(t, elliptic.P256()).Public()
			}
			der := ca.sign(t, public, tc.change)
			if _, err := trusted(t, ca).Verify(der, tap, tap); !errors.Is(err, ErrBadCertificate) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q", err, tc.want)
			}
			if _, err := ParseCertificate(der); !errors.Is(err, ErrBadCertificate) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("by itself: error is %v, want %q", err, tc.want)
			}
		})
	}
}

// TestProfileNames: a badge's certificate says its GUID twice, and nothing else of anybody.
func TestProfileNames(t *testing.T) {
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	refused(t, map[string]profileCase{
		"no URI":           {change: func(c *x509.Certificate) { c.URIs = nil }, want: "0 URIs"},
		"two URIs":         {change: func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("urn:uuid:"+uuid.NewString())) }, want: "2 URIs"},
		"other URI":        {change: func(c *x509.Certificate) { c.URIs[0] = uri("https://example/" + testGUID) }, want: "no urn:uuid"},
		"bare GUID":        {change: func(c *x509.Certificate) { c.URIs[0] = uri(testGUID) }, want: "no urn:uuid"},
		"upper case":       {change: func(c *x509.Certificate) { c.URIs[0] = uri("urn:uuid:" + strings.ToUpper(testGUID)) }, want: "no urn:uuid"},
		"GUID of zeros":    {change: func(c *x509.Certificate) { c.URIs[0] = uri("urn:uuid:" + uuid.Nil.String()) }, want: "no urn:uuid"},
		"cut GUID":         {change: func(c *x509.Certificate) { c.URIs[0] = uri("urn:uuid:" + testGUID[:35]) }, want: "no urn:uuid"},
		"mail beside":      {change: func(c *x509.Certificate) { c.EmailAddresses = []string{"budi@example.org"} }, want: "more than one alternative name"},
		"name beside":      {change: func(c *x509.Certificate) { c.DNSNames = []string{"budi.example.org"} }, want: "more than one alternative name"},
		"address beside":   {change: func(c *x509.Certificate) { c.IPAddresses = []net.IP{{10, 0, 0, 1}} }, want: "more than one alternative name"},
		"a person's name":  {change: func(c *x509.Certificate) { c.Subject.CommonName = "Budi" }, want: "subject"},
		"another GUID":     {change: func(c *x509.Certificate) { c.Subject.CommonName = uuid.NewString() }, want: "subject"},
		"no subject":       {change: func(c *x509.Certificate) { c.Subject = pkix.Name{} }, want: "subject"},
		"subject and more": {change: func(c *x509.Certificate) { c.Subject.Organization = []string{"Dinas"} }, want: "subject"},
	})
}

// TestProfileUse: a badge's certificate is for the card authentication key, for nothing else
// and for three years at most.
func TestProfileUse(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, map[string]profileCase{
		"RSA":             {public: rsaKey.Public(), want: "neither P-256 nor P-384"},
		"Ed25519":         {public: edKey, want: "neither P-256 nor P-384"},
		"P-224":           {public: key(t, elliptic.P224()).Public(), want: "neither P-256 nor P-384"},
		"P-521":           {public: key(t, elliptic.P521()).Public(), want: "neither P-256 nor P-384"},
		"no key usage":    {change: func(c *x509.Certificate) { c.KeyUsage = 0 }, want: "digitalSignature"},
		"more key usage":  {change: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }, want: "digitalSignature"},
		"other key usage": {change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, want: "digitalSignature"},
		"no purpose":      {change: func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }, want: "id-PIV-cardAuth"},
		"a gateway's": {change: func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, want: "id-PIV-cardAuth"},
		"a second purpose": {change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, want: "id-PIV-cardAuth"},
		"any purpose": {change: func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}, want: "id-PIV-cardAuth"},
		"another purpose": {change: func(c *x509.Certificate) {
			c.UnknownExtKeyUsage[0] = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 7}
		}, want: "id-PIV-cardAuth"},
		"purpose twice":     {change: func(c *x509.Certificate) { c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, cardAuth()) }, want: "id-PIV-cardAuth"},
		"an authority's":    {change: func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }, want: "authority"},
		"a second too long": {change: func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }, want: "3 years"},
		"critical extension": {change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, want: "unhandled critical extension"},
		"more than 4 KiB": {change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, 4096)}}
		}, want: "bytes"},
	})
}

// TestNotACertificate: what cannot be read at all is no badge's.
func TestNotACertificate(t *testing.T) {
	ca := newAuthority(t, "badge CA", nil)
	good := ca.sign(t, key(t, elliptic.P256()).Public(), nil)
	for _, der := range [][]byte{nil, {0x30, 0x00}, append(bytes.Clone(good), 0x00), good[:len(good)-1]} {
		if _, err := trusted(t, ca).Verify(der, tap, tap); !errors.Is(err, ErrBadCertificate) {
			t.Errorf("% X: error is %v", der, err)
		}
		if _, err := ParseCertificate(der); !errors.Is(err, ErrBadCertificate) {
			t.Errorf("% X: error is %v", der, err)
		}
	}
}

// TestForeign: what none of our authorities has signed is foreign, whatever else is wrong.
func TestForeign(t *testing.T) {
	ca := newAuthority(t, "badge CA", nil)
	ours := trusted(t, ca)
	k := key(t, elliptic.P256())
	flip := func(der []byte, i int) []byte {
		der = bytes.Clone(der)
		der[i] ^= 1
		return der
	}
	good := ca.sign(t, k.Public(), nil)
	self := badge(t)
	self.Issuer = ca.certificate.Subject
	for name, der := range map[string][]byte{
		"another authority":             newAuthority(t, "other CA", nil).sign(t, k.Public(), nil),
		"another one of our name":       newAuthority(t, "badge CA", nil).sign(t, k.Public(), nil),
		"another one, expired":          newAuthority(t, "other CA", nil).sign(t, k.Public(), func(c *x509.Certificate) { c.NotAfter = day0.AddDate(0, 1, 0) }),
		"another one, of another form":  newAuthority(t, "other CA", nil).sign(t, k.Public(), func(c *x509.Certificate) { c.URIs, c.KeyUsage = nil, 0 }),
		"signed by itself":              parse(t, self, self, k.Public(), k).Raw,
		"signed by itself, in our name": parse(t, self, &x509.Certificate{Subject: ca.certificate.Subject}, k.Public(), k).Raw,
		"signature changed":             flip(good, len(good)-1),
		"content changed":               flip(good, bytes.Index(good, []byte(testGUID))), // of the subject
	} {
		if c, err := ours.Verify(der, tap, tap); !errors.Is(err, ErrForeignCA) || c != nil {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	// Of a badge of ours that signs another one.
	middle := ca.sign(t, k.Public(), nil)
	parsed, err := x509.ParseCertificate(middle)
	if err != nil {
		t.Fatal(err)
	}
	der := authority{parsed, k}.sign(t, key(t, elliptic.P256()).Public(), nil)
	if _, err := ours.Verify(der, tap, tap); !errors.Is(err, ErrForeignCA) {
		t.Errorf("signed by a badge: error is %v", err)
	}
}

// TestAuthorityIsRestricted: what an authority may not sign it has not signed for a badge,
// here by the name constraints of its own certificate (RFC 5280, 4.2.1.10).
func TestAuthorityIsRestricted(t *testing.T) {
	ca := newAuthority(t, "badge CA", func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
	})
	der := ca.sign(t, key(t, elliptic.P256()).Public(), nil)
	if _, err := trusted(t, ca).Verify(der, tap, tap); !errors.Is(err, ErrBadCertificate) {
		t.Errorf("error is %v", err)
	}
}

// TestDates: the tap lies within the certificate's days and its authority's; of a clock that
// is not known only what is past for sure is held against a card.
func TestDates(t *testing.T) {
	ca := newAuthority(t, "badge CA", func(c *x509.Certificate) { c.NotAfter = day0.AddDate(2, 0, 0) })
	ours := trusted(t, ca)
	der := ca.sign(t, key(t, elliptic.P256()).Public(), func(c *x509.Certificate) { c.NotAfter = day0.AddDate(1, 0, 0) })
	long := ca.sign(t, key(t, elliptic.P256()).Public(), nil)
	end := day0.AddDate(1, 0, 0)
	const s = time.Second
	for name, tc := range map[string]struct {
		der              []byte
		earliest, latest time.Time
		want             error
	}{
		"first second":                        {der, day0, day0, nil},
		"a second before":                     {der, day0.Add(-s), day0.Add(-s), ErrNotYetValid},
		"a clock that may be right":           {der, day0.Add(-s), day0.Add(s), nil},
		"last second":                         {der, end, end, nil},
		"a second after":                      {der, end.Add(s), end.Add(s), ErrExpired},
		"a clock that may be right, later":    {der, end.Add(-s), end.Add(time.Hour), nil},
		"clock not known":                     {der, time.Time{}, time.Time{}, nil},
		"clock not known, before the first":   {der, day0.AddDate(-1, 0, 0), time.Time{}, nil},
		"clock not known, past for sure":      {der, end.Add(s), time.Time{}, ErrExpired},
		"authority's last second":             {long, day0.AddDate(2, 0, 0), day0.AddDate(2, 0, 0), nil},
		"authority expired":                   {long, day0.AddDate(2, 0, 0).Add(s), day0.AddDate(2, 0, 0).Add(s), ErrExpired},
		"clock not known, authority expired":  {long, day0.AddDate(2, 0, 0).Add(s), time.Time{}, ErrExpired},
		"long before the authority had begun": {der, day0.AddDate(-2, 0, 0), day0.AddDate(-2, 0, 0), ErrNotYetValid},
	} {
		if _, err := ours.Verify(tc.der, tc.earliest, tc.latest); !errors.Is(err, tc.want) {
			t.Errorf("%s: error is %v, want %v", name, err, tc.want)
		}
	}
	// A renewed authority of the same name and key, beside the one that has expired.
	renewed := *ca.certificate
	renewed.NotAfter = day0.AddDate(9, 0, 0)
	both := trusted(t, ca, authority{parse(t, &renewed, &renewed, ca.key.Public(), ca.key), ca.key})
	if _, err := both.Verify(long, day0.AddDate(2, 6, 0), day0.AddDate(2, 6, 0)); err != nil {
		t.Errorf("renewed authority: %v", err)
	}
}

// TestAuthorities reads files of authorities, and refuses what could not be one.
func TestAuthorities(t *testing.T) {
	root := newAuthority(t, "root", nil)
	k := key(t, elliptic.P384())
	office := authority{parse(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "office"}, NotBefore: day0, NotAfter: day0.AddDate(5, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}, root.certificate, k.Public(), root.key), k}
	all := trusted(t, root, office)
	if list := all.Certificates(); len(list) != 2 || list[1].Subject.CommonName != "office" {
		t.Errorf("authorities %v", list)
	}
	if _, err := all.Verify(office.sign(t, key(t, elliptic.P256()).Public(), nil), tap, tap); err != nil {
		t.Errorf("of the office's own authority: %v", err)
	}
	if _, err := trusted(t, root).Verify(office.sign(t, key(t, elliptic.P256()).Public(), nil), tap, tap); !errors.Is(err, ErrForeignCA) {
		t.Errorf("of an authority that is not in the file: %v", err)
	}

	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	template := *root.certificate
	template.SignatureAlgorithm, template.PublicKey = 0, nil // by the signer
	for name, tc := range map[string]struct{ text, want string }{
		"empty":               {"", "no certificate"},
		"no PEM":              {"gateway", "no certificate"},
		"a key":               {block("PRIVATE KEY", nil) + block("CERTIFICATE", root.certificate.Raw), "a private key"},
		"broken":              {block("CERTIFICATE", root.certificate.Raw) + block("CERTIFICATE", []byte{0x30}), "certificate 2"},
		"a badge":             {block("CERTIFICATE", root.sign(t, k.Public(), nil)), "not an authority's"},
		"RSA":                 {block("CERTIFICATE", parse(t, &template, &template, rsaKey.Public(), rsaKey).Raw), "P-521"},
		"P-224":               {block("CERTIFICATE", parse(t, &template, root.certificate, key(t, elliptic.P224()).Public(), root.key).Raw), "P-521"},
		"may not sign":        {block("CERTIFICATE", newAuthority(t, "x", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }).certificate.Raw), "key usage"},
		"no authority":        {block("CERTIFICATE", newAuthority(t, "x", func(c *x509.Certificate) { c.IsCA = false }).certificate.Raw), "not an authority's"},
		"without a statement": {block("CERTIFICATE", newAuthority(t, "x", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }).certificate.Raw), "not an authority's"},
	} {
		if _, err := ParseAuthorities([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error is %v, want %q", name, err, tc.want)
		}
	}
}
