package sealkey

import "fmt"

// Fault is a kind of what can be wrong with a seal key or its certificate.
type Fault int

// The faults. With the first three there is no usable key, and nothing is sealed; with
// the others the gateway seals with a key of which nobody else can know whose it is.
const (
	Unreadable Fault = iota // the key's file is missing, or the gateway's user cannot read it
	Exposed                 // others can read it
	NotEd25519              // it holds something else
	// Uncertified: there is no certificate yet.
	Uncertified
	// WrongCertificate: what is there is no certificate, or one of another key, of another
	// gateway or of another authority.
	WrongCertificate
	Expired // the certificate has ended
)

// Problem is what is wrong with one file.
type Problem struct {
	Fault Fault
	File  string // that of the key, or of a certificate that is there
	Err   error  // how that shows
}

// Unusable reports whether there is no key to seal with.
func (p *Problem) Unusable() bool { return p.Fault <= NotEd25519 }

func (p *Problem) Error() string { return fmt.Sprintf("read seal key: %s: %v", p.File, p.Err) }

// Unwrap returns how the problem shows.
func (p *Problem) Unwrap() error { return p.Err }
