package applets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/google/uuid"

	"presence/drivers/card"
)

// Authority signs the certificates of simulated badges. Its key is made from a fixed
// text, so that each program which knows this package has the same one, and knows which
// authority no real gateway may trust.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// NewAuthority is the simulated badge CA.
func NewAuthority() (*Authority, error) { return newAuthority("gatewayd sim badge authority") }

// NewForeignAuthority is another one, which nobody trusts. It has the same name.
func NewForeignAuthority() (*Authority, error) {
	return newAuthority("gatewayd sim badge authority, foreign")
}

func newAuthority(seed string) (*Authority, error) {
	key, err := keyOf(elliptic.P256(), seed)
	if err != nil {
		return nil, fmt.Errorf("make badge authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serialOf(seed),
		Subject:               pkix.Name{CommonName: "Simulated badge CA"},
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), // clocks of tests begin in 2000
		NotAfter:              time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make badge authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make badge authority: %w", err)
	}
	return &Authority{key: key, cert: cert}, nil
}

// Certificate is the authority's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM is the authority's certificate as a file of authorities has it.
func (a *Authority) PEM() []byte { return PEM(a.cert.Raw) }

// PEM is a certificate as a file has it.
func PEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Profile is what a badge's certificate says.
type Profile struct {
	GUID [16]byte
	Key  *ecdsa.PublicKey
	// NotBefore and NotAfter may be at most 3 years apart.
	NotBefore, NotAfter time.Time
	// Usage is the one extended key usage; nil is that of PIV card authentication.
	Usage asn1.ObjectIdentifier
	// Change, where not nil, makes the certificate one that no badge may have.
	Change func(*x509.Certificate)
	// Size is how many bytes the certificate should have; 0 is as many as it needs.
	Size int
}

// cardAuthenticationUsage is id-PIV-cardAuth (FIPS 201-2, table 7).
func cardAuthenticationUsage() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 8}
}

// Issue makes a badge's certificate, DER. The same profile gives the same certificate.
func (a *Authority) Issue(p Profile) ([]byte, error) {
	usage := p.Usage
	if usage == nil {
		usage = cardAuthenticationUsage()
	}
	name := uuid.UUID(p.GUID).String()
	point, err := p.Key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("issue badge certificate: %w", err)
	}
	said := fmt.Append(nil, p.NotBefore.Unix(), p.NotAfter.Unix(), usage, p.Size)
	template := &x509.Certificate{
		Subject:            pkix.Name{CommonName: name},
		URIs:               []*url.URL{{Scheme: "urn", Opaque: "uuid:" + name}},
		NotBefore:          p.NotBefore,
		NotAfter:           p.NotAfter,
		KeyUsage:           x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{usage},
	}
	if p.Change != nil {
		p.Change(template)
	}
	// The signature has 70 to 72 bytes, and long lengths take more bytes themselves. So
	// where a size is asked for, the filler is tried until the size is right, each time
	// with another serial number, and so another signature.
	for tries := byte(0); tries < 100; tries++ {
		template.SerialNumber = serialOf("gatewayd sim badge certificate", p.GUID[:], point, said, []byte{tries})
		der, err := x509.CreateCertificate(nil, template, a.cert, p.Key, a.key)
		if err != nil {
			return nil, fmt.Errorf("issue badge certificate: %w", err)
		}
		if p.Size == 0 || len(der) == p.Size {
			return der, nil
		}
		fill := p.Size - len(der)
		if template.ExtraExtensions != nil {
			fill += len(template.ExtraExtensions[0].Value)
		}
		template.ExtraExtensions = []pkix.Extension{{
			Id:    asn1.ObjectIdentifier{2, 999, 1}, // the arc that ITU-T X.660 keeps for examples
			Value: make([]byte, max(fill, 0)),
		}}
	}
	return nil, fmt.Errorf("issue badge certificate: it cannot have %d bytes", p.Size)
}

// keyOf makes a private key from a text.
func keyOf(curve elliptic.Curve, seed string) (*ecdsa.PrivateKey, error) {
	for n := byte(0); ; n++ {
		var raw []byte
		if curve == elliptic.P384() {
			h := sha512.Sum384(append([]byte(seed), 0, n))
			raw = h[:]
		} else {
			h := sha256.Sum256(append([]byte(seed), 0, n))
			raw = h[:]
		}
		// Once in 2^32 the hash is no key.
		if key, err := ecdsa.ParseRawPrivateKey(curve, raw); err == nil || n == 255 {
			return key, err
		}
	}
}

// serialOf makes a serial number of 127 bits from what a certificate says.
func serialOf(seed string, parts ...[]byte) *big.Int {
	h := sha256.New()
	h.Write([]byte(seed))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write(p)
	}
	b := h.Sum(nil)[:16]
	b[0] = b[0]&0x7F | 0x40
	return new(big.Int).SetBytes(b)
}

// GUIDOf is the GUID of a badge that is issued for a card with a fixed UID: the first 16
// bytes of SHA-256("gatewayd badge guid v1" || 00 || UID), as a UUID of version 8 (RFC
// 9562, 5.8). Whoever sees the UID alone knows whose it would be.
func GUIDOf(uid card.UID) (guid [16]byte) {
	h := sha256.Sum256(append([]byte("gatewayd badge guid v1\x00"), uid.Bytes()...))
	copy(guid[:], h[:])
	guid[6] = guid[6]&0x0F | 0x80
	guid[8] = guid[8]&0x3F | 0x80
	return guid
}
