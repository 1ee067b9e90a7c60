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

// keysOf is a folder with the public keys of gateways.
func keysOf(t testing.TB, gateways ...*chaintest.Gateway) *chain.Keys {
	t.Helper()
	dir := t.TempDir()
	for _, g := range gateways {
		if err := os.WriteFile(filepath.Join(dir, g.Name+".pem"), chaintest.PublicPEM(t, g.Key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return openKeys(t, dir)
}

func openKeys(t testing.TB, dir string) *chain.Keys {
	t.Helper()
	keys, err := chain.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// check audits files, and returns what is printed.
func check(t testing.TB, opt chain.Options, files ...[]string) []string {
	t.Helper()
	dir := t.TempDir()
	a := chain.New(opt)
	defer a.Close()
	for i, lines := range files {
		path := filepath.Join(dir, []string{"export.jsonl", "city.jsonl", "third.jsonl"}[i])
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Read(path, nil); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	findings, err := a.Check(chain.NewReport(&out))
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if n := len(found(said)); n != findings || (findings == 0) != (said[len(said)-1] == "audit: intact") {
		t.Fatalf("says %d findings, and prints %d:\n%s", findings, n, out.String())
	}
	return said
}

// found are the findings among lines, without what makes them findings.
func found(said []string) (all []string) {
	for _, line := range said {
		if f, is := strings.CutPrefix(line, "FINDING "); is {
			all = append(all, f)
		}
	}
	return all
}

func vectors(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// The vectors were computed by testdata/vectors.py, with Python's hashlib and openssl.
func TestVectors(t *testing.T) {
	keys := openKeys(t, "testdata/keys")
	lines := vectors(t)
	kinds := map[any]bool{}
	for _, line := range lines {
		kinds[chaintest.Parse(line)["kind"]] = true
	}
	if len(kinds) != 6 {
		t.Errorf("vectors of %d kinds", len(kinds))
	}
	if got := check(t, chain.Options{Keys: keys}, lines); len(found(got)) > 0 {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
	for i, line := range lines[:len(lines)-1] {
		changed := slices.Clone(lines)
		changed[i] = strings.Replace(line, `"dinkes"`, `"dinkeS"`, 1)
		if got := check(t, chain.Options{Keys: keys}, changed); len(found(got)) == 0 {
			t.Errorf("line %d was changed, and nothing found", i+1)
		}
	}
}

// What the tests' own gateways record holds.
func TestMonthHolds(t *testing.T) {
	one, two := month("dinkes-01", 1), month("disdik-02", 2)
	lines := append(chaintest.Lines(one.Events...), chaintest.Lines(two.Events...)...)
	if got := check(t, chain.Options{Keys: keysOf(t, one, two)}, lines); len(found(got)) > 0 {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
}

func month(name string, seed uint64) *chaintest.Gateway {
	g := chaintest.New(name, seed)
	g.Month(4, 30)
	return g
}
