package piv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxYears is for how many years a badge's certificate is valid at most.
const maxYears = 3

// Certificate is the certificate of a badge: its form is right, its authority is not known.
type Certificate struct {
	X509      *x509.Certificate
	GUID      uuid.UUID // of the badge, from the certificate
	Algorithm Algorithm // of its key
}

// Fingerprint is the SHA-256 of the certificate's DER.
func (c *Certificate) Fingerprint() [32]byte { return sha256.Sum256(c.X509.Raw) }

// Verify checks that signature is one by the certificate's key over hash, as Card.Sign
// returns it. The error wraps ErrSignature.
func (c *Certificate) Verify(hash, signature []byte) error {
	return verify(c.X509.PublicKey, hash, signature)
}

// ParseCertificate reads the certificate of a badge in DER, and checks its form: a key
// over P-256 or P-384; the GUID, as a UUID in lower case, as the only name (CN) and as the
// only alternative name (urn:uuid:...); key usage digitalSignature and nothing else, and the
// extended key usage id-PIV-cardAuth and nothing else; no critical extension beside; no
// authority; valid for three years at most. The error wraps ErrBadCertificate.
func ParseCertificate(der []byte) (*Certificate, error) {
	if len(der) > maxObject {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadCertificate, len(der))
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCertificate, err)
	}
	return profile(c)
}

// profile checks the form of a badge's certificate.
func profile(c *x509.Certificate) (*Certificate, error) {
	algorithm, _, err := algorithmOf(c.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCertificate, err)
	}
	guid, err := guidOf(c)
	if err != nil {
		return nil, err
	}
	switch {
	case c.KeyUsage != x509.KeyUsageDigitalSignature:
		return nil, fmt.Errorf("%w: key usage is not digitalSignature alone", ErrBadCertificate)
	case len(c.ExtKeyUsage) != 0 || len(c.UnknownExtKeyUsage) != 1 || !c.UnknownExtKeyUsage[0].Equal(cardAuth()):
		return nil, fmt.Errorf("%w: extended key usage is not id-PIV-cardAuth alone", ErrBadCertificate)
	case len(c.UnhandledCriticalExtensions) != 0:
		return nil, fmt.Errorf("%w: unhandled critical extension %v", ErrBadCertificate, c.UnhandledCriticalExtensions[0])
	case c.IsCA:
		return nil, fmt.Errorf("%w: it is an authority's", ErrBadCertificate)
	case c.NotAfter.After(c.NotBefore.AddDate(maxYears, 0, 0)):
		return nil, fmt.Errorf("%w: valid for more than %d years", ErrBadCertificate, maxYears)
	}
	return &Certificate{X509: c, GUID: guid, Algorithm: algorithm}, nil
}

// cardAuth is id-PIV-cardAuth (SP 800-73-5 part 1, appendix B).
func cardAuth() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 8}
}

// guidOf is the GUID of a badge's certificate, which stands in it as subject and as
// alternative name. Neither may hold anything else, so that no name slips into what
// everybody near the card can read.
func guidOf(c *x509.Certificate) (uuid.UUID, error) {
	if len(c.URIs) != 1 {
		return uuid.UUID{}, fmt.Errorf("%w: %d URIs among the alternative names", ErrBadCertificate, len(c.URIs))
	}
	text, ok := strings.CutPrefix(c.URIs[0].String(), "urn:uuid:")
	guid, err := uuid.Parse(text)
	if !ok || err != nil || guid.String() != text || guid == uuid.Nil {
		return uuid.UUID{}, fmt.Errorf("%w: the alternative name is no urn:uuid", ErrBadCertificate)
	}
	if names := c.Subject.Names; len(names) != 1 || c.Subject.CommonName != text {
		return uuid.UUID{}, fmt.Errorf("%w: the subject is not the GUID alone", ErrBadCertificate)
	}
	// SEQUENCE { [6] "urn:uuid:..." }
	want := append([]byte{0x30, 47, 0x86, 45}, "urn:uuid:"+text...)
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && !bytes.Equal(e.Value, want) {
			return uuid.UUID{}, fmt.Errorf("%w: more than one alternative name", ErrBadCertificate)
		}
	}
	return guid, nil
}

// Authorities are those whose signature makes a certificate that of a badge.
type Authorities struct {
	certificates []*x509.Certificate
}

// ParseAuthorities reads certificates in PEM, at least one. Each must be an authority's,
// over P-256, P-384 or P-521. Each counts by itself: one that another has issued is an
// authority even where the other is not among them.
func ParseAuthorities(text []byte) (*Authorities, error) {
	var a Authorities
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("read authorities: a %s among the certificates", strings.ToLower(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read authorities: certificate %d: %w", len(a.certificates)+1, err)
		}
		if err := checkAuthority(c); err != nil {
			return nil, fmt.Errorf("read authorities: %s: %w", c.Subject, err)
		}
		a.certificates = append(a.certificates, c)
	}
	if len(a.certificates) == 0 {
		return nil, errors.New("read authorities: no certificate in PEM")
	}
	return &a, nil
}

// checkAuthority checks that c may sign certificates of badges.
func checkAuthority(c *x509.Certificate) error {
	k, ok := c.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521():
		return errors.New("its key is not over P-256, P-384 or P-521")
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("it is not an authority's certificate")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its key usage does not allow it to sign certificates")
	}
	return nil
}

// Certificates are the authorities' own, in the order of the file.
func (a *Authorities) Certificates() []*x509.Certificate {
	return append([]*x509.Certificate(nil), a.certificates...)
}

// Verify reads the certificate of a badge and checks that one of the authorities has signed
// it, that it was valid at the tap, and that it has the form of ParseCertificate, in this
// order: a certificate that is none of ours is foreign, whatever else is wrong with it.
//
// The tap was between earliest and latest. A zero latest says that the clock is not known,
// and earliest what time is past for sure: then a certificate that begins later is no
// fault. Whether it is revoked is for the caller to say. The error wraps ErrForeignCA,
// ErrExpired, ErrNotYetValid or ErrBadCertificate.
func (a *Authorities) Verify(der []byte, earliest, latest time.Time) (*Certificate, error) {
	if len(der) > maxObject {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadCertificate, len(der))
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCertificate, err)
	}
	roots := x509.NewCertPool()
	found := false
	for _, authority := range a.certificates {
		if bytes.Equal(authority.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(authority) == nil {
			roots.AddCert(authority)
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: its issuer is %s", ErrForeignCA, c.Issuer)
	}
	if !latest.IsZero() && c.NotBefore.After(latest) {
		return nil, fmt.Errorf("%w: from %s", ErrNotYetValid, c.NotBefore.Format(time.RFC3339))
	}
	at := earliest // the earliest time at which the certificate may have been shown
	if c.NotBefore.After(at) {
		at = c.NotBefore
	}
	_, err = c.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if invalid := new(x509.CertificateInvalidError); errors.As(err, invalid) && invalid.Reason == x509.Expired {
		return nil, fmt.Errorf("%w: %w", ErrExpired, err) // the badge's own or its authority's
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCertificate, err)
	}
	return profile(c)
}
