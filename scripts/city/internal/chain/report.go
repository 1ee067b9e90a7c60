package chain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// Finding kinds, as they are printed in every language.
const (
	altered   findingKind = "altered"
	missing   findingKind = "missing"
	duplicate findingKind = "duplicate"
	disorder  findingKind = "disorder"
	badSeal   findingKind = "seal"
	fork      findingKind = "forked"
	rollback  findingKind = "rolled-back"
	badTime   findingKind = "time"
	unproven  findingKind = "unproven"
	unsealed  findingKind = "unsealed"
)

type findingKind string

// finding is something that does not hold, at a place.
type finding struct {
	order  int // of the stream, or of the one before which it belongs
	kind   findingKind
	stream string
	span
	last bool // among what is said of its place
}

// found is a line of the report, with what it is sorted by.
type found struct {
	order int
	seq   uint64
	rank  int
	text  string
}

// The ranks of lines about the same event.
const (
	rankBegin = iota
	rankAbout
	rankFinding
	rankEnd
)

// find adds a finding, once.
func (g *gateway) find(f finding, words string) {
	text := fmt.Sprintf("FINDING %s %s: %s: %s", quoted(g.name), f.place(), f.kind, words)
	if f.kind == altered && f.to-f.from < 2 {
		for n := f.from; n <= f.to; n++ {
			g.altered[id{f.stream, n}] = true
		}
	}
	if g.placed[text] {
		return
	}
	g.placed[text] = true
	g.findings++
	g.found = append(g.found, found{f.order, f.from, rankFinding, text})
}

func (g *gateway) tell(order int, seq uint64, rank int, text string) {
	g.found = append(g.found, found{order, seq, rank, text})
}

// coverage tells of a range that a seal covers.
func (g *gateway) coverage(r openRange, key string) {
	text := func(from, to uint64) string {
		return g.say("sealed %s %s %d-%d by %s", "disegel %s %s %d-%d oleh %s", quoted(g.name), quoted(r.name), from, to, quoted(key))
	}
	// One line for what several seals of one key cover.
	if c := &g.covered; c.stream == r.stream && c.key == key && c.to+1 == r.from {
		c.to = r.to
		g.found[c.at].text = text(c.from, c.to)
		return
	}
	g.covered = covered{r.stream, span{r.from, r.to}, key, len(g.found)}
	g.tell(r.order, r.from, rankAbout, text(r.from, r.to))
}

// covered is the last line about what is sealed.
type covered struct {
	*stream
	span
	key string
	at  int // in found
}

func (g *gateway) sayGap(e holding, said *gap) {
	text := g.say("gap %s %s-%d %s", "celah %s %s-%d %s", quoted(g.name), quoted(e.name), e.seq, quoted(said.reason))
	for i, r := range said.ranges {
		if i == 3 {
			text += g.say(" and %d more ranges", " dan %d rentang lagi", len(said.ranges)-i)
			break
		}
		to := "*"
		if r.to > 0 {
			to = fmt.Sprint(r.to)
		}
		text += fmt.Sprintf(" %s-%d-%s", quoted(r.stream), r.from, to)
	}
	g.tell(e.order, e.seq, rankAbout, text)
}

// nothingProven says so of a gateway without a single link.
func (g *gateway) nothingProven() {
	s := g.streams[0]
	g.find(finding{order: s.order, kind: unproven, stream: s.name, span: span{s.all[0].seq, s.all[0].seq}}, g.say(
		"no event of this gateway has a link: nothing here is proven", "tidak ada peristiwa gateway ini yang punya link: tidak ada yang terbukti"))
}

// print prints all that is said of the gateway, by place.
func (g *gateway) print(r *Report) {
	if g.unchained > 0 {
		r.line(g.say("unchained %s %d events before the chain began", "tanpa-rantai %s %d peristiwa sebelum rantai mulai", quoted(g.name), g.unchained))
	}
	g.sayEnds()
	slices.SortStableFunc(g.found, func(x, y found) int {
		return cmp.Or(cmp.Compare(x.order, y.order), cmp.Compare(x.seq, y.seq), cmp.Compare(x.rank, y.rank), cmp.Compare(x.text, y.text))
	})
	for _, f := range g.found {
		r.line(f.text)
	}
}

// sayEnds tells with which events the gateway's files begin and end: what is before and
// behind them, no seal in them can tell.
func (g *gateway) sayEnds() {
	first, last := g.streams[0], g.streams[len(g.streams)-1]
	e := first.all[0]
	behind := g.say("the beginning", "awal")
	if p := first.previous(); p != nil {
		behind = fmt.Sprintf("%s-%d", quoted(p.stream), p.seq)
	} else if e.seq > 1 {
		behind = g.say("an event that is not here", "peristiwa yang tidak ada di sini")
	}
	g.tell(first.order, 0, rankBegin, g.say("begins %s %s-%d behind %s", "mulai %s %s-%d sesudah %s", quoted(g.name), quoted(first.name), e.seq, behind))
	e = last.all[len(last.all)-1]
	at := "-"
	if e.timed == timedAt || e.timed == timedBound {
		at = time.UnixMilli(e.at).UTC().Format(time.RFC3339)
	}
	g.tell(last.order, maxSeq+1, rankEnd, g.say("ends %s %s-%d %s", "berakhir %s %s-%d %s", quoted(g.name), quoted(last.name), e.seq, at))
}

// Report is where lines are printed, in English or Indonesian.
type Report struct {
	w   io.Writer
	err error // of the first line that could not be printed
}

// NewReport prints to w.
func NewReport(w io.Writer) *Report { return &Report{w: w} }

func (r *Report) line(text string) {
	if _, err := fmt.Fprintln(r.w, text); err != nil && r.err == nil {
		r.err = fmt.Errorf("print: %w", err)
	}
}

// verdict is the last line, the same in every language.
func (r *Report) verdict(findings int) {
	if findings == 0 {
		r.line("audit: intact")
		return
	}
	r.line(fmt.Sprintf("audit: %d findings", findings))
}

// say is a text in the reader's language.
func (a *Audit) say(en, id string, args ...any) string {
	if a.indonesian {
		en = id
	}
	return fmt.Sprintf(en, args...)
}

// sayInputs tells of lines that were no events.
func (a *Audit) sayInputs(r *Report) {
	for _, f := range a.files {
		for _, x := range f.refused {
			r.line(a.say("refused %s:%d: %s", "ditolak %s:%d: %s", f.name, x.line, shown(x.why.Error())))
		}
		if f.more > 0 {
			r.line(a.say("refused %s: %d more lines", "ditolak %s: %d baris lagi", f.name, f.more))
		}
		if f.skipped > 0 {
			r.line(a.say("skipped %s: %d lines that are no events", "dilewati %s: %d baris yang bukan peristiwa", f.name, f.skipped))
		}
	}
}

// sayHead tells of a head whose stream no file has.
func (a *Audit) sayHead(r *Report) {
	if h := a.head; h != nil && a.streams[h.stream] == nil {
		a.findings++
		f := finding{kind: missing, stream: h.stream, span: span{h.seq, h.seq}}
		r.line(fmt.Sprintf("FINDING - %s: %s: %s", f.place(), f.kind, a.say("no file has the head's stream", "tidak ada berkas yang memuat stream kepala")))
	}
}
