package city_test

import (
	"strings"
	"testing"

	"presence/config"
)

// What gatewayd-provision makes of the template is a right configuration, up to
// the files that lie on the gateway.
func TestTemplateIsARightConfiguration(t *testing.T) {
	text := strings.NewReplacer("@ID@", "dinkes-01", "@DINAS@", "dinkes").Replace(read(t, "dinas.toml"))
	for name, text := range map[string]string{
		"as it is":        text,
		"with a receiver": strings.NewReplacer("#[[receiver]]", "[[receiver]]", "#name ", "name ", "#protocol", "protocol", "#port", "port").Replace(text),
	} {
		cfg, err := config.Parse("/etc/gatewayd/gatewayd.toml", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
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
			cfg.City.KeyFile:     "/etc/gatewayd/city-key.pem",
			cfg.Gateway.StateDir: "/var/lib/gatewayd",
		} {
			if path != want {
				t.Errorf("%s: it names %s, and %s is provisioned", name, path, want)
			}
		}
	}
}
