package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/scripts/city/internal/realfleet"
)

// A gateway whose card is put back to an old state learns it from the recorder's answer to
// its start, and says so: nothing is lost, nothing parts, and the audit names it.
func TestACardThatWasPutBackIsFoundOut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts daemons")
	}
	c := newCity(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	keyFile, keys := newSealKey(t, "real-01")
	g := c.sealingGateway("real-01", keyFile)
	image := filepath.Join(t.TempDir(), "image")
	state := g.StateDir()
	for round, before := range []func() error{
		func() error { return nil },
		func() error { return os.CopyFS(image, os.DirFS(state)) },
		func() error {
			if err := os.RemoveAll(state); err != nil {
				return err
			}
			return os.CopyFS(state, os.DirFS(image))
		},
	} {
		if err := before(); err != nil {
			t.Fatal(err)
		}
		c.runOnce(ctx, g, round)
	}
	c.await("the gap", func() (string, bool) {
		n := c.number("select count(*) from presence.event where kind = 'gap' and more->>'reason' = 'journal-rolled-back'")
		return "none", n == 1
	})
	if h := c.count(); h.holes != 0 || h.refused != 0 {
		t.Errorf("%+v", h)
	}
	if n := c.number("select (select count(*) from presence.fork) + (select count(*) from presence.loss)"); n != 0 {
		t.Errorf("%d rows in presence.fork and presence.loss", n)
	}
	got := c.audit(keys, "real-01")
	if !strings.Contains(got, "rolled-back") || strings.Contains(got, "altered") || !strings.HasSuffix(got, "audit: 1 findings\n") {
		t.Errorf("the audit says %s", got)
	}
	t.Log(got)
}

// runOnce has a gateway record something and deliver it.
func (c *theCity) runOnce(ctx context.Context, g *realfleet.Gateway, round int) {
	c.t.Helper()
	if err := g.Start(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.tapAndHear(ctx, g, round)
	c.await("all to be delivered", func() (string, bool) {
		h, err := g.Health(ctx)
		if err != nil {
			return err.Error(), false
		}
		return "waiting", h.Journal.Pending == 0
	})
	if round == 2 { // it begins a new stream by itself
		c.await("the gap to be recorded", func() (string, bool) {
			return "none", c.number("select count(*) from presence.event where kind = 'gap'") > 0
		})
	}
	if err := g.Stop(); err != nil {
		c.t.Fatal(err)
	}
}
