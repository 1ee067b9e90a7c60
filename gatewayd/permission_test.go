package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"presence/scripts/brokertest"
	"presence/scripts/skiptest"
)

// serviceGateway is a gateway that runs as a user of its own, with root for whom
// the test's commands run.
func serviceGateway(t *testing.T, broker string) (g *gateway, state string) {
	t.Helper()
	skiptest.Root(t, "to become other users")
	g = newGateway(t, broker, "")
	state = filepath.Join(g.dir, "state")
	if err := os.Mkdir(state, 0o750); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(g.dir): 0o755, g.dir: 0o755, g.config: 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{state, filepath.Join(g.dir, "badge.key")} {
		if err := os.Chown(path, serviceID, serviceID); err != nil {
			t.Fatal(err)
		}
	}
	g.user = &syscall.Credential{Uid: serviceID, Gid: serviceID, Groups: []uint32{}}
	return g, state
}

// putAside are the journals in a folder that were taken for damaged.
func putAside(t *testing.T, state string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(state, "*.damaged*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestForgettingAsRootLosesNothing: what root rewrites on a stopped gateway is the
// gateway's, and the next start goes on with it.
func TestForgettingAsRootLosesNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Stop()
	g, state := serviceGateway(t, b.URL())
	g.start()
	kept := g.tap("--uid", "5A000001")[0]
	g.tap("--uid", "5A000002")
	g.stop()
	if out := g.must("forget", "--badge", "5A000002"); !strings.Contains(out, "1 badge") {
		t.Fatalf("forget: %s", out)
	}
	files, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != serviceID || s.Gid != serviceID {
			t.Errorf("%s belongs to %d:%d", f.Name(), s.Uid, s.Gid)
		}
	}
	b.Restart()
	seen := b.Subscribe("presence/v1/+/+/event/#")
	g.start()
	v := validator(t)
	seen.Await("the tap that was kept", func(m []brokertest.Message) bool {
		_, there := events(t, v, m)[kept.id()]
		return there
	})
	if names := putAside(t, state); len(names) > 0 {
		t.Errorf("taken for damaged: %v", names)
	}
	g.stop()
}

// TestAJournalThatMayNotBeOpenedIsKept: the door is red and an alert says why, and
// once the permission is there again all goes on where it was.
func TestAJournalThatMayNotBeOpenedIsKept(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Stop()
	g, state := serviceGateway(t, b.URL())
	path := filepath.Join(state, "journal.db")
	g.start()
	before := g.tap("--uid", "5A000001")[0]
	g.stop()
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	seen := b.Subscribe("presence/v1/+/+/#")
	g.launch()
	seen.Await("the alert", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "alert/journal-closed")), "permission denied")
	})
	if a := g.tap("--uid", "5A000002")[0]; a.Outcome != "refused" || a.Reason != "journal-closed" {
		t.Errorf("a tap meanwhile: %+v", a)
	}
	if err := os.Chown(path, serviceID, serviceID); err != nil {
		t.Fatal(err)
	}
	seen.Await("the tap from before", func(m []brokertest.Message) bool {
		for _, one := range m {
			if strings.HasSuffix(one.Topic, "/event/badge") && strings.Contains(string(one.Payload), before.id()) {
				return true
			}
		}
		return false
	})
	if names := putAside(t, state); len(names) > 0 {
		t.Errorf("taken for damaged: %v", names)
	}
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify says %s", out)
	}
	g.stop()
}
