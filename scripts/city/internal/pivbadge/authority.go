package pivbadge

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
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// maxCertificate is how many bytes a badge's certificate may have in DER.
const maxCertificate = 4096

// maxValidity is how long a badge's certificate may last: three years.
const maxValidity = 3 * 366 * 24 * time.Hour

// cardAuthentication is id-PIV-cardAuth (FIPS 201-3, appendix B), the one extended key
// usage of a badge's certificate.
func cardAuthentication() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 8}
}

// Fingerprint names a certificate: SHA-256 of its DER.
type Fingerprint [sha256.Size]byte

// Authority is the city's badge authority with the certificates of badges that are known.
type Authority struct {
	roots  *x509.CertPool
	badges map[Fingerprint]*x509.Certificate
	n      int // authorities
}

// ReadAuthority reads the certificates of authorities from a file (PEM). Certificates of
// badges in it are kept as those of Add.
func ReadAuthority(file string) (*Authority, error) {
	a := &Authority{roots: x509.NewCertPool(), badges: make(map[Fingerprint]*x509.Certificate)}
	certificates, err := readCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("read badge authority: %w", err)
	}
	for _, c := range certificates {
		if c.IsCA {
			a.n++
			a.roots.AddCert(c)
		} else {
			a.add(c)
		}
	}
	if a.n == 0 {
		return nil, fmt.Errorf("read badge authority: no certificate in %s is one of an authority", file)
	}
	return a, nil
}

// Add reads certificates of badges from a file (PEM or DER), or from all files of a folder
// and the folders in it. A certificate of an authority among them counts for nothing.
func (a *Authority) Add(path string) error {
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		certificates, err := readCertificates(file)
		if err != nil {
			return err
		}
		for _, c := range certificates {
			if !c.IsCA {
				a.add(c)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read badge certificates: %w", err)
	}
	return nil
}

func (a *Authority) add(c *x509.Certificate) { a.badges[sha256.Sum256(c.Raw)] = c }

// Len is how many certificates of badges are known.
func (a *Authority) Len() int { return len(a.badges) }

// Badge is the certificate with this fingerprint; nil if it is not known.
func (a *Authority) Badge(f Fingerprint) *x509.Certificate { return a.badges[f] }

// maxFile is the largest file of certificates that is read, in bytes.
const maxFile = 64 << 20

func readCertificates(file string) ([]*x509.Certificate, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", file, maxFile>>20)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		c, err := x509.ParseCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("%s is no certificate, neither PEM nor DER", file)
		}
		return append(certificates, c), nil
	}
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certificates, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d of %s is no certificate: %w", n, file, err)
		}
		certificates = append(certificates, c)
	}
}

// Badge is a badge as its certificate describes it.
type Badge struct {
	GUID        uuid.UUID
	Certificate *x509.Certificate
	Key         *ecdsa.PublicKey // P-256 or P-384

	// From and Until bound the time in which the certificate and those above it were valid.
	From, Until time.Time
}

// Check checks that a certificate has the form of a badge's and that the authority issued
// it. Whether it was valid at some instant is left to the caller, who knows the instant.
func (a *Authority) Check(c *x509.Certificate) (Badge, error) {
	guid, key, err := profile(c)
	if err != nil {
		return Badge{}, err
	}
	// The authority's own certificate may have ended since, or have been renewed under the
	// same key: what was valid once is looked for, with its bounds.
	var chains [][]*x509.Certificate
	for _, at := range []time.Time{c.NotBefore, c.NotAfter} {
		found, err := c.Verify(x509.VerifyOptions{Roots: a.roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err == nil {
			chains = append(chains, found...)
		}
	}
	if len(chains) == 0 {
		return Badge{}, errors.New("its certificate is not of this badge authority")
	}
	badge := Badge{GUID: guid, Certificate: c, Key: key}
	for _, chain := range chains {
		from, until := c.NotBefore, c.NotAfter
		for _, issued := range chain {
			if !withECDSA(issued.SignatureAlgorithm) {
				return Badge{}, fmt.Errorf("its certificate, or that of its authority, is signed with %s", issued.SignatureAlgorithm)
			}
			from, until = later(from, issued.NotBefore), earlier(until, issued.NotAfter)
		}
		if until.Sub(from) > badge.Until.Sub(badge.From) {
			badge.From, badge.Until = from, until
		}
	}
	return badge, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func withECDSA(a x509.SignatureAlgorithm) bool {
	return a == x509.ECDSAWithSHA256 || a == x509.ECDSAWithSHA384 || a == x509.ECDSAWithSHA512
}

// profile checks the form that ca.sh badge gives a certificate, and returns the GUID and
// the key.
func profile(c *x509.Certificate) (guid uuid.UUID, key *ecdsa.PublicKey, err error) {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	switch {
	case len(c.Raw) > maxCertificate:
		return guid, nil, fmt.Errorf("its certificate has %d bytes", len(c.Raw))
	case !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384():
		return guid, nil, errors.New("its key is not ECDSA P-256 or P-384")
	case c.Version != 3 || c.IsCA:
		return guid, nil, errors.New("its certificate is not an end entity's of version 3")
	case c.KeyUsage != x509.KeyUsageDigitalSignature:
		return guid, nil, errors.New("its certificate is not for signing alone")
	case len(c.ExtKeyUsage) != 0 || len(c.UnknownExtKeyUsage) != 1 || !c.UnknownExtKeyUsage[0].Equal(cardAuthentication()):
		return guid, nil, errors.New("its certificate is not for card authentication alone")
	case c.NotAfter.Sub(c.NotBefore) > maxValidity:
		return guid, nil, errors.New("its certificate lasts longer than three years")
	}
	if guid, err = named(c); err != nil {
		return guid, nil, err
	}
	if len(c.Subject.Names) != 1 || c.Subject.CommonName != guid.String() {
		return guid, nil, errors.New("the subject of its certificate is not the GUID")
	}
	return guid, key, nil
}

// named is the GUID in the alternative name of a certificate, where that names nothing
// else. Its bytes are compared, since crypto/x509 passes over kinds of names that it does
// not know (RFC 5280, 4.2.1.6).
func named(c *x509.Certificate) (guid uuid.UUID, err error) {
	const urn = "urn:uuid:"
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		head := "\x30\x2f\x86\x2d" + urn // a sequence of one URI of 45 bytes
		text, ok := bytes.CutPrefix(extension.Value, []byte(head))
		if ok && len(text) == 36 {
			if guid, err = ParseGUID(string(text)); err == nil && guid.String() == string(text) {
				return guid, nil
			}
		}
	}
	return uuid.UUID{}, errors.New("its certificate does not name one GUID and nothing else")
}
