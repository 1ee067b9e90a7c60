package proof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"presence/drivers/piv"
)

// maxAuthority is the size in bytes up to which a file of authorities is read.
const maxAuthority = 1 << 20

// ErrSimulated means that a file names the authority of simulated badges, whose key
// everybody has.
var ErrSimulated = errors.New("holds the authority of simulated badges, which anybody can make: put the city's badge CA there (ca.sh)")

// Authority is whose signature makes a certificate that of a badge: what badges.ca_file
// holds.
type Authority struct{ of *piv.Authorities }

// ReadAuthority reads badges.ca_file. Among the certificates there must be none with the
// key of one in refused (PEM): those of simulated badges, where the gateway is real.
func ReadAuthority(path string, refused []byte) (*Authority, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read badge CA: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxAuthority {
		return nil, fmt.Errorf("read badge CA: %s is no file of certificates", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read badge CA: %w", err)
	}
	return ParseAuthority(text, refused)
}

// ParseAuthority is ReadAuthority for the text of such a file.
func ParseAuthority(text, refused []byte) (*Authority, error) {
	all, err := piv.ParseAuthorities(text)
	if err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		simulated, err := piv.ParseAuthorities(refused)
		if err != nil {
			return nil, err
		}
		for _, s := range simulated.Certificates() {
			for _, c := range all.Certificates() {
				if bytes.Equal(c.RawSubjectPublicKeyInfo, s.RawSubjectPublicKeyInfo) {
					return nil, ErrSimulated
				}
			}
		}
	}
	return &Authority{all}, nil
}

// Verify is piv.Authorities.Verify.
func (a *Authority) Verify(der []byte, earliest, latest time.Time) (*piv.Certificate, error) {
	return a.of.Verify(der, earliest, latest)
}

// Certificates is how many authorities there are.
func (a *Authority) Certificates() int { return len(a.of.Certificates()) }

// End is when the first of the authorities ends. From then on the certificates that it has
// signed count no more.
func (a *Authority) End() (first time.Time) {
	for i, c := range a.of.Certificates() {
		if i == 0 || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}
