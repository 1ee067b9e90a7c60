package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The badges' authority is looked at where somebody can correct it. A gateway starts
// without it, and goes on to record: it refuses badges, and says why.
func TestTheBadgesAuthority(t *testing.T) {
	good, key := certificate(t)
	other, _ := certificate(t)
	for name, tc := range map[string]struct {
		content string // "-": no such file
		many    int
		want    string
	}{
		"one":              {good, 1, ""},
		"two, with a word": {"# of 2026\n" + good + "\n# of 2029\n" + other, 2, ""},
		"none":             {"-", 0, "no such file"},
		"empty":            {"", 0, "holds no certificate"},
		"no PEM":           {"<html>", 0, "holds no certificate"},
		"its key":          {good + key, 0, "PRIVATE key"},
		"cut off":          {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", 0, "cannot be read"},
	} {
		dir := folder(t)
		path := filepath.Join(dir, "gatewayd.toml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.Replace(string(text), "[office]", "ca_file = \"badge-ca.pem\"\nrequire = \"authenticated\"\n[office]", 1))
		if tc.content != "-" {
			write(t, filepath.Join(dir, "badge-ca.pem"), tc.content)
		}
		c, err := LoadToStart(path)
		if err != nil {
			t.Fatalf("%s: it does not start: %v", name, err)
		}
		if all, err := c.Badges.readCA(); len(all) != tc.many || (err == nil) != (tc.want == "") {
			t.Errorf("%s: %d certificates, %v", name, len(all), err)
		}
		for what, load := range map[string]func(string) (*Config, error){"Load": Load, "Check": Check} {
			_, err := load(path)
			var got Problems
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: %s: %v", name, what, err)
			case tc.want != "" && (!errors.As(err, &got) || !strings.Contains(got.Error(), "9: badges.ca_file: ") || !strings.Contains(got.Error(), tc.want)):
				t.Errorf("%s: %s: %v, want %q", name, what, err, tc.want)
			}
		}
	}
}
