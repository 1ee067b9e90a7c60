package gateway

import (
	"crypto/x509"
	"os"
	"strconv"
	"sync"
	"time"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// certificates are the files of the configuration whose dates matter.
type certificates []*certificate

type certificate struct {
	path     string
	expired  alerts.Kind
	expiring [3]alerts.Kind // the nearest end first: the alert changes twice

	mu   sync.Mutex
	file os.FileInfo       // as it was when it was read
	cert *x509.Certificate // nil: not to be read, which the line's own error says
	last time.Time         // when the last of the certificates in the file ends
}

func newCertificates(m config.MQTT) (all certificates) {
	if !m.Broker.TLS {
		return nil
	}
	for _, c := range []*certificate{
		{
			path: m.CertFile, expired: alerts.CertificateExpired,
			expiring: [3]alerts.Kind{alerts.CertificateDay, alerts.CertificateWeek, alerts.CertificateMonth},
		},
		{
			path: m.CAFile, expired: alerts.CAExpired,
			expiring: [3]alerts.Kind{alerts.CADay, alerts.CAWeek, alerts.CAMonth},
		},
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
		c.file, c.cert, c.last = nil, nil, time.Time{}
		return nil
	}
	if c.file == nil || !os.SameFile(c.file, file) || !c.file.ModTime().Equal(file.ModTime()) || c.file.Size() != file.Size() {
		c.file = file
		c.cert, c.last, _ = readCertificate(c.path)
	}
	return c.cert
}

// caEnd is when the last of the city's CAs ends, zero where none is known: the
// city cannot say that it is later.
func (all certificates) caEnd() time.Time {
	for _, c := range all {
		if c.expired == alerts.CAExpired && c.load() != nil {
			return c.end()
		}
	}
	return time.Time{}
}

// end is when the last of the certificates that were loaded ends.
func (c *certificate) end() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// readCertificate reads the first certificate of a file, and when the last of all
// that are in it ends.
func readCertificate(path string) (first *x509.Certificate, last time.Time, err error) {
	all, err := uplink.ReadCertificates(path)
	if err != nil {
		return nil, last, err
	}
	for _, cert := range all {
		if cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	return all[0], last, nil
}

// conditions tells which certificates have ended, or will soon.
func (all certificates) conditions(now time.Time, in *time.Location) (as []alerts.Alert) {
	for _, c := range all {
		cert := c.load()
		if cert == nil {
			continue
		}
		end := cert.NotAfter.In(in).Format(time.DateTime)
		left := cert.NotAfter.Sub(now)
		if left <= 0 {
			as = append(as, c.expired.Raise(alerts.Values{"end": end}, c.path))
			continue
		}
		for _, kind := range c.expiring {
			if limit := kind.Limit().Raise; left.Seconds() <= limit {
				days := strconv.Itoa(int(limit / (24 * time.Hour).Seconds()))
				as = append(as, kind.Raise(alerts.Values{"end": end, "days": days}, c.path))
				break
			}
		}
	}
	return as
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
func (g *Gateway) certificateConditions() []alerts.Alert {
	now := g.time.NotBefore()
	if t := g.time.Proven(g.time.Now()); t.Within(presence.Roughly) {
		now = t.Time
	}
	return append(g.line.certificates.conditions(now, g.origin.Location), g.line.brokerCertificate.conditions(now, g.origin.Location)...)
}
