package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestBrokerCertificateThatEndsSoonIsAnAlert: every gateway that sees it says so,
// and what it says is what the city reads; renewed, the alert goes without a
// restart of the gateway.
func TestBrokerCertificateThatEndsSoonIsAnAlert(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ca := brokertest.NewCA(t)
	cert, key := ca.Issue("dinkes-01", time.Now().Add(90*day))
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(20*day))
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, "tls://"+address, fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", ca.File, cert, key))
	g.start()
	g.await("the alert", func() bool { return slices.Contains(g.health().Alerts, "broker-certificate") })
	messages := seen.Await("the alert", func(m []brokertest.Message) bool {
		return slices.ContainsFunc(m, func(m brokertest.Message) bool { return strings.HasSuffix(m.Topic, "/alert/broker-certificate") })
	})
	for _, m := range messages {
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(m.Topic, "/alert/broker-certificate") && !strings.Contains(string(m.Payload), "within 30 days") {
			t.Errorf("it says %s", m.Payload)
		}
	}
	if _, levels := g.doctor(); levels["broker-certificate"] != "warn" {
		t.Errorf("doctor finds %v", levels)
	}
	b.Stop()
	ca.Issue("broker", time.Now().Add(800*day)) // into the same files
	b.Restart()
	g.await("the alert's end", func() bool {
		h := g.health()
		return h.MQTT.Connected && !slices.Contains(h.Alerts, "broker-certificate")
	})
}
