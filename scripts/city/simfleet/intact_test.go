package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/scripts/city/internal/realfleet"
)

// What a real gateway has recorded and sealed is proven by the city's table alone: over
// batches, over a recorder that is killed, and over a new start of the gateway. What
// somebody changes, takes out or erases there is found, and named.
func TestTheCitysTableIsProven(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts daemons")
	}
	c := newCity(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	keyFile, keys := newSealKey(t, "real-01")
	g := c.sealingGateway("real-01", keyFile)
	events := 0
	for round := range 2 {
		if err := g.Start(ctx); err != nil {
			t.Fatal(err)
		}
		c.tapAndHear(ctx, g, round)
		if round == 0 {
			c.killRecorder()
			c.tapAndHear(ctx, g, 2)
			c.startRecorder()
			c.awaitSessions(2)
			events += 15
		}
		events += 15
		if err := g.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	// Each stream has a start, and a seal behind it and at its end.
	c.awaitEvents("real-01", events+2*3)
	if got := c.audit(keys, "real-01"); !strings.HasSuffix(got, "audit: intact\n") {
		t.Fatalf("the table as it was stored: %s", got)
	}
	for what, change := range map[string]string{
		"another badge":        "update presence.event set badge = '04FFFFFFFFFFFF' where badge = '04A1B200010001'",
		"a tag somewhere else": "update presence.event set lat = lat + 1 where kind = 'tag' and seq < 12",
		"another clock":        "update presence.event set more = jsonb_set(more, '{boot_ms}', '7') where badge = '04A1B200010001'",
	} {
		got := c.auditOf(keys, fmt.Sprintf("begin; %s; select presence.sent('dinkes', 'real-01'); rollback", change))
		if !strings.Contains(got, "altered") || strings.HasSuffix(got, "intact\n") {
			t.Errorf("%s: %s", what, got)
		}
	}
	got := c.auditOf(keys, "begin; delete from presence.event where seq = 5; select presence.sent('dinkes', 'real-01'); rollback")
	if !strings.Contains(got, "missing") {
		t.Errorf("rows that are gone: %s", got)
	}
	got = c.auditOf(keys, "begin; select presence.erase('{null}', '{04A1B200010001}', '{null}', '{null}', '{null}'); select presence.sent('dinkes', 'real-01'); rollback")
	if !strings.Contains(got, "missing") || strings.Contains(got, "altered") || strings.Contains(got, "04A1B200010001") {
		t.Errorf("a person who was erased: %s", got)
	}
	if got := c.audit(keys, "real-01"); !strings.HasSuffix(got, "audit: intact\n") {
		t.Errorf("in the end: %s", got)
	}
}

// newSealKey makes a gateway's key for seals, and a folder with its public half.
func newSealKey(t *testing.T, gateway string) (file, keys string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys = t.TempDir()
	file = filepath.Join(t.TempDir(), "seal.key")
	write := func(path, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	write(file, "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(public)
	write(filepath.Join(keys, gateway+".pem"), "PUBLIC KEY", der, err)
	return file, keys
}

// sealingGateway makes a real gateway that seals, and sends batches.
func (c *theCity) sealingGateway(name, keyFile string) *realfleet.Gateway {
	c.t.Helper()
	g, err := realfleet.New(realfleet.Options{
		Binary: program(c.t, "gatewayd"), Dir: filepath.Join(c.t.TempDir(), name), Dinas: "dinkes", Gateway: name,
		Broker: c.brokers[0].URL(), Receipts: true, Radio: true, Poll: "10ms", MQTT: `batch = "zstd"`,
		Tables: fmt.Sprintf("[hours]\nalways = true\n[tags]\nmin_interval = \"0s\"\nmin_move_m = 0\n[seal]\nkey_file = %q\n", keyFile),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := g.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return g
}

// tapAndHear has a gateway record 5 taps and 10 tags.
func (c *theCity) tapAndHear(ctx context.Context, g *realfleet.Gateway, round int) {
	c.t.Helper()
	before, err := g.Health(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	for n := range 5 {
		uid := fmt.Sprintf("04A1B2%02X%02X0001", round, n)
		if answers, err := g.Tap(ctx, uid, 1); err != nil || answers[0].Outcome != "accepted" {
			c.t.Fatalf("a tap: %+v, %v", answers, err)
		}
	}
	var reports []realfleet.Report
	for k := range 10 {
		reports = append(reports, realfleet.Report{Fleet: 100 + round, Unit: 1000 + k, Lat: -7.97 - float64(k)/600, Lon: 112.63, At: time.Now()})
	}
	if err := g.Hear(reports...); err != nil {
		c.t.Fatal(err)
	}
	c.await("the events", func() (string, bool) {
		h, err := g.Health(ctx)
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprint(h.Journal.Events), h.Journal.Events >= before.Journal.Events+15
	})
}

// audit is what the audit says of a gateway's events in the database.
func (c *theCity) audit(keys, gateway string) string {
	return c.auditOf(keys, fmt.Sprintf("select presence.sent('dinkes', '%s')", gateway))
}

// auditOf is what it says of the lines that some SQL prints.
func (c *theCity) auditOf(keys, sql string) string {
	c.t.Helper()
	lines, err := c.db.Query("city", sql)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(program(c.t, "audit"), "-keys", keys, "-")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(lines)
	said, _ := cmd.CombinedOutput() // its status says what its last line says
	return string(said)
}
