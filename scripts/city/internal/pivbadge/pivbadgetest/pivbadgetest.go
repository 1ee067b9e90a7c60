// Package pivbadgetest makes badge authorities and badges for tests, without openssl.
package pivbadgetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Authority is a badge authority.
type Authority struct {
	t           testing.TB
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// NewAuthority makes an authority that is valid from 2020 to 2040.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	return NewAuthorityOf(t, name, newKey(t, elliptic.P256()))
}

// NewAuthorityOf makes one with a key of another kind than a city's has.
func NewAuthorityOf(t testing.TB, name string, key crypto.Signer) *Authority {
	t.Helper()
	a := &Authority{t: t, Key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.Certificate = parsed(t, template, template, a.Key.Public(), a.Key)
	return a
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parsed(t testing.TB, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// PEM is the certificate of the authority, and those of badges.
func (a *Authority) PEM(badges ...*Badge) []byte {
	text := block(a.Certificate)
	for _, b := range badges {
		text = append(text, block(b.Certificate)...)
	}
	return text
}

func block(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Badge is a card with its key.
type Badge struct {
	GUID        uuid.UUID
	Key         *ecdsa.PrivateKey
	Certificate *x509.Certificate
}

// Badge makes a badge whose certificate is valid in 2026 and 2027, with what change does to
// the certificate before it is signed.
func (a *Authority) Badge(guid uuid.UUID, curve elliptic.Curve, change func(*x509.Certificate)) *Badge {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: guid.String()},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 16, 840, 1, 101, 3, 6, 8}},
		URIs:               []*url.URL{{Scheme: "urn", Opaque: "uuid:" + guid.String()}},
	}
	if change != nil {
		change(template)
	}
	b := &Badge{GUID: guid, Key: newKey(a.t, curve)}
	b.Certificate = parsed(a.t, template, a.Certificate, &b.Key.PublicKey, a.Key)
	return b
}

// Stream is that of the events that Tap makes.
const Stream = "019ab2c3-0000-7000-8000-000000000001"

// Fields are those of an event that a test wants otherwise; nil removes one.
type Fields map[string]any

// Tap makes the event of a tap, signed by the badge for the gateway, stream and boot_ms
// that the event says, and changes fields of it afterwards: those are not what was signed.
func (b *Badge) Tap(t testing.TB, seq int, bootMS uint64, change Fields) string {
	t.Helper()
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	text := append(append([]byte(nil), random...), "dinkes-01"...)
	stream := uuid.MustParse(Stream)
	text = binary.BigEndian.AppendUint64(append(text, stream[:]...), bootMS)
	sum := sha256.Sum256(text)
	nonce := sum[:]
	if b.Key.Curve == elliptic.P384() {
		long := sha512.Sum384(text)
		nonce = long[:]
	}
	signature, err := ecdsa.SignASN1(rand.Reader, b.Key, nonce)
	if err != nil {
		t.Fatal(err)
	}
	certificate := sha256.Sum256(b.Certificate.Raw)
	event := Fields{
		"v": 1, "id": Stream + "-" + big.NewInt(int64(seq)).String(), "gateway": "dinkes-01", "dinas": "dinkes", "stream": Stream,
		"seq": seq, "rev": 0, "kind": "badge", "boot": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "boot_ms": bootMS,
		"time": "2026-11-23T07:29:58.120+07:00", "time_quality": "synced", "time_error_ms": 1.5,
		"reader": "door", "badge": strings.ToUpper(hex.EncodeToString(b.GUID[:])), "card": "iso14443-4", "assurance": "authenticated-piv",
		"proof": map[string]any{
			"random":      hex.EncodeToString(random),
			"signature":   base64.StdEncoding.EncodeToString(signature),
			"certificate": hex.EncodeToString(certificate[:]),
		},
	}
	maps.Copy(event, change)
	maps.DeleteFunc(event, func(_ string, v any) bool { return v == nil })
	line, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}
