package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/presence"
)

// TestAlertsReachTheCityAndClearByThemselves: cause, alert, gone.
func TestAlertsReachTheCityAndClearByThemselves(t *testing.T) {
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/alert/+")
	_, tty := openTTY(t)
	port := filepath.Join(t.TempDir(), "usb-receiver")
	g := newGateway(t, b.URL(), receiver(port))
	g.start()
	expect := func(code string, stands bool) {
		t.Helper()
		seen.Await(fmt.Sprintf("alert %s to stand: %v", code, stands), func(m []brokertest.Message) bool {
			for _, m := range slices.Backward(m) {
				if strings.HasSuffix(m.Topic, "/alert/"+code) {
					return len(m.Payload) > 0 == stands
				}
			}
			return false
		})
	}
	expect("receiver-yard", true)
	if err := os.Symlink(tty, port); err != nil {
		t.Fatal(err)
	}
	expect("receiver-yard", false)
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	expect("reader-door", true)
	g.must("sim", "reader", "--reader", "door", "--fault", "none")
	expect("reader-door", false)
	v := validator(t)
	for _, m := range seen.Messages() {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	if h := g.health(); h.Level != presence.LevelOK || len(h.Alerts) > 0 {
		t.Errorf("in the end: level %s, alerts %v", h.Level, h.Alerts)
	}
}

// TestCertificateThatHasEndedIsAnAlertUntilItIsRenewed: the broker refuses it,
// and the one that takes its place is taken up without a restart.
func TestCertificateThatHasEndedIsAnAlertUntilItIsRenewed(t *testing.T) {
	ca := brokertest.NewCA(t)
	serverCert, serverKey := ca.Issue("broker", time.Now().Add(time.Hour))
	b := brokertest.Start(t, "cafile "+ca.File, "certfile "+serverCert, "keyfile "+serverKey,
		"require_certificate true", "use_identity_as_username true", "allow_anonymous false")
	cert, key := ca.Issue("dinkes-01", time.Now().Add(-time.Hour))
	g := newGateway(t, "tls://"+b.Address(), fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", ca.File, cert, key))
	g.start()
	g.await("the alert", func() bool { return slices.Contains(g.health().Alerts, "certificate-expired") })
	if _, levels := g.doctor(); levels["certificate"] != "fail" || levels["broker"] != "fail" {
		t.Errorf("doctor finds %v", levels)
	}
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Errorf("meanwhile: %+v", a)
	}
	ca.Issue("dinkes-01", time.Now().Add(90*24*time.Hour)) // into the same files
	g.await("the line and the alert's end", func() bool {
		h := g.health()
		return h.MQTT.Connected && h.Journal.Pending == 0 && !slices.Contains(h.Alerts, "certificate-expired")
	})
}

// TestStatusIsTheHealthDocument: what `status --json` prints is what the city
// gets, with an alert standing: no field more.
func TestStatusIsTheHealthDocument(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	g.await("the alert", func() bool { return slices.Contains(g.health().Alerts, "reader-door") })
	document := g.must("status", "--json")
	if err := validator(t).Validate("presence/v1/dinkes/dinkes-01/health", []byte(document)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(document, `"error":"`) {
		t.Errorf("the reader's fault is not in %s", document)
	}
	if out := g.must("status"); !strings.Contains(out, "alert reader-door") {
		t.Errorf("status says\n%s", out)
	}
}
