package city_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/config"
)

// What gatewayd-provision makes of the template is a right configuration, up to
// the files that lie on the gateway.
func TestTemplateIsARightConfiguration(t *testing.T) {
	list := filepath.Join(t.TempDir(), "offices.csv")
	row := "id,dinas,lat,lon,radius,receivers\ndinkes-01,dinkes,-7.9778,112.634,100,yard=kenwood\n"
	if err := os.WriteFile(list, []byte(row), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"as it is": nil, "with a receiver": {list}} {
		cmd := exec.Command("../provision.sh", append([]string{"print-config", "dinas.toml", "dinkes-01", "dinkes"}, args...)...)
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cfg, err := config.Parse("/etc/gatewayd/gatewayd.toml", text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !cfg.MQTT.Receipts {
			t.Errorf("%s: what the broker loses would be lost", name)
		}
		if cfg.Gateway.ID != "dinkes-01" || cfg.Gateway.Dinas != "dinkes" || !cfg.MQTT.Broker.TLS {
			t.Errorf("%s: %+v", name, cfg.Gateway)
		}
		if want := strings.Count(name, "receiver"); len(cfg.Receivers) != want {
			t.Errorf("%s: %d receivers", name, len(cfg.Receivers))
		}
		// Where gatewayd-provision puts them, and the renewal may write.
		for path, want := range map[string]string{
			cfg.MQTT.CAFile:      "/etc/gatewayd/city-ca.pem",
			cfg.MQTT.CertFile:    "/var/lib/gatewayd/tls/gateway.pem",
			cfg.MQTT.KeyFile:     "/var/lib/gatewayd/tls/gateway.key",
			cfg.Badges.KeyFile:   "/etc/gatewayd/badge.key",
			cfg.Seal.KeyFile:     "/var/lib/gatewayd/tls/seal.key",
			cfg.Seal.CertFile:    "/var/lib/gatewayd/tls/seal.pem",
			cfg.City.KeyFile:     "/etc/gatewayd/city-key.pem",
			cfg.Gateway.StateDir: "/var/lib/gatewayd",
		} {
			if path != want {
				t.Errorf("%s: it names %s, and %s is provisioned", name, path, want)
			}
		}
	}
}
