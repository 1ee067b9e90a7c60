package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/brokertest"
)

// TestForgetLeavesNoTrace: after `forget` no file of the gateway holds the
// badge, with the daemon running or not, and the ledger says that something
// went.
func TestForgetLeavesNoTrace(t *testing.T) {
	b := brokertest.Start(t)
	b.Stop()
	g := newGateway(t, b.URL(), "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6", "--count", "3")
	identity := func(uid string) string {
		t.Helper()
		for line := range strings.Lines(g.must("export")) {
			if _, rest, ok := strings.Cut(line, `"badge":"`); ok {
				return rest[:34]
			}
		}
		t.Fatalf("no badge for %s", uid)
		return ""
	}
	first := identity("04A1B2C3D4E5F6")
	if out := g.must("forget", "--badge", "04:A1:B2:C3:D4:E5:F6"); !strings.Contains(out, "1 badge events; 1 of them were not delivered") {
		t.Errorf("forget said %q", out)
	}
	traces(t, g, first)
	second := identity("04A1B2C3D4E5F7")
	g.stop()
	if out := g.must("forget", "--badge", second); !strings.Contains(out, "1 badge events") {
		t.Errorf("forget said %q", out)
	}
	traces(t, g, second)
	if out := g.must("forget", "--tag", "reyax:50"); !strings.Contains(out, "nothing") {
		t.Errorf("forget said %q", out)
	}
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify said %q", out)
	}

	b.Restart()
	seen := b.Subscribe("presence/v1/+/+/event/#")
	g.start()
	v := validator(t)
	g.await("what is left to arrive", func() bool { return count(seen.Messages(), "badge") == 1 && count(seen.Messages(), "gap") == 2 })
	for _, m := range seen.Messages() {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
		if strings.Contains(string(m.Payload), first) || strings.Contains(string(m.Payload), second) {
			t.Errorf("a forgotten badge was sent: %s", m.Payload)
		}
	}
	for _, wrong := range [][]string{{}, {"--badge", "somebody"}} {
		if out, code := g.try(append([]string{"forget"}, wrong...)...); code != 2 {
			t.Errorf("forget %q: exit %d, %s", wrong, code, out)
		}
	}
}

// traces looks for a name in every file of a gateway.
func traces(t *testing.T, g *gateway, name string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(g.dir, "state"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(name)) {
			t.Errorf("%s is in %s", name, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
