package door_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

// TestTheDoorIsRedAsLongAsTheJournalRefuses, whether anybody comes or not: neither
// does it wait for the next tap to be red, nor to be red no more.
func TestTheDoorIsRedAsLongAsTheJournalRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refusing atomic.Bool
		var mu sync.Mutex
		var told []bool
		journal := &ledger{}
		g := &gate{t: t, journal: journal, now: clock()}
		d := door.New(door.Options{
			RepeatWindow: time.Minute, Badges: presence.PlainBadges(), Journal: journal, Lamp: g, Now: g.now, Sights: journal,
			Refusing: refusing.Load, Log: slog.New(slog.DiscardHandler), Observe: func(presence.Answer) {},
			Trouble: func(on bool) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, on)
			},
		}, "door")
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = d.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: (&chip{}).open}) })
		for _, now := range []bool{false, true, false} {
			refusing.Store(now)
			time.Sleep(4 * poll)
			synctest.Wait()
		}
		mu.Lock()
		if got := fmt.Sprint(told); got != "[true false]" {
			t.Errorf("told %v", got)
		}
		mu.Unlock()
		cancel()
		tasks.Wait()
	})
}
