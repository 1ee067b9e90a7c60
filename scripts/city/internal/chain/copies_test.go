package chain_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/chain/chaintest"
)

// says reports whether a line of what is printed begins and ends so.
func says(said []string, begin, end string) bool {
	return slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, begin) && strings.HasSuffix(s, end) })
}

// In two files the same events: the one that the chain holds is right, and the field is
// named, whichever file comes first.
func TestCopiesAreCompared(t *testing.T) {
	g := month("dinkes-01", 1)
	lines := chaintest.Lines(g.Events...)
	at := slices.IndexFunc(g.Events, func(e chaintest.Event) bool { return e["proof"] != nil })
	id := g.Events[at]["id"].(string)
	for name, tc := range map[string]struct {
		change func(e chaintest.Event)
		want   string // %: the file with the change, &: the other one
	}{
		"a badge":         {func(e chaintest.Event) { e["badge"] = "h:0" }, `altered: badge: "h:0" in %, "h:00112233445566778899aabbccddeeff" in & holds`},
		"within":          {func(e chaintest.Event) { e["proof"].(map[string]any)["random"] = nil }, `altered: proof.random: null in %, "0123456789abcdef0123456789abcdef" in & holds`},
		"alike":           {func(e chaintest.Event) { e["reader"] = "dооr" }, `altered: reader: "d\u043e\u043er" in %, "door" in & holds`},
		"taken out":       {func(e chaintest.Event) { delete(e, "simulated") }, `altered: simulated: - in %, true in & holds`},
		"two fields":      {func(e chaintest.Event) { e["card"], e["v"] = "x", 2 }, `altered: card: "x" in %, "iso14443-4" in & holds; v: 2 in %, 1 in & holds`},
		"link":            {func(e chaintest.Event) { e["link"] = chaintest.NoLink }, `altered: link: "` + chaintest.NoLink + `" in %, "` + g.Events[at]["link"].(string) + `" in & holds`},
		"time, same rev":  {func(e chaintest.Event) { e["time_error_ms"] = 2 }, ""},
		"with a new link": {func(e chaintest.Event) { e["badge"] = "h:0"; e["link"] = e.Link(before(g, at)) }, ` in & holds`},
	} {
		t.Run(name, func(t *testing.T) {
			e := g.Events[at].Clone()
			tc.change(e)
			changed := slices.Clone(lines)
			changed[at] = e.JSON()
			for _, files := range [][]string{{"export.jsonl", "city.jsonl"}, {"city.jsonl", "export.jsonl"}} {
				both := [][]string{changed, lines}
				if files[0] == "city.jsonl" {
					both = [][]string{lines, changed}
				}
				said := check(t, chain.Options{Keys: keysOf(t, g)}, both...)
				want := strings.NewReplacer("%", files[0], "&", files[1]).Replace(tc.want)
				begin := "FINDING dinkes-01 " + id + ": "
				if len(found(said)) != 1 || !says(said, begin, want) {
					t.Errorf("%v: want %s...%s\n%s", files, begin, want, strings.Join(found(said), "\n"))
				}
			}
		})
	}
}

func before(g *chaintest.Gateway, at int) string {
	e := g.Events[at-1]
	if e["kind"] == "seal" {
		return e.Link(e["link"].(string))
	}
	return e["link"].(string)
}

// Somebody has invented a tap in one file and computed all links behind it anew: the seals
// say which file is right.
func TestSealsSayWhichFileIsRight(t *testing.T) {
	w, one := newWorld(t), month("dinkes-01", 1)
	lines := chaintest.Lines(one.Events...)
	var all []chaintest.Event
	for _, e := range one.Events {
		all = append(all, e.Clone())
	}
	all[1]["badge"] = "h:0"
	w.relink(all, "dinkes-01")
	for _, files := range [][][]string{{lines, chaintest.Lines(all...)}, {chaintest.Lines(all...), lines}} {
		said := found(check(t, chain.Options{Keys: keysOf(t, one)}, files...))
		right := "in export.jsonl holds"
		if files[0][1] != lines[1] {
			right = "in city.jsonl holds"
		}
		if !strings.Contains(said[0], all[1]["id"].(string)+": altered: badge: \"h:0\" in ") || !strings.HasSuffix(said[0], right) {
			t.Errorf("want %s:\n%s", right, strings.Join(said[:3], "\n"))
		}
	}
}

// Two files of which each lacks something that the other has are one chain.
func TestFilesCompleteEachOther(t *testing.T) {
	g := month("dinkes-01", 1)
	lines := chaintest.Lines(g.Events...)
	if said := check(t, chain.Options{Keys: keysOf(t, g)}, slices.Concat(lines[:20], lines[50:]), lines[10:60]); len(found(said)) > 0 {
		t.Errorf("\n%s", strings.Join(said, "\n"))
	}
}

// What a broker delivers may come in any order and twice.
func TestCaptured(t *testing.T) {
	g := month("dinkes-01", 1)
	lines := chaintest.Lines(g.Events...)
	mixed := slices.Concat(lines[40:], lines[:60])
	if said := check(t, chain.Options{Keys: keysOf(t, g), Captured: true}, mixed); len(found(said)) > 0 {
		t.Errorf("\n%s", strings.Join(said, "\n"))
	}
	if said := check(t, chain.Options{Keys: keysOf(t, g)}, mixed); !says(said, "FINDING", "") {
		t.Error("not in order, and nothing found")
	}
	mixed[3] = strings.Replace(mixed[3], `"boot_ms":`, `"boot_ms":1`, 1)
	if said := check(t, chain.Options{Keys: keysOf(t, g), Captured: true}, mixed); len(found(said)) == 0 {
		t.Error("altered, and nothing found")
	}
}

func TestErased(t *testing.T) {
	g := month("dinkes-01", 1)
	lines := chaintest.Lines(g.Events...)
	at := slices.IndexFunc(g.Events, func(e chaintest.Event) bool { return e["proof"] != nil })
	stub := chaintest.Event{"kind": "erased"}
	for _, name := range []string{"v", "id", "gateway", "dinas", "stream", "seq", "link"} {
		stub[name] = g.Events[at][name]
	}
	lines[at] = stub.JSON()
	want := "FINDING dinkes-01 " + stub["id"].(string) + ": missing: the city has erased it"
	if said := check(t, chain.Options{Keys: keysOf(t, g)}, lines); len(found(said)) != 1 || !says(said, want, "") {
		t.Errorf("\n%s", strings.Join(found(said), "\n"))
	}
	// One that a gap names is none, and its link holds what follows.
	g = chaintest.New("dinkes-01", 1)
	g.Start(true)
	g.Seal()
	g.Add("badge", chaintest.Event{"badge": "x"})
	gone := g.Add("badge", chaintest.Event{"badge": "y"})
	r := g.Lose(1)
	g.Add("gap", chaintest.Event{"reason": "forgotten", "ranges": []any{r}})
	g.Seal()
	stub = chaintest.Event{"kind": "erased", "id": gone["id"], "gateway": "dinkes-01", "stream": gone["stream"], "seq": gone["seq"], "link": gone["link"]}
	lines = slices.Insert(chaintest.Lines(g.Events...), 3, stub.JSON())
	if said := check(t, chain.Options{Keys: keysOf(t, g)}, lines); len(found(said)) > 0 {
		t.Errorf("\n%s", strings.Join(said, "\n"))
	}
}

// Keys of every kind, and none.
func TestKeys(t *testing.T) {
	g := chaintest.New("dinkes-01", 1)
	g.Start(true)
	g.Seal()
	g.Add("badge", chaintest.Event{"badge": "x"})
	g.Seal()
	newKey := chaintest.NewKey(99)
	g.Start(false)
	g.SealWith(newKey)
	g.Add("badge", chaintest.Event{"badge": "y"})
	last := g.SealWith(newKey)
	lines := chaintest.Lines(g.Events...)
	old, fresh := chaintest.PublicPEM(t, g.Key), chaintest.PublicPEM(t, newKey)
	certificate := chaintest.Certificate(t, g.Key, "dinkes-01")
	for name, tc := range map[string]struct {
		pem  string
		want string // "": intact
	}{
		"both":                       {string(old) + string(fresh), ""},
		"both, with comments":        {"# of 2026\n" + string(old) + "revoked\n" + string(fresh) + "#\n", ""},
		"a certificate and a key":    {string(certificate) + string(fresh), ""},
		"the old one":                {string(old), "key " + chaintest.KeyID(newKey) + " is not among the gateway's"},
		"the new one":                {string(fresh), "key " + chaintest.KeyID(g.Key) + " is not among the gateway's"},
		"another gateway's":          {string(chaintest.PublicPEM(t, chaintest.NewKey(5))), "is not among the gateway's"},
		"no file for it at all":      {"", "is not among the gateway's"},
		"a private key beside it":    {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + string(old) + string(fresh), ""},
		"a request beside the keys":  {string(old) + "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n" + string(fresh), ""},
		"the same certificate twice": {string(certificate) + string(certificate) + string(fresh), ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.pem != "" {
				if err := os.WriteFile(filepath.Join(dir, "dinkes-01.pem"), []byte(tc.pem), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said := check(t, chain.Options{Keys: openKeys(t, dir)}, lines)
			if tc.want == "" {
				if len(found(said)) > 0 || !says(said, "sealed dinkes-01 "+last["stream"].(string)+" 1-3 by "+chaintest.KeyID(newKey), "") {
					t.Errorf("\n%s", strings.Join(said, "\n"))
				}
			} else if !slices.ContainsFunc(found(said), func(f string) bool { return strings.Contains(f, ": seal: ") && strings.Contains(f, tc.want) }) {
				t.Errorf("want %s:\n%s", tc.want, strings.Join(said, "\n"))
			}
		})
	}
	// A key under another's id, and the gateway's own signature over another gateway's chain.
	forged := g.Events[1].Clone()
	forged["sig"] = chaintest.Sign(chaintest.NewKey(5), "dinkes-01", forged["stream"].(string), 1, forged["link"].(string))
	said := check(t, chain.Options{Keys: keysOf(t, g)}, []string{lines[0], forged.JSON()})
	if !slices.ContainsFunc(found(said), func(f string) bool { return strings.Contains(f, "the signature is not of key "+chaintest.KeyID(g.Key)) }) {
		t.Errorf("\n%s", strings.Join(said, "\n"))
	}
}
