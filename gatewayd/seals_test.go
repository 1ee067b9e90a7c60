package main_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/journal"
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
	Anchors []struct {
		BootMS  int64 `json:"boot_ms"`
		Time    string
		ErrorMS float64 `json:"error_ms"`
		Source  string
	}

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

// TestSealsHoldWhatTheClockLearned of the present boot, each anchor in one seal.
func TestSealsHoldWhatTheClockLearned(t *testing.T) {
	t.Parallel()
	s := newSealedGateway(t, "")
	s.configure(strings.Replace(s.text(), `source = "trust"`, `source = "sim"`, 1))
	s.start()
	s.must("sim", "clock", "--synced=true")
	s.await("the clock to be disciplined", func() bool { return s.health().Clock.State == "synced" })
	s.tap("--uid", "5A000000")
	s.stop()
	s.start()
	s.tap("--uid", "5A000001")
	s.stop()
	var held []int
	seen := make(map[string]bool)
	for _, e := range s.exported() {
		if e.Kind != "seal" {
			continue
		}
		held = append(held, len(e.Anchors))
		for _, a := range e.Anchors {
			at, err := time.Parse(time.RFC3339, a.Time)
			if err != nil || time.Since(at).Abs() > time.Hour || a.BootMS <= 0 || a.ErrorMS <= 0 || a.Source != clock.SourceSystem {
				t.Errorf("%+v, %v", a, err)
			}
			if key := fmt.Sprint(e.Stream, a.BootMS); seen[key] {
				t.Errorf("the anchor %+v is sealed twice", a)
			} else {
				seen[key] = true
			}
		}
	}
	// At a start the clock knows nothing yet: the journal is what it is told by.
	if len(held) != 4 || held[0] != 0 || held[1] == 0 || held[2] != 0 || held[3] == 0 {
		t.Errorf("the seals hold %v anchors", held)
	}
}

// TestVerifyChecksSignatures: a signature that is not the key's is damage, whether the
// gateway runs or not; of a key that is not here verify says that it checks nothing.
func TestVerifyChecksSignatures(t *testing.T) {
	t.Parallel()
	s := newSealedGateway(t, "")
	verified := func(when string, code int, says ...string) {
		t.Helper()
		out, got := s.try("verify")
		if got != code {
			t.Errorf("%s: verify ends with %d: %s", when, got, out)
		}
		for _, text := range says {
			if !strings.Contains(out, text) {
				t.Errorf("%s: verify says nothing of %q: %s", when, text, out)
			}
		}
	}
	id := s.key.KeyID().String()
	s.start()
	s.tap("--uid", "5A000000", "--count", "2")
	verified("running", 0, "seals: 1 by the key "+id+"\n")
	s.stop()
	verified("stopped", 0, "seals: 2 by the key "+id+"\n")
	right, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	verified("without the key", 0, "seals: 2 by the key "+id+", whose public half is not here: not checked")
	certificate := filepath.Join(filepath.Dir(s.file), "seal.pem")
	certify(t, certificate, "dinkes-01", s.key.Public())
	s.configure(s.text() + fmt.Sprintf("cert_file = %q\n", certificate))
	verified("with the certificate", 0, "seals: 2 by the key "+id+"\n")
	writeFile(t, s.file, right, 0o600)

	// Seals that name the key and are by another one, as somebody makes them who can write
	// to the journal and has not got the key.
	forger, err := sealkey.Create(s.file + ".forger")
	if err != nil {
		t.Fatal(err)
	}
	source, err := clock.NewKernel()
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{
		Origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes"}, Path: filepath.Join(s.dir, "state", "journal.db"),
		Keep: time.Hour, MaxBytes: 64 << 20, CommitInterval: time.Second, Now: source.Now, Version: "forged", Log: slog.New(slog.DiscardHandler),
		Seals: journal.Seals{Signer: func() journal.Signer { return forged{forger, s.key} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wrong := "the signature is not one of the key " + id
	verified("forged", 1, wrong, "journal: damaged")
	s.start()
	verified("forged, and running", 1, wrong)
	s.stop()
}

// forged signs with one key and names another.
type forged struct {
	*sealkey.Key
	named *sealkey.Key
}

func (f forged) KeyID() presence.KeyID { return f.named.KeyID() }
