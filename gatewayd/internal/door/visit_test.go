package door_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

func TestHeldCardIsOneTap(t *testing.T) {
	t.Parallel()
	for _, window := range []time.Duration{0, time.Second, time.Hour} {
		bubble(t, window, func(g *gate, c *chip) {
			c.lay(badge(1))
			time.Sleep(time.Minute)
			g.expect("c")
		})
	}
}

func TestWindowSlidesWithTheLastSight(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1))
		for range 2 {
			time.Sleep(29 * time.Second)
			c.visit(badge(1))
		}
		g.expect("cpp")
		first := g.answers[0]
		if a := g.answers[2]; a.Seq != first.Seq || a.Stream != first.Stream {
			t.Errorf("repeats %v/%d, want %v/%d", a.Stream, a.Seq, first.Stream, first.Seq)
		}
		time.Sleep(31 * time.Second)
		c.visit(badge(1))
		g.expect("cppc")
		if h := g.door.Health()[0]; h.Taps != 2 || h.Repeats != 2 || h.Refused != 0 || h.Version != "92" {
			t.Errorf("health %+v", h)
		}
	})
}

// The edge of the window: away for exactly so long is a new visit, and a
// nanosecond less is not.
func TestEdgeOfTheWindow(t *testing.T) {
	t.Parallel()
	const window = 30 * time.Second
	for _, tc := range []struct {
		away time.Duration
		want string
	}{{window - 1, "cp"}, {window, "cc"}, {window + 1, "cc"}} {
		synctest.Test(t, func(t *testing.T) {
			var away atomic.Int64
			at := clock()()
			g := build(t, window, func() presence.Reading {
				r := at
				r.Boottime += time.Duration(away.Load())
				return r
			}, "door")
			c := &chip{}
			ctx, cancel := context.WithCancel(t.Context())
			g.cancel = cancel
			g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: c.open}) })
			defer g.close()
			c.visit(badge(1))
			away.Store(int64(tc.away))
			c.visit(badge(1))
			g.expect(tc.want)
		})
	}
}

// A badge that lies in its place all day and loses its contact now and then is
// one visit; so is one that is passed from reader to reader.
func TestOneStayIsOneTap(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		for range 8 * 60 * 4 { // 8 h of 14 s on, 1 s off
			c.lay(badge(1))
			time.Sleep(14 * time.Second)
			c.lay()
			time.Sleep(time.Second)
		}
		if got := g.outcomes(); strings.Count(got, "c") != 1 {
			t.Errorf("%d taps", strings.Count(got, "c"))
		}
		if n := g.journal.badges(); n != 1 {
			t.Errorf("%d records", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, 30*time.Second, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		for range 20 {
			for _, c := range []*chip{in, out} {
				c.lay(badge(1))
				time.Sleep(40 * time.Second)
				c.lay()
				time.Sleep(20 * time.Second)
			}
		}
		g.expect("c" + strings.Repeat("p", 39))
	})
}

// One look is a sight too.
func TestBriefSightSlidesTheWindow(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		time.Sleep(poll / 2)
		for range 3 {
			c.lay(badge(1))
			time.Sleep(poll)
			c.lay()
			time.Sleep(20 * time.Second)
		}
		g.expect("cpp")
	})
}

// The time that a badge lay there counts, not only its two ends.
func TestHeldBadgeStaysOnItsVisit(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Hour)
		c.lay()
		time.Sleep(20 * time.Second)
		c.visit(badge(1))
		g.expect("cp")
		time.Sleep(31 * time.Second)
		c.visit(badge(1))
		g.expect("cpc")
	})
}

// A refused tap is no visit: while its badge lies there, it must not keep an
// earlier visit alive that would answer the next try with green.
func TestRefusedTapSlidesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1))
		time.Sleep(40 * time.Second)
		g.journal.set(0, errors.New("disk full"))
		c.lay(badge(1))
		time.Sleep(time.Minute)
		c.lay()
		time.Sleep(time.Second)
		g.expect("cf")
		g.journal.set(0, nil)
		c.visit(badge(1))
		g.expect("cfc")
	})
}

// A tap that was removed from the journal is recorded anew, and nobody else's is.
func TestForgottenTapIsNoVisit(t *testing.T) {
	t.Parallel()
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1), badge(2))
		forgotten := g.answers[0]
		g.door.Forgotten(func(_ presence.ID, seq uint64) bool { return seq != forgotten.Seq })
		c.visit(badge(1))
		c.visit(badge(2))
		want := map[string]string{badge(1).UID.String(): "p", badge(2).UID.String(): "p"}
		want[forgotten.UID] = "c"
		g.expect("cc" + want[badge(1).UID.String()] + want[badge(2).UID.String()])
	})
}

func TestNoWindowMakesEveryVisitATap(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(g *gate, c *chip) {
		c.visit(badge(1))
		c.visit(badge(1))
		g.expect("cc")
	})
}

// Two readers see a badge; the one that saw it later is answered first.
func TestRepeatMayHaveBeenSeenFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := clock()
		readings := make(chan presence.Reading, 2)
		second := late()
		first := second
		second.Boottime += time.Millisecond
		readings <- second
		readings <- first
		g := build(t, time.Minute, func() presence.Reading {
			select {
			case r := <-readings:
				return r
			default:
				return late()
			}
		}, "in", "out")
		ctx, cancel := context.WithCancel(t.Context())
		g.cancel = cancel
		defer g.close()
		for _, name := range []string{"in", "out"} {
			c := &chip{cards: []card.Card{badge(1)}}
			g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: name, Poll: time.Hour, Open: c.open}) })
			synctest.Wait()
		}
		g.expect("cp")
	})
}

// Any stays at any readers with restarts in between: one is accepted if and only
// if that badge was away from all of them for the window.
func TestAnyVisits(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	const window = 30 * time.Second
	type visit struct {
		pause   time.Duration
		stay    time.Duration
		badge   uint32
		reader  string
		restart bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		visits := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) visit {
			return visit{
				time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "pause")) * time.Millisecond,
				time.Duration(rapid.SampledFrom([]int{200, 200, 10_000, 60_000}).Draw(rt, "stay")) * time.Millisecond,
				rapid.Uint32Range(1, 3).Draw(rt, "badge"),
				rapid.SampledFrom([]string{"in", "out"}).Draw(rt, "reader"),
				rapid.IntRange(0, 9).Draw(rt, "restart") == 0,
			}
		}), 1, 30).Draw(rt, "visits")
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			chips := map[string]*chip{"in": {}, "out": {}}
			g := open(t, window, nil, chips)
			defer func() { g.close() }()
			last := map[uint32]presence.Reading{} // sight of each badge
			for i, v := range visits {
				time.Sleep(v.pause)
				if v.restart {
					g.close()
					g = reopen(t, g, chips)
				}
				seen := len(g.outcomes())
				came := g.now()
				chips[v.reader].lay(badge(v.badge))
				time.Sleep(v.stay)
				left := g.now()
				chips[v.reader].lay()
				time.Sleep(4 * poll)
				got := g.outcomes()[seen:]
				want := "c"
				if before, ok := last[v.badge]; ok {
					away, _ := came.Since(before)
					if away > window-2*poll && away < window+2*poll {
						return // too close to call: the look is somewhere within a poll
					}
					if away < window {
						want = "p"
					}
				}
				if got != want {
					wrong = fmt.Sprintf("visit %d: %q, want %q", i, got, want)
					return
				}
				last[v.badge] = left
			}
		})
		if wrong != "" {
			rt.Fatalf("%v: %s", visits, wrong)
		}
	})
}
