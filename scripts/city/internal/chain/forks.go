package chain

// beginning checks that what the start of a stream names is there.
func (w *walker) beginning(s *stream) {
	p := s.previous()
	if p == nil || w.byName[p.stream] != nil || s.order == 0 {
		return
	}
	w.missing(p.stream, s.order, span{1, p.seq})
}

// ending checks that a stream is there up to the number that the next start names.
func (w *walker) ending(s *stream) {
	last := s.last()
	end := last
	for _, c := range w.children[s.name] {
		end = max(end, c.seq)
	}
	if end > last {
		w.missing(s.name, s.order, span{last + 1, end})
	}
}

// checkStarts compares what starts say with the events that they name.
func (g *gateway) checkStarts() {
	firstBehind := map[id]*stream{} // of several starts behind an event
	for _, start := range g.starts {
		s := start.stream
		if g.altered[id{s.name, 1}] {
			continue
		}
		f := finding{order: s.order, kind: fork, stream: s.name, span: span{1, 1}}
		var p *previous
		if start.detail != nil {
			p = start.detail.previous
		}
		if p == nil {
			if s.order > 0 && start.linked && !g.branches[s.name] {
				g.find(f, g.say("the chain begins here once more: it names no event before it", "rantai mulai lagi di sini: tidak menyebut peristiwa sebelumnya"))
			}
			continue
		}
		g.checkPrevious(start, p, f)
		if g.branches[s.name] {
			continue
		}
		behind := id{p.stream, p.seq}
		if other := firstBehind[behind]; other != nil {
			g.find(f, g.say("stream %s goes on behind the same event %s-%d", "stream %s juga melanjutkan peristiwa %s-%d", quoted(other.name), quoted(p.stream), p.seq))
			continue
		}
		firstBehind[behind] = s
	}
}

func (g *gateway) checkPrevious(start holding, p *previous, f finding) {
	before := g.byName[p.stream]
	if before == nil {
		return
	}
	if last := before.last(); last > p.seq && !g.branches[start.stream.name] &&
		len(g.ledger(p.stream).headed.without(span{p.seq + 1, last})) > 0 {
		g.find(f, g.say("it goes on behind %s-%d, but that stream goes to %d", "melanjutkan %s-%d, padahal stream itu sampai %d", quoted(p.stream), p.seq, last))
	}
	w := g.witnesses[p.stream][p.seq]
	if w == nil || !w.there {
		return
	}
	if !p.linked {
		if start.linked {
			g.find(f, g.say("it does not name the link of %s-%d", "tidak menyebut link %s-%d", quoted(p.stream), p.seq))
		}
		return
	}
	g.compare(w, id{p.stream, p.seq}, p.link, f, w.soft)
}

// compare compares the link of an event with what another one, at which f is, says of it.
// Soft is whether nothing else holds that event.
func (g *gateway) compare(w *witnessed, of id, says link, f finding, soft bool) {
	if says == w.own || says == w.stored {
		return
	}
	if soft {
		s := g.byName[of.stream]
		g.find(finding{order: s.order, kind: altered, stream: of.stream, span: span{of.seq, of.seq}}, g.say(
			"%s says that its link was another", "%s menyebut link yang lain", quoted(f.place())))
		return
	}
	g.find(f, g.say("it names another link of %s-%d than that has", "menyebut link %s-%d yang lain dari yang ada", quoted(of.stream), of.seq))
}

// checkGaps prints what gaps say, and compares it with what is there.
func (g *gateway) checkGaps() {
	for _, e := range g.gaps {
		said := e.detail.gap
		f := finding{order: e.order, kind: fork, stream: e.name, span: span{e.seq, e.seq}}
		g.sayGap(e, said)
		switch said.reason {
		case rolledBack:
			f := f
			f.kind = rollback
			g.find(f, g.say("the city had confirmed events that the gateway's journal did not have: an old one was put back", "kota sudah menerima peristiwa yang tidak ada di jurnal gateway: jurnal lama dipasang kembali"))
		case forked:
			g.find(f, g.say("the city has another event where the gateway's journal has one of its own", "kota memiliki peristiwa lain di tempat jurnal gateway memiliki miliknya sendiri"))
		}
		if g.altered[id{e.name, e.seq}] {
			continue
		}
		for _, r := range said.ranges {
			if w := g.witnesses[r.stream][r.from-1]; r.hasBefore && w != nil && w.there && !g.altered[id{r.stream, r.from - 1}] {
				g.compare(w, id{r.stream, r.from - 1}, r.before, f, true)
			}
		}
		if b := said.branch; b != nil && b.linked {
			if w := g.witnesses[b.stream][b.seq]; w != nil && w.there {
				g.compare(w, id{b.stream, b.seq}, b.link, f, w.soft)
			}
		}
	}
}

// checkHead looks whether the chain reaches what it has to reach.
func (g *gateway) checkHead() {
	h := g.head
	if h == nil {
		return
	}
	s := g.byName[h.stream]
	if s == nil {
		return
	}
	f := finding{order: s.order, kind: missing, stream: h.stream, span: span{h.seq, h.seq}}
	w := g.witnesses[h.stream][h.seq]
	switch {
	case !w.there:
		if l, named := g.ledger(h.stream).links[h.seq]; !named || l != h.link {
			g.find(f, g.say("the chain does not reach the head", "rantai tidak sampai ke kepala"))
		}
	case w.own != h.link:
		f.kind = fork
		if w.soft {
			f.kind = altered
		}
		g.find(f, g.say("the head has another link here", "kepala menyebut link lain di sini"))
	}
}
