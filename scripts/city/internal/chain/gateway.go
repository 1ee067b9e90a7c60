package chain

import (
	"cmp"
	"crypto/ed25519"
	"slices"
)

// gateway is what is checked at a time: all streams of one gateway, which are one chain.
type gateway struct {
	*Audit
	name    string
	keys    map[string]ed25519.PublicKey
	streams []*stream // in the order of the chain
	byName  map[string]*stream

	children  map[string][]child   // by the stream that their start names
	ledgers   map[string]*ledger   // what gaps say is missing, by stream
	witnesses map[string]witnesses // of links, by the stream that they name
	branches  map[string]bool      // streams that a gap says were left

	starts  []holding // what the walk found to hold, or not
	gaps    []holding
	seals   []checkedSeal
	altered map[id]bool
	broken  map[id]bool  // what does not fit the link before it
	chosen  map[id]*said // of several events at a number, the one that counts

	unchained uint64
	findings  int
	covered   covered
	found     []found
	placed    map[string]bool // findings that were said already
}

// id names an event.
type id struct {
	stream string
	seq    uint64
}

// child is a stream that goes on behind another one.
type child struct {
	*stream
	*previous
}

// holding is a start or gap that the walk has passed.
type holding struct {
	*stream
	*said
}

func newGateway(a *Audit, name string, keys map[string]ed25519.PublicKey, streams []*stream) *gateway {
	g := &gateway{
		Audit: a, name: name, keys: keys, byName: map[string]*stream{},
		children: map[string][]child{}, ledgers: map[string]*ledger{}, witnesses: map[string]witnesses{},
		branches: map[string]bool{}, altered: map[id]bool{}, broken: map[id]bool{}, placed: map[string]bool{}, chosen: map[id]*said{},
	}
	for _, s := range streams {
		s.seen()
		g.byName[s.name] = s
	}
	g.read(streams)
	g.sort(streams)
	return g
}

// check looks at everything.
func (g *gateway) check() error {
	w := walker{gateway: g}
	for _, s := range g.streams {
		w.beginning(s)
		w.walk(s)
		w.ending(s)
	}
	w.close()
	if !w.begun {
		w.nothingProven()
	}
	g.checkStarts()
	g.checkGaps()
	g.checkHead()
	g.checkTimes()
	g.checkOrder()
	return g.checkCopies()
}

// sort puts streams into the order of the chain: each behind the one that its start names;
// those that name none that is there, and several behind the same one, by their ids, in
// which the time is.
func (g *gateway) sort(streams []*stream) {
	byID := func(x, y *stream) int { return cmp.Compare(x.name, y.name) }
	slices.SortFunc(streams, byID)
	after := map[*stream][]*stream{}
	var roots []*stream
	for _, s := range streams {
		p := s.previous()
		if p == nil || g.byName[p.stream] == nil || p.stream == s.name {
			roots = append(roots, s)
			continue
		}
		before := g.byName[p.stream]
		after[before] = append(after[before], s)
	}
	placed := map[*stream]bool{}
	place := func(first *stream) {
		for open := []*stream{first}; len(open) > 0; {
			s := open[len(open)-1]
			open = open[:len(open)-1]
			if placed[s] {
				continue
			}
			placed[s] = true
			s.order = len(g.streams)
			g.streams = append(g.streams, s)
			for _, next := range slices.Backward(after[s]) {
				open = append(open, next)
			}
		}
	}
	for _, s := range roots {
		place(s)
	}
	for _, s := range streams { // some that name each other in a circle
		place(s)
	}
}

// previous is what the start of a stream names.
func (s *stream) previous() *previous {
	for i := range s.all {
		if s.all[i].seq != 1 {
			return nil
		}
		if d := s.all[i].detail; d != nil && d.previous != nil {
			return d.previous
		}
	}
	return nil
}

func (s *stream) last() uint64 { return s.all[len(s.all)-1].seq }

// behind is the index of the first event with another number than the one at i.
func (s *stream) behind(i int) int {
	j := i + 1
	for j < len(s.all) && s.all[j].seq == s.all[i].seq {
		j++
	}
	return j
}
