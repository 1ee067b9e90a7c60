package chain_test

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/chain/chaintest"
)

// short is a gateway with two streams of four events each.
func short() *chaintest.Gateway {
	g := chaintest.New("dinkes-01", 1)
	for range 2 {
		g.Start(true)
		g.Seal()
		g.Add("badge", chaintest.Event{"badge": "x"})
		g.Seal()
	}
	return g
}

// kindCase is a change of what short has recorded.
type kindCase struct {
	lines func(g *chaintest.Gateway) []string
	want  []string // how the findings begin, behind the gateway; A and B are the streams
}

// streamCases are what may happen to whole streams.
func streamCases() map[string]kindCase {
	return map[string]kindCase{
		"nothing": {func(g *chaintest.Gateway) []string { return chaintest.Lines(g.Events...) }, nil},
		"a stream is gone": {func(g *chaintest.Gateway) []string {
			g.Start(true)
			g.Seal()
			return slices.Delete(chaintest.Lines(g.Events...), 4, 8)
		}, []string{"B-1-4: missing"}},
		"its end is gone":       {func(g *chaintest.Gateway) []string { return slices.Delete(chaintest.Lines(g.Events...), 2, 4) }, []string{"A-3-4: missing"}},
		"its beginning is gone": {func(g *chaintest.Gateway) []string { return slices.Delete(chaintest.Lines(g.Events...), 4, 6) }, []string{"B-1-2: missing", "B-3: unproven"}},
		"an old image goes on": {func(g *chaintest.Gateway) []string {
			start := g.Events[4]["previous"].(map[string]any)
			start["seq"], start["link"] = 2, g.Events[1].Link(g.Events[1]["link"].(string))
			g.Events[4]["link"] = g.Events[4].Link(start["link"].(string))
			return chaintest.Lines(g.Events[:5]...)
		}, []string{"B-1: forked", "B-1: unsealed"}},
		"two go on behind one event": {func(g *chaintest.Gateway) []string {
			other := chaintest.New("dinkes-01", 1)
			other.Start(true)
			other.Seal()
			other.Add("badge", chaintest.Event{"badge": "x"})
			other.Seal()
			other.Start(true) // the ids of the second are drawn anew
			other.Start(true)
			twin := other.Events[5]
			twin["previous"] = g.Events[4]["previous"]
			twin["link"] = twin.Link(g.Events[4]["previous"].(map[string]any)["link"].(string))
			return append(chaintest.Lines(g.Events...), twin.JSON())
		}, []string{"C-1: forked", "C-1: unsealed"}},
		"a chain begins anew": {func(g *chaintest.Gateway) []string {
			start := g.Events[4]
			start["previous"] = nil
			start["link"] = start.Link(chaintest.NoLink)
			return chaintest.Lines(g.Events[:5]...)
		}, []string{"B-1: forked", "B-1: unsealed"}},
		"the gateway says that it was rolled back": {func(g *chaintest.Gateway) []string {
			g.Add("gap", chaintest.Event{"reason": "journal-rolled-back", "kinds": map[string]any{}})
			g.Seal()
			return chaintest.Lines(g.Events...)
		}, []string{"B-5: rolled-back"}},
	}
}

// linkCases are about links and times.
func linkCases() map[string]kindCase {
	return map[string]kindCase{
		"no links at all": {func(g *chaintest.Gateway) []string {
			for _, e := range g.Events {
				delete(e, "link")
				if p, ok := e["previous"].(map[string]any); ok {
					delete(p, "link")
				}
			}
			return chaintest.Lines(g.Events...)
		}, []string{"A-1: unproven"}},
		"no links before the second": {func(g *chaintest.Gateway) []string {
			p := g.Events[4]["previous"].(map[string]any)
			delete(p, "link")
			newest := chaintest.NoLink
			for i, e := range g.Events {
				if i < 4 {
					delete(e, "link")
					continue
				}
				if e["kind"] == "seal" {
					e["link"] = newest
					e["sig"] = chaintest.Sign(g.Key, g.Name, e["stream"].(string), e["upto"].(int), newest)
				}
				newest = e.Link(newest)
				if e["kind"] != "seal" {
					e["link"] = newest
				}
			}
			return chaintest.Lines(g.Events...)
		}, nil},
		"a time is moved": {func(g *chaintest.Gateway) []string {
			g.Events[2]["time"] = "2026-11-02T08:30:00.000+07:00"
			return chaintest.Lines(g.Events...)
		}, []string{"A-3: time"}},
		"a bounded time is moved": {func(g *chaintest.Gateway) []string {
			e := g.Events[2]
			e["time_quality"], e["time_min"], e["time_max"] = "bounded", "2026-11-02T08:30:00.000+07:00", "2026-11-02T09:30:00.000+07:00"
			return chaintest.Lines(g.Events...)
		}, []string{"A-3: time"}},
		"a bounded time": {func(g *chaintest.Gateway) []string {
			e := g.Events[2]
			e["time_quality"], e["time_min"], e["time_max"] = "bounded", "2026-11-02T06:30:00.000+07:00", "2026-11-02T09:30:00.000+07:00"
			return chaintest.Lines(g.Events...)
		}, nil},
	}
}

// Each kind of finding has its word, and its place.
func TestKinds(t *testing.T) {
	cases := streamCases()
	maps.Copy(cases, linkCases())
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := short()
			lines := tc.lines(g)
			names := strings.NewReplacer("A-", g.Events[0]["stream"].(string)+"-", "B-", short().Events[4]["stream"].(string)+"-",
				"C-", chaintest.Parse(lines[len(lines)-1])["stream"].(string)+"-")
			said := found(check(t, chain.Options{Keys: keysOf(t, g)}, lines))
			if len(said) != len(tc.want) {
				t.Fatalf("want %d findings:\n%s", len(tc.want), strings.Join(said, "\n"))
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(said[i], "dinkes-01 "+names.Replace(want)+": ") {
					t.Errorf("want %s:\n%s", names.Replace(want), said[i])
				}
			}
		})
	}
}

// BenchmarkMonth is a month of one gateway, some 100,000 events: how many are checked in a
// second, and how much memory each takes.
func BenchmarkMonth(b *testing.B) {
	g := chaintest.New("dinkes-01", 1)
	g.Month(20, 4_300)
	path := filepath.Join(b.TempDir(), "month.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(chaintest.Lines(g.Events...), "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	n := len(g.Events)
	keys := keysOf(b, g)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		a := chain.New(chain.Options{Keys: keys})
		if err := a.Read(path, nil); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/event")
		if findings, err := a.Check(chain.NewReport(new(strings.Builder))); err != nil || findings > 0 {
			b.Fatalf("%d findings, %v", findings, err)
		}
		a.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
