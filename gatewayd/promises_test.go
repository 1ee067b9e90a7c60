package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// TestPromise5TimeIsHonest: a tap while nobody knows the time says so, whatever
// the wall clock shows.
func TestPromise5TimeIsHonest(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	g.configure(strings.Replace(string(text), `source = "trust"`, `source = "sim"`, 1))
	g.start()
	unsynced := g.tap("--uid", "5A000001")[0]
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	synced := g.tap("--uid", "5A000002")[0]
	for line := range strings.Lines(g.must("export")) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		switch e.ID {
		case unsynced.id():
			if e.Quality == "synced" || e.Quality == "trusted" || e.Quality == "unsynced" && e.Time != nil {
				t.Errorf("a tap at an unknown time says %s", line)
			}
		case synced.id():
			if e.Quality != "synced" || e.Time == nil {
				t.Fatalf("a tap at a known time says %s", line)
			}
			at, err := time.Parse(time.RFC3339, *e.Time)
			if err != nil {
				t.Fatal(err)
			}
			if off := time.Until(at); off < 3*time.Hour-time.Minute || off > 3*time.Hour+time.Minute {
				t.Errorf("the clock is 3h ahead, the tap %v", off)
			}
		}
	}
}

// TestPromise6ItRunsUnattended: a reader that fails becomes a state and an
// alert, and heals by itself when the cause goes.
func TestPromise6ItRunsUnattended(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	for _, tc := range []struct{ fault, state string }{
		{"deaf", "deaf"}, {"bus-low", "bus-dead"}, {"bus-high", "bus-dead"},
	} {
		g.must("sim", "reader", "--reader", "door", "--fault", tc.fault)
		g.await("the reader to be "+tc.state, func() bool { return g.health().Readers[0].State == tc.state })
		if level := g.health().Level; level != presence.LevelFault {
			t.Errorf("%s: level %s", tc.fault, level)
		}
		if out := g.must("status"); !strings.Contains(out, "fault") || !strings.Contains(out, "alert reader-door  fault: Badge reader \"door\"") {
			t.Errorf("status says\n%s", out)
		}
		g.must("sim", "reader", "--reader", "door", "--fault", "none")
		g.await("the reader to heal", func() bool { return g.health().Readers[0].State == "ok" })
	}
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Errorf("after healing: %+v", a)
	}
}
