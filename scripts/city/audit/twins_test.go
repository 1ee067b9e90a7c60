package main_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"presence/scripts/skiptest"
)

// finding is a line that names one: its gateway, id and kind.
var finding = regexp.MustCompile(`(?m)^FINDING [^ ]+ [^ ]+: [^ ]+:`)

// findings are the gateways, ids and kinds that a checker has printed.
func findings(out string) []string {
	found := finding.FindAllString(out, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// question is what both checkers are asked: files, and flags in front of them.
type question struct {
	name  string
	flags []string
	files [][]string
}

func ask(name string, events ...event) question {
	return question{name: name, files: [][]string{lines(events...)}}
}

// changed is a value of the same type that is another one.
func changed(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "x"
		}
		last := "0"
		if strings.HasSuffix(v, "0") {
			last = "1"
		}
		return v[:len(v)-1] + last
	case int:
		return v + 1
	case int64:
		return v + 1
	case float64:
		return v + 0.5
	case nil:
		return 7
	case []any:
		return append(slices.Clone(v), "x")
	case map[string]any:
		other := maps.Clone(v)
		name := slices.Sorted(maps.Keys(other))[0]
		other[name] = changed(other[name])
		return other
	}
	panic(fmt.Sprintf("%T", v))
}

// with is an event in which a field has another value; nil takes the field away.
func with(e event, field string, value any) event {
	other := maps.Clone(e)
	other[field] = value
	if value == nil {
		delete(other, field)
	}
	return other
}

// mutation changes a file in one place.
func mutation(r *rand.Rand, events []event) question {
	at, to := r.IntN(len(events)), r.IntN(len(events))
	other := slices.Clone(events)
	switch r.IntN(8) {
	case 0:
		return ask(fmt.Sprint("delete ", at), slices.Delete(other, at, at+1)...)
	case 1:
		return ask(fmt.Sprint("repeat ", at), slices.Insert(other, at, events[at])...)
	case 2:
		other[at], other[to] = other[to], other[at]
		return ask(fmt.Sprint("swap ", at, to), other...)
	case 3:
		return ask(fmt.Sprint("truncate at ", at), other[:at+1]...)
	}
	fields := slices.Sorted(maps.Keys(events[at]))
	field := fields[r.IntN(len(fields))]
	value := changed(events[at][field])
	if r.IntN(4) == 0 {
		value = nil
	}
	other[at] = with(events[at], field, value)
	return ask(fmt.Sprintf("change %s of %d to %v", field, at, value), other...)
}

// histories are questions about more than one change.
func histories() []question {
	r, o := week("dinkes-01"), week("dinkes-02")
	last := r.events[len(r.events)-1]
	badge := slices.IndexFunc(r.events, func(e event) bool { return e["kind"] == "badge" })
	erased := slices.Clone(r.events)
	erased[badge] = event{
		"v": 1, "id": r.events[badge]["id"], "gateway": r.gateway, "dinas": "dinkes", "stream": r.events[badge]["stream"],
		"seq": r.events[badge]["seq"], "kind": "erased", "link": r.events[badge]["link"],
	}
	corrected := with(with(r.events[badge], "rev", 1), "time_quality", "corrected")
	copied := slices.Clone(r.events)
	copied[badge] = with(r.events[badge], "card", "unknown")
	retimed := slices.Clone(r.events)
	retimed[badge] = with(r.events[badge], "time_error_ms", 4.5)
	old := slices.Clone(r.events)
	for i := 2; i < 12; i++ {
		if old[i]["kind"] != "seal" {
			old[i] = with(old[i], "link", nil)
		}
	}
	head := fmt.Sprintf("%s:%x", last["id"], r.link)
	beyond := fmt.Sprintf("%s-%d:%x", r.stream, r.seq+3, r.link)
	forked := fmt.Sprintf("%s:%032x", last["id"], 1)
	intact := lines(r.events...)
	return []question{
		ask("intact", r.events...),
		ask("two gateways in one file", slices.Concat(r.events, o.events)...),
		ask("one gateway's events under another's name", slices.Concat(r.events[:20], o.events[20:])...),
		{name: "a file a day", files: [][]string{intact[:12], intact[12:24], intact[24:]}},
		{name: "a day is gone", files: [][]string{intact[:12], intact[24:]}},
		{name: "only the last day", files: [][]string{intact[24:]}},
		{name: "it begins behind a seal", files: [][]string{intact[7:]}},
		{name: "it begins with a seal", files: [][]string{intact[6:]}},
		{name: "a copy that differs", files: [][]string{intact, lines(copied...)}},
		{name: "a copy that differs, first", files: [][]string{lines(copied...), intact}},
		{name: "a copy that differs in its time", files: [][]string{intact, lines(retimed...)}},
		ask("corrected", append(slices.Clone(r.events), corrected)...),
		ask("corrected, the correction first", slices.Insert(slices.Clone(r.events), badge, corrected)...),
		{name: "captured", flags: []string{"-captured"}, files: [][]string{append(slices.Clone(intact[:30]), intact[2], intact[30], intact[29], intact[31], intact[32], intact[33], intact[34])}},
		ask("erased by the city", erased...),
		ask("links taken away", old...),
		{name: "at its head", flags: []string{"-head", head}, files: [][]string{intact}},
		{name: "behind its head", flags: []string{"-head", beyond}, files: [][]string{intact}},
		{name: "at another head", flags: []string{"-head", forked}, files: [][]string{intact}},
		{name: "words between lines", files: [][]string{slices.Concat([]string{"demo: taps=1", "", "{", `{"a":1}`, `[]`, "\xff"}, intact)}},
		{name: "nothing", files: [][]string{{"no event"}}},
	}
}

// older is a gateway whose events of before the upgrade have no links; restored one that
// began anew behind what the city had.
func older() []event {
	r := week("dinkes-01")
	for _, e := range r.events {
		delete(e, "link")
	}
	r.events = slices.DeleteFunc(r.events, func(e event) bool { return e["kind"] == "seal" || e["kind"] == "gap" })
	for i, e := range r.events { // as it counted then
		e["seq"] = 1 + i
		e["stream"] = r.events[0]["stream"]
		e["id"] = fmt.Sprintf("%s-%d", e["stream"], e["seq"])
		if e["kind"] == "start" && i > 0 {
			e["kind"] = "presence"
		}
	}
	previous := map[string]any{"stream": r.events[0]["stream"], "seq": len(r.events), "clean": true}
	r.link, r.stream = make([]byte, 16), ""
	first := r.start(true)
	first["previous"] = previous
	r.events = r.events[:len(r.events)-1]
	r.seq, r.link = 0, make([]byte, 16)
	r.add("start", event{"previous": previous, "version": "v1.2.4"})
	r.seal()
	r.tap(1)
	r.seal()
	return r.events
}

// twins asks both checkers, and compares what they find.
func twins(t *testing.T, questions []question) {
	t.Helper()
	skiptest.Program(t, "python3")
	dir := t.TempDir()
	program := filepath.Join(dir, "audit")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	newRecorder("dinkes-01").writeKey(t, keys)
	newRecorder("dinkes-02").writeKey(t, keys)
	var group errgroup.Group
	group.SetLimit(2)
	for n, q := range questions {
		group.Go(func() error {
			args := slices.Concat([]string{"-keys", keys}, q.flags)
			for i, lines := range q.files {
				args = append(args, write(t, filepath.Join(dir, fmt.Sprintf("%d-%d.jsonl", n, i)), lines))
			}
			ours, status := python(t, args...)
			out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
			other := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				other = exit.ExitCode()
			} else if err != nil {
				return err
			}
			if status != other {
				t.Errorf("%s: Python's exit status is %d, Go's %d", q.name, status, other)
			}
			if a, b := findings(ours), findings(string(out)); !slices.Equal(a, b) {
				t.Errorf("%s: Python finds\n\t%s\nGo finds\n\t%s", q.name, strings.Join(a, "\n\t"), strings.Join(b, "\n\t"))
			}
			if status == 0 && len(findings(ours)) > 0 {
				t.Errorf("%s: exit status 0 with\n%s", q.name, ours)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestBothCheckersSayTheSame of what changed in one place: where, and what kind it is. More
// of it, and that nothing is overlooked, is in the property tests of the Go checker.
func TestBothCheckersSayTheSame(t *testing.T) {
	r, random := week("dinkes-01"), rand.New(rand.NewPCG(1, 2))
	number := 200
	if testing.Short() {
		number = 20
	}
	var questions []question
	for range number {
		questions = append(questions, mutation(random, r.events))
	}
	twins(t, questions)
}

// TestBothCheckersTellTheSameHistory of files that are split, copied, corrected, older than
// the chain or at another head than what is known.
func TestBothCheckersTellTheSameHistory(t *testing.T) {
	twins(t, append(histories(), ask("older than the chain", older()...)))
}
