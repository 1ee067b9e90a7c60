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
	"strings"

	"presence/gatewayd/internal/language"
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
		return nil, language.Errorf("read certificate: %v", "baca sertifikat: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err != nil {
		return nil, language.Errorf("read certificate: %v", "baca sertifikat: %v", err)
	}
	if len(text) > maxCertificates {
		return nil, language.Errorf("read certificate: it is larger than %d bytes", "baca sertifikat: lebih besar dari %d bita", maxCertificates)
	}
	all, err := ParseCertificates(text)
	if err != nil {
		return nil, language.Errorf("read certificate: %v", "baca sertifikat: %v", err)
	}
	return all, nil
}

// ParseCertificates reads the certificates in a PEM text, of which there is at least one,
// as ReadCertificates does. Where there is none the error says what the text is instead.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New(noCertificate(text))
	}
	return all, nil
}

// noCertificate says what a text is in which there is no certificate. People take one of
// the files that lie beside each other for another.
func noCertificate(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil {
		if _, err := x509.ParseCertificate(text); err == nil {
			return "it is a certificate in DER form, and PEM is wanted: openssl x509 -inform der -in FILE writes it as PEM"
		}
		return "it is no PEM file"
	}
	// The types of RFC 7468, and those that openssl writes besides.
	switch kind := block.Type; kind {
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return "it is a public key and no certificate"
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return "it is the request for a certificate, which the authority makes a certificate of"
	case "X509 CRL":
		return "it is a list of revoked certificates (CRL) and no certificate"
	case "PKCS7", "CMS":
		return "it is a PKCS #7 file: openssl pkcs7 -in FILE -print_certs writes the certificates in it"
	case "TRUSTED CERTIFICATE":
		return "it is a certificate in openssl's own form (TRUSTED CERTIFICATE): openssl x509 -in FILE writes it as others read it"
	default:
		if strings.HasSuffix(kind, "PRIVATE KEY") {
			return "it is a private key and no certificate"
		}
		return fmt.Sprintf("it is a %.40q and no certificate", kind)
	}
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
		return pair, language.Errorf("read certificate and key: %v", "baca sertifikat dan kunci: %v", err)
	}
	return pair, nil
}
