package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"presence/config"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// certificates are the files of the configuration whose dates matter.
type certificates []*certificate

type certificate struct {
	path   string
	code   string // of its alerts, without what is the matter
	id, en string // what it is

	mu   sync.Mutex
	file os.FileInfo       // as it was when it was read
	cert *x509.Certificate // nil: not to be read, which the line's own error says
}

func newCertificates(m config.MQTT) (all certificates) {
	if !m.Broker.TLS {
		return nil
	}
	for _, c := range []*certificate{
		{path: m.CertFile, code: "certificate", id: "Sertifikat gateway", en: "The gateway's certificate"},
		{path: m.CAFile, code: "ca", id: "Sertifikat CA kota", en: "The certificate of the city's CA"},
	} {
		if c.path != "" {
			all = append(all, c)
		}
	}
	return all
}

// load returns the certificate, read again when its file is another.
func (c *certificate) load() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	file, err := os.Stat(c.path)
	if err != nil {
		c.file, c.cert = nil, nil
		return nil
	}
	if c.file == nil || !os.SameFile(c.file, file) || !c.file.ModTime().Equal(file.ModTime()) || c.file.Size() != file.Size() {
		c.file = file
		c.cert, _ = readCertificate(c.path)
	}
	return c.cert
}

func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("read certificate: it is no PEM file")
	}
	return x509.ParseCertificate(block.Bytes)
}

// conditions tells which certificates have ended, or will soon.
func (all certificates) conditions(now time.Time, in *time.Location) (cs []health.Condition) {
	for _, c := range all {
		cert := c.load()
		if cert == nil {
			continue
		}
		end := cert.NotAfter.In(in).Format(time.DateTime)
		left := cert.NotAfter.Sub(now)
		if left <= 0 {
			cs = append(cs, health.Condition{
				Code: c.code + "-expired", Level: presence.LevelFault,
				ID: fmt.Sprintf("%s (%s) sudah berakhir %s. Sambungan ke broker ditolak; perbarui sertifikat.", c.id, c.path, end),
				EN: fmt.Sprintf("%s (%s) has ended at %s. No line to the broker is possible; renew it.", c.en, c.path, end),
			})
			continue
		}
		// The alert begins 30 days ahead, and changes twice.
		for _, days := range []int{1, 7, 30} {
			if left > time.Duration(days)*24*time.Hour {
				continue
			}
			level := presence.LevelWarn
			if days == 1 {
				level = presence.LevelFault
			}
			cs = append(cs, health.Condition{
				Code: c.code + "-expiring", Level: level,
				ID: fmt.Sprintf("%s (%s) berakhir dalam %d hari, %s. Perbarui sebelum itu.", c.id, c.path, days, end),
				EN: fmt.Sprintf("%s (%s) ends within %d days, at %s. Renew it before.", c.en, c.path, days, end),
			})
			break
		}
	}
	return cs
}

// certTime is the instant by which certificates are judged: the latest of those
// that are known to have come. A Pi that wakes in 1970 would find every
// certificate not valid yet; one that has expired, it still finds expired.
func certTime(wall, notBefore, build time.Time) time.Time {
	latest := wall
	for _, t := range []time.Time{notBefore, build} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// certificateConditions says no more than what is certain while the time is
// unknown.
func (d *daemon) certificateConditions() []health.Condition {
	now := d.clock.Timing(d.clock.Now()).Time
	if now.IsZero() {
		now = d.clock.NotBefore()
	}
	return d.papers.conditions(now, d.origin.Location)
}
