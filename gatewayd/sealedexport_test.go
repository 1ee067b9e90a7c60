package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestASealedExportIsIntact: what `export --sealed` prints, the city's audit finds intact,
// while people go on to tap, after a stop and over a kill; and where nothing seals the end
// yet, both say so.
func TestASealedExportIsIntact(t *testing.T) {
	t.Parallel()
	a := newAuditor(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	a.seal(g, "dinkes-01")
	intact := func(when string, args ...string) string {
		t.Helper()
		out := g.must(append([]string{"export", "--sealed"}, args...)...)
		if verdict, findings := a.checkText(out); verdict != "intact" || strings.Contains(out, "gatewayd:") {
			t.Errorf("%s: %s\n%s%s", when, verdict, findings, out)
		}
		return out
	}
	g.start()
	g.tap("--uid", "04A10000")
	begun := time.Now().Add(-time.Hour).Format(time.RFC3339)
	if out := intact("one tap"); strings.Count(out, "\n") != 4 || strings.Count(out, `"kind":"seal"`) != 2 {
		t.Errorf("start, seal, tap and seal are\n%s", out)
	}
	if out := intact("nothing new"); strings.Count(out, "\n") != 4 {
		t.Errorf("a second export made\n%s", out)
	}
	tapping := tapAllTheTime(g)
	for range 8 {
		intact("while somebody taps", "--since", begun)
	}
	if n := tapping(); n == 0 {
		t.Error("nobody tapped meanwhile")
	}
	if out := intact("a span without events", "--since", "2026-01-05", "--until", "2026-01-06"); strings.Count(out, "\n") != 2 {
		t.Errorf("before the first event:\n%s", out)
	}
	g.stop()
	intact("stopped")

	g.start()
	g.tap("--uid", "04A20000")
	g.kill()
	out := g.must("export", "--sealed")
	verdict, findings := a.checkText(out)
	if verdict != "1 findings" || !strings.Contains(findings, ": unsealed:") || !strings.Contains(out, "gatewayd: the last 1 events are not sealed") {
		t.Errorf("killed: %s\n%s%s", verdict, findings, out)
	}
	g.start()
	intact("killed, and started again")
	g.stop()

	for _, wrong := range []string{"--badge=h:0123456789abcdef0123456789abcdef", "--format=csv", "--format=csv-id"} {
		if out, code := g.try("export", "--sealed", wrong); code != 2 || !strings.Contains(out, "--sealed") {
			t.Errorf("%s: exit %d, %s", wrong, code, out)
		}
	}
	log, err := os.ReadFile(filepath.Join(g.dir, "state", "exports.log"))
	if err != nil || strings.Count(string(log), `"sealed":true`) != 14 {
		t.Errorf("%v: the log of exports says\n%s", err, log)
	}
}

// tapAllTheTime has somebody tap until the function that it returns is called, which tells
// how often that was.
func tapAllTheTime(g *gateway) (stop func() int) {
	ending := make(chan struct{})
	var door sync.WaitGroup
	n := 0
	door.Go(func() {
		for {
			select {
			case <-ending:
				return
			default:
			}
			if out, code := g.try("sim", "tap", "--reader", "door", "--uid", fmt.Sprintf("0BB2%04X", n), "--hold", "0s"); code == 0 && strings.Contains(out, "accepted") {
				n++
			}
		}
	})
	return func() int {
		close(ending)
		door.Wait()
		return n
	}
}
