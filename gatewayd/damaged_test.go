package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestASheetOfADamagedJournalSaysSo: what cannot be read may be the tap that is
// asked for, so no export of a stopped gateway passes for a complete one.
func TestASheetOfADamagedJournalSaysSo(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "5A000001", "--count", "3")
	g.stop()
	today := time.Now().In(jakarta(t)).Format(time.DateOnly)
	path := filepath.Join(g.dir, "state", "journal.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
	}{
		{"everything", func(b []byte) []byte {
			for i := range b {
				b[i] = byte(i*7 + 3)
			}
			return b
		}},
		{"nothing left", func([]byte) []byte { return nil }},
		{"cut off", func(b []byte) []byte { return b[:12<<10] }},
		{"all but the head", func(b []byte) []byte {
			for i := 8 << 10; i < len(b); i++ {
				b[i] ^= 0x5A
			}
			return b
		}},
	} {
		if err := os.WriteFile(path, c.spoil(append([]byte(nil), whole...)), 0o640); err != nil {
			t.Fatal(err)
		}
		for _, what := range [][]string{
			{},
			{"--format", "csv"},
			{"--day", today},
			{"--day", today, "--format", "csv"},
			{"--day", today, "--format", "html"},
			{"--day", today, "--format", "html", "--lang", "en"},
		} {
			out, code := g.try(append([]string{"export"}, what...)...)
			if code != 1 || !strings.Contains(out, "the journal is damaged, and what cannot be read is not printed") {
				t.Errorf("%s: export %q: exit %d\n%s", c.name, what, code, out)
			}
			if len(what) > 2 && !strings.Contains(out, "gap,") && !strings.Contains(out, "lembar ini tidak lengkap") && !strings.Contains(out, "this sheet is not complete") {
				t.Errorf("%s: the sheet of %q does not say that it is not complete:\n%s", c.name, what, out)
			}
			for _, lie := range []string{"Nothing was lost", "Tidak ada data yang hilang"} {
				if strings.Contains(out, lie) {
					t.Errorf("%s: export %q says %q", c.name, what, lie)
				}
			}
		}
	}
	if err := os.WriteFile(path, whole, 0o640); err != nil {
		t.Fatal(err)
	}
	if out := g.must("export", "--day", today, "--format", "html", "--lang", "en"); !strings.Contains(out, "Nothing was lost") || strings.Contains(out, "not complete") {
		t.Errorf("the sheet of a sound journal says\n%s", out)
	}
}
