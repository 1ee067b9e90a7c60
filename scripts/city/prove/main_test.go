package main

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"presence/scripts/city/internal/pivbadge/pivbadgetest"
)

func TestProve(t *testing.T) {
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
	a := pivbadgetest.NewAuthority(t, "Kota Malang")
	badge := a.Badge(uuid.New(), elliptic.P256(), nil)
	ca := write("badge-ca.pem", string(a.PEM()))
	both := write("both.pem", string(a.PEM(badge)))
	write("badges/one.pem", string(a.PEM(badge)))
	badges := filepath.Join(dir, "badges")
	good := badge.Tap(t, 2, 5_000, nil)
	uid := badge.Tap(t, 3, 6_000, pivbadgetest.Fields{"assurance": "uid", "proof": nil, "badge": "04A1B2C3"})
	events := write("good.jsonl", good+"\n\n"+uid+"\r\n")
	forged := write("forged.jsonl", good+"\n"+badge.Tap(t, 4, 7_000, pivbadgetest.Fields{"boot_ms": 7_001}))
	noise := write("noise", strings.Repeat("x", 3<<20)+"\n"+good+"\n\x1b[2J\n")
	list := write("revoked.json", `[{"guid":"`+badge.GUID.String()+`"}]`)
	key := write("badge.key", strings.Repeat("01", 32))
	id := pivbadgetest.Stream
	for name, tc := range map[string]struct {
		args   []string
		status int
		want   []string // lines
	}{
		"all hold":               {[]string{"-ca", ca, "-certificates", badges, "-badge-key", key, events}, 0, []string{"prove: events=2 hold=1 undecided=0 failed=0 desfire=0 uid=1"}},
		"badges in the CA's":     {[]string{"-ca", both, events}, 0, []string{"prove: events=2 hold=1 undecided=0 failed=0 desfire=0 uid=1"}},
		"of standard input":      {[]string{"-ca", both, "-"}, 0, []string{"prove: events=1 hold=1 undecided=0 failed=0 desfire=0 uid=0"}},
		"one is forged":          {[]string{"-ca", both, forged}, 1, []string{id + "-4: the signature is not of the badge's key for this tap", "prove: events=2 hold=1 undecided=0 failed=1 desfire=0 uid=0"}},
		"it is revoked":          {[]string{"-ca", both, "-revoked", list, events}, 1, []string{id + "-2: its badge was revoked", "prove: events=2 hold=0 undecided=0 failed=1 desfire=0 uid=1"}},
		"no such badge":          {[]string{"-ca", ca, events}, 1, nil},
		"noise":                  {[]string{"-ca", both, noise}, 1, []string{noise + ":1: no event: a longer line than any has", noise + ":3: no event: not a JSON object as gateways write it", "prove: events=1 hold=1 undecided=0 failed=2 desfire=0 uid=0"}},
		"no file":                {[]string{"-ca", ca, filepath.Join(dir, "none")}, 1, nil},
		"no CA":                  {[]string{events}, 2, nil},
		"no events":              {[]string{"-ca", ca}, 2, nil},
		"a CA that is none":      {[]string{"-ca", events, events}, 2, nil},
		"no such certificates":   {[]string{"-ca", ca, "-certificates", filepath.Join(dir, "none"), events}, 2, nil},
		"a list that is none":    {[]string{"-ca", ca, "-revoked", events, events}, 2, nil},
		"a key that is none":     {[]string{"-ca", ca, "-badge-key", events, events}, 2, nil},
		"a flag that is unknown": {[]string{"-lunch"}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			if got := run(tc.args, strings.NewReader(good+"\n"), &out, &errs); got != tc.status {
				t.Errorf("exit status %d, want %d: %s", got, tc.status, errs.String())
			}
			if tc.status == 2 && (out.Len() > 0 || errs.Len() == 0) {
				t.Errorf("printed %q and %q", out.String(), errs.String())
			}
			if got := strings.TrimSuffix(out.String(), "\n"); tc.want != nil && got != strings.Join(tc.want, "\n") {
				t.Errorf("printed\n%s\nwant\n%s", got, strings.Join(tc.want, "\n"))
			}
		})
	}
}
