package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// sealKeyIsNoTicket: the city has certified the key that seals the journal, under the name of
// the gateway, and the broker still lets in only the other key of that name.
func sealKeyIsNoTicket(t *testing.T, k *kit, g *installed) {
	call := func(name string) (string, error) {
		out, err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(k.broker.Port), "--cafile", filepath.Join(k.CA, "ca.pem"),
			"--cert", g.Path("var/lib/gatewayd/tls", name+".pem"), "--key", g.Path("var/lib/gatewayd/tls", name+".key"),
			"-q", "1", "-t", "presence/v1/dinkes/"+g.id+"/log", "-m", `{"time":null,"level":"WARN","text":"seal"}`).CombinedOutput()
		return string(out), err
	}
	if out, err := call("gateway"); err != nil {
		t.Fatalf("the gateway itself: %v %s", err, out)
	}
	if out, err := call("seal"); err == nil {
		t.Errorf("the broker took a seal key: %s", out)
	}
}

// upgradedGatewaySeals: a gateway of before there were seals is provisioned, has no seal key,
// and no [seal] in its configuration. The upgrade makes the key, the gateway seals with it
// and shows its request, and takes the certificate up while it runs.
func upgradedGatewaySeals(t *testing.T, k *kit, seen *brokertest.City, g *installed) {
	for _, name := range []string{"seal.key", "seal.pem"} {
		if err := os.Remove(g.Path("var/lib/gatewayd/tls", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"issued/dinkes-03.seal.pem", "seal-keys/dinkes-03.pem"} {
		if err := os.Remove(filepath.Join(k.CA, name)); err != nil {
			t.Fatal(err)
		}
	}
	config := g.Path("etc/gatewayd/gatewayd.toml")
	begin, rest, found := strings.Cut(debtest.Read(t, config), "[seal]\n")
	_, end, _ := strings.Cut(rest, "\n[")
	old := begin + "[" + end
	if !found || strings.Contains(old, "seal.key") {
		t.Fatalf("the configuration is %s", old)
	}
	debtest.Write(t, config, old, 0o644)
	g.provision("seal-key") // as the package does
	g.start()
	info := func(what string, ok func(presence.InfoSeal) bool) (s presence.InfoSeal) {
		seen.Await(what, func(all []brokertest.Message) bool {
			for _, m := range all {
				var info struct{ Seal *presence.InfoSeal }
				if strings.HasSuffix(m.Topic, "/dinkes-03/info") && json.Unmarshal(m.Payload, &info) == nil && info.Seal != nil && ok(*info.Seal) {
					s = *info.Seal
					return true
				}
			}
			return false
		})
		return s
	}
	asks := info("its request", func(s presence.InfoSeal) bool { return s.Certificate == "" && s.Request != "" })
	request := filepath.Join(t.TempDir(), "dinkes-03.csr")
	debtest.Write(t, request, asks.Request, 0o644)
	k.Authority("seal", request)
	g.renew()
	certified := info("its certificate", func(s presence.InfoSeal) bool { return s.Certificate != "" })
	if certified.Key != asks.Key || certified.Request != "" {
		t.Errorf("the key is %+v, before %+v", certified, asks)
	}
	if keys := debtest.Read(t, filepath.Join(k.CA, "seal-keys/dinkes-03.pem")); !strings.Contains(keys, certified.PublicKey) {
		t.Errorf("the city keeps %s", keys)
	}
}
