package chain

// walker goes along the chain of a gateway, from its first stream to its last.
type walker struct {
	*gateway
	begun bool // an event with a link was passed

	// What the walk knows of the event before the present one, in the same stream.
	before struct {
		seq   uint64
		link  link // what the next event has to follow
		known bool
		// soft is whether nothing but the next event holds what is said of it: of a
		// seal the own link stands nowhere, of an erased event there is only the link.
		soft, seal bool
	}
	// open are the ranges that no seal has covered yet.
	open []openRange
	// sealedTo is the number of the last good seal of the present stream, 0 before.
	sealedTo uint64
}

// openRange is a range of a stream that waits for its seal.
type openRange struct {
	*stream
	span
}

// chained reports whether a stream belongs to the chain, and not to the time before it.
func (w *walker) chained(s *stream) bool {
	return w.begun || s.anyLink || w.namedWithLink(s)
}

// namedWithLink reports whether a start says that the stream's last event has a link.
func (w *walker) namedWithLink(s *stream) bool {
	for _, c := range w.children[s.name] {
		if c.linked {
			return true
		}
	}
	return false
}

// walk checks the events of a stream.
func (w *walker) walk(s *stream) {
	w.before.seq, w.before.known, w.before.soft, w.before.seal = 0, false, false, false
	w.sealedTo = 0
	if !w.chained(s) {
		w.unchained += uint64(len(s.all))
		return
	}
	w.begun = true
	for i := 0; i < len(s.all); {
		end := s.behind(i)
		w.pass(s, i, end)
		i = end
	}
}

// pass checks the events at a number, s.all[from:end]: as a rule one.
func (w *walker) pass(s *stream, from, end int) {
	seq := s.all[from].seq
	w.jump(s, seq)
	all := s.variants(from, end)
	v := all[0]
	if len(all) > 1 {
		v = w.choose(s, all, end)
		w.chosen[id{s.name, seq}] = v
	}
	p, known := w.behind(v)
	own, sure := w.own(s, v, end, p, known)
	w.judge(s, v, p, known, own)
	w.collect(s, v)
	if named := w.witnesses[s.name][seq]; named != nil {
		named.there, named.own, named.stored, named.soft = true, own, own, v.kind != ordinary
		if v.linked && v.kind != isSeal {
			named.stored = v.link
		}
	}
	w.extend(s, seq)
	if v.kind == isSeal {
		w.sealed(s, v, p, known)
	}
	w.before.seq, w.before.link, w.before.known = seq, own, sure
	w.before.soft, w.before.seal = v.kind != ordinary, v.kind == isSeal
}

// jump goes over numbers that are missing before seq.
func (w *walker) jump(s *stream, seq uint64) {
	next := w.before.seq + 1
	if seq == next {
		return
	}
	w.before.known, w.before.soft = false, false
	l := w.ledger(s.name)
	if behind, there := l.links[seq-1]; there {
		w.before.link, w.before.known = behind, true
	}
	if next == 1 && s.order == 0 {
		return // the files begin here
	}
	w.missing(s.name, s.order, span{next, seq - 1})
}

// missing names what of a span no gap names.
func (w *walker) missing(stream string, order int, all span) {
	for _, part := range w.ledger(stream).named.without(all) {
		w.find(finding{order: order, kind: missing, stream: stream, span: part}, w.say(
			"no line has it, and no gap names it", "tidak ada barisnya, dan tidak ada celah yang menyebutnya"))
	}
}

// behind is the link that an event has to follow, if it is known.
func (w *walker) behind(v *said) (link, bool) {
	if v.seq > 1 {
		return w.before.link, w.before.known
	}
	if v.detail != nil && v.detail.previous != nil {
		return v.detail.previous.link, true // zeros, if that has none
	}
	return link{}, true
}

// fits reports whether an event is what its link says, behind the link p.
func (v *said) fits(p link) bool {
	switch v.kind {
	case isSeal:
		return v.linked && v.link == p
	case isErased:
		return v.linked
	}
	return v.linked && p.next(v.core) == v.link
}

// owns are what an event's link may be: as it says, and as it is computed.
func (v *said) owns(p link, known bool) (some [2]link, n int) {
	add := func(l link) {
		if n == 0 || some[0] != l {
			some[n] = l
			n++
		}
	}
	if v.linked {
		said := v.link
		if v.kind == isSeal {
			said = v.link.next(v.core)
		}
		add(said)
	}
	if known && v.kind != isErased {
		add(p.next(v.core))
	}
	return some, n
}

// own is an event's link: of what it may be, that which its successor confirms. It is not
// sure of one without any.
func (w *walker) own(s *stream, v *said, end int, p link, known bool) (own link, sure bool) {
	some, n := v.owns(p, known)
	if n == 0 {
		return link{}, false
	}
	if n > 1 && !w.confirmed(s, v.seq, end, some[0]) && w.confirmed(s, v.seq, end, some[1]) {
		return some[1], true
	}
	return some[0], true
}

// confirmed reports whether what comes behind an event, from s.all[next:], says that its
// link is l.
func (w *walker) confirmed(s *stream, seq uint64, next int, l link) bool {
	if next < len(s.all) && s.all[next].seq == seq+1 {
		for i := next; i < s.behind(next); i++ {
			if e := &s.all[i]; e.kind != isErased && e.fits(l) {
				return true
			}
		}
		return false
	}
	if named := w.witnesses[s.name][seq]; named != nil {
		for _, other := range named.links {
			if other == l {
				return true
			}
		}
	}
	return false
}

// variants are the events at a number that differ in what the chain holds, each as it was
// first read.
func (s *stream) variants(from, end int) []*said {
	all := []*said{&s.all[from]}
	for i := from + 1; i < end; i++ {
		e, known := &s.all[i], false
		for _, v := range all {
			known = known || v.same(e)
		}
		if !known {
			all = append(all, e)
		}
	}
	return all
}

// same reports whether two lines say the same of an event, but for what a correction may
// change.
func (v *said) same(e *said) bool {
	return v.core == e.core && v.link == e.link && v.linked == e.linked && v.kind == e.kind
}

// choose is which of several events at a number counts: one that fits; of several of
// those, the one behind which the chain goes on, longest or up to a good seal; of none,
// one that its successor confirms.
func (w *walker) choose(s *stream, all []*said, end int) *said {
	var best *said
	far := -1
	for _, v := range all {
		p, known := w.behind(v)
		reach := 0
		if known && v.fits(p) || !known && v.kind != isErased {
			own, sure := w.own(s, v, end, p, known)
			reach = 1
			if sure {
				reach += w.reach(s, end, v.seq, own)
			}
		} else if some, n := v.owns(p, known); v.kind != isErased {
			for _, own := range some[:n] {
				if w.confirmed(s, v.seq, end, own) {
					reach = 1
				}
			}
		}
		if known && v.fits(p) {
			reach++
		}
		if reach > far {
			best, far = v, reach
		}
	}
	return best
}

// How far reach looks, and what it returns where a signature confirms a way.
const (
	horizon = 4096
	proven  = horizon + 1
)

// reach is how many events fit behind an event with the link own, one behind the other.
func (w *walker) reach(s *stream, next int, seq uint64, own link) (n int) {
	for n < horizon {
		if next >= len(s.all) || s.all[next].seq != seq+1 {
			if w.confirmed(s, seq, next, own) {
				n++
			}
			return n
		}
		end := s.behind(next)
		var v *said
		for i := next; i < end && v == nil; i++ {
			if e := &s.all[i]; e.kind != isErased && e.fits(own) {
				v = e
			}
		}
		if v == nil {
			return n
		}
		if v.kind == isSeal && w.faults(s, v) == 0 {
			return proven
		}
		some, _ := v.owns(own, true)
		own, seq, next = some[0], seq+1, end
		n++
	}
	return n
}
