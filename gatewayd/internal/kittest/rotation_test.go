package kittest_test

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/deb/debtest"
)

// certificate reads one.
func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(debtest.Read(t, path)))
	if block == nil {
		t.Fatalf("%s is no PEM file", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// The weekly run of the authority covers the broker and the programs too, before
// the gateways warn, and the broker takes the new certificate up while it runs.
func TestRenewCoversBrokerAndPrograms(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "recorder", "monitor")
	city.Issue("dinkes-01")
	if out := city.Authority("renew"); out != "" {
		t.Errorf("with nothing to renew it says %s", out)
	}
	key := debtest.Read(t, city.Own("broker.key"))
	city.EndSoon("own/broker", 61*24*time.Hour)
	city.EndSoon("own/recorder", -24*time.Hour)
	before := certificate(t, city.Own("broker.pem"))
	broker := city.Broker()
	if !comesIn(city.AsProgram(broker, "monitor")) {
		t.Fatal("monitor does not come in")
	}

	out := city.Authority("renew")
	for _, want := range []string{"own/broker.pem to the broker", "own/recorder.pem to where recorder runs"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q but %s", want, out)
		}
	}
	if strings.Contains(out, "monitor") || strings.Contains(out, "dinkes-01") {
		t.Errorf("what lasts was renewed: %s", out)
	}
	after := certificate(t, city.Own("broker.pem"))
	if left := time.Until(after.NotAfter); left < 800*24*time.Hour {
		t.Errorf("the broker's certificate lasts for %v", left)
	}
	if !slices.Equal(after.DNSNames, []string{"mqtt.example.go.id"}) || len(after.IPAddresses) != 1 || !after.IPAddresses[0].Equal(before.IPAddresses[0]) {
		t.Errorf("it is for %v %v", after.DNSNames, after.IPAddresses)
	}
	if !slices.Equal(after.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) || debtest.Read(t, city.Own("broker.key")) != key {
		t.Errorf("it is for %v, or for another key", after.ExtKeyUsage)
	}
	broker.Reload()
	shown := city.Shown(broker)
	for deadline := time.Now().Add(10 * time.Second); shown.SerialNumber.Cmp(after.SerialNumber) != 0; shown = city.Shown(broker) {
		if time.Now().After(deadline) {
			t.Fatalf("the broker shows the certificate %x", shown.SerialNumber)
		}
	}
	if !comesIn(city.AsProgram(broker, "recorder")) {
		t.Error("the recorder does not come in with its new certificate")
	}
	// The broker is no client: its key lies on the machine that most can reach.
	if out, err := city.TryAuthority("client", "broker"); err == nil || certificate(t, city.Own("broker.pem")).SerialNumber.Cmp(after.SerialNumber) != 0 {
		t.Errorf("the broker's certificate is a client's now: %s", out)
	}
}
