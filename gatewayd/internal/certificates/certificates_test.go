package certificates_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

func TestCertificatesAreJudgedByTheLatestThatIsCertain(t *testing.T) {
	var none time.Time
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	for name, tc := range map[string]struct{ wall, notBefore, build, want time.Time }{
		"a clock that is right":       {day(23), day(20), day(1), day(23)},
		"1970, and a time before":     {time.Unix(0, 0), day(20), day(1), day(20)},
		"1970, and never had a time":  {time.Unix(0, 0), none, day(1), day(1)},
		"a binary newer than the two": {day(2), day(3), day(4), day(4)},
		"nothing known":               {time.Unix(0, 0), none, none, time.Unix(0, 0)},
	} {
		if got := certificates.Latest(tc.wall, tc.notBefore, tc.build); !got.Equal(tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// codes are those of alerts that have all that they need.
func codes(t *testing.T, as []alerts.Alert) string {
	t.Helper()
	list := ""
	for _, a := range as {
		if a.ID() == "" || a.EN() == "" || a.Level() == "" {
			t.Errorf("%s lacks a text or a level", a.Code())
		}
		list += fmt.Sprintf("%s:%s ", a.Code(), a.Level())
	}
	return list
}

func TestBrokerCertificateAlertComesAndGoes(t *testing.T) {
	const day = 24 * time.Hour
	end := time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
	s := certificates.New(certificates.Options{})
	if got := codes(t, s.Alerts(end, time.UTC)); got != "" {
		t.Errorf("before the first connection: %q", got)
	}
	seen := make(map[string]bool)
	for _, step := range []struct {
		left time.Duration
		want string
	}{
		{61 * day, ""},
		{60*day - time.Hour, "broker-certificate:ok "},
		{30*day - time.Hour, "broker-certificate:warn "},
		{7*day - time.Hour, "broker-certificate:fault "},
		{-time.Hour, "broker-certificate:fault "},
	} {
		s.Connected(&x509.Certificate{NotAfter: end, Subject: pkix.Name{CommonName: "broker"}})
		cs := s.Alerts(end.Add(-step.left), time.UTC)
		if got := codes(t, cs); got != step.want {
			t.Errorf("with %v left: %q, want %q", step.left, got, step.want)
		}
		for _, c := range cs {
			seen[c.EN()] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d texts for 60, 30 and 7 days and the end: %v", len(seen), seen)
	}
}

func TestCertificateAlertsComeAndGo(t *testing.T) {
	ca := brokertest.NewCA(t)
	now := time.Now()
	const day = 24 * time.Hour
	cert, _ := ca.Issue("dinkes-01", now.Add(90*day))
	all := certificates.New(certificates.Options{CertFile: cert, Read: uplink.ReadCertificates})
	seen := make(map[string]bool) // each text must be said once only
	for _, step := range []struct {
		left time.Duration
		want string
	}{
		{31 * day, ""},
		{30*day - time.Hour, "certificate-expiring:warn "},
		{8 * day, "certificate-expiring:warn "},
		{7*day - time.Hour, "certificate-expiring:warn "},
		{2 * day, "certificate-expiring:warn "},
		{day - time.Hour, "certificate-expiring:fault "},
		{-time.Second, "certificate-expired:fault "},
		{-300 * day, "certificate-expired:fault "},
	} {
		cs := all.Alerts(now.Add(90*day-step.left), time.UTC)
		if got := codes(t, cs); got != step.want {
			t.Errorf("with %v left: %q, want %q", step.left, got, step.want)
		}
		for _, c := range cs {
			seen[c.EN()] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d texts for 30, 7 and 1 days and the end: %v", len(seen), seen)
	}
	// The renewed one lies in the same place.
	ca.Issue("dinkes-01", now.Add(180*day))
	if err := os.Chtimes(cert, now, now.Add(time.Minute)); err != nil { // the file's times may be coarse
		t.Fatal(err)
	}
	if got := codes(t, all.Alerts(now.Add(91*day), time.UTC)); got != "" {
		t.Errorf("after the renewal: %q", got)
	}
	if got := codes(t, certificates.New(certificates.Options{}).Alerts(now, time.UTC)); got != "" {
		t.Errorf("a line without TLS: %q", got)
	}
	gone := certificates.New(certificates.Options{CAFile: "/gone", Read: uplink.ReadCertificates})
	if got := codes(t, gone.Alerts(now, time.UTC)); got != "" {
		t.Errorf("a file that is gone: %q", got)
	}
}
