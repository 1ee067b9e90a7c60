package gateway

import (
	"crypto/x509"
	"strconv"
	"sync"
	"time"

	"presence/gatewayd/internal/alerts"
)

// brokerCertificate is what the broker last showed. It is looked at here because
// nobody else does: on the day on which it ends, all gateways of the city lose
// their line.
type brokerCertificate struct {
	mu   sync.Mutex
	cert *x509.Certificate // nil before the first connection over TLS
}

// note takes what was seen at a connection.
func (b *brokerCertificate) note(cert *x509.Certificate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cert = cert
}

// conditions tells whether it has ended, or will soon.
func (b *brokerCertificate) conditions(now time.Time, in *time.Location) []alerts.Alert {
	b.mu.Lock()
	cert := b.cert
	b.mu.Unlock()
	if cert == nil {
		return nil
	}
	end, left := cert.NotAfter.In(in).Format(time.DateTime), cert.NotAfter.Sub(now)
	if left <= 0 {
		return []alerts.Alert{alerts.BrokerCertificateExpired.Raise(alerts.Values{"end": end}, cert.Subject.CommonName)}
	}
	for _, kind := range []alerts.Kind{alerts.BrokerCertificateWeek, alerts.BrokerCertificateMonth, alerts.BrokerCertificateMonths} {
		if limit := kind.Limit().Raise; left.Seconds() <= limit {
			days := strconv.Itoa(int(limit / (24 * time.Hour).Seconds()))
			return []alerts.Alert{kind.Raise(alerts.Values{"end": end, "days": days}, cert.Subject.CommonName)}
		}
	}
	return nil
}
