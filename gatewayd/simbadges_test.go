package main_test

import (
	"os"
	"strings"
	"testing"

	"presence/gatewayd/internal/sim"
)

// TestTheSimulatedAuthorityIsPrinted, without a gateway and without its configuration.
func TestTheSimulatedAuthorityIsPrinted(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	if err := os.Remove(g.config); err != nil {
		t.Fatal(err)
	}
	if out := g.must("sim", "badge-ca"); out != string(sim.BadgeCA()) {
		t.Errorf("it prints %s", out)
	}
	out := g.must("sim", "badge-ca", "--uid", "04A1B2C3D4E5F6", "--uid", "DEADBEEF")
	if strings.Count(out, "BEGIN CERTIFICATE") != 2 || !strings.HasPrefix(out, "uid 04A1B2C3D4E5F6 guid F43BF29A781685788E8A232FE1E514FC\n") {
		t.Errorf("it prints %s", out)
	}
	if out, code := g.try("sim", "badge-ca", "--uid", "xy"); code != 2 {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestWrongTapsOfBadges are told before a gateway is asked.
func TestWrongTapsOfBadges(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	for want, args := range map[string][]string{
		"no uid given":  {"--card", "piv"},
		"does not show": {"--card", "clone-of:04A1B2C3D4E5F6", "--uid", "DEADBEEF"},
		"want one of":   {"--card", "pivot", "--uid", "DEADBEEF"},
		"card piv has":  {"--card", "piv", "--uid", "DEADBEEF", "--rogue", "lrp-only"},
	} {
		if out, code := g.try(append([]string{"sim", "tap", "--reader", "door"}, args...)...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, %s", args, code, out)
		}
	}
	if out := g.must("sim", "tap", "--help"); !strings.Contains(out, "foreign-ca") || !strings.Contains(out, "wrong-rnda") {
		t.Errorf("the rogues are not listed: %s", out)
	}
}

// TestClonesAreTapped: the answer is told by the UID that the clone shows.
func TestClonesAreTapped(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	out, code := g.try("sim", "tap", "--reader", "door", "--card", "clone-of:04A1B2C3D4E5F6")
	if code != 0 || !strings.Contains(out, `"uid":"04A1B2C3D4E5F6","outcome":"accepted"`) {
		t.Errorf("exit %d, %s", code, out)
	}
	if out := g.must("sim", "tap", "--reader", "door", "--card", "desfire-ev3", "--uid", "04A1B2C3D4E5F7"); !strings.Contains(out, `"uid":"04A1B2C3D4E5F7","outcome":"accepted"`) {
		t.Errorf("%s", out)
	}
}
