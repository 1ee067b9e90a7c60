package main_test

import (
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/kittest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// TestPort443HoldsWhatTheUsualOneHolds: the listener that BROKER.md makes of the
// delivered configuration lets nobody in whom the usual one keeps out. Over WebSocket
// mosquitto 2.0 passes over the CRL, which is what BROKER.md warns of: where this test
// says that another version does not, the warning can go.
func TestPort443HoldsWhatTheUsualOneHolds(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, "..")
	cert, key := c.Issue("dinkes-01")
	stolen, stolenKey := c.Issue("dinkes-02")
	c.Authority("revoke", "dinkes-02")
	guide := debtest.Read(t, "../scripts/city/BROKER.md")
	command := regexp.MustCompile(`(?m)^(sed .*) >gatewayd-443.conf$`).FindStringSubmatch(guide)
	if command == nil || !strings.Contains(guide, "**Not with mosquitto 2.0**") {
		t.Fatal("BROKER.md does not make a listener at port 443, or does not warn")
	}
	lines := sh(t, c.Path("scripts/city"), "sh", "-c", strings.ReplaceAll(command[1], "/etc/mosquitto/conf.d/gatewayd.conf", "mosquitto.conf"))
	for _, name := range []string{"/etc/mosquitto/gatewayd/broker.", "/etc/mosquitto/gatewayd/crl.pem", "/etc/mosquitto/gatewayd/city-ca.pem", "listener 443\n", "require_certificate", "use_username_as_clientid"} {
		if !strings.Contains(lines, name) {
			t.Fatalf("no %q in\n%s", name, lines)
		}
	}
	version, _ := exec.Command("/usr/sbin/mosquitto", "-h").Output() // it exits with 3
	old := strings.Contains(string(version), "mosquitto version 2.0.")
	for name, web := range map[string]string{"tls": "", "wss": "/mqtt"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			_ = l.Close()
			text := strings.NewReplacer(
				"listener 443", fmt.Sprintf("listener %d 127.0.0.1", l.Addr().(*net.TCPAddr).Port),
				"/etc/mosquitto/gatewayd/city-ca.pem", filepath.Join(c.CA, "ca.pem"),
				"/etc/mosquitto/gatewayd/broker.", c.Own("broker."),
				"/etc/mosquitto/gatewayd/crl.pem", filepath.Join(c.CA, "crl.pem"),
			).Replace(lines)
			if web != "" {
				text += "protocol websockets\n"
			}
			brokertest.Start(t, strings.Split("allow_anonymous false\nacl_file "+c.Path("scripts/city/gatewayd.acl")+"\n"+text, "\n")...)
			try := func(id, cert, key string) uplink.Probe {
				return uplink.Try(t.Context(), uplink.Options{
					Origin:  presence.Origin{Gateway: id, Dinas: "dinkes", Location: time.UTC},
					Address: address, TLS: true, WebSocket: web,
					CAFile: filepath.Join(c.CA, "ca.pem"), CertFile: cert, KeyFile: key, Log: slog.New(slog.DiscardHandler),
				}, false)
			}
			// It opens this listener last, and one for WebSocket resets who comes before it
			// serves it.
			deadline := time.Now().Add(brokertest.Wait)
			for try("dinkes-01", cert, key).Err != nil && time.Now().Before(deadline) {
				<-time.After(10 * time.Millisecond)
			}
			if p := try("dinkes-01", cert, key); p.Err != nil || len(p.Denied) > 0 {
				t.Errorf("a gateway failed at %q with %v, denied %q", p.Failed, p.Err, p.Denied)
			}
			if p := try("dinkes-03", cert, key); p.Err == nil {
				t.Error("a gateway wrote in the name of another one")
			}
			switch p := try("dinkes-02", stolen, stolenKey); {
			case web != "" && old && p.Err != nil:
				t.Errorf("over WebSocket this mosquitto keeps a revoked certificate out: BROKER.md says otherwise (%v)", p.Err)
			case (web == "" || !old) && p.Err == nil:
				t.Error("a revoked certificate let in")
			}
		})
	}
}
