package clock

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

// TestAnchorsForSeals: those of the present boot alone, oldest first, and each once where
// the last that was told is named.
func TestAnchorsForSeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		src.set(func(f *fake) { f.state, f.maxError, f.offset = presence.ClockSynced, 20*time.Millisecond, 0 })
		c := New(src)
		if got := c.AnchorsAfter(-1); len(got) != 0 {
			t.Errorf("before any: %+v", got)
		}
		observe := func(times int) {
			for range times {
				c.observe()
				time.Sleep(anchorEvery)
			}
		}
		observe(3)
		first := c.AnchorsAfter(-1)
		if len(first) != 3 {
			t.Fatalf("%+v", first)
		}
		for i, a := range first {
			want := presence.Anchor{
				Boottime: time.Duration(i) * anchorEvery, UTC: src.start.Add(time.Duration(i) * anchorEvery).UnixNano(),
				Error: 20*time.Millisecond + readError, Source: SourceSystem,
			}
			if a != want {
				t.Errorf("%+v, want %+v", a, want)
			}
		}
		observe(2)
		if got := c.AnchorsAfter(first[2].Boottime); len(got) != 2 || got[0].Boottime <= first[2].Boottime {
			t.Errorf("since the last: %+v", got)
		}
		if got := c.AnchorsAfter(c.AnchorsAfter(-1)[4].Boottime); len(got) != 0 {
			t.Errorf("told twice: %+v", got)
		}
		observe(200)
		all := c.AnchorsAfter(-1)
		if len(all) > maxSealed || !slices.IsSortedFunc(all, func(a, b presence.Anchor) int { return int(a.Boottime - b.Boottime) }) {
			t.Errorf("%d anchors", len(all))
		}
		src.set(func(f *fake) { f.boot, f.start = presence.ID{2}, time.Now() })
		if got := c.AnchorsAfter(-1); len(got) != 0 {
			t.Errorf("of another boot: %+v", got)
		}
		observe(1)
		if got := c.AnchorsAfter(-1); len(got) != 1 {
			t.Errorf("of this boot: %+v", got)
		}
	})
}
