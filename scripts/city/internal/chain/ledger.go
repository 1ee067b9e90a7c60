package chain

import (
	"cmp"
	"slices"
)

// ledger is what gaps say is missing of one stream.
type ledger struct {
	named     spans // by any gap
	forgotten spans // on request
	headed    spans // known to the city alone, or otherwise there
	links     map[uint64]link
}

// span is numbers, both ends included.
type span struct{ from, to uint64 }

// spans are numbers. They are sorted, and apart, once settled.
type spans []span

func (s *spans) settle() {
	slices.SortFunc(*s, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	apart := (*s)[:0]
	for _, next := range *s {
		if n := len(apart); n > 0 && next.from <= apart[n-1].to+1 {
			apart[n-1].to = max(apart[n-1].to, next.to)
			continue
		}
		apart = append(apart, next)
	}
	*s = apart
}

// without is what of a span is in none of these.
func (s spans) without(x span) (rest spans) {
	i, _ := slices.BinarySearchFunc(s, x.from, func(e span, n uint64) int { return cmp.Compare(e.to, n) })
	for ; i < len(s) && s[i].from <= x.to; i++ {
		if s[i].from > x.from {
			rest = append(rest, span{x.from, s[i].from - 1})
		}
		x.from = max(x.from, s[i].to+1)
	}
	if x.from <= x.to {
		rest = append(rest, x)
	}
	return rest
}

func (s spans) hold(n uint64) bool { return len(s.without(span{n, n})) == 0 }

// noLedger is the ledger of a stream of which no gap says anything.
var noLedger = &ledger{}

func (g *gateway) ledger(stream string) *ledger {
	if l := g.ledgers[stream]; l != nil {
		return l
	}
	return noLedger
}

// witnesses are what others say that the links of a stream's events are.
type witnesses map[uint64]*witnessed

// witnessed is an event whose link others name.
type witnessed struct {
	links   []link // as others say
	byStart bool   // one of them is the start behind it
	// What the walk found, if the event is there: its link, that which its line says, and
	// whether nothing else holds its content.
	there, soft bool
	own, stored link
}

func (g *gateway) witness(stream string, seq uint64) *witnessed {
	w := g.witnesses[stream]
	if w == nil {
		w = witnesses{}
		g.witnesses[stream] = w
	}
	if w[seq] == nil {
		w[seq] = &witnessed{}
	}
	return w[seq]
}

// read collects what starts and gaps say of other events.
func (g *gateway) read(streams []*stream) {
	for _, s := range streams {
		for i := range s.all {
			d := s.all[i].detail
			if d == nil {
				continue
			}
			if p := d.previous; p != nil {
				g.readStart(s, p)
			}
			if d.gap != nil {
				g.readGap(d.gap)
			}
		}
	}
	for _, l := range g.ledgers {
		l.named.settle()
		l.forgotten.settle()
		l.headed.settle()
	}
	if g.head != nil && g.byName[g.head.stream] != nil {
		w := g.witness(g.head.stream, g.head.seq)
		w.links = append(w.links, g.head.link)
	}
}

func (g *gateway) readStart(s *stream, p *previous) {
	for _, other := range g.children[p.stream] {
		if other.stream == s && other.seq == p.seq && other.link == p.link {
			return // a copy of the same start
		}
	}
	g.children[p.stream] = append(g.children[p.stream], child{s, p})
	w := g.witness(p.stream, p.seq)
	if p.linked {
		w.links = append(w.links, p.link)
		w.byStart = true
	}
}

func (g *gateway) readGap(said *gap) {
	if b := said.branch; b != nil {
		g.branches[b.stream] = true
		w := g.witness(b.stream, b.seq)
		if b.linked {
			w.links = append(w.links, b.link)
		}
	}
	for _, r := range said.ranges {
		l := g.ledgers[r.stream]
		if l == nil {
			l = &ledger{links: map[uint64]link{}}
			g.ledgers[r.stream] = l
		}
		all := span{r.from, r.to}
		if r.to == 0 {
			all.to = maxSeq
		}
		l.named = append(l.named, all)
		switch said.reason {
		case forgotten:
			l.forgotten = append(l.forgotten, all)
		case rolledBack, forked:
			l.headed = append(l.headed, all)
		}
		if r.hasLink && r.to > 0 {
			l.links[r.to] = r.link
		}
		if r.hasBefore && r.from > 1 {
			w := g.witness(r.stream, r.from-1)
			if !slices.Contains(w.links, r.before) {
				w.links = append(w.links, r.before)
			}
		}
	}
}

// The reasons of gaps that mean more than that something is missing.
const (
	forgotten  = "forgotten"
	rolledBack = "journal-rolled-back"
	forked     = "journal-forked"
)
