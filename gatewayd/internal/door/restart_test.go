package door_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

// A badge that lies on a reader while the gateway starts over is on one visit,
// and what is kept for that does not say whose badge it is.
func TestHeldBadgeOutlivesARestart(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	for _, tc := range []struct {
		name        string
		away, stops time.Duration
		tags        int // recorded after the tap
		want        string
	}{
		{"at once", 0, time.Second, 0, "p"},
		{"behind many others", 0, time.Second, 300, "p"},
		{"taken away before", 20 * time.Second, 5 * time.Second, 0, "p"},
		{"away for too long", 20 * time.Second, 15 * time.Second, 0, "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chip{}
				g := open(t, 30*time.Second, nil, map[string]*chip{"door": c})
				c.lay(badge(1))
				time.Sleep(time.Hour)
				g.expect("c")
				for range tc.tags {
					if _, err := g.journal.Append(t.Context(), presence.Draft{Kind: presence.KindTag, At: g.now(), Tag: &presence.Tag{}}); err != nil {
						t.Fatal(err)
					}
				}
				if tc.away > 0 {
					c.lay()
					time.Sleep(tc.away)
				}
				g.close()
				c.lay()
				for name, note := range g.journal.notes {
					if strings.Contains(name+string(note), badge(1).UID.String()) || len(note) == 0 {
						t.Errorf("note %q: %q", name, note)
					}
				}
				time.Sleep(tc.stops)
				after := reopen(t, g, map[string]*chip{"door": c})
				defer after.close()
				c.visit(badge(1))
				after.expect(tc.want)
			})
		})
	}
}

// reopen starts a door over the records and notes of one that was closed, in the
// same boot.
func reopen(t *testing.T, before *gate, chips map[string]*chip) *gate {
	g := build(t, 30*time.Second, before.now, names(chips)...)
	g.journal.entries, g.journal.notes = before.journal.entries, before.journal.notes
	if err := g.door.Recall(); err != nil {
		t.Fatal(err)
	}
	for i := len(g.journal.entries) - 1; i >= 0 && g.door.Remember(g.journal.entries[i]); i-- {
		continue
	}
	ctx, cancel := context.WithCancel(t.Context())
	g.cancel = cancel
	for name, c := range chips {
		g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: name, Poll: poll, Open: c.open}) })
	}
	return g
}

func TestWindowOutlivesARestart(t *testing.T) {
	t.Parallel()
	record := func(n uint32, at presence.Reading) presence.Entry {
		return presence.Entry{Record: presence.Record{Stream: presence.ID{7}, Seq: 3, Draft: presence.Draft{
			Kind: presence.KindBadge, At: at,
			Badge: &presence.Badge{Badge: badge(n).UID.String()},
		}}}
	}
	start := func(at presence.Reading) presence.Entry {
		return presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindStart, At: at, Start: &presence.Start{}}}}
	}
	for _, tc := range []struct {
		name    string
		earlier func(now presence.Reading) presence.Reading
		want    string
	}{
		{"10 s ago in this boot", func(r presence.Reading) presence.Reading {
			r.Boottime -= 10 * time.Second
			r.State = presence.ClockUnsynced
			return r
		}, "p"},
		{"40 s ago in this boot", func(r presence.Reading) presence.Reading {
			r.Boottime -= 40 * time.Second
			return r
		}, "c"},
		{"10 s ago in an earlier boot", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall = presence.ID{8}, r.Wall-int64(10*time.Second)
			return r
		}, "p"},
		{"later in an earlier boot", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall = presence.ID{8}, r.Wall+int64(10*time.Second)
			return r
		}, "c"},
		{"nobody knows when", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall, r.State = presence.ID{8}, r.Wall-int64(10*time.Second), presence.ClockUnsynced
			return r
		}, "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chip{}
				now := clock()()
				g := open(t, 30*time.Second, []presence.Entry{record(1, tc.earlier(now)), start(now)}, map[string]*chip{"door": c})
				defer g.close()
				c.visit(badge(1))
				g.expect(tc.want)
				if a := g.answers[0]; tc.want == "p" && (a.Stream != presence.ID{7} || a.Seq != 3) {
					t.Errorf("repeats %v/%d", a.Stream, a.Seq)
				}
			})
		})
	}
}

// A gateway that boots without a clock remembers the taps of the boot before,
// and judges them when the clock is set.
func TestTapBeforeARebootIsJudgedWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		var synced atomic.Bool
		g := build(t, time.Hour, func() presence.Reading {
			r := now()
			if !synced.Load() {
				r.State, r.Wall = presence.ClockUnsynced, 0
			}
			return r
		}, "door")
		before := now()
		before.Boot, before.Wall = presence.ID{8}, before.Wall-int64(time.Minute)
		for n := range uint32(3) {
			if !g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{
				Kind: presence.KindBadge, At: before, Badge: &presence.Badge{Badge: badge(n).UID.String()},
			}}}) {
				t.Fatal("wants to know no more")
			}
		}
		c := &chip{}
		ctx, cancel := context.WithCancel(t.Context())
		g.cancel = cancel
		g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: c.open}) })
		defer g.close()
		c.visit(badge(1)) // nobody knows how long ago: it counts
		synced.Store(true)
		c.visit(badge(2))
		g.expect("cp")
	})
}

func TestRememberEnds(t *testing.T) {
	t.Parallel()
	g := build(t, 30*time.Second, clock(), "door")
	old := g.now()
	old.Boottime -= 31 * time.Second
	if g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindTag, At: old, Tag: &presence.Tag{}}}}) {
		t.Error("wants records that are older than the window")
	}
	undated := presence.Reading{Boot: presence.ID{8}}
	for n := 0; g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindTag, At: undated, Tag: &presence.Tag{}}}}); n++ {
		if n > 100_000 {
			t.Fatal("reads a whole journal of another boot")
		}
	}
}
