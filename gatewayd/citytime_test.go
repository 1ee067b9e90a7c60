package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/brokertest"
	"presence/scripts/city"
)

// secureGateway is one with a certificate, and a clock that nobody has set yet.
func secureGateway(t testing.TB, ca *brokertest.CA, address string) *gateway {
	t.Helper()
	g := simClock(t, "tls://"+address)
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	g.configure(string(text) + fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", ca.File, cert, key))
	return g
}

// answerTime runs the city's responder over TLS until the test ends.
func answerTime(t testing.TB, ca *brokertest.CA, address string) {
	t.Helper()
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(ca.Issue("city-clock", time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	ready := make(chan string, 16)
	r := city.Responder{
		Broker: "tls://" + address, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		Now: time.Now, Report: func(what string) { ready <- what },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case <-time.After(brokertest.Wait):
		t.Fatal("the responder does not come to the broker")
	}
}

// TestTimeOverTheBroker has NTP never: the taps get their time from the city's
// clock, within what they say, also those before it was asked.
func TestTimeOverTheBroker(t *testing.T) {
	ca := brokertest.NewCA(t)
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	seen := b.Subscribe("presence/v1/#")
	g := secureGateway(t, ca, address)
	g.start()
	before := g.timedTap("5A000001") // while nobody answers
	v := validator(t)
	seen.Await("a tap without a time", func(m []brokertest.Message) bool {
		return revisions(t, v, m)[before.id()][0].Quality == "unsynced"
	})
	g.kill()
	answerTime(t, ca, address)
	g.start()
	g.must("sim", "clock", "--synced=false", "--offset=-3h") // nobody believes it
	told := func(x timed) {
		t.Helper()
		seen.Await("the time of a tap", func(m []brokertest.Message) bool {
			for _, e := range revisions(t, v, m)[x.id()] {
				if e.Quality == "corrected" && e.ErrorMS != nil && *e.ErrorMS < 500 {
					at, err := time.Parse(time.RFC3339, *e.Time)
					if err != nil {
						t.Fatal(err)
					}
					within := time.Duration(*e.ErrorMS*1e6) + time.Millisecond
					if at.Add(within).Before(x.from) || at.Add(-within).After(x.to) {
						t.Fatalf("a tap between %s and %s says %s within %v", x.from, x.to, *e.Time, within)
					}
					return true
				}
			}
			return false
		})
	}
	told(before)
	told(g.timedTap("5A000002"))
	if c := g.health().Clock; c.State != "holdover" || c.ErrorMS == nil || *c.ErrorMS > 500 {
		t.Errorf("the clock is %+v", c)
	}
	// Now the system's clock claims to be right, and is not.
	g.must("sim", "clock", "--synced=true", "--offset=5s")
	g.await("the alert", func() bool {
		return strings.Contains(g.must("status"), "clock-disagrees") && strings.Contains(g.must("status"), "5s ahead of the city's")
	})
	g.must("sim", "clock", "--synced=true", "--offset=0s")
	g.await("its end", func() bool { return !strings.Contains(g.must("status"), "clock-disagrees") })
}

// TestPiIn1970ConnectsOverTLS: certificates are judged by what is known to have
// passed, and an expired one stays expired.
func TestPiIn1970ConnectsOverTLS(t *testing.T) {
	ca := brokertest.NewCA(t)
	for name, until := range map[string]time.Duration{"good": time.Hour, "expired": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			b, address := brokertest.StartTLS(t, ca, time.Now().Add(until))
			b.Stop()
			g := secureGateway(t, ca, address)
			g.start()
			g.must("sim", "clock", "--synced=true", "--offset=0s") // as in an earlier boot
			g.await("the time", func() bool { return g.health().Clock.State == "synced" })
			g.must("sim", "clock", "--synced=false", fmt.Sprintf("--offset=-%ds", time.Now().Unix()))
			b.Restart()
			if until > 0 {
				g.await("the line", func() bool { return g.health().MQTT.Connected })
				return
			}
			g.await("the refusal", func() bool { return strings.Contains(g.health().MQTT.LastError, "expired") })
			if g.health().MQTT.Connected {
				t.Error("it is connected all the same")
			}
		})
	}
}
