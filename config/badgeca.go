package config

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// readCA reads the certificates of CAFile, the authority that the certificates of PIV
// badges go back to. Without a CAFile there are none, which is no error.
func (b *Badges) readCA() ([]*x509.Certificate, error) {
	if b.CAFile == "" {
		return nil, nil
	}
	data, err := readFile(b.CAFile)
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(data)
	if err != nil {
		return nil, say("%s %v", show(b.CAFile), err)
	}
	return certificates, nil
}

// parseCertificates reads the certificates of PEM text, one at least. Text around the
// blocks is passed over, as OpenSSL does.
func parseCertificates(data []byte) (certificates []*x509.Certificate, err error) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, say("holds a PRIVATE key, which must not leave the city: put the certificate alone there")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, say("holds a certificate that cannot be read: %s", oneLine(strings.TrimPrefix(err.Error(), "x509: ")))
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 {
		return nil, say("holds no certificate%s: put the certificate of the badges' CA there, in PEM form", whatInstead(data))
	}
	return certificates, nil
}
