package chain_test

import (
	"fmt"
	"slices"
	"strings"

	"presence/scripts/city/internal/chain/chaintest"
)

// moveLine puts a line elsewhere among those of its gateway.
func moveLine(w *world) mutant {
	i := w.pick(func(i int) bool { return w.first(i) && !w.twice(i) })
	j := w.pick(func(j int) bool {
		return w.events[j]["gateway"] == w.events[i]["gateway"] && w.first(j) && (j < i || j > i+1) && w.passes(i, j)
	})
	lines := slices.Insert(slices.Clone(w.lines), j, w.lines[i])
	if j < i {
		lines = slices.Delete(lines, i+1, i+2)
	} else {
		lines = slices.Delete(lines, i, i+1)
	}
	at := w.around(i)
	return mutant{what: fmt.Sprintf("%s before %s", w.id(i), w.id(j)), lines: lines, at: append(at, w.around(j)...)}
}

// passes reports whether a line that is moved from i to before j goes past the first line
// of another event of its gateway.
func (w *world) passes(i, j int) bool {
	from, to := min(i+1, j), max(i, j)
	if j < i {
		from, to = j, i
	}
	return slices.ContainsFunc(w.events[from:to], func(e chaintest.Event) bool { return atoi(e["rev"]) == 0 && e["gateway"] == w.events[i]["gateway"] })
}

// swapLines lets two events of a gateway change places, or all that they say but for where
// they are.
func swapLines(w *world) mutant {
	plain := func(i int) bool { return w.first(i) && !w.twice(i) }
	i := w.pick(plain)
	j := w.pick(func(j int) bool { return plain(j) && j != i && w.events[j]["gateway"] == w.events[i]["gateway"] })
	lines := slices.Clone(w.lines)
	if w.IntN(2) == 0 {
		lines[i], lines[j] = lines[j], lines[i]
		return mutant{what: w.id(i) + " and " + w.id(j), lines: lines, at: append(w.around(i), w.around(j)...)}
	}
	lines[i], lines[j] = w.inPlaceOf(j, i).JSON(), w.inPlaceOf(i, j).JSON()
	return mutant{what: "contents of " + w.id(i) + " and " + w.id(j), lines: lines, at: []string{w.id(i), w.id(j)}}
}

// inPlaceOf is what event i says, under the name of event j.
func (w *world) inPlaceOf(i, j int) chaintest.Event {
	e := w.events[i].Clone()
	for _, name := range []string{"id", "stream", "seq", "gateway", "dinas"} {
		e[name] = w.events[j][name]
	}
	return e
}

func swapBetweenGateways(w *world) mutant {
	i := w.pick(func(i int) bool { return !w.twice(i) })
	j := w.pick(func(j int) bool { return !w.twice(j) && w.events[j]["gateway"] != w.events[i]["gateway"] })
	lines := slices.Clone(w.lines)
	lines[i], lines[j] = w.inPlaceOf(j, i).JSON(), w.inPlaceOf(i, j).JSON()
	return mutant{what: w.id(i) + " and " + w.id(j), lines: lines, at: []string{w.id(i), w.id(j)}}
}

func renameEvent(w *world) mutant {
	i := w.pick(func(i int) bool { return !w.twice(i) })
	j := w.pick(func(j int) bool { return w.events[j]["stream"] != w.events[i]["stream"] })
	return mutant{what: w.id(j) + " as " + w.id(i), lines: w.with(i, w.inPlaceOf(j, i).JSON()), at: []string{w.id(i)}}
}

// cut takes lines away, all between from and to.
func (w *world) cut(from, to int) []string { return slices.Concat(w.lines[:from], w.lines[to:]) }

// cutFront takes away what a gateway recorded first.
func cutFront(w *world) mutant {
	from := w.pick(w.firstOf)
	to := w.pick(func(i int) bool {
		return i > from && w.events[i]["gateway"] == w.events[from]["gateway"] && w.first(i) && !w.corrects(from, i)
	})
	m := mutant{what: "before " + w.id(to), lines: w.cut(from, to), at: w.around(to)}
	kind, before := w.events[to]["kind"], fmt.Sprintf("%s-%d", w.events[to]["stream"], atoi(w.events[to]["seq"])-1)
	if kind == "start" || kind == "seal" || !slices.ContainsFunc(w.events, func(e chaintest.Event) bool { return e["id"] == before }) {
		m.at = nil // a beginning like any other, or behind what a gap names with its link
	}
	return m
}

// corrects reports whether events from i on correct some that come before.
func (w *world) corrects(from, i int) bool {
	for _, e := range w.events[i:] {
		if atoi(e["rev"]) == 1 && slices.ContainsFunc(w.events[from:i], func(x chaintest.Event) bool { return x["id"] == e["id"] }) {
			return true
		}
	}
	return false
}

// cutEnd takes away what a gateway recorded last.
func cutEnd(w *world) mutant {
	last := w.pick(w.lastOf)
	from := w.pick(func(i int) bool {
		return i > 0 && i <= last && w.events[i]["gateway"] == w.events[last]["gateway"] && !w.firstOf(i)
	})
	m := mutant{what: "from " + w.id(from), lines: w.cut(from, last+1), at: w.around(from)}
	for i := from - 1; ; i-- { // what is before it, corrections of older events apart
		if w.first(i) {
			if w.events[i]["kind"] == "seal" {
				m.at = nil
			} else {
				m.at = append(m.at, w.id(i))
			}
			return m
		}
	}
}

// cutMiddle takes away what is between two events of a gateway, whole streams among it.
func cutMiddle(w *world) mutant {
	from := w.pick(func(i int) bool { return !w.firstOf(i) && !w.lastOf(i) })
	to := w.pick(func(i int) bool {
		return i > from && w.events[i]["gateway"] == w.events[from]["gateway"] && (i-from < 30 || w.IntN(4) == 0)
	})
	if w.corrects(from, to) {
		return cutMiddle(w) // what is left of an event would stand where its correction does
	}
	m := mutant{what: w.id(from) + " to before " + w.id(to), lines: w.cut(from, to)}
	left := map[string]bool{}
	for _, line := range m.lines {
		left[chaintest.Parse(line)["id"].(string)] = true
	}
	for i := from; i < to; i++ {
		if !left[w.id(i)] {
			m.at = append(m.at, w.id(i))
		}
	}
	return m
}

// stripLinks takes the links out of some events in a row, so that they look as if they
// were from before there was a chain.
func stripLinks(w *world) mutant {
	m := mutant{lines: slices.Clone(w.lines)}
	from := w.IntN(len(w.lines))
	if w.IntN(2) == 0 {
		from = w.pick(w.firstOf)
	}
	for i := from; i < min(from+1+w.IntN(60), len(w.lines)); i++ {
		if w.events[i]["gateway"] != w.events[from]["gateway"] {
			break
		}
		e := w.events[i].Clone()
		delete(e, "link")
		m.lines[i] = e.JSON()
		m.at = append(m.at, w.id(i))
	}
	m.what = strings.Join(m.at, " ")
	return m
}

// correct adds a correction of an event's time, which is allowed.
func correct(w *world) mutant {
	i := w.pick(func(i int) bool { return w.first(i) && !w.twice(i) })
	e := w.events[i].Clone()
	e["rev"], e["time_quality"], e["time_error_ms"] = 1+w.IntN(3), "corrected", 0.25
	at := i + 1 + w.IntN(len(w.lines)-i)
	m := mutant{what: w.id(i), lines: slices.Insert(slices.Clone(w.lines), at, e.JSON())}
	if w.IntN(2) == 0 { // but for nothing else
		e["boot_ms"] = atoi(e["boot_ms"]) + 1
		m.lines[at], m.at, m.what = e.JSON(), []string{w.id(i)}, m.what+" and its boot_ms"
	}
	return m
}
