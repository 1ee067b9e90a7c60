package chain_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/chain/chaintest"
	"presence/scripts/skiptest"
)

// mutant is a month in which something was changed.
type mutant struct {
	what  string
	lines []string
	// at are the events at which a finding counts as placed: one of them has to be in it.
	// None: nothing can be found, and nothing must be.
	at []string
	// either means that it may be found: a time that boot_ms contradicts, in a last seal.
	either bool
}

// world is what is mutated: the month of two gateways in one file.
type world struct {
	*rand.Rand
	events []chaintest.Event
	lines  []string
	keys   *chain.Keys
}

// pick is an event that satisfies what is asked.
func (w *world) pick(ok func(i int) bool) int {
	for {
		if i := w.IntN(len(w.events)); ok(i) {
			return i
		}
	}
}

// first reports whether an event is the first line of its id.
func (w *world) first(i int) bool { return atoi(w.events[i]["rev"]) == 0 }

// twice reports whether the event is in two lines: with its correction.
func (w *world) twice(i int) bool {
	return slices.ContainsFunc(w.events, func(e chaintest.Event) bool {
		return e["id"] == w.events[i]["id"] && atoi(e["rev"]) != atoi(w.events[i]["rev"])
	})
}

func (w *world) id(i int) string { return w.events[i]["id"].(string) }

// lastOf reports whether an event is its gateway's last, a seal, which nothing holds.
func (w *world) lastOf(i int) bool {
	return i+1 == len(w.events) || w.events[i+1]["gateway"] != w.events[i]["gateway"]
}

// firstOf reports whether an event is the first of its gateway.
func (w *world) firstOf(i int) bool {
	return i == 0 || w.events[i-1]["gateway"] != w.events[i]["gateway"]
}

func (w *world) with(i int, lines ...string) []string {
	return slices.Concat(w.lines[:i], lines, w.lines[i+1:])
}

// newWorld invents two gateways, and tells the times of some events only later.
func newWorld(t testing.TB) *world {
	one, two := month("dinkes-01", 1), month("disdik-02", 2)
	w := &world{keys: keysOf(t, one, two)}
	for _, g := range []*chaintest.Gateway{one, two} {
		var later []chaintest.Event
		for i, e := range g.Events {
			if i%11 == 4 { // first published without a time
				unknown := e.Clone()
				for name, v := range map[string]any{"rev": 0, "time": nil, "time_quality": "unsynced", "time_error_ms": nil} {
					unknown[name] = v
				}
				e["rev"], e["time_quality"] = 1, "corrected"
				w.events = append(w.events, unknown)
				later = append(later, e)
				continue
			}
			w.events = append(w.events, e)
			if i%17 == 0 {
				w.events, later = append(w.events, later...), nil
			}
		}
		// The last line is the last seal.
		w.events = slices.Insert(w.events, len(w.events)-1, later...)
	}
	w.lines = chaintest.Lines(w.events...)
	return w
}

// finding is how a finding is placed.
var finding = regexp.MustCompile(`^(\S+) (\S+?)-(\d+)(?:-(\d+))?: `)

// places reports whether a finding holds one of some events.
func places(found string, at []string) bool {
	m := finding.FindStringSubmatch(found)
	if m == nil {
		return false
	}
	from, _ := strconv.Atoi(m[3])
	to, _ := strconv.Atoi(m[4])
	if plain, err := strconv.Unquote(m[2]); err == nil {
		m[2] = plain
	}
	return slices.ContainsFunc(at, func(id string) bool {
		n, _ := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		return id[:strings.LastIndexByte(id, '-')] == m[2] && n >= from && n <= max(from, to)
	})
}

// TestMutations changes a month in every way, and has each change found where it is. Each
// is the whole program's work on the whole files. AUDIT_MUTATIONS says how many,
// AUDIT_SEED which.
func TestMutations(t *testing.T) {
	skiptest.Computation(t)
	n := setting(t, "AUDIT_MUTATIONS", 500)
	seed := setting(t, "AUDIT_SEED", 1)
	w := newWorld(t)
	if got := check(t, chain.Options{Keys: w.keys}, w.lines); len(found(got)) > 0 {
		t.Fatalf("unchanged:\n%s", strings.Join(got, "\n"))
	}
	kinds := mutations()
	counts := map[string]int{}
	nothing := 0
	began := time.Now()
	for i := range n {
		w.Rand = rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		kind := kinds[i%len(kinds)]
		m := kind.make(w)
		counts[kind.name]++
		said := found(check(t, chain.Options{Keys: w.keys}, m.lines))
		switch {
		case m.either:
			nothing++
		case len(m.at) == 0 && len(said) > 0:
			t.Errorf("%d: %s: %s: nothing is wrong with it:\n%s", i, kind.name, m.what, strings.Join(said, "\n"))
		case len(m.at) == 0:
			nothing++
		case len(said) == 0:
			t.Errorf("%d: %s: %s: not found", i, kind.name, m.what)
		case !slices.ContainsFunc(said, func(f string) bool { return places(f, m.at) }):
			t.Errorf("%d: %s: %s: not placed at %v:\n%s", i, kind.name, m.what, m.at, strings.Join(said, "\n"))
		}
		if t.Failed() && i > 200 {
			break
		}
	}
	fmt.Printf("torture-audit: mutations=%d kinds=%d lines=%d found_and_placed=%d harmless=%d seconds=%.0f\n",
		n, len(counts), len(w.lines), n-nothing, nothing, time.Since(began).Seconds())
}

func setting(t testing.TB, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mutation is a way to change a month.
type mutation struct {
	name string
	make func(w *world) mutant
}

func mutations() []mutation {
	return []mutation{
		{"field", changeField},
		{"field", changeField},
		{"field", changeField},
		{"time", changeTime},
		{"harmless", changeNothing},
		{"delete", deleteLine},
		{"copy", copyLine},
		{"invent", inventInPlace},
		{"invent and compute the rest", inventAndRelink},
		{"invent at the end", inventAtTheEnd},
		{"reorder", moveLine},
		{"swap", swapLines},
		{"duplicate", duplicateLine},
		{"cut the front", cutFront},
		{"cut the end", cutEnd},
		{"cut the middle", cutMiddle},
		{"swap between gateways", swapBetweenGateways},
		{"rename another stream's event", renameEvent},
		{"strip links", stripLinks},
		{"correct", correct},
	}
}

func deleteLine(w *world) mutant {
	i := w.pick(func(i int) bool { return !w.twice(i) })
	m := mutant{what: w.id(i), lines: w.with(i), at: w.around(i)}
	if w.firstOf(i) && w.events[i+1]["kind"] == "seal" {
		m.at = nil // the files begin with a seal then
	}
	return m
}

// around are an event, and those beside it, in the file and by number.
func (w *world) around(i int) (ids []string) {
	for n := -1; n <= 1; n++ {
		ids = append(ids, fmt.Sprintf("%s-%d", w.events[i]["stream"], atoi(w.events[i]["seq"])+n))
	}
	for j := max(i-1, 0); j <= min(i+1, len(w.events)-1); j++ {
		ids = append(ids, w.id(j))
	}
	return ids
}

func copyLine(w *world) mutant {
	i, j := w.pick(w.first), w.IntN(len(w.lines))
	return mutant{what: fmt.Sprintf("%s before line %d", w.id(i), j+1), lines: slices.Insert(slices.Clone(w.lines), j, w.lines[i]), at: []string{w.id(i)}}
}

func duplicateLine(w *world) mutant {
	i := w.IntN(len(w.lines))
	return mutant{what: w.id(i), lines: slices.Insert(slices.Clone(w.lines), i, w.lines[i]), at: []string{w.id(i)}}
}

// inventInPlace puts a tap that never was in the place of an event, well behind the one
// before it.
func inventInPlace(w *world) mutant {
	i := w.pick(func(i int) bool {
		return w.events[i]["kind"] != "seal" && atoi(w.events[i]["seq"]) > 1 && !w.twice(i) && !w.twice(i-1)
	})
	e := w.events[i].Clone()
	e["reader"] = "nobody"
	before := w.linkOf(w.events[i-1])
	e["link"] = e.Link(before)
	lines := w.with(i, e.JSON())
	if w.IntN(2) == 0 {
		lines = slices.Insert(slices.Clone(w.lines), i+w.IntN(2), e.JSON())
	}
	return mutant{what: w.id(i), lines: lines, at: w.around(i)}
}

// linkOf is the link of an event, of a seal too.
func (w *world) linkOf(e chaintest.Event) string {
	if e["kind"] == "seal" {
		return e.Link(e["link"].(string))
	}
	return e["link"].(string)
}

// inventAndRelink puts an event among the others and computes all that follows anew, as
// somebody can who does not have the key.
func inventAndRelink(w *world) mutant {
	i := w.pick(func(i int) bool { return w.events[i]["kind"] == "badge" && !w.lastOf(i) && !w.twice(i) })
	var all []chaintest.Event
	for _, e := range w.events {
		all = append(all, e.Clone())
	}
	invented := all[i].Clone()
	invented["badge"] = "h:" + strings.Repeat("ab", 16)
	all = slices.Insert(all, i, invented)
	stream, gateway := invented["stream"], invented["gateway"]
	for _, e := range all[i+1:] {
		if e["stream"] == stream {
			n := atoi(e["seq"]) + 1
			e["seq"], e["id"] = n, fmt.Sprintf("%s-%d", stream, n)
		}
	}
	w.relink(all, gateway)
	return mutant{what: w.id(i), lines: chaintest.Lines(all...), at: []string{w.id(i)}}
}

// relink computes the links of a gateway's events anew, seals' and starts' too, all that
// can be computed without the key.
func (w *world) relink(all []chaintest.Event, gateway any) {
	newest, links := chaintest.NoLink, map[any]string{}
	var last chaintest.Event
	for _, e := range all {
		if e["gateway"] != gateway {
			continue
		}
		if link, again := links[e["id"]]; again { // a correction
			e["link"] = link
			continue
		}
		if p, ok := e["previous"].(map[string]any); ok && last != nil {
			p["seq"], p["link"] = last["seq"], newest
		}
		if ranges, ok := e["ranges"].([]any); ok {
			r := ranges[0].(map[string]any)
			if r["stream"] == e["stream"] { // the event before was relinked, and what is gone cannot be
				newest = e.Link(newest)
				e["link"], links[e["id"]], last = newest, newest, e
				continue
			}
		}
		if e["kind"] == "seal" {
			e["link"], links[e["id"]] = newest, newest
			e["upto"] = atoi(e["seq"]) - 1
		}
		newest = e.Link(newest)
		if e["kind"] != "seal" {
			e["link"], links[e["id"]] = newest, newest
		}
		last = e
	}
}

func atoi(v any) int {
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return n
}

// inventAtTheEnd goes on behind a gateway's last event.
func inventAtTheEnd(w *world) mutant {
	i := w.pick(w.lastOf)
	e := w.events[w.pick(func(i int) bool { return w.events[i]["kind"] == "badge" })].Clone()
	last := w.events[i]
	n := atoi(last["seq"]) + 1
	e["gateway"], e["stream"], e["seq"], e["id"] = last["gateway"], last["stream"], n, fmt.Sprintf("%s-%d", last["stream"], n)
	e["boot"], e["boot_ms"], e["time"] = last["boot"], last["boot_ms"], last["time"]
	e["link"] = e.Link(w.linkOf(last))
	return mutant{what: w.id(i), lines: slices.Insert(slices.Clone(w.lines), i+1, e.JSON()), at: []string{e["id"].(string)}}
}
