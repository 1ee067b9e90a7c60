package kittest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/deb/debtest"
)

// cardKey is the public half of a key that a card has made, in a file.
func cardKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "card.pem")
	debtest.Write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), 0o600)
	return file
}

// TestBadgesOfACity: the city issues badges, takes them back for all offices, and hands one
// office the keys of its DESFire badges. Nobody is online: it is published all the same.
func TestBadgesOfACity(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	d := newDesk(t, c, c.Broker(), threeOffices)
	d.says(0, []string{"the authority of badges is in", "object 5FC102", "column badge: f43bf29a781685788e8a232fe1e514fc"}, "C", "badge", cardKey(t), "--uid", "04A1B2C3D4E5F6")
	d.says(1, []string{"sudah bersertifikat untuk kunci lain"}, "id_ID.UTF-8", "badge", cardKey(t), "--uid", "04A1B2C3D4E5F6")
	d.says(2, nil, "C", "badge")

	d.says(0, []string{"lost badges: 0 of 3 gateways"}, "C", "badge-revoked", "--all") // nobody's is lost
	if payload := string(d.published("badge-revoked", "dishub_dishub-01").Payload); !strings.HasSuffix(payload, `"revoked":[]}`) {
		t.Errorf("the list is %s", payload)
	}
	d.says(0, []string{`"uid":"04A1B2C3D4E5F6": revoked since`, "lost badges: 0 of 3 gateways"}, "C", "badge-revoke", "--why", "lost", "04A1B2C3D4E5F6")
	d.says(0, []string{"kartu hilang: 0 dari 1 gateway"}, "id_ID.UTF-8", "badge-revoked", "dinkes-01")
	seen := make(map[string]bool)
	for _, office := range []string{"dinkes_dinkes-01", "dinkes_dinkes-02", "dishub_dishub-01"} {
		p := d.published("badge-revoked", office)
		var payload struct {
			Serial  uint64
			Revoked []map[string]string
		}
		if err := json.Unmarshal(p.Payload, &payload); err != nil || len(payload.Revoked) != 2 || payload.Revoked[1]["guid"] != "f43bf29a-7816-8578-8e8a-232fe1e514fc" {
			t.Fatalf("%s has %s, %v", office, p.Payload, err)
		}
		identity := payload.Revoked[0]["badge"]
		if !strings.HasPrefix(identity, "h:") || seen[identity] || !p.signedBy(t, d.read("city.pem")) {
			t.Errorf("%s has the identity %q, or a wrong signature", office, identity)
		}
		seen[identity] = true
	}

	debtest.Write(t, filepath.Join(c.CA, "badge-master.key"), "00112233445566778899AABBCCDDEEFF\n", 0o600)
	staff := filepath.Join(t.TempDir(), "staff.csv")
	debtest.Write(t, staff, "uid,card\n04A1B2C3D4E5F6,desfire\n", 0o600)
	d.says(1, []string{"dinkes-01 has no certificate yet"}, "C", "badge-keys", "dinkes-01", staff)
	c.Issue("dinkes-01")
	d.says(0, []string{"badge keys: 0 of 1 gateways"}, "C", "badge-keys", "dinkes-01", staff)
	if payload := string(d.published("badge-keys", "dinkes_dinkes-01").Payload); !strings.Contains(payload, `"sealed":{"recipient":"`) || strings.Contains(payload, "04A1B2C3D4E5F6") {
		t.Errorf("the keys are %s", payload)
	}
	if d.has("published", "badge-keys", "dinkes_dinkes-01.json.sealed") || !d.has("staff", "dinkes-01.csv") {
		t.Error("what was sealed lies about, or the list of the staff's badges is not kept")
	}
	d.says(0, []string{"lost badges: 0 of 3", "badge keys: 0 of 1"}, "C", "documents")
	if err := os.Chmod(filepath.Join(c.CA, "badge-master.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.says(1, []string{"chmod 600"}, "C", "badge-keys", "dinkes-01")

	events := filepath.Join(t.TempDir(), "events.jsonl")
	debtest.Write(t, events, `{"kind":"badge","assurance":"uid"}`+"\n", 0o600)
	d.says(0, []string{"prove: events=1 hold=0 undecided=0 failed=0 desfire=0 uid=1"}, "C", "prove", events)
	debtest.Write(t, events, `{"kind":"badge","assurance":"uid"}`+"\n"+`{"kind":"badge","assurance":"authenticated-piv","stream":"019ab2c3-0000-7000-8000-000000000001","seq":2}`+"\n", 0o600)
	d.says(1, []string{"019ab2c3-0000-7000-8000-000000000001-2: it says authenticated-piv, and has no proof", "prove: events=2 hold=0 undecided=0 failed=1 desfire=0 uid=1"}, "C", "prove", events)
}
