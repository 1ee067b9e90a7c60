package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/city/internal/chain/chaintest"
)

func TestAudit(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g := chaintest.New("dinkes-01", 1)
	g.Month(2, 10)
	write("keys/dinkes-01.pem", "# the key of dinkes-01\n"+string(chaintest.PublicPEM(t, g.Key)))
	write("none/readme", "")
	write("broken/dinkes-01.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	write("empty/dinkes-01.pem", "")
	keys := filepath.Join(dir, "keys")
	text := strings.Join(chaintest.Lines(g.Events...), "\n")
	good := write("good.jsonl", text)
	last := g.Events[len(g.Events)-1]
	altered := write("altered.jsonl", strings.Replace(text, `"badge":"h:`, `"badge":"H:`, 1))
	nothing := write("nothing.jsonl", "gatewayd: no event\n{}\n")
	for name, tc := range map[string]struct {
		args   []string
		status int
		want   string // in what is printed, or on stderr
	}{
		"intact":            {[]string{"-keys", keys, good}, 0, "audit: intact\n"},
		"of standard input": {[]string{"-keys", keys, "-"}, 0, "audit: intact\n"},
		"both":              {[]string{"-keys", keys, good, "-"}, 0, "audit: intact\n"},
		"up to the head":    {[]string{"-keys", keys, "-head", last["id"].(string) + ":" + g.Newest, good}, 0, "audit: intact\n"},
		"another head":      {[]string{"-keys", keys, "-head", last["id"].(string) + ":" + chaintest.NoLink, good}, 1, last["id"].(string) + ": altered: "},
		"a head beyond":     {[]string{"-keys", keys, "-head", "01964c1e-0000-7000-8000-00000000000a-1:" + chaintest.NoLink, good}, 1, "FINDING - 01964c1e-0000-7000-8000-00000000000a-1: missing: "},
		"altered":           {[]string{"-keys", keys, altered}, 1, "altered: its content"},
		"fields":            {[]string{"-keys", keys, altered, good}, 1, `in altered.jsonl, "h:`},
		"no key":            {[]string{"-keys", filepath.Join(dir, "none"), good}, 1, "is not among the gateway's"},
		"no events":         {[]string{"-keys", keys, nothing}, 2, "no event"},
		"no folder":         {[]string{"-keys", filepath.Join(dir, "no"), good}, 2, "read keys"},
		"a file as folder":  {[]string{"-keys", good, good}, 2, "is no folder"},
		"a broken key":      {[]string{"-keys", filepath.Join(dir, "broken"), good}, 2, "dinkes-01.pem"},
		"an empty key":      {[]string{"-keys", filepath.Join(dir, "empty"), good}, 2, "no Ed25519 key"},
		"no file":           {[]string{"-keys", keys, filepath.Join(dir, "no.jsonl")}, 2, "read events"},
		"a folder as file":  {[]string{"-keys", keys, dir}, 2, "read events"},
		"no files":          {[]string{"-keys", keys}, 2, "usage"},
		"no keys":           {[]string{good}, 2, "usage"},
		"no head":           {[]string{"-keys", keys, "-head", "x", good}, 2, "STREAM-SEQ:LINK"},
		"an unknown flag":   {[]string{"-lunch"}, 2, "lunch"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			if got := run(tc.args, strings.NewReader(text), &out, &errs, false); got != tc.status {
				t.Errorf("exit status %d, want %d: %s%s", got, tc.status, out.String(), errs.String())
			}
			if said := out.String() + errs.String(); !strings.Contains(said, tc.want) {
				t.Errorf("printed\n%s\nwant %q", said, tc.want)
			}
			if tc.status < 2 && errs.Len() > 0 || tc.status == 2 && out.Len() > 0 {
				t.Errorf("printed %q and %q", out.String(), errs.String())
			}
		})
	}
	var out, errs strings.Builder
	if run([]string{"-keys", keys, altered}, nil, &out, &errs, true) != 1 || !strings.Contains(out.String(), "altered: isinya bukan") {
		t.Errorf("in Indonesian:\n%s%s", out.String(), errs.String())
	}
}
