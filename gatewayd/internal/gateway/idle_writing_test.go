package gateway

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/scripts/skiptest"
)

// TestAnIdleDayWritesLittle has a whole gateway live some hours in which nobody comes and
// no tag is heard, and counts what a day of them writes: the journal and everything else.
// An SD card is worn out by writing, so that a gateway with nothing to record writes less
// than 3 MB a day, whether it knows the time and the city can be reached or not.
//
// Not beside other tests: what they write would count too.
func TestAnIdleDayWritesLittle(t *testing.T) {
	skiptest.Computation(t)
	const most = 3_000_000
	for name, tc := range map[string]struct {
		synced, line bool
	}{
		"in sync, with a line":    {true, true},
		"in sync, without a line": {true, false},
		"without the time":        {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1, someWeeks)
				quietBoard(t, filepath.Join(dir, "root"))
				w.powerOn()
				w.line.set(tc.line, false)
				w.start()
				pass := func(long time.Duration) {
					for end := w.now().Add(long); w.now().Before(end); time.Sleep(17 * time.Minute) {
						if tc.synced {
							w.machine.ntp(0)
						}
					}
				}
				pass(time.Hour)
				before, commits, events := handedToWrite(t), w.life.daemon.journal.Stats().Commits, w.life.daemon.journal.End()
				began := w.now()
				pass(4 * time.Hour)
				day := float64(24*time.Hour) / float64(w.now().Sub(began))
				written := day * float64(handedToWrite(t)-before)
				t.Logf("an idle day: %.2f MB written, %.0f commits, %.0f events", written/1e6,
					day*float64(w.life.daemon.journal.Stats().Commits-commits), day*float64(w.life.daemon.journal.End()-events))
				if written > most {
					t.Errorf("%.0f bytes written a day, at most %d", written, most)
				}
				w.life.stop()
				if err := <-w.life.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// handedToWrite is how many bytes this process has handed to write calls (proc(5),
// wchar): what it writes, whatever disk is under it. What `go test` writes of the files
// that are opened, for its cache, is left out.
func handedToWrite(t *testing.T) int64 {
	t.Helper()
	opened := int64(0)
	if f := flag.Lookup("test.testlogfile"); f != nil && f.Value.String() != "" {
		info, err := os.Stat(f.Value.String())
		if err != nil {
			t.Fatal(err)
		}
		opened = info.Size()
	}
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n - opened
		}
	}
	t.Fatal("proc does not tell what was written")
	return 0
}
