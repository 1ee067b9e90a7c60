package sealkey

import (
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
)

// maxRequest is the largest request that is read, in bytes: it has two certificate requests
// (PKCS#10, RFC 2986) in PEM, about 1,000 together.
const maxRequest = 8 << 10

// requestFile is where gatewayd-provision leaves the request for the certificate, "" where
// no certificate is to be.
func (o Options) requestFile() string {
	if o.CertFile == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(o.CertFile), "seal.csr")
}

// readRequest reads the request, and nothing but certificate requests in PEM form: what it
// returns is shown to the city. It is "" where there is none.
func (o Options) readRequest() string {
	if o.CertFile == "" {
		return ""
	}
	f, err := durable.OpenFile(o.requestFile(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRequest))
	if err != nil {
		return ""
	}
	var request strings.Builder
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return request.String()
		}
		if block.Type == "CERTIFICATE REQUEST" {
			request.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
}
