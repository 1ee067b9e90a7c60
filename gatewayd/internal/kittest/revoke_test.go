package kittest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// comesIn reports whether the broker takes a client.
func comesIn(as func(*mqtt.ClientOptions)) bool {
	o := mqtt.NewClientOptions()
	as(o)
	client := mqtt.NewClient(o.SetClientID("x").SetAutoReconnect(false).SetConnectRetry(false))
	defer client.Disconnect(100)
	token := client.Connect()
	return token.WaitTimeout(brokertest.Wait) && token.Error() == nil && client.IsConnectionOpen()
}

// Whoever is taken back does not come in any more, with none of the certificates
// that were ever issued under the name.
func TestRevokeTakesBackEveryCertificate(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "city", "monitor")
	request, key := city.Request("dinkes-01")
	var certs []string
	for range 3 { // signed, and renewed twice
		city.Authority("sign", request)
		certs = append(certs, city.Issued("dinkes-01"))
	}
	otherCert, otherKey := city.Issue("dinkes-02")
	replaced, replacedKey := city.Issue("dinkes-03")
	monitor := filepath.Join(t.TempDir(), "monitor")
	for _, end := range []string{".pem", ".key"} {
		debtest.Write(t, monitor+end, debtest.Read(t, city.Own("monitor"+end)), 0o600)
	}

	city.Authority("revoke", "dinkes-01")
	city.Authority("revoke", "monitor")
	city.Authority("client", "monitor")
	// A Pi was replaced: its successor has another key.
	successor, successorKey := city.Request("dinkes-03")
	if out, err := city.TryAuthority("sign", successor); err == nil || !strings.Contains(out, "REPLACE=dinkes-03") {
		t.Errorf("another key under the same name: %v %s", err, out)
	}
	city.Replace("dinkes-03", successor)

	broker := city.Broker()
	for i, cert := range certs {
		if comesIn(city.As(broker, cert, key)) {
			t.Errorf("certificate %d of 3 of a revoked gateway is taken", i+1)
		}
	}
	for name, as := range map[string]func(*mqtt.ClientOptions){
		"the replaced Pi":     city.As(broker, replaced, replacedKey),
		"the revoked monitor": city.As(broker, monitor+".pem", monitor+".key"),
	} {
		if comesIn(as) {
			t.Errorf("%s comes in", name)
		}
	}
	for name, as := range map[string]func(*mqtt.ClientOptions){
		"another gateway": city.As(broker, otherCert, otherKey),
		"its successor":   city.As(broker, city.Issued("dinkes-03"), successorKey),
		"the new monitor": city.AsProgram(broker, "monitor"),
		"the city":        city.AsProgram(broker, "city"),
	} {
		if !comesIn(as) {
			t.Errorf("%s does not come in", name)
		}
	}

	// The stolen key comes in under no other certificate either.
	if out, err := city.TryAuthority("sign", request); err == nil || !strings.Contains(out, "revoked") {
		t.Errorf("a stolen key got another certificate: %s", out)
	}
	if out, err := city.TryAuthority("revoke", "dinkes-99"); err == nil || !strings.Contains(out, "no certificate") {
		t.Errorf("revoke of nobody: %v %s", err, out)
	}
	if out := city.Authority("revoke", "broker"); !strings.Contains(out, "ca.sh broker") {
		t.Errorf("revoke broker says %s", out)
	}
}

// An authority that has lost the record of its certificates could take none back,
// so it does nothing until the record is there again.
func TestLostIndexIsAnError(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree)
	before := city.Index()
	city.Issue("dinkes-01")
	city.Authority("revoke", "dinkes-01")
	_, _ = city.Issue("dinkes-02")
	whole := city.Index()
	request, _ := city.Request("dinkes-03")
	forgets := strings.ReplaceAll(whole, "R\t", "V\t")
	for name, index := range map[string]*string{"gone": nil, "empty": new(string), "of an old backup": &before, "without what was revoked": &forgets} {
		city.SetIndex(index)
		for _, args := range [][]string{{"sign", request}, {"renew"}, {"revoke", "dinkes-02"}, {"client", "monitor"}} {
			if out, err := city.TryAuthority(args...); err == nil || !strings.Contains(out, "index.txt") {
				t.Errorf("%s: ca.sh %v: %v %s", name, args, err, out)
			}
		}
	}
	city.SetIndex(&whole)
	city.Authority("sign", request)
}

// What an earlier version of the authority issued can be taken back as well, as
// far as it is still there.
func TestAuthorityOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "city")
	cert, key := city.Issue("dinkes-01")
	// That version had the file for what was revoked, and nothing was.
	empty := ""
	city.SetIndex(&empty)
	if err := os.RemoveAll(filepath.Join(city.CA, "certificates")); err != nil {
		t.Fatal(err)
	}
	city.Authority("revoke", "dinkes-01")
	broker := city.Broker()
	if comesIn(city.As(broker, cert, key)) {
		t.Error("the certificate of a revoked gateway is taken")
	}
	if !comesIn(city.AsProgram(broker, "city")) {
		t.Error("the city does not come in")
	}
}
