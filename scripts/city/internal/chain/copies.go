package chain

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// checkOrder looks whether the lines of each file are in the order of the chain. Lines
// with an event that the file had before are no matter of order.
func (g *gateway) checkOrder() {
	if g.captured {
		return
	}
	type placedEvent struct {
		place place
		*stream
		seq uint64
	}
	var all []placedEvent
	for _, s := range g.streams {
		for i := 0; i < len(s.all); {
			end := s.behind(i)
			for j := i; j < end; j++ {
				if j == i || s.all[j].place.file() != s.all[j-1].place.file() {
					all = append(all, placedEvent{s.all[j].place, s, s.all[j].seq})
				}
			}
			i = end
		}
	}
	slices.SortFunc(all, func(x, y placedEvent) int { return cmp.Compare(x.place, y.place) })
	for i := 1; i < len(all); i++ {
		e, last := all[i], all[i-1]
		if e.place.file() == last.place.file() && (e.order < last.order || e.order == last.order && e.seq < last.seq) {
			g.find(finding{order: e.order, kind: disorder, stream: e.name, span: span{e.seq, e.seq}}, g.say(
				"in %s it comes behind %s-%d", "di %s berada sesudah %s-%d", g.fileName(e.place), quoted(last.name), last.seq))
		}
	}
}

// checkCopies compares what several lines say of the same event.
func (g *gateway) checkCopies() error {
	for _, s := range g.streams {
		for i := 0; i < len(s.all); {
			end := s.behind(i)
			if end > i+1 {
				if err := g.checkCopiesOf(s, s.all[i:end]); err != nil {
					return err
				}
			}
			i = end
		}
	}
	return nil
}

func (g *gateway) checkCopiesOf(s *stream, all []said) error {
	f := finding{order: s.order, stream: s.name, span: span{all[0].seq, all[0].seq}}
	if !g.captured {
		g.checkRepeats(all, f)
	}
	f.kind = altered
	chosen := g.chosen[id{s.name, all[0].seq}]
	if chosen == nil {
		chosen = &all[0]
	}
	holds := !g.altered[id{s.name, chosen.seq}]
	compared := []*said{chosen}
	for i := range all {
		e := &all[i]
		known := false
		for _, other := range compared {
			known = known || other.same(e) && (other.rev != e.rev || other.timing == e.timing)
		}
		if known {
			continue
		}
		with := chosen
		for _, other := range compared {
			if other.same(e) && other.rev == e.rev {
				with = other
			}
		}
		compared = append(compared, e)
		words, err := g.differ(e, with, holds && !e.same(with))
		if err != nil {
			return err
		}
		g.find(f, words)
	}
	return nil
}

// checkRepeats names lines that say in the same file what it has said.
func (g *gateway) checkRepeats(all []said, f finding) {
	for i := range all {
		for j := range i {
			if e, first := &all[i], &all[j]; e.place.file() == first.place.file() && e.same(first) && e.rev <= first.rev {
				f.kind = duplicate
				g.find(f, g.say("it stands in %s once more, with no higher rev", "ada lagi di %s, tanpa rev yang lebih tinggi", g.fileName(e.place)))
				return
			}
		}
	}
}

// differ says in which fields two lines differ.
func (g *gateway) differ(e, with *said, holds bool) (string, error) {
	x, err := g.again(e.place)
	if err != nil {
		return "", err
	}
	y, err := g.again(with.place)
	if err != nil {
		return "", err
	}
	withoutTimes := !e.same(with)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(both(x, y))) {
		if withoutTimes && mayCorrect(name) {
			continue
		}
		parts = append(parts, differences(name, x[name], y[name])...)
	}
	verdict := ""
	if holds {
		verdict = g.say(" holds", " yang benar")
	}
	here, there := g.fileName(e.place), g.fileName(with.place)
	for i, part := range parts {
		before, after, _ := strings.Cut(part, "\x00")
		parts[i] = g.say("%s in %s, %s in %s%s", "%s di %s, %s di %s%s", before, here, after, there, verdict)
	}
	if len(parts) == 0 {
		return g.say("%s and %s differ", "%s dan %s berbeda", here, there), nil
	}
	return strings.Join(parts, "; "), nil
}

func both(x, y map[string]jsontext.Value) map[string]jsontext.Value {
	all := maps.Clone(x)
	maps.Copy(all, y)
	return all
}

// mayCorrect reports whether a correction may change a member.
func mayCorrect(name string) bool {
	switch name {
	case "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max":
		return true
	}
	return false
}

// maxDepth is how deep differences are looked for.
const maxDepth = 8

// differences is where two values differ: "name: x", a zero byte, and "y". Objects and lists
// of one length are compared member by member.
func differences(name string, x, y jsontext.Value) []string {
	if bytes.Equal(x, y) {
		return nil
	}
	if strings.Count(name, ".") < maxDepth {
		xs, ok := parts(x)
		if ys, same := parts(y); ok && same && len(xs) == len(ys) {
			var all []string
			for _, key := range slices.Sorted(maps.Keys(both(xs, ys))) {
				all = append(all, differences(name+"."+key, xs[key], ys[key])...)
			}
			return all
		}
	}
	return []string{shown(name) + ": " + value(x) + "\x00" + value(y)}
}

// parts are the members of an object or list.
func parts(v jsontext.Value) (map[string]jsontext.Value, bool) {
	all := map[string]jsontext.Value{}
	switch v.Kind() {
	case '{':
		err := newParser().members(v, func(name string, _, value jsontext.Value) error {
			all[name] = value.Clone()
			return nil
		})
		return all, err == nil
	case '[':
		d := jsontext.NewDecoder(bytes.NewReader(v))
		if _, err := d.ReadToken(); err != nil {
			return nil, false
		}
		for d.PeekKind() != ']' {
			value, err := d.ReadValue()
			if err != nil {
				return nil, false
			}
			all[strconv.Itoa(len(all))] = value.Clone()
		}
		return all, true
	}
	return nil, false
}

// maxShown is how much of a value is printed.
const maxShown = 120

func value(v jsontext.Value) string {
	if v == nil {
		return "-"
	}
	return shown(string(v))
}

// shown is a text of a file as ASCII: nothing in it does anything to a terminal, and
// letters that look alike are told apart.
func shown(s string) string {
	plain := strconv.QuoteToASCII(s)
	plain = strings.ReplaceAll(plain[1:len(plain)-1], `\"`, `"`)
	if len(plain) > maxShown {
		plain = plain[:maxShown] + "..."
	}
	return plain
}

// quoted is a name of a file: as it is, unless it holds what no name has.
func quoted(name string) string {
	if name != "" && strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) < 0 && len(name) <= 64 {
		return name
	}
	return strconv.QuoteToASCII(name)
}

func (a *Audit) fileName(p place) string { return filepath.Base(a.files[p.file()].name) }

// place is how a finding is placed: "STREAM-SEQ" or "STREAM-FROM-TO".
func (f finding) place() string {
	if f.from == f.to {
		return fmt.Sprintf("%s-%d", quoted(f.stream), f.from)
	}
	return fmt.Sprintf("%s-%d-%d", quoted(f.stream), f.from, f.to)
}
