package journal

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestQuantiles(t *testing.T) {
	var l latencies
	if a, b := l.quantiles(); a != 0 || b != 0 {
		t.Errorf("nothing has quantiles %v, %v", a, b)
	}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(100) {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	if a, b := l.quantiles(); a != 50*time.Millisecond || b != 99*time.Millisecond {
		t.Errorf("quantiles of 1..100 ms: %v, %v", a, b)
	}
	for range 512 {
		l.add(time.Second)
	}
	if a, b := l.quantiles(); a != time.Second || b != time.Second {
		t.Errorf("the oldest were not forgotten: %v, %v", a, b)
	}
}

// TestFreeBytesAreWhatIsTaken: what free_bytes promises is taken, and not much
// more; it falls by what is taken; and at the first refusal it is 0.
func TestFreeBytesAreWhatIsTaken(t *testing.T) {
	t.Parallel()
	at := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(inMemory(t), "journal.db"), Keep: time.Hour, MaxBytes: 2 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	d := presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 300)}}
	it, err := j.codec.encode(d)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(elementSize(make([]byte, 8), make([]byte, it.size())))
	promised, taken := j.Stats().FreeBytes, int64(0)
	for {
		if _, err := j.Append(t.Context(), d); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		taken += size
		if free := j.Stats().FreeBytes; free < promised-taken*21/20-64<<10 || free > promised-taken*17/20+64<<10 {
			t.Fatalf("%d of %d bytes are taken, and %d are said to be free", taken, promised, free)
		}
	}
	if taken < promised || taken > promised*23/20 {
		t.Errorf("%d bytes were taken of %d that were said to be free", taken, promised)
	}
	if s := j.Stats(); s.FreeBytes != 0 || !s.Refusing {
		t.Errorf("after a tap was refused: %+v", s)
	}
	t.Logf("%d taps of %d bytes, %d bytes of %d", taken/size, size, taken, promised)
}

// inMemory is a directory whose syncs take no time, where there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
