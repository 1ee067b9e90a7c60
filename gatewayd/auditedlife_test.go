package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
)

// TestALifeIsIntact: a gateway that was upgraded from a version without links, whose clock
// is set late, that is stopped and killed, fills its journal, forgets and is damaged, has
// one chain, and the city's audit finds it whole: what is gone, gaps name.
func TestALifeIsIntact(t *testing.T) {
	t.Parallel()
	a := newAuditor(t)
	radio, port := openTTY(t)
	g := newGateway(t, "tcp://127.0.0.1:1", everyTag+receiver(port)+"[journal]\nmax_mb = 1\n")
	g.configure(strings.Replace(g.text(), `source = "trust"`, `source = "sim"`, 1))
	a.seal(g, "dinkes-01")
	state := filepath.Join(g.dir, "state")
	if err := os.MkdirAll(state, 0o750); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(state, "journal.db"), oldJournal(t, "v1c"), 0o640)
	intact := func(when string) string {
		t.Helper()
		out := g.must("export", "--sealed")
		if verdict, findings := a.checkText(out); verdict != "intact" {
			t.Errorf("%s: %s\n%s%s", when, verdict, findings, out[:min(len(out), 4000)])
		}
		return out
	}

	g.start()
	g.tap("--uid", "04A10000")
	unset := intact("after the upgrade, the clock not set")
	if !strings.Contains(unset, `"time":null`) || strings.Count(unset, `"link"`) >= strings.Count(unset, "\n") {
		t.Errorf("of the upgraded journal, or without a time, nothing is in\n%s", unset)
	}
	g.must("sim", "clock", "--synced=true")
	g.tap("--uid", "04A10001")
	set := intact("the clock set")
	if strings.Contains(set[strings.LastIndex(set, `"kind":"start"`):], `"time":null`) {
		t.Errorf("nothing was corrected:\n%s", set)
	}
	// Both together are the city's table: each event as it was sent first, and corrected.
	both := filepath.Join(g.dir, "both.jsonl")
	writeFile(t, both, []byte(unset+set), 0o600)
	if verdict, findings := a.check("-captured", both); verdict != "intact" {
		t.Errorf("with corrections: %s\n%s", verdict, findings)
	}
	g.stop()
	intact("stopped")
	g.start()
	g.tap("--uid", "04A10002")
	g.kill()
	g.start()
	intact("killed")

	fill(t, g, radio)
	if verdict, findings := a.checkText(g.must("export", "--sealed")); verdict != "intact" && (verdict != "1 findings" || !strings.Contains(findings, ": unsealed: ")) {
		t.Errorf("full, with no room for a seal: %s\n%s", verdict, findings)
	}
	g.stop()
	g.configure(strings.Replace(g.text(), "max_mb = 1", "max_mb = 4", 1))
	g.start()
	if out := intact("full"); !strings.Contains(out, `"reason":"journal-full"`) || !strings.Contains(out, `"before":`) {
		t.Error("nothing was thinned")
	}
	g.tap("--uid", "04A10003", "--count", "3")
	g.must("forget", "--badge", strings.Fields(g.must("badge", "04A10003"))[0])
	if out := intact("forgotten"); !strings.Contains(out, `"reason":"forgotten"`) {
		t.Error("nothing was forgotten")
	}
	g.stop()
	spoil(t, filepath.Join(state, "journal.db"))
	g.start()
	g.tap("--uid", "04A10004")
	out := g.must("export", "--sealed")
	if !strings.Contains(out, "journal-damaged") {
		t.Error("nothing was damaged")
	}
	// Behind a hole whose end nobody knows, the gap says so by naming no link.
	verdict, findings := a.checkText(out)
	t.Logf("salvaged: %s", verdict)
	for line := range strings.Lines(findings) {
		if !strings.Contains(line, ": unproven: ") {
			t.Errorf("salvaged: %s: %s", verdict, line)
		}
	}
	if n := strings.Count(findings, "\n"); n > strings.Count(out, `"reason":"journal-damaged"`) {
		t.Errorf("salvaged: %s\n%s", verdict, findings)
	}
	g.stop()
}

func oldJournal(t *testing.T, version string) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("internal", "journal", "testdata", "versions", version+".db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// fill has the gateway hear more than its journal holds, with taps in between.
func fill(t *testing.T, g *gateway, radio io.Writer) {
	t.Helper()
	const tags = 6_000
	before := g.health().Receivers[0].Frames
	now := time.Now()
	for i := range tags {
		if _, err := io.WriteString(radio, beacontest.PKLDS(100, 1000+i%40, -7.9+float64(i)*1e-4, 112.6, now.Add(time.Duration(i-tags)*time.Second))); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			g.tap("--uid", fmt.Sprintf("5A%06X", i+1))
		}
	}
	var heard time.Time
	g.await("all tags to be heard", func() bool {
		if heard.IsZero() && g.health().Receivers[0].Frames >= before+tags {
			heard = time.Now()
		}
		return !heard.IsZero() && time.Since(heard) > 3*time.Second
	})
}

// spoil makes a page in the middle of a journal unreadable.
func spoil(t *testing.T, path string) {
	t.Helper()
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(plain) / 2 &^ 4095; i < len(plain)/2&^4095+4*4096; i++ {
		plain[i] ^= 0x5A
	}
	writeFile(t, path, plain, 0o640)
}
