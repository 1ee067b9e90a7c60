package journal

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

func TestSpansAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		model := make(map[uint64]bool)
		for range rapid.IntRange(0, 20).Draw(t, "adds") {
			from := rapid.Uint64Range(1, 60).Draw(t, "from")
			to := from + rapid.Uint64Range(0, 8).Draw(t, "more")
			s = s.add(span{from, to})
			for p := from; p <= to; p++ {
				model[p] = true
			}
		}
		a, b := rapid.Uint64Range(0, 70).Draw(t, "a"), rapid.Uint64Range(0, 70).Draw(t, "b")
		want := uint64(0)
		for p := a; p <= b; p++ {
			if model[p] {
				want++
			}
		}
		if got := s.count(a, b); got != want {
			t.Fatalf("%v: %d in %d..%d, want %d", s, got, a, b, want)
		}
		out := s.outside(a, b)
		if n := out.count(a, b); n+want != max(b+1, a)-a {
			t.Fatalf("%v: outside in %d..%d is %v", s, a, b, out)
		}
		for i := 1; i < len(s); i++ {
			if s[i-1].to+1 >= s[i].from {
				t.Fatalf("%v: overlap or touch", s)
			}
		}
		for _, h := range s {
			if !s.has(h) || s.has(span{h.from, h.to + 1}) {
				t.Fatalf("%v: has is wrong about %v", s, h)
			}
		}
	})
}

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

// FuzzRecord reads arbitrary bytes as a record: an error or a record that reads
// the same when written again, never a panic.
func FuzzRecord(f *testing.F) {
	c := newCodec()
	lat := 1.5
	for i, d := range []presence.Draft{
		{Kind: presence.KindBadge, At: presence.Reading{Boot: presence.ID{1}, Boottime: 5}, Badge: &presence.Badge{Reader: "door", Badge: "h:00", Card: "c", Assurance: "uid"}},
		{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "r", Tag: "\xff", Lat: &lat}},
		{Kind: presence.KindStart, Start: &presence.Start{Previous: &presence.Previous{Seq: 7}}},
		{Kind: presence.KindGap, Gap: &presence.Gap{Kinds: map[string]int{"tag": 1}, Ranges: []presence.Range{{From: 1, To: 2}}}},
	} {
		it, err := c.encode(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(i), seal(nil, uint64(i), presence.ID{3}, 9, 4, it.payload), true)
		f.Add(uint64(i), it.payload, false)
	}
	f.Fuzz(func(t *testing.T, pos uint64, b []byte, raw bool) {
		value := b
		if !raw { // past the checksum, to the payload
			if len(b) > maxPayload {
				return
			}
			value = seal(nil, pos, presence.ID{3}, 9, 4, b)
		}
		key := posKey(pos)
		var e presence.Entry
		if err := c.decode(key[:], value, &e); err != nil {
			return
		}
		if e.Pos != pos {
			t.Fatalf("position %d became %d", pos, e.Pos)
		}
		it, err := c.encode(e.Draft)
		if err != nil {
			return // of a kind that only a later version writes
		}
		var again presence.Entry
		if err := c.decode(key[:], seal(nil, pos, e.Stream, e.Seq, 1, it.payload), &again); err != nil {
			t.Fatalf("does not read again: %v", err)
		}
	})
}
