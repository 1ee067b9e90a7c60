package chain

import (
	"crypto/ed25519"
	"strings"
)

// judge names what is wrong with an event that the walk passes.
func (w *walker) judge(s *stream, v *said, p link, known bool, own link) {
	f := finding{order: s.order, kind: altered, stream: s.name, span: span{v.seq, v.seq}}
	fits := known && v.fits(p)
	if known && !fits {
		w.broken[id{s.name, v.seq}] = true
	}
	switch {
	case v.kind == isErased:
		w.judgeErased(s, v, f)
	case v.kind == isSeal:
		w.judgeSeal(s, v, p, known)
	case !v.linked:
		w.find(f, w.say("it has no link", "tidak ada link"))
	case known && !fits && own == v.link:
		words := w.say("its content is not what its link says", "isinya bukan yang dinyatakan link")
		if w.before.soft && v.seq > 1 {
			f.from--
			words = w.say("the content of one of these is not what the link of the second says", "isi salah satunya bukan yang dinyatakan link yang kedua")
		}
		w.find(f, words)
	case known && !fits:
		w.find(f, w.say("its link is not what follows from its content", "link-nya bukan yang mengikuti dari isinya"))
	}
	otherwise := fits || !known // nothing else tells that it was changed
	if v.foreign && otherwise {
		w.find(f, w.say("its id is not made of its stream and seq", "id-nya tidak tersusun dari stream dan seq"))
	}
	if w.names[v.gateway] != w.name && otherwise {
		w.find(f, w.say("it names another gateway than its stream's, %s", "menyebut gateway lain dari stream-nya, %s", quoted(w.names[v.gateway])))
	}
	if !known && v.kind != isErased && (v.kind != isSeal || w.faults(s, v) != 0) {
		f.kind = unproven
		w.find(f, w.say("what came before it is not known, so its content is not proven", "yang mendahuluinya tidak diketahui, jadi isinya tidak terbukti"))
	}
}

func (w *walker) judgeErased(s *stream, v *said, f finding) {
	if !w.ledger(s.name).forgotten.hold(v.seq) {
		f.kind = missing
		w.find(f, w.say("the city has erased it, and no gap of the gateway says so", "dihapus oleh kota, dan tidak ada celah dari gateway yang menyebutnya"))
	}
	if !v.linked {
		f.kind = altered
		w.find(f, w.say("it has no link", "tidak ada link"))
	}
}

// fault is what is wrong with a seal by itself.
type fault uint8

const (
	noUpto fault = 1 << iota
	noKey
	noSignature
)

// faults is what is wrong with a seal by itself, wherever it stands. Checking a signature
// takes longer than all else.
func (w *walker) faults(s *stream, v *said) fault {
	if d := v.detail.seal; !d.checked {
		d.checked, d.wrong = true, w.sealFaults(s, v, d)
	}
	return v.detail.seal.wrong
}

func (w *walker) sealFaults(s *stream, v *said, d *seal) (wrong fault) {
	if d.upto+1 != v.seq || !v.linked {
		wrong |= noUpto
	}
	key := w.keys[d.key]
	switch {
	case key == nil:
		wrong |= noKey
	case !ed25519.Verify(key, sealText(w.name, s.name, d.upto, v.link), d.sig):
		wrong |= noSignature
	}
	return wrong
}

func (w *walker) judgeSeal(s *stream, v *said, p link, known bool) {
	wrong := w.faults(s, v)
	mismatch := known && !v.fits(p)
	if mismatch && wrong == 0 && w.before.seal && w.before.seq+1 == v.seq {
		w.find(finding{order: s.order, kind: altered, stream: s.name, span: span{v.seq - 1, v.seq - 1}}, w.say(
			"the seal behind it has signed another content", "segel sesudahnya menandatangani isi lain"))
		return
	}
	if wrong == 0 && !mismatch {
		return
	}
	var why []string
	if wrong&noUpto != 0 {
		why = append(why, w.say("it does not name the event before it", "tidak menyebut peristiwa sebelumnya"))
	}
	if wrong&noKey != 0 {
		why = append(why, w.say("key %s is not among the gateway's", "kunci %s bukan milik gateway", quoted(v.detail.seal.key)))
	}
	if wrong&noSignature != 0 {
		why = append(why, w.say("the signature is not of key %s for this", "tanda tangannya bukan dari kunci %s untuk ini", quoted(v.detail.seal.key)))
	}
	if mismatch {
		why = append(why, w.say("what it has signed is not what the files say", "yang ditandatangani bukan yang ada di berkas"))
	}
	from := max(w.sealedTo+1, s.all[0].seq)
	w.find(finding{order: s.order, kind: badSeal, stream: s.name, span: span{from, v.seq}}, strings.Join(why, "; "))
}

// collect notes starts, gaps and seals.
func (w *walker) collect(s *stream, v *said) {
	if v.detail != nil && v.detail.gap != nil {
		w.gaps = append(w.gaps, holding{s, v})
	}
	if v.seq == 1 {
		w.starts = append(w.starts, holding{s, v})
	}
}

// extend puts an event among those that wait for a seal.
func (w *walker) extend(s *stream, seq uint64) {
	if n := len(w.open); n > 0 && w.open[n-1].stream == s {
		w.open[n-1].to = seq
		return
	}
	w.open = append(w.open, openRange{s, span{seq, seq}})
}

// checkedSeal is a seal of the gateway in the order of the chain.
type checkedSeal struct {
	*stream
	*said
	good bool // it signs what the chain says
}

// sealed has a seal cover what waits for one. It waits itself for the next.
func (w *walker) sealed(s *stream, v *said, p link, known bool) {
	good := w.faults(s, v) == 0 && (!known || v.fits(p))
	w.seals = append(w.seals, checkedSeal{s, v, good})
	if !good {
		return
	}
	for _, r := range w.open {
		if r.stream == s {
			r.to = v.seq - 1
		}
		if r.from <= r.to {
			w.coverage(r, v.detail.seal.key)
		}
	}
	w.open = append(w.open[:0], openRange{s, span{v.seq, v.seq}})
	w.sealedTo = v.seq
}

// close names what no seal has covered.
func (w *walker) close() {
	for _, r := range w.open {
		if n := len(w.seals); n > 0 && w.lastGood() != nil && w.lastGood().stream == r.stream && r.from == w.lastGood().seq {
			r.from++ // the seal itself
		}
		if r.from > r.to {
			continue
		}
		w.find(finding{order: r.order, kind: unsealed, stream: r.name, span: r.span, last: true}, w.say(
			"no good seal comes behind it", "tidak ada segel sah sesudahnya"))
	}
}

// lastGood is the last good seal, nil without any.
func (g *gateway) lastGood() *checkedSeal {
	for i := len(g.seals) - 1; i >= 0; i-- {
		if g.seals[i].good {
			return &g.seals[i]
		}
	}
	return nil
}
