package main

import (
	"fmt"
	"time"

	"presence/gatewayd/internal/uplink"
)

type certificateCmd struct {
	File string `arg:"" help:"The certificate, or a chain of them with the gateway's own first: a PEM file."`
	Key  string `help:"The key that it has to be for." placeholder:"FILE"`
	PEM  bool   `name:"pem" help:"Print what the gateway reads of it, as PEM, and nothing else."`
}

// Run reads a certificate with the daemon's own code: what openssl takes (DER,
// TRUSTED CERTIFICATE) need not be what a gateway can show to its broker.
func (c certificateCmd) Run(con console) error {
	all, err := uplink.ReadCertificates(c.File)
	if err != nil {
		return err
	}
	if c.Key != "" {
		if _, err := uplink.LoadPair(c.File, c.Key); err != nil {
			return err
		}
	}
	if c.PEM {
		if _, err := con.out.Write(uplink.PEM(all)); err != nil {
			return fmt.Errorf("print certificate: %w", err)
		}
		return nil
	}
	for _, cert := range all {
		if _, err := fmt.Fprintf(con.out, "%s, issued by %s, from %s until %s\n", cert.Subject.CommonName, cert.Issuer.CommonName,
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339)); err != nil {
			return fmt.Errorf("print certificate: %w", err)
		}
	}
	return nil
}
