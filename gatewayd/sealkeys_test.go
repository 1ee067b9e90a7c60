package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sealkey"
	"presence/scripts/brokertest"
)

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
	s.city.Await("the end of the alert, as nobody has asked for a certificate", cleared("seal-key"))
	s.stop()
	newest, all := delivered(t, s.city.Await("goodbye", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"reason":"stop"`)
	}))
	newest.covers(t, s.key)
	if newest.Seq != 4 || len(all) != 4 { // start, seal, badge, seal
		t.Errorf("%d events, the newest %+v", len(all), newest)
	}
}
