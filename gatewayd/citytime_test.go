package main_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/scripts/brokertest"
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
	answerTimeAs(t, ca, address, time.Now, nil)
}

// answerTimeAs runs a responder that has a clock and may have a key, until it is
// stopped.
func answerTimeAs(t testing.TB, ca *brokertest.CA, address string, now func() time.Time, key ed25519.PrivateKey) (stop func()) {
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
		Now: now, Key: key, Report: func(what string) { ready <- what },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(brokertest.Wait):
		t.Fatal("the responder does not come to the broker")
	}
	return stop
}

// ahead is a clock that is so far ahead.
func ahead(by time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(by) }
}

// withCityKey lets a gateway know the city by its key.
func (g *gateway) withCityKey(s signer) {
	g.t.Helper()
	g.configure(g.text() + fmt.Sprintf("[city]\nkey_file = %q\n", s.key+".pem"))
}

// private reads a signer's key.
func (s signer) private() ed25519.PrivateKey {
	s.t.Helper()
	text, err := os.ReadFile(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return key.(ed25519.PrivateKey)
}

// TestALyingServerEndsAndRevivesNoCertificate: NTP was right, and says another time
// then. What had ended has still ended, and nothing has ended that had not.
func TestALyingServerEndsAndRevivesNoCertificate(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	for name, tc := range map[string]struct {
		until  time.Duration
		offset string
	}{
		"an ended one, half an hour back": {-10 * time.Minute, "-30m"},
		"a good one, ten years ahead":     {time.Hour, "87600h"},
	} {
		t.Run(name, func(t *testing.T) {
			b, address := brokertest.StartTLS(t, ca, time.Now().Add(tc.until))
			b.Stop()
			g := secureGateway(t, ca, address)
			g.start()
			g.must("sim", "clock", "--synced=true")
			g.await("the time", func() bool { return g.health().Clock.State == "synced" })
			g.must("sim", "clock", "--synced=true", "--offset="+tc.offset)
			g.await("the alert", func() bool { return strings.Contains(g.must("status"), "clock-jumped") })
			b.Restart()
			if tc.until > 0 {
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

// TestAWrongTimeCutsNobodyOff: a broker tells another time, once. It opens no
// hours, and ends no certificate, also not after a restart.
func TestAWrongTimeCutsNobodyOff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		by      time.Duration
		counted bool // as the time of events
	}{
		"after the end of the certificates": {20 * time.Hour, true},
		"after the end of the CA":           {73 * 365 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			ca := brokertest.NewCA(t)
			_, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
			answerTimeAs(t, ca, address, ahead(tc.by), nil)
			g := secureGateway(t, ca, address)
			g.start()
			if tc.counted {
				g.await("the time to be heard", func() bool { return g.health().Clock.State == "holdover" })
			} else {
				g.await("the time to be refused", func() bool { return g.health().MQTT.Refused > 0 })
				if c := g.health().Clock; c.State != "unsynced" {
					t.Errorf("the clock is %+v", c)
				}
			}
			if h := g.health().Hours; h.Open != nil {
				t.Errorf("the hours are said to be open: %v", *h.Open)
			}
			heard := g.health().UptimeS
			g.await("it to be on the disk", func() bool { return g.health().UptimeS >= heard+3 }) // it is saved within a second
			for range 2 {
				g.kill()
				g.start()
				g.await("the line", func() bool { return g.health().MQTT.Connected })
			}
			if status := g.must("status"); strings.Contains(status, "expired") {
				t.Errorf("a certificate has ended:\n%s", status)
			}
		})
	}
}

// TestOnlyASignedTimeCounts where the gateway has the city's key, also over a line
// without TLS; and then for working hours too.
func TestOnlyASignedTimeCounts(t *testing.T) {
	t.Parallel()
	cityKey, forger := newSigner(t), newSigner(t)
	ca := brokertest.NewCA(t)
	_, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	g := secureGateway(t, ca, address)
	g.withCityKey(cityKey)
	for name, key := range map[string]ed25519.PrivateKey{"unsigned": nil, "forged": forger.private()} {
		stop := answerTimeAs(t, ca, address, time.Now, key)
		g.start()
		g.await("a time that is "+name+" to be refused", func() bool { return g.health().MQTT.Refused > 0 })
		if h := g.health(); h.Clock.State != "unsynced" || h.Hours.Open != nil {
			t.Errorf("%s: the clock is %+v, the hours are %+v", name, h.Clock, h.Hours)
		}
		g.kill()
		stop()
	}
	answerTimeAs(t, ca, address, time.Now, cityKey.private())
	g.start()
	g.await("the time", func() bool { h := g.health(); return h.Clock.State == "holdover" && h.Hours.Open != nil })
}

// TestOnlyASignedReceiptCounts where the gateway has the city's key.
func TestOnlyASignedReceiptCounts(t *testing.T) {
	t.Parallel()
	cityKey, forger := newSigner(t), newSigner(t)
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), "receipts = true\n")
	g.withCityKey(cityKey)
	g.start()
	tap := g.tap("--uid", ownUID)[0]
	seen.Await("the tap", func(m []brokertest.Message) bool { return lastOn(m, "event/badge") != nil })
	receipt := func(s signer, gateway string) []byte {
		return s.run("../scripts/city/sign.sh", "-k", s.key, "-d", "dinkes", "-g", gateway, "receipt", tap.Stream, strconv.FormatUint(tap.Seq, 10))
	}
	genuine := receipt(cityKey, "dinkes-01")
	if err := validator(t).Validate(prefix+"receipt", genuine); err != nil {
		t.Error(err)
	}
	v := func(old, to string) []byte { return bytes.Replace(genuine, []byte(old), []byte(to), 1) }
	for name, message := range map[string][]byte{
		"unsigned":            fmt.Appendf(nil, `{"stream":%q,"upto":%d}`, tap.Stream, tap.Seq),
		"forged":              receipt(forger, "dinkes-01"),
		"for another gateway": receipt(cityKey, "dinkes-02"),
		"changed":             v(fmt.Sprintf(`"upto":%d`, tap.Seq), `"upto":1`),
		"given a link":        v(`"sig"`, `"link":"00112233445566778899aabbccddeeff","sig"`),
		"given a correction":  v(`"sig"`, `"revised":[{"seq":1,"rev":1}],"sig"`),
	} {
		refused := g.health().MQTT.Refused
		seen.Publish(prefix+"receipt", false, message)
		g.await("a receipt that is "+name+" to be refused", func() bool { return g.health().MQTT.Refused == refused+1 })
		if n := g.health().MQTT.ReceivedReceipt; n != 0 {
			t.Errorf("%s: %d events count as received", name, n)
		}
	}
	seen.Publish(prefix+"receipt", false, genuine)
	g.await("the receipt to count", func() bool {
		return g.health().MQTT.ReceivedReceipt == int64(tap.Seq) && g.health().Journal.Pending == 0
	})
}

// TestTimeOverTheBroker has NTP never: the taps get their time from the city's
// clock, within what they say, also those before it was asked.
func TestTimeOverTheBroker(t *testing.T) {
	t.Parallel()
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
	// Nobody believes this clock. It is not so far behind that the broker's certificate
	// would not be valid yet: the line may come up only after it is set.
	g.must("sim", "clock", "--synced=false", "--offset=-30m")
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
	t.Parallel()
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
