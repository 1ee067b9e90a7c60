package kittest_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
)

// sealRequest is what gatewayd-provision seal-key leaves on a gateway with a key of its own.
func sealRequest(t *testing.T, id, key string) string {
	t.Helper()
	openssl := func(args ...string) string {
		out, err := exec.Command("openssl", args...).Output()
		if err != nil {
			t.Fatalf("openssl %v: %v", args, err)
		}
		return string(out)
	}
	seal := filepath.Join(t.TempDir(), "seal.key")
	openssl("genpkey", "-algorithm", "ed25519", "-out", seal)
	sum := sha256.Sum256([]byte(openssl("pkey", "-in", seal, "-pubout", "-outform", "DER")))
	return openssl("req", "-new", "-key", key, "-subj", "/CN="+id, "-addext", "nsComment=gatewayd seal key "+hex.EncodeToString(sum[:])) +
		openssl("req", "-new", "-key", seal, "-subj", "/OU=gatewayd seal/CN="+id)
}

// TestRenewCertifiesSealKeysThatTheBrokerTellsOf: the weekly renewal certifies the seal key of
// a gateway that was upgraded, and nothing that only the broker can have put there.
func TestRenewCertifiesSealKeysThatTheBrokerTellsOf(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	b := c.Broker()
	d := newDesk(t, c, b, threeOffices)
	tell := func(id, cert, key, request string) {
		info, err := json.Marshal(map[string]any{"v": 1, "seal": map[string]string{"request": request}})
		if err != nil {
			t.Fatal(err)
		}
		gateway := call(t, c.As(b, cert, key), id, true)
		done(t, gateway.Publish("presence/v1/"+id[:len(id)-3]+"/"+id+"/info", 1, true, info))
		gateway.Disconnect(100)
	}
	request, key := c.Request("dinkes-01")
	c.Authority("sign", request)
	tell("dinkes-01", c.Issued("dinkes-01"), key, sealRequest(t, "dinkes-01", key))
	cert, other := c.Issue("dinkes-02")
	_, foreign := c.Request("dinkes-02") // a key that the city does not know, of whoever has the broker
	tell("dinkes-02", cert, other, sealRequest(t, "dinkes-02", foreign))
	d.says(0, []string{
		"dinkes-01.seal.pem, until", "dinkes-02: its seal key is not certified: the request at the broker is not signed by the key of a gateway with a certificate",
	}, "C", "renew")
	sealed := certificate(t, filepath.Join(c.CA, "issued/dinkes-01.seal.pem"))
	if _, ok := sealed.PublicKey.(ed25519.PublicKey); !ok || sealed.Subject.CommonName != "dinkes-01" {
		t.Errorf("certified %s", sealed.Subject)
	}
	if d.has("issued/dinkes-02.seal.pem") || d.has("seal-keys/dinkes-02.pem") {
		t.Error("the broker got a key certified")
	}
	// The next week there is nothing to do, and a broker that is away holds nothing up.
	if said, status := d.run("C", "renew"); status != 0 || strings.Contains(said, "dinkes-01") {
		t.Errorf("the next week it says, %d: %s", status, said)
	}
	b.Stop()
	if err := os.Remove(filepath.Join(c.CA, "issued/dinkes-01.pem")); err != nil {
		t.Fatal(err)
	}
	d.says(0, []string{"The broker was not asked", "dinkes-01.pem, until"}, "C", "renew")
}
