package chain_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/chain/chaintest"
	"presence/scripts/skiptest"
)

// Lines that two readers could understand differently, or none, are refused with their
// number; others that are no events are passed over. Neither stops the audit.
func TestHostileLines(t *testing.T) {
	g := month("dinkes-01", 1)
	lines := chaintest.Lines(g.Events...)
	good := lines[3]
	for name, tc := range map[string]struct {
		line string
		why  string // "": passed over
	}{
		"no JSON":                    {"gatewayd: the journal is fine", ""},
		"a list":                     {`["id","stream","seq"]`, ""},
		"another message":            {`{"state":"online"}`, ""},
		"bytes":                      {"\xff\xfe\x00\x1b[2J", ""},
		"half of one":                {good[:100], "unexpected EOF"},
		"two of them":                {good + good, "something follows"},
		"a field twice":              {strings.Replace(good, `"seq"`, `"dinas":"x","seq"`, 1), "duplicate"},
		"a field twice, written so":  {strings.Replace(good, `"seq"`, `"\u0064inas":"x","seq"`, 1), "duplicate"},
		"a field twice within":       {strings.Replace(good, `"seq"`, `"x":[{"a":1,"a":2}],"seq"`, 1), "duplicate"},
		"no UTF-8":                   {strings.Replace(good, `"seq"`, "\"x\":\"\xff\",\"seq\"", 1), "UTF-8"},
		"half a surrogate":           {strings.Replace(good, `"seq"`, `"x":"\ud800","seq"`, 1), "surrogate"},
		"a huge number":              {strings.Replace(good, `"seq"`, `"x":1e400,"seq"`, 1), "more digits"},
		"a tiny number":              {strings.Replace(good, `"seq"`, `"x":1e-400,"seq"`, 1), "more digits"},
		"a power that is no int":     {strings.Replace(good, `"seq"`, `"x":1e99999999999999999999,"seq"`, 1), "more digits"},
		"2^53+1":                     {strings.Replace(good, `"seq"`, `"x":9007199254740993,"seq"`, 1), "more digits"},
		"too many digits":            {strings.Replace(good, `"seq"`, `"x":[0.1000000000000000055],"seq"`, 1), "more digits"},
		"seq 2^63":                   {`{"id":"a-9223372036854775808","stream":"a","seq":9223372036854775808}`, "more digits"},
		"seq 0":                      {`{"id":"a-0","stream":"a","seq":0}`, "no event"},
		"a negative seq":             {`{"id":"a--1","stream":"a","seq":-1}`, "no event"},
		"seq with a fraction":        {`{"id":"a-1","stream":"a","seq":1.5}`, "no event"},
		"seq as words":               {`{"id":"a-1","stream":"a","seq":"1"}`, "no event"},
		"a stream of another type":   {`{"id":"a-1","stream":{},"seq":1}`, "no event"},
		"deep":                       {strings.Repeat(`{"a":`, 20_000), "depth"},
		"deep lists":                 {`{"id":"a-1","stream":"a","seq":1,"x":` + strings.Repeat(`[`, 20_000), "depth"},
		"longer than any event":      {`{"x":"` + strings.Repeat("y", 2<<20) + `"}`, "longer than"},
		"an escape within the quote": {strings.Replace(good, `"seq"`, `"x":"\q","seq"`, 1), "escape"},
	} {
		t.Run(name, func(t *testing.T) {
			said := check(t, chain.Options{Keys: keysOf(t, g)}, slices.Insert(slices.Clone(lines), 3, tc.line))
			if len(found(said)) > 0 {
				t.Errorf("\n%s", strings.Join(found(said), "\n"))
			}
			refused := slices.ContainsFunc(said, func(s string) bool {
				return strings.HasPrefix(s, "refused ") && strings.Contains(s, "export.jsonl:4: ") && strings.Contains(s, tc.why)
			})
			if refused != (tc.why != "") || !slices.ContainsFunc(said, func(s string) bool { return strings.HasSuffix(s, ": 1 lines that are no events") }) {
				t.Errorf("want %q:\n%s", tc.why, strings.Join(said, "\n"))
			}
			for _, s := range said {
				if strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
					t.Errorf("prints %q", s)
				}
			}
		})
	}
}

// Streams without end, numbers without end and links without sense take time and memory
// in proportion, and never a panic.
func TestHostileFiles(t *testing.T) {
	skiptest.Computation(t)
	many := func(n int, line func(i int) string) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = line(i)
		}
		return all
	}
	for name, lines := range map[string][]string{
		"a stream in each line": many(30_000, func(i int) string { return fmt.Sprintf(`{"id":"s%d-1","gateway":"g","stream":"s%d","seq":1}`, i, i) }),
		"each behind the other": many(20_000, func(i int) string {
			return fmt.Sprintf(`{"id":"s%d-1","gateway":"g","stream":"s%d","seq":1,"kind":"start","link":"%032x","previous":{"stream":"s%d","seq":1}}`, i, i, i, i+1)
		}),
		"in a circle": many(1_000, func(i int) string {
			return fmt.Sprintf(`{"id":"s%d-1","gateway":"g","stream":"s%d","seq":1,"previous":{"stream":"s%d","seq":9}}`, i, i, (i+1)%1000)
		}),
		"backwards": many(30_000, func(i int) string {
			return fmt.Sprintf(`{"id":"s-%d","gateway":"g","stream":"s","seq":%d,"link":"%032x"}`, int64(1<<52)-int64(i), int64(1<<52)-int64(i), i)
		}),
		"a gateway in each line": many(20_000, func(i int) string {
			return fmt.Sprintf(`{"id":"s%d-2","gateway":"../g%d","stream":"s%d","seq":2}`, i, i, i)
		}),
		"one number": many(2_000, func(i int) string { return fmt.Sprintf(`{"id":"s-7","gateway":"g","stream":"s","seq":7,"x":%d}`, i) }),
		"gaps over all": many(20_000, func(i int) string {
			return fmt.Sprintf(`{"id":"s-%d","gateway":"g","stream":"s","seq":%d,"kind":"gap","link":"%032x","ranges":[{"stream":"s","from":%d,"to":null},{"stream":"s","from":9,"to":1},{"stream":"t","from":1,"to":9007199254740992}]}`, 3*i+1, 3*i+1, i, i+1)
		}),
		"bodies of other types": {
			`{"id":"s-1","stream":"s","seq":1,"kind":"start","previous":{"stream":7,"seq":"x","link":[]},"link":7}`,
			`{"id":"s-2","stream":"s","seq":2,"kind":"gap","ranges":{"from":1},"branch":[],"reason":{},"link":null}`,
			`{"id":"s-3","stream":"s","seq":3,"kind":"seal","upto":"x","anchors":[7,null,{"boot_ms":{},"time":1}],"key":[],"sig":7,"link":"X"}`,
			`{"id":"s-4","stream":"s","seq":4,"kind":"seal"}`,
			`{"id":"s-5","stream":"s","seq":5,"kind":"erased","link":{},"time":{},"rev":"x"}`,
			`{"id":"s-6","gateway":null,"stream":"s","seq":6,"kind":null,"boot_ms":1e300,"boot":7,"time":7,"time_min":[]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if said := check(t, chain.Options{Keys: openKeys(t, t.TempDir())}, lines); len(found(said)) == 0 {
				t.Error("nothing found")
			}
		})
	}
}

// Whatever stands in a file, the audit ends with a verdict; and it calls nothing intact but
// the vectors themselves, or some of them that end in a seal.
func FuzzAudit(f *testing.F) {
	text, err := os.ReadFile("testdata/vectors.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, line := range vectors(f) {
		f.Add([]byte(line))
	}
	f.Add([]byte(`{"id":"s-1","stream":"s","seq":1,"kind":"gap","ranges":[{"stream":"s","from":2,"to":null,"before":"0","link":"1"}]}`))
	keys := openKeys(f, "testdata/keys")
	known := map[string]bool{}
	for _, line := range vectors(f) {
		known[chaintest.Parse(line).Core()] = true
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, captured := range []bool{false, true} {
			a := chain.New(chain.Options{Keys: keys, Captured: captured})
			if err := a.Read(path, nil); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			findings, err := a.Check(chain.NewReport(&out))
			if err == nil && findings == 0 && !strings.HasSuffix(out.String(), "audit: intact\n") {
				t.Fatalf("no verdict:\n%s", out.String())
			}
			if err == nil && findings == 0 && !slices.ContainsFunc(vectors(t), func(line string) bool {
				sig, _ := chaintest.Parse(line)["sig"].(string)
				return sig != "" && strings.Contains(string(text), sig[:8])
			}) {
				t.Fatalf("intact, without a signature of the gateway's:\n%s", out.String())
			}
			a.Close()
		}
	})
}
