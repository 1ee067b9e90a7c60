package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/scripts/city/internal/realfleet"
)

// A fifth of real gateways is killed again and again while people tap at all of them: every
// tap for which the lamp was green is in the database, and nothing is there twice.
func TestKilledRealGateways(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	n := 5
	if w.kills > 5 {
		n = 20
	}
	c := newCity(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	keys, sealing := sealsOf(t, n)
	fleet := c.realFleet(n, sealing)
	if err := fleet.Start(ctx); err != nil {
		t.Fatal(err)
	}
	crowd := &crowd{green: make(map[string]bool)}
	tapping, stop := context.WithCancel(ctx)
	for i, g := range fleet {
		crowd.tasks.Go(func() { crowd.tap(tapping, g, i) })
	}
	for range w.kills {
		<-w.upTo(time.Second)
		for _, i := range w.random.Perm(n)[:n/5] {
			if err := fleet[i].Kill(); err != nil {
				t.Error(err)
			}
			if err := fleet[i].Start(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	crowd.tasks.Wait()
	recorded, err := fleet.AwaitConfirmed(ctx)
	if err != nil {
		t.Error(err)
	}
	missing := c.missing(crowd.green)
	has := c.count()
	audits := c.auditFleet(fleet, keys)
	fmt.Printf("city-torture: seed=%d victim=%q kills=%d green=%d recorded=%d rows=%d missing=%d holes=%d doubled=%d intact=%d failed=%t\n",
		w.seed, "a fifth of the real gateways", w.kills, len(crowd.green), recorded, has.events, len(missing), has.holes, has.events-has.distinct, audits, t.Failed())
	if len(missing) > 0 || has.holes > 0 || has.events != has.distinct || has.refused > 0 {
		t.Errorf("%+v, without %v", has, missing)
	}
	if has.distinct != recorded {
		t.Errorf("the gateways recorded %d events, and the database has %d", recorded, has.distinct)
	}
}

// sealsOf is a key for the seals of a fleet's gateways: the folder with its public half for
// each of them, and the tables of their configuration.
func sealsOf(t *testing.T, gateways int) (keys, tables string) {
	t.Helper()
	file, keys := newSealKey(t, "real-001")
	public, err := os.ReadFile(filepath.Join(keys, "real-001.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range gateways {
		if err := os.WriteFile(filepath.Join(keys, fmt.Sprintf("real-%03d.pem", n+1)), public, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keys, fmt.Sprintf("[hours]\nalways = true\n[tags]\nmin_interval = \"0s\"\nmin_move_m = 0\n[seal]\nkey_file = %q\n", file)
}

// auditFleet stops the gateways, which seals the end, and has the audit check what the
// database has of each. It returns for how many that is intact.
func (c *theCity) auditFleet(fleet realfleet.Fleet, keys string) (intact int) {
	c.t.Helper()
	if err := fleet.Stop(); err != nil {
		c.t.Error(err)
	}
	for _, g := range fleet {
		for deadline := time.Now().Add(wait); ; <-time.After(100 * time.Millisecond) { // the last seal may still be on its way
			said := c.audit(keys, g.ID())
			if strings.HasSuffix(said, "audit: intact\n") {
				intact++
				break
			}
			if time.Now().After(deadline) {
				c.t.Errorf("%s: %s", g.ID(), said)
				break
			}
		}
	}
	return intact
}

// crowd is people who tap.
type crowd struct {
	tasks sync.WaitGroup
	mu    sync.Mutex
	green map[string]bool // ids of taps for which the lamp was green
}

// tap has one card after the other held to a reader until the context ends, also while the
// gateway is dead.
func (c *crowd) tap(ctx context.Context, g *realfleet.Gateway, office int) {
	for n := 0; ctx.Err() == nil; n += 8 {
		answers, err := g.Tap(ctx, fmt.Sprintf("04%02X%08X00", office, n), 8)
		c.mu.Lock()
		for _, a := range answers {
			if a.Outcome == "accepted" {
				c.green[fmt.Sprintf("%s-%d", a.Stream, a.Seq)] = true
			}
		}
		c.mu.Unlock()
		if err != nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// missing are the ids of events that the database does not have.
func (c *theCity) missing(ids map[string]bool) (all []string) {
	c.t.Helper()
	rows, err := c.db.Query("city", "select stream || '-' || seq from presence.event")
	if err != nil {
		c.t.Fatal(err)
	}
	here := make(map[string]bool)
	for row := range strings.FieldsSeq(rows) {
		here[row] = true
	}
	for id := range ids {
		if !here[id] {
			all = append(all, id)
		}
	}
	return all
}
