package sealkey

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// Options are the files, and whose key it is.
type Options struct {
	KeyFile  string // "": there is no key, and that is no problem
	CertFile string // the key's certificate; "" while there is none
	CAFile   string // the city's authority (mqtt.ca_file); "" or unreadable: its signature is not checked
	Gateway  string // the name that the certificate must be of
	// MayLack: nobody has named the key, so that there is none is no problem as long as none
	// was used before.
	MayLack bool
}

// Files are the files of a seal key, read again whenever one of them has changed. Their
// methods may be called from any goroutine.
type Files struct {
	opt Options

	mu          sync.Mutex
	read        bool     // what is below stands, as long as the files look as they did
	seen        [4]stamp // of the files when they were read
	used        bool     // the journal is sealed with a key, so there has to be one
	request     string   // for the certificate, as long as that is missing
	key         *Key     // nil: there is none, or problem says why
	certificate *x509.Certificate
	problem     *Problem // nil: all is well, but for the certificate's end
}

// stamp is how a file looks from outside. The zero stamp is that of no file.
type stamp struct {
	dev, inode     uint64
	size           int64
	mode           fs.FileMode
	written, fresh time.Time // fresh changes with the mode and the owner as well
}

// Read reads the files. What is wrong with them is for Check to say.
func Read(opt Options) *Files {
	f := &Files{opt: opt}
	f.Refresh()
	return f
}

// Key is the key to seal with, nil if there is none.
func (f *Files) Key() *Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

// Certificate is the city's certificate of the key in PEM, "" while there is none that is
// right.
func (f *Files) Certificate() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.certificate == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.certificate.Raw}))
}

// KeyFile is where the key is.
func (f *Files) KeyFile() string { return f.opt.KeyFile }

// Require notes that the journal was sealed before: that there is no key any more is a
// problem then, whoever has named it.
func (f *Files) Require() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.used {
		f.used, f.read = true, false
	}
}

// Request is the request for the certificate of the key in PEM, as gatewayd-provision left
// it beside the certificate's place, "" where there is none or the certificate is there.
func (f *Files) Request() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.request
}

// Check tells what is wrong at an instant, which the certificate's end is held against;
// nil: nothing, or no key is configured.
func (f *Files) Check(now time.Time) *Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem == nil && f.certificate != nil && !now.Before(f.certificate.NotAfter) {
		return &Problem{Expired, f.opt.CertFile, fmt.Errorf("it ended at %s", f.certificate.NotAfter.UTC().Format(time.RFC3339))}
	}
	return f.problem
}

// Refresh reads the files again if one of them has changed, and tells whether another key,
// certificate or request is in use since.
func (f *Files) Refresh() (changed bool) {
	if f.opt.KeyFile == "" {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := [4]stamp{stampOf(f.opt.KeyFile), stampOf(f.opt.CertFile), stampOf(f.opt.CAFile), stampOf(f.opt.requestFile())}
	if f.read && now == f.seen {
		return false
	}
	key, certificate, request := f.key, f.certificate, f.request
	f.read, f.seen, f.certificate, f.request = true, now, nil, ""
	if f.key, f.problem = readKey(f.opt.KeyFile); f.problem == nil {
		f.used = true
		f.certificate, f.problem = f.opt.readCertificate(f.key.Public())
	} else if f.opt.MayLack && !f.used && errors.Is(f.problem.Err, fs.ErrNotExist) {
		f.problem = nil
	}
	if f.key != nil && f.certificate == nil {
		f.request = f.opt.readRequest()
	}
	sameKey := (key == nil) == (f.key == nil) && (key == nil || key.id == f.key.id)
	return !sameKey || request != f.request || (certificate == nil) != (f.certificate == nil) || certificate != nil && !certificate.Equal(f.certificate)
}

// stampOf follows links: what is behind them is what is read.
func stampOf(path string) stamp {
	if path == "" {
		return stamp{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: info.Size(), mode: info.Mode(), written: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.inode, s.fresh = uint64(sys.Dev), sys.Ino, time.Unix(sys.Ctim.Unix())
	}
	return s
}

// readCertificate reads the certificate, which must be of this key and this gateway, and
// signed by the city's authority where that is readable.
func (o Options) readCertificate(public ed25519.PublicKey) (*x509.Certificate, *Problem) {
	if o.CertFile == "" {
		return nil, &Problem{Uncertified, o.KeyFile, errors.New("seal.cert_file is not set")}
	}
	wrong := func(err error) (*x509.Certificate, *Problem) {
		return nil, &Problem{WrongCertificate, o.CertFile, err}
	}
	found, err := readCertificates(o.CertFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Problem{Uncertified, o.KeyFile, errors.New("the file that seal.cert_file names is not there")}
	case err != nil:
		return wrong(err)
	}
	c := found[0]
	if of, ok := c.PublicKey.(ed25519.PublicKey); !ok || !of.Equal(public) {
		return wrong(errors.New("it is the certificate of another key"))
	}
	if c.Subject.CommonName != o.Gateway {
		return wrong(fmt.Errorf("it is the certificate of %q (CN), and this is %s", c.Subject.CommonName, o.Gateway))
	}
	authorities, err := readCertificates(o.CAFile)
	if err != nil {
		return c, nil // the line says what is wrong with that file
	}
	for _, ca := range append(found[1:], authorities...) {
		if c.CheckSignatureFrom(ca) == nil && signedByOne(ca, authorities) {
			return c, nil
		}
	}
	return wrong(fmt.Errorf("the city's authority (%s) has not signed it", o.CAFile))
}

// signedByOne tells whether a certificate is one of the authorities, or signed by one: an
// authority may have another one below it.
func signedByOne(c *x509.Certificate, authorities []*x509.Certificate) bool {
	for _, ca := range authorities {
		if c.Equal(ca) || c.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// maxCertificates is the largest file of certificates that is read, in bytes.
const maxCertificates = 1 << 20

// readCertificates reads the certificates of a file, one at least.
func readCertificates(path string) (found []*x509.Certificate, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCertificates {
		return nil, errors.New("it is no file of certificates")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("it holds a certificate that cannot be read")
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return found, nil
}
