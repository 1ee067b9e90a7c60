package journal

import (
	"bytes"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// TestARescueTellsHowFarItIs: before, every second or so, and after; the log has
// it every ten.
func TestARescueTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []float64
		var log bytes.Buffer
		p := newProgress(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Rescue: func(done float64) { told = append(told, done) }})
		const size = 100 << 20
		p.of(size)
		for at := int64(0); at < size; at += scanChunk {
			p.read(at)
			time.Sleep(300 * time.Millisecond)
		}
		for n := range 100 {
			p.copied(n, 100)
			time.Sleep(300 * time.Millisecond)
		}
		p.end()
		if !slices.IsSorted(told) || told[0] != 0 || told[len(told)-1] != 1 || slices.Index(told, 1) != len(told)-1 {
			t.Errorf("told %v", told)
		}
		if n := len(told); n < 45 || n > 62 {
			t.Errorf("told %d times in a minute", n)
		}
		if n := strings.Count(log.String(), "done="); n < 4 || n > 6 {
			t.Errorf("%d lines in the log: %s", n, log.String())
		}
	})
}

// TestEveryRescueEnds, also one that fails.
func TestEveryRescueEnds(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"that goes well": false, "that fails": true} {
		t.Run(name, func(t *testing.T) {
			path := corrected(t, 100, 1000)
			if err := os.Truncate(path, 3*boltfile.PageSize); err != nil {
				t.Fatal(err)
			}
			if fails { // there is something that cannot be replaced
				if err := os.MkdirAll(path+".new/x", 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var told []float64
			j, err := Open(Options{
				Path: path, Keep: time.Hour, MaxBytes: 64 << 20, CommitInterval: time.Hour,
				Now: func() presence.Reading { return presence.Reading{Boot: presence.ID{1}} }, Log: slog.New(slog.DiscardHandler),
				Rescue: func(done float64) { told = append(told, done) },
			})
			if err == nil {
				defer j.Close()
			}
			if (err != nil) != fails || len(told) < 2 || told[0] != 0 || told[len(told)-1] != 1 {
				t.Errorf("told %v: %v", told, err)
			}
		})
	}
}

// BenchmarkRescue replaces a damaged journal of 200,000 events, with the
// memory that it wants.
func BenchmarkRescue(b *testing.B) {
	path := corrected(b, 200_000, 1000)
	whole, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	copy(whole[2*boltfile.PageSize:], bytes.Repeat([]byte{0xA5}, 4*boltfile.PageSize))
	for b.Loop() {
		b.StopTimer()
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		j := openJournal(b, path)
		b.StopTimer()
		if j.Damage() == nil {
			b.Fatal("no damage")
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
