package main_test

import (
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
)

// finding is a line that names one: its kind, gateway and id.
var finding = regexp.MustCompile(`(?m)^FINDING [^ ]+ [^ ]+: [^ ]+:`)

// findings are the kinds, gateways and ids that a checker has printed.
func findings(out string) []string {
	found := finding.FindAllString(out, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// mutation is a file that somebody has changed.
type mutation struct {
	name  string
	lines []string
}

// changed is a value of the same type that is another one.
func changed(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "x"
		}
		last := byte('0')
		if v[len(v)-1] == '0' {
			last = '1'
		}
		return v[:len(v)-1] + string(last)
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
		for name := range other {
			other[name] = changed(other[name])
			break
		}
		return other
	}
	panic(fmt.Sprintf("%T", v))
}

// mutations are a number of files that were changed in one place each.
func mutations(r *rand.Rand, events []event, number int) []mutation {
	var all []mutation
	for range number {
		at := r.IntN(len(events))
		other := slices.Clone(events)
		var name string
		switch r.IntN(8) {
		case 0:
			name, other = fmt.Sprint("delete ", at+1), slices.Delete(other, at, at+1)
		case 1:
			name, other = fmt.Sprint("repeat ", at+1), slices.Insert(other, at, events[at])
		case 2:
			to := r.IntN(len(events))
			name = fmt.Sprint("swap ", at+1, to+1)
			other[at], other[to] = other[to], other[at]
		case 3:
			name, other = fmt.Sprint("truncate ", at), other[:at+1]
		default:
			fields := slices.Sorted(maps.Keys(events[at]))
			field := fields[r.IntN(len(fields))]
			name = fmt.Sprintf("change %s of %d", field, at+1)
			other[at] = maps.Clone(events[at])
			if r.IntN(4) == 0 {
				delete(other[at], field)
			} else {
				other[at][field] = changed(other[at][field])
			}
		}
		all = append(all, mutation{name, lines(other...)})
	}
	return all
}

func TestBothCheckersSayTheSame(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "audit")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	r := week("dinkes-01")
	r.writeKey(t, keys)
	random := rand.New(rand.NewPCG(1, 2))
	var group errgroup.Group
	group.SetLimit(2)
	for n, m := range mutations(random, r.events, 40) {
		group.Go(func() error {
			file := write(t, filepath.Join(dir, fmt.Sprintf("%d.jsonl", n)), m.lines)
			ours, status := python(t, "-keys", keys, file)
			out, err := exec.CommandContext(t.Context(), program, "-keys", keys, file).CombinedOutput()
			other := 0
			if err != nil {
				other = 1
			}
			if status != other {
				t.Errorf("%s (%d): status %d and %d", m.name, n, status, other)
			}
			if a, b := findings(ours), findings(string(out)); !slices.Equal(a, b) {
				t.Errorf("%s (%d): Python finds\n\t%s\nGo finds\n\t%s", m.name, n, strings.Join(a, "\n\t"), strings.Join(b, "\n\t"))
			}
			return nil
		})
	}
	_ = group.Wait()
}
