package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestBasicsOutOfABrokenFile: whatever is wrong elsewhere, the state folder and
// the time zone are found where they can be made out.
func TestBasicsOutOfABrokenFile(t *testing.T) {
	const gateway = "[gateway]\nid = \"dinkes-01\"\nstate_dir = \"state\"\ntimezone = \"Asia/Jayapura\"\n"
	for name, text := range map[string]string{
		"a right one":             base,
		"unknown keys":            gateway + "colour = 3\n[lunch]\nat = 12\n",
		"wrong values":            gateway + "[[reader]]\nbus = 7\n",
		"no TOML behind it":       gateway + "[mqtt\nbroker = \n",
		"no TOML before it":       "][ = \n" + gateway,
		"a line without an end":   "[badges]\nkey_file = \"x\n" + gateway,
		"no TOML within it":       "[gateway]\nid = dinkes\nstate_dir = \"state\" # here\ntimezone = 'Asia/Jayapura'\n",
		"with Windows' mark":      "\xef\xbb\xbf" + gateway + "x",
		"not UTF-8":               gateway + "# \xff\n",
		"dotted":                  "gateway.state_dir = \"state\"\ngateway.timezone = \"Asia/Jayapura\"\n[[[\n",
		"of another table":        "[other]\nstate_dir = \"elsewhere\"\n" + gateway + "[more]\nstate_dir = \"elsewhere\"\n= \n",
		"the table is a list":     "[[gateway]]\n" + strings.TrimPrefix(gateway, "[gateway]\n"),
		"with Windows' line ends": strings.ReplaceAll(gateway+"][\n", "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gatewayd.toml")
			write(t, path, text)
			g, err := Basics(path)
			if err != nil {
				t.Fatal(err)
			}
			wantDir, wantZone := filepath.Join(filepath.Dir(path), "state"), "Asia/Jayapura"
			if text == base || name == "the table is a list" {
				wantDir, wantZone = defaultState, defaultZone
			}
			if g.StateDir != wantDir || g.Timezone.String() != wantZone {
				t.Errorf("state in %s, zone %s; want %s, %s", g.StateDir, g.Timezone, wantDir, wantZone)
			}
		})
	}
	var problems Problems
	if _, err := Basics(filepath.Join(t.TempDir(), "none.toml")); !errors.As(err, &problems) || !strings.Contains(err.Error(), "none.toml: cannot be read: ") {
		t.Errorf("without a file: %v", err)
	}
}

func FuzzBasics(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("[gateway\n[gateway]\nstate_dir = \"\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		gatewayKeys(data) // never panics
	})
}
