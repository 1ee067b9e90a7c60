package chain_test

import (
	"slices"
	"strings"
	"testing"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/chain/chaintest"
)

// What only one other event holds: the last before a hole, the last of a stream, the last
// seal, and what a forger has computed anew up to the next seal.
func TestEdges(t *testing.T) {
	exchange := func(g *chaintest.Gateway, i int) {
		g.Events[i]["badge"] = "forged"
		g.Events[i]["link"] = g.Events[i].Link(before(g, i))
	}
	for name, tc := range map[string]struct {
		change func(g *chaintest.Gateway)
		want   []string // behind the gateway; A and B are the streams
	}{
		"before a hole":    {func(g *chaintest.Gateway) { exchange(g, 2) }, []string{"A-3: altered"}},
		"last of a stream": {func(g *chaintest.Gateway) { exchange(g, 6) }, []string{"B-1: forked"}},
		"up to a seal": {func(g *chaintest.Gateway) {
			exchange(g, 9)
			exchange(g, 10)
		}, []string{"B-3-5: seal"}},
		"links of the second stream": {func(g *chaintest.Gateway) {
			for _, e := range g.Events[7:] {
				delete(e, "link")
			}
		}, []string{"B-1: altered", "B-1-2: seal", "B-3: altered", "B-4: altered", "B-1-5: seal", "B-1-5: unsealed"}},
		"the last seal's id":      {func(g *chaintest.Gateway) { g.Events[11]["id"] = "x" }, []string{"B-5: altered"}},
		"the last seal's gateway": {func(g *chaintest.Gateway) { g.Events[11]["gateway"] = "x" }, []string{"B-5: altered"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := chaintest.New("dinkes-01", 1)
			g.Start(true)
			g.Seal()
			g.Add("badge", chaintest.Event{"badge": "a"})
			g.Add("badge", chaintest.Event{"badge": "gone"})
			r := g.Lose(1)
			g.Add("badge", chaintest.Event{"badge": "b"})
			g.Add("gap", chaintest.Event{"reason": "forgotten", "ranges": []any{r}})
			g.Seal()
			g.Add("badge", chaintest.Event{"badge": "c"})
			g.Start(false)
			g.Seal()
			g.Add("badge", chaintest.Event{"badge": "d"})
			g.Add("badge", chaintest.Event{"badge": "e"})
			g.Seal()
			names := strings.NewReplacer("A-", g.Events[0]["stream"].(string)+"-", "B-", g.Events[7]["stream"].(string)+"-")
			tc.change(g)
			said := found(check(t, chain.Options{Keys: keysOf(t, g)}, chaintest.Lines(g.Events...)))
			for _, want := range tc.want {
				if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, "dinkes-01 "+names.Replace(want)+": ") }) {
					t.Errorf("want %s:\n%s", names.Replace(want), strings.Join(said, "\n"))
				}
			}
		})
	}
}

// An invented anchor in the last seal, which nothing holds, excuses no time.
func TestTheLastSealExcusesNothing(t *testing.T) {
	g := short()
	g.Start(true)
	g.Seal()
	g.Events[2]["time"] = "2026-11-02T09:00:00.000+07:00"
	last := g.Events[len(g.Events)-1]
	last["anchors"] = []any{map[string]any{"boot_ms": 0, "time": "2026-11-02T08:00:00.000+07:00", "error_ms": 1e9, "source": "ntp"}}
	if said := found(check(t, chain.Options{Keys: keysOf(t, g)}, chaintest.Lines(g.Events...))); len(said) != 1 || !strings.Contains(said[0], "-3: time: ") {
		t.Errorf("\n%s", strings.Join(said, "\n"))
	}
}

// A stream's name is printed so that it does nothing to a terminal.
func TestNamesDoNothing(t *testing.T) {
	line := `{"id":"\u001b[2J-1","gateway":"\u001b[31m","stream":"\u001b[2J","seq":1}`
	for _, s := range check(t, chain.Options{Keys: openKeys(t, t.TempDir())}, []string{line}) {
		if strings.ContainsRune(s, 0x1b) {
			t.Errorf("prints %q", s)
		}
	}
}
