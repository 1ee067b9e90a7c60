package main

import (
	"fmt"
	"time"

	"presence/gatewayd/internal/language"
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
		if _, err := fmt.Fprintln(con.out, language.Say(
			"%s, issued by %s, from %s until %s", "%s, diterbitkan oleh %s, berlaku dari %s sampai %s", cert.Subject.CommonName, cert.Issuer.CommonName,
			moment(cert.NotBefore, con.lang), moment(cert.NotAfter, con.lang)).In(con.lang)); err != nil {
			return fmt.Errorf("print certificate: %w", err)
		}
	}
	return nil
}

// moment is a bound of a certificate: in English as RFC 3339 has it in UTC, which scripts
// of the kit read under the locale C.
func moment(t time.Time, l language.Language) string {
	if l == language.Indonesian {
		return language.Moment(t, time.Local)
	}
	return t.UTC().Format(time.RFC3339)
}
