package uplink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxCertificates is the size in bytes of the largest file with certificates that
// is read. A system's file with all public authorities has some 200 KB.
const maxCertificates = 1 << 20

// ReadCertificates reads the certificates of a PEM file, the gateway's own first if
// it is a chain. What else is in the file does not count, as for a line to the
// broker; a block of certificates that cannot be read is an error.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	if len(text) > maxCertificates {
		return nil, fmt.Errorf("read certificate: it is larger than %d bytes", maxCertificates)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("read certificate: it is no PEM file")
	}
	return all, nil
}

// PEM is certificates as ReadCertificates reads them.
func PEM(all []*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, cert := range all {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return text.Bytes()
}

// LoadPair reads a certificate and its key as a line to the broker does.
func LoadPair(certFile, keyFile string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return pair, fmt.Errorf("read certificate and key: %w", err)
	}
	return pair, nil
}
