package main_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sealkey"
	"presence/scripts/brokertest"
)

// sealedGateway is a gateway with a seal key, whose certificate the city has not issued yet.
type sealedGateway struct {
	*gateway
	key  *sealkey.Key
	file string
	city *brokertest.City
}

func newSealedGateway(t *testing.T, more string) *sealedGateway {
	t.Helper()
	b := brokertest.Start(t)
	s := &sealedGateway{city: b.Subscribe("presence/v1/#"), file: filepath.Join(t.TempDir(), "seal.key")}
	s.gateway = newGateway(t, b.URL(), more+fmt.Sprintf("[health]\ninterval = \"1s\"\n[seal]\nkey_file = %q\n", s.file))
	var err error
	if s.key, err = sealkey.Create(s.file); err != nil {
		t.Fatal(err)
	}
	return s
}

// sealEvent is a seal as the city gets it.
type sealEvent struct {
	Kind    string
	Gateway string
	Stream  presence.ID
	Seq     uint64
	Upto    uint64
	Link    string
	Key     string
	Sig     string

	Previous struct {
		Stream presence.ID
		Seq    uint64
		Link   string
	}
}

// delivered are the newest event that has come, and all that has.
func delivered(t testing.TB, messages []brokertest.Message) (newest sealEvent, all map[string]event) {
	t.Helper()
	for _, m := range messages {
		if !strings.Contains(m.Topic, "/event/") {
			continue
		}
		if err := json.Unmarshal(m.Payload, &newest); err != nil {
			t.Fatal(err)
		}
	}
	return newest, events(t, validator(t), messages)
}

// covers checks that an event is a seal by a key over all before it.
func (e sealEvent) covers(t testing.TB, key *sealkey.Key) {
	t.Helper()
	sig, err := base64.StdEncoding.DecodeString(e.Sig)
	if err != nil {
		t.Fatal(err)
	}
	link, err := presence.ParseLink(e.Link)
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != "seal" || e.Upto != e.Seq-1 || e.Key != key.KeyID().String() {
		t.Fatalf("%+v seals nothing", e)
	}
	if !ed25519.Verify(key.Public(), presence.SealText(e.Gateway, e.Stream, e.Upto, link), sig) {
		t.Errorf("the signature of %+v is wrong", e)
	}
}

// certify writes a certificate of a seal key, as the city's authority makes it.
func certify(t testing.TB, file, name string, public ed25519.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "city"}}, public, key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func writeFile(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// exported are all events in the journal, in order.
func (s *sealedGateway) exported() (all []sealEvent) {
	s.t.Helper()
	for line := range strings.Lines(s.must("export")) {
		var e sealEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// TestTheCityHasASealOverAllAtAStop: after TERM the last event that the city has is a seal
// that covers everything, and the journal has nothing behind it.
func TestTheCityHasASealOverAllAtAStop(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"": "", "batches": "batch = \"zstd\"\nbatch_wait = \"1h\"\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealedGateway(t, more)
			s.start()
			s.city.Await("the key in info", func(m []brokertest.Message) bool {
				var info struct{ Seal *presence.InfoSeal }
				if text := lastOn(m, "info"); text != nil && json.Unmarshal(text, &info) != nil || info.Seal == nil {
					return false
				}
				return info.Seal.Key == s.key.KeyID().String() && info.Seal.PublicKey == s.key.PublicPEM() && info.Seal.Certificate == ""
			})
			for _, a := range s.tap("--uid", "5A000000", "--count", "3") {
				if a.Outcome != "accepted" {
					t.Errorf("%+v", a)
				}
			}
			if out := s.must("status"); !strings.Contains(out, "sealed by the key "+s.key.KeyID().String()+", 3 events since the last seal") {
				t.Errorf("status says %s", out)
			}
			s.stop()
			newest, all := delivered(t, s.city.Await("goodbye", func(m []brokertest.Message) bool {
				return strings.Contains(string(m[len(m)-1].Payload), `"reason":"stop"`)
			}))
			newest.covers(t, s.key)
			if newest.Seq != 6 || len(all) != 6 { // start, seal, three taps, seal
				t.Errorf("%d events, the newest %+v", len(all), newest)
			}
			if got := s.exported(); len(got) != 6 {
				t.Errorf("the journal holds %+v", got)
			}
		})
	}
}

// TestWhatAKillLeavesUnsealedIsCovered: the next stream's start names the last event of
// the stream before with its link, and the first seal of that stream covers the start.
func TestWhatAKillLeavesUnsealedIsCovered(t *testing.T) {
	t.Parallel()
	s := newSealedGateway(t, "")
	const rounds = 8
	for round := range rounds {
		s.start()
		for _, a := range s.tap("--uid", fmt.Sprintf("5A0000%02X", 16*round), "--count", "2") {
			if a.Outcome != "accepted" {
				t.Errorf("%+v", a)
			}
		}
		s.kill()
	}
	s.start()
	s.stop()
	all := s.exported()
	var before sealEvent
	starts, seals := 0, 0
	for i, e := range all {
		switch e.Kind {
		case "start":
			starts++
			if i == 0 {
				break
			}
			if e.Previous.Stream != before.Stream || e.Previous.Seq != before.Seq || e.Previous.Link == "" || before.Kind != "seal" && e.Previous.Link != before.Link {
				t.Errorf("%+v follows %+v", e.Previous, before)
			}
			if next := all[i+1]; next.Kind != "seal" {
				t.Errorf("the start is followed by %+v", next)
			}
		case "seal":
			seals++
			e.covers(t, s.key)
			if before.Kind != "seal" && e.Link != before.Link {
				t.Errorf("%+v seals %+v", e, before)
			}
		}
		before = e
	}
	if starts != rounds+1 || seals != rounds+1 {
		t.Errorf("%d starts and %d seals", starts, seals)
	}
	if out := s.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify says %s", out)
	}
}

// TestWrongSealKeysStopNothing: whatever is wrong with the key, taps are green and
// delivered, unsealed, and an alert says why. Once the file is right, and certified, the
// gateway seals and the alert ends.
func TestWrongSealKeysStopNothing(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(file string){
		"missing":        func(file string) { os.Remove(file) },
		"world-readable": func(file string) { os.Chmod(file, 0o644) },
		"garbage":        func(file string) { writeFile(t, file, []byte("\x00 garbage"), 0o600) },
		"RSA": func(file string) {
			writeFile(t, file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealedGateway(t, "")
			certificate := filepath.Join(filepath.Dir(s.file), "seal.pem")
			certify(t, certificate, "dinkes-01", s.key.Public())
			s.configure(s.text() + fmt.Sprintf("cert_file = %q\n", certificate))
			right, err := os.ReadFile(s.file)
			if err != nil {
				t.Fatal(err)
			}
			spoil(s.file)
			if out, code := s.try("check"); code != 2 || !strings.Contains(out, "seal.key_file") {
				t.Errorf("check ends with %d: %s", code, out)
			}
			s.start()
			s.city.Await("the alert", raised("seal-key"))
			for _, a := range s.tap("--uid", "5A000000", "--count", "3") {
				if a.Outcome != "accepted" {
					t.Errorf("%+v", a)
				}
			}
			m := s.city.Await("the taps", func(m []brokertest.Message) bool { return count(m, "badge") == 3 })
			if _, all := delivered(t, m); count(m, "seal") != 0 || len(all) != 4 {
				t.Errorf("%d events, %d seals", len(all), count(m, "seal"))
			}
			var alert presence.Alert
			if err := json.Unmarshal(lastOn(m, "alert/seal-key"), &alert); err != nil || len(alert.About) != 1 || alert.About[0] != s.file {
				t.Errorf("%+v: %v", alert, err)
			}
			writeFile(t, s.file, right, 0o600)
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			s.city.Await("the end of the alert", cleared("seal-key"))
			m = s.city.Await("a seal", func(m []brokertest.Message) bool { return count(m, "seal") > 0 })
			newest, _ := delivered(t, m)
			newest.covers(t, s.key)
			s.city.Await("the certificate in info", func(m []brokertest.Message) bool {
				return strings.Contains(string(lastOn(m, "info")), `"certificate"`)
			})
			if out, code := s.try("check"); code != 0 {
				t.Errorf("check ends with %d: %s", code, out)
			}
			s.stop()
		})
	}
}

// TestAnotherSealKeyIsNoticed: a key other than the one that has sealed the journal before
// is used, and an alert says so until the city has certified it.
func TestAnotherSealKeyIsNoticed(t *testing.T) {
	t.Parallel()
	s := newSealedGateway(t, "")
	certificate := filepath.Join(filepath.Dir(s.file), "seal.pem")
	s.configure(s.text() + fmt.Sprintf("cert_file = %q\n", certificate))
	s.start()
	alert := func(want string) {
		t.Helper()
		s.city.Await("the alert: "+want, func(m []brokertest.Message) bool {
			return strings.Contains(string(lastOn(m, "alert/seal-key")), want)
		})
	}
	alert("not certified the seal key")
	if out, code := s.try("check"); code != 0 || !strings.Contains(out, "warning: is not certified by the city") {
		t.Errorf("check ends with %d: %s", code, out)
	}
	former := s.key.KeyID().String()
	s.stop()
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.key, err = sealkey.Create(s.file); err != nil {
		t.Fatal(err)
	}
	s.start()
	alert("is another than the one")
	alert(former)
	m := s.city.Await("another seal", func(m []brokertest.Message) bool { return count(m, "seal") == 2 })
	newest, _ := delivered(t, m)
	newest.covers(t, s.key)
	certify(t, certificate, "dinkes-02", s.key.Public())
	alert("dinkes-02")
	certify(t, certificate, "dinkes-01", s.key.Public())
	s.city.Await("the end of the alert", cleared("seal-key"))
	s.stop()
}

// TestASealKeyThatGoesBadWhileItIsUsed: the gateway goes on with what it has, also when it
// is asked to read its configuration again, says that it seals no more, and seals what it
// recorded meanwhile once the key is right again.
func TestASealKeyThatGoesBadWhileItIsUsed(t *testing.T) {
	t.Parallel()
	s := newSealedGateway(t, "")
	right, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.city.Await("the first seal", func(m []brokertest.Message) bool { return count(m, "seal") == 1 })
	writeFile(t, s.file, []byte("garbage"), 0o600)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.city.Await("the alert", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "alert/seal-key")), "holds no usable Ed25519 key")
	})
	s.city.Await("that info names no key", func(m []brokertest.Message) bool {
		return !strings.Contains(string(lastOn(m, "info")), `"seal"`)
	})
	s.await("the log to say why", func() bool {
		return strings.Contains(s.log.String(), "configuration is wrong, the old one stays in force")
	})
	if a := s.tap("--uid", "5A000000")[0]; a.Outcome != "accepted" {
		t.Errorf("%+v", a)
	}
	if out := s.must("status"); !strings.Contains(out, "not sealed, since there is no usable key, 1 events since the last seal") {
		t.Errorf("status says %s", out)
	}
	writeFile(t, s.file, right, 0o600)
	s.city.Await("that only the certificate is missing", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "alert/seal-key")), "not certified")
	})
	s.stop()
	newest, all := delivered(t, s.city.Await("goodbye", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"reason":"stop"`)
	}))
	newest.covers(t, s.key)
	if newest.Seq != 4 || len(all) != 4 { // start, seal, badge, seal
		t.Errorf("%d events, the newest %+v", len(all), newest)
	}
}
