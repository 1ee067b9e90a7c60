package journal

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/supervise/supervisetest"
)

// TestStuckCommitStopsTheWatchdogsFeeding: somebody else's transaction stands
// for a disk that does not answer.
func TestStuckCommitStopsTheWatchdogsFeeding(t *testing.T) {
	const interval = 400 * time.Millisecond
	manager := supervisetest.Listen(t, interval)
	for k, v := range manager.Env() {
		t.Setenv(k, v)
	}
	systemd, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { systemd.Watch(ctx) })
	defer watch.Wait()
	defer cancel()

	at := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
		Beat: systemd.Pulse("journal").Beat,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if fed := manager.Feeds(3 * interval); fed < 3*interval {
		t.Fatalf("nothing is written, but the watchdog was fed for %v only", fed)
	}
	tx, err := j.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	var tap sync.WaitGroup
	tap.Go(func() {
		_, err = j.Append(t.Context(), presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door"}})
	})
	if fed := manager.Feeds(10 * interval); fed > 2*interval {
		t.Errorf("fed for %v although the commit does not end", fed)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	tap.Wait()
	if err != nil {
		t.Error(err)
	}
	if fed := manager.Feeds(2 * interval); fed < 2*interval {
		t.Errorf("the commit ended, but the watchdog was fed for %v only", fed)
	}
}
