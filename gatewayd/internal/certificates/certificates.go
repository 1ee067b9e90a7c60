package certificates

import (
	"crypto/x509"
	"os"
	"strconv"
	"sync"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/language"
)

// Options are the files to look at, each empty where there is none.
type Options struct {
	CertFile string // the gateway's own certificate
	CAFile   string // the authorities by which the broker is checked

	// Read reads the certificates of a file, of which there is at least one.
	Read func(path string) ([]*x509.Certificate, error)
}

// Set is all certificates of one line. Its methods may be called from any goroutine.
type Set struct {
	own, ca *file // nil: there is none

	mu     sync.Mutex
	broker *x509.Certificate // nil before the first connection over TLS
}

// New returns the set of a line. The files may be missing, and may be replaced while
// the gateway runs.
func New(opt Options) *Set {
	s := &Set{}
	if opt.CertFile != "" {
		s.own = &file{path: opt.CertFile, read: opt.Read}
	}
	if opt.CAFile != "" {
		s.ca = &file{path: opt.CAFile, read: opt.Read}
	}
	return s
}

// Connected notes the certificate that the broker has shown.
func (s *Set) Connected(broker *x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broker = broker
}

// CAEnd is when the last of the authorities ends, zero where none is known. A time
// later than that cannot come from the city.
func (s *Set) CAEnd() time.Time {
	if s.ca == nil {
		return time.Time{}
	}
	_, last := s.ca.load()
	return last
}

// Alerts tells which certificates have ended by now, or will soon. The texts name the
// end in the given location.
func (s *Set) Alerts(now time.Time, in *time.Location) (as []alerts.Alert) {
	s.mu.Lock()
	broker := s.broker
	s.mu.Unlock()
	if s.own != nil {
		if cert, _ := s.own.load(); cert != nil {
			as = append(as, ending(cert, s.own.path, now, in, alerts.CertificateExpired,
				alerts.CertificateDay, alerts.CertificateWeek, alerts.CertificateMonth)...)
		}
	}
	if s.ca != nil {
		if cert, _ := s.ca.load(); cert != nil {
			as = append(as, ending(cert, s.ca.path, now, in, alerts.CAExpired,
				alerts.CADay, alerts.CAWeek, alerts.CAMonth)...)
		}
	}
	if broker != nil {
		as = append(as, ending(broker, broker.Subject.CommonName, now, in, alerts.BrokerCertificateExpired,
			alerts.BrokerCertificateWeek, alerts.BrokerCertificateMonth, alerts.BrokerCertificateMonths)...)
	}
	return as
}

// ending is the alert about one certificate, if there is one: expired, or the first of
// the others whose limit has been reached. The nearest end comes first.
func ending(cert *x509.Certificate, about string, now time.Time, in *time.Location, expired alerts.Kind, expiring ...alerts.Kind) []alerts.Alert {
	end, left := language.Moment(cert.NotAfter, in), cert.NotAfter.Sub(now)
	if left <= 0 {
		return []alerts.Alert{expired.Raise(alerts.Values{"end": end}, about)}
	}
	for _, kind := range expiring {
		if limit := kind.Limit().Raise; left.Seconds() <= limit {
			days := strconv.Itoa(int(limit / (24 * time.Hour).Seconds()))
			return []alerts.Alert{kind.Raise(alerts.Values{"end": end, "days": days}, about)}
		}
	}
	return nil
}

// file is a file of certificates, which is read again when it has changed.
type file struct {
	path string
	read func(path string) ([]*x509.Certificate, error)

	mu    sync.Mutex
	info  os.FileInfo       // as it was when it was read
	first *x509.Certificate // nil: it cannot be read, which the line's own error says
	last  time.Time         // when the last of its certificates ends
}

// load returns the first certificate of the file, nil where it cannot be read, and when
// the last of all that are in it ends.
func (f *file) load() (first *x509.Certificate, last time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.info, f.first, f.last = nil, nil, time.Time{}
		return nil, time.Time{}
	}
	if f.info != nil && os.SameFile(f.info, info) && f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size() {
		return f.first, f.last
	}
	f.info, f.first, f.last = info, nil, time.Time{}
	all, err := f.read(f.path)
	if err != nil {
		return nil, time.Time{}
	}
	f.first = all[0]
	for _, cert := range all {
		if cert.NotAfter.After(f.last) {
			f.last = cert.NotAfter
		}
	}
	return f.first, f.last
}

// Latest is the latest of several instants that are known to have passed. Certificates
// are checked as of that instant: a Pi that wakes in 1970 would find every one not
// valid yet, and one that has expired is still found expired.
func Latest(passed ...time.Time) (latest time.Time) {
	for i, t := range passed {
		if i == 0 || t.After(latest) {
			latest = t
		}
	}
	return latest
}
