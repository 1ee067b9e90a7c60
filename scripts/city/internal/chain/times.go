package chain

import (
	"cmp"
	"math"
	"slices"
)

// What a clock may be off beside what it says itself: a crystal's drift since the anchor,
// and milliseconds for what lies between a reading and its print.
const (
	drift = 250e-6
	slack = 1000
)

// near is how many of a boot's anchors, those nearest to it by boot_ms, an event's time is
// compared with: one of them has to agree. An anchor that is weeks away would excuse
// minutes, for a crystal's sake. Gateways make one every ten minutes, so a clock that was
// wrong for an hour does not make right times look wrong.
const near = 16

// allowed is how far an event may lie from where an anchor of its boot puts it.
func (a anchor) allowed(bootMS float64) float64 {
	return a.errorMS + drift*math.Abs(bootMS-a.bootMS) + slack
}

// expects is when an event with this boot_ms happened, as the anchor says.
func (a anchor) expects(bootMS float64) float64 { return a.at + bootMS - a.bootMS }

// anchors are those of each boot. Those of seals that are proven themselves count; the
// others only of a boot that has none of these.
func (g *gateway) anchors() map[uint32][]anchor {
	sure, rest := map[uint32][]anchor{}, map[uint32][]anchor{}
	last := g.lastGood()
	for i := range g.seals {
		s := &g.seals[i]
		to := rest
		if last != nil && s != last && before(s, last) && s.good && !g.altered[id{s.stream.name, s.said.seq}] {
			to = sure
		}
		to[s.boot] = append(to[s.boot], s.detail.seal.anchors...)
	}
	for boot, some := range rest {
		if len(sure[boot]) == 0 {
			sure[boot] = some
		}
	}
	for _, some := range sure {
		slices.SortFunc(some, func(a, b anchor) int { return cmp.Compare(a.bootMS, b.bootMS) })
	}
	return sure
}

// before reports whether a seal comes before another one in the chain.
func before(s, other *checkedSeal) bool {
	return s.order < other.order || s.order == other.order && s.said.seq < other.said.seq
}

// checkTimes compares the times of events with the anchors of their boots. Of several revs
// of an event the last counts.
func (g *gateway) checkTimes() {
	anchors := g.anchors()
	for _, s := range g.streams {
		for i := 0; i < len(s.all); {
			end := s.behind(i)
			rev := uint32(0)
			for _, e := range s.all[i:end] {
				rev = max(rev, e.rev)
			}
			for j := i; j < end; j++ {
				if s.all[j].rev == rev {
					g.checkTime(s, &s.all[j], anchors[s.all[j].boot])
				}
			}
			i = end
		}
	}
}

func (g *gateway) checkTime(s *stream, e *said, anchors []anchor) {
	f := finding{order: s.order, kind: badTime, stream: s.name, span: span{e.seq, e.seq}}
	if e.timed == unreadable {
		g.find(f, g.say("its time is no instant", "waktunya bukan waktu yang sah"))
		return
	}
	if e.timed == timeless || e.bootMS < 0 || len(anchors) == 0 || g.broken[id{s.name, e.seq}] {
		return // or its boot_ms may be what was changed
	}
	if math.IsNaN(float64(e.errorMS)) {
		g.find(f, g.say("it does not say how well its time is known", "tidak menyebut ketelitian waktunya"))
		return
	}
	nearest, bootMS := math.Inf(1), float64(e.bootMS)
	for _, a := range nearestTo(anchors, bootMS) {
		expected, allowed := a.expects(bootMS), a.allowed(bootMS)
		var off float64
		if e.timed == timedBound {
			off = max(float64(e.detail.min)-expected, expected-float64(e.detail.max), 0)
		} else {
			off = math.Abs(float64(e.at) - expected)
			allowed += float64(e.errorMS)
		}
		if off <= allowed {
			return
		}
		nearest = min(nearest, off)
	}
	g.find(f, g.say("it is %.0f s from where the clock's anchors of that boot put it", "selisih %.0f detik dari jam acuan sejak perangkat dinyalakan", nearest/1000))
}

// nearestTo are those of a boot's anchors, in order, that an event is compared with.
func nearestTo(anchors []anchor, bootMS float64) []anchor {
	at, _ := slices.BinarySearchFunc(anchors, bootMS, func(a anchor, bootMS float64) int { return cmp.Compare(a.bootMS, bootMS) })
	from, to := at, at
	for to-from < min(near, len(anchors)) {
		if to == len(anchors) || from > 0 && bootMS-anchors[from-1].bootMS <= anchors[to].bootMS-bootMS {
			from--
		} else {
			to++
		}
	}
	return anchors[from:to]
}
