package journal_test

import (
	"bytes"
	"testing"

	"presence/gatewayd/internal/presence"
)

// TestTheChainClosesOverDamage: the gap names the links on both sides of what a damaged
// file lost, also over the end of a stream and the start of the next. Of the newest
// events it names the one in front, since nothing tells more.
func TestTheChainClosesOverDamage(t *testing.T) {
	t.Parallel()
	s := newSample(t, 60) // 61 events in a stream
	links := make(map[presence.EventID]presence.Link)
	for _, e := range s.events {
		links[presence.EventID{Stream: e.Stream, Seq: e.Seq}] = e.Chain.Link
	}
	for _, c := range []struct {
		name     string
		from, to int // among the events
		ranges   int
		open     int // ranges behind which nothing tells how the chain goes on
	}{
		{"within a stream", 20, 23, 1, 0},
		{"a start", 61, 61, 1, 0},
		{"the end of a stream", 58, 60, 1, 0},
		{"the end of a stream and the start of the next", 58, 62, 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := bytes.Clone(s.file)
			for _, e := range s.events[c.from : c.to+1] {
				for at := bytes.Index(file, recordOf(e)); at >= 0; at = bytes.Index(file, recordOf(e)) {
					file[at+20] ^= 0xFF
				}
			}
			o := s.place(t, file)
			j := open(t, o)
			if j.Damage() == nil {
				t.Fatal("there is no damage")
			}
			named, open := 0, 0
			for _, e := range all(t, j, 0) {
				if e.Gap == nil {
					continue
				}
				for _, r := range e.Gap.Ranges {
					if r.Open() {
						continue
					}
					named++
					if r.From > 1 && r.Before != links[presence.EventID{Stream: r.Stream, Seq: r.From - 1}] {
						t.Errorf("before %d is %s", r.From, r.Before)
					}
					if r.Link.IsZero() {
						open++
					} else if r.Link != links[presence.EventID{Stream: r.Stream, Seq: r.To}] {
						t.Errorf("the link of %d is %s", r.To, r.Link)
					}
				}
			}
			if named != c.ranges || open != c.open {
				t.Errorf("%d ranges, %d of them without a link", named, open)
			}
			closed(t, j)
			if r := whole(t, o.Path); len(r.Chain.Open) != 0 {
				t.Errorf("the chain does not close:\n%s", r)
			}
		})
	}
}
