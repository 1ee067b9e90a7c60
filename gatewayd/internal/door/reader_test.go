package door_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

// A slow commit of one badge does not keep another reader's people waiting.
func TestReadersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, time.Minute, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		g.journal.set(500*time.Millisecond, nil)
		in.lay(badge(1))
		out.lay(badge(2))
		time.Sleep(500*time.Millisecond + poll)
		g.expect("cc")
	})
}

// When the first reader's attempt fails, the second one's is not a repeat.
func TestWaitingReaderTriesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, time.Minute, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		g.journal.set(500*time.Millisecond, errors.New("no space left on device"))
		in.lay(badge(1))
		time.Sleep(2 * poll)
		out.lay(badge(1))
		time.Sleep(2 * poll)
		g.journal.set(0, nil)
		time.Sleep(time.Second)
		g.expect("fc")
	})
}

// A reader's fault becomes a state, and heals when its cause goes.
func TestFaultBecomesStateAndHeals(t *testing.T) {
	t.Parallel()
	// The pauses are random: between the upper half of 250 ms and that of 5 s,
	// doubling. So a minute has between 6 + 52/5 and 6 + 56/2.5 attempts.
	const least, most = 15, 29
	for _, tc := range []struct {
		fault    error
		state    string
		attempts int64 // that an opened reader fails at before it is opened again
	}{
		{fmt.Errorf("open /dev/spidev0.0: %w", card.ErrBusDead), "bus-dead", 1},
		{fmt.Errorf("antenna is off: %w", card.ErrDeaf), "deaf", 1},
		{errors.New("spi: input/output error"), "bus-dead", 5}, // again and again
	} {
		bubble(t, 30*time.Second, func(g *gate, c *chip) {
			state := func() presence.ReaderHealth {
				synctest.Wait()
				return g.door.Health()[0]
			}
			time.Sleep(time.Second)
			if h := state(); h.State != "ok" || h.Errors != 0 {
				t.Fatalf("at first: %+v", h)
			}
			c.fail(tc.fault)
			time.Sleep(time.Minute)
			h := state()
			if h.State != tc.state || h.Errors < least || h.Errors > most*tc.attempts || h.Error != tc.fault.Error() {
				t.Errorf("%v: %+v", tc.fault, h)
			}
			c.fail(nil)
			time.Sleep(6 * time.Second)
			c.visit(badge(1))
			g.expect("c")
			if h := state(); h.State != "ok" || h.Error != "" {
				t.Errorf("healed: %+v", h)
			}
			if got := fmt.Sprint(g.trouble); got != "[true false]" {
				t.Errorf("trouble %v", got)
			}
		})
	}
}

// A few failed looks are noise: counted, but no fault.
func TestPassingErrorsAreCounted(t *testing.T) {
	t.Parallel()
	bubble(t, time.Minute, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Second + poll/2) // between two looks
		c.fail(errors.New("crc"))
		time.Sleep(4 * poll)
		c.fail(nil)
		time.Sleep(time.Second)
		g.expect("c")
		if h := g.door.Health()[0]; h.State != "ok" || h.Errors != 4 || c.opened != 1 {
			t.Errorf("%+v, opened %d times", h, c.opened)
		}
	})
}

func TestCardThatLiesThereThroughAFault(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Minute)
		c.fail(card.ErrDeaf)
		time.Sleep(2 * time.Second)
		c.fail(nil)
		time.Sleep(10 * time.Second)
		g.expect("c") // the same visit
		c.fail(card.ErrDeaf)
		time.Sleep(8 * time.Hour)
		c.fail(nil)
		time.Sleep(10 * time.Second)
		g.expect("cc") // nobody knows: it counts
		if c.opened != c.closed+1 {
			t.Errorf("opened %d, closed %d", c.opened, c.closed)
		}
	})
}

// A gateway that stops brings the tap that it has begun to its end.
func TestStopLetsATapBeRecorded(t *testing.T) {
	t.Parallel()
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(time.Second, nil)
		c.lay(badge(1))
		time.Sleep(2 * poll)
		g.close()
		g.expect("c")
	})
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(time.Hour, nil) // the disk hangs
		c.lay(badge(1))
		time.Sleep(2 * poll)
		stopped := time.Now()
		g.close()
		if d := time.Since(stopped); d > 3*time.Second {
			t.Errorf("stopping took %v", d)
		}
		g.expect("f")
		if a := g.answers[0]; a.Reason != "stopping" {
			t.Errorf("reason %q", a.Reason)
		}
	})
}

// TestAHangingReaderDoesNotReadOK: a bus that does not come back, when the reader
// is opened or when it scans, is said by health and by the lamp; when it does
// come back, all is well again.
func TestAHangingReaderDoesNotReadOK(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"open", "scan"} {
		t.Run(hangs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { hangAndComeBack(t, hangs == "open") })
		})
	}
}

func hangAndComeBack(t *testing.T, opening bool) {
	g := build(t, time.Minute, clock(), "door")
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	c := &hanging{chip: &chip{}, release: release}
	g.tasks.Go(func() {
		_ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(ctx context.Context) (card.Reader, error) {
			if opening {
				<-release
			}
			if _, err := c.chip.open(ctx); err != nil {
				return nil, err
			}
			return c, nil
		}})
	})
	if !opening {
		time.Sleep(time.Second)
		c.hang.Store(true)
	}
	state := func() presence.ReaderHealth { return g.door.Health()[0] }
	time.Sleep(4 * time.Second)
	if h := state(); h.State != "ok" {
		t.Errorf("after 4 s it is %+v", h)
	}
	time.Sleep(2 * time.Second)
	h := state()
	if h.State != "bus-dead" || h.Error == "" || h.LooksPerS != 0 {
		t.Errorf("a reader that hangs reads %+v", h)
	}
	time.Sleep(time.Hour)
	if again := state(); again != h {
		t.Errorf("it says %+v, then %+v", h, again)
	}
	close(release)
	time.Sleep(time.Second)
	synctest.Wait()
	if h := state(); h.State != "ok" || h.Error != "" {
		t.Errorf("when it came back: %+v", h)
	}
	g.mu.Lock()
	if n := len(g.trouble); n != 2 || !g.trouble[0] || g.trouble[1] {
		t.Errorf("the lamp was told %v", g.trouble)
	}
	g.mu.Unlock()
	cancel()
	g.tasks.Wait()
}

// hanging is a chip whose bus does not come back until it is released.
type hanging struct {
	*chip
	hang    atomic.Bool
	release chan struct{}
}

func (h *hanging) Poll(ctx context.Context) ([]card.Card, error) {
	if h.hang.Load() {
		<-h.release
	}
	return h.chip.Poll(ctx)
}

// TestAnUnfitChipTellsItsVersion: a chip that answered with its version, though it could
// not be set up, shows it from the first attempt on.
func TestAnUnfitChipTellsItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := build(t, time.Minute, clock(), "door")
		ctx, cancel := context.WithCancel(t.Context())
		g.tasks.Go(func() {
			_ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(context.Context) (card.Reader, error) {
				return nil, fmt.Errorf("open it: %w", &card.UnfitError{Version: "92", Err: card.ErrDeaf})
			}})
		})
		time.Sleep(time.Second)
		if h := g.door.Health()[0]; h.State != "deaf" || h.Version != "92" {
			t.Errorf("it reads %+v", h)
		}
		cancel()
	})
}
