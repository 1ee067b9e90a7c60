package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// TestDemoCanBeChecked: what the demo's city got, with a line that was cut in between, is
// intact for both checkers, up to the gateway's last seal; and neither overlooks it when a
// single character of it is another one, or when its end is missing.
func TestDemoCanBeChecked(t *testing.T) {
	t.Parallel()
	skiptest.Program(t, "python3")
	skiptest.Program(t, "openssl")
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	kept := filepath.Join(t.TempDir(), "kept")
	out, code := g.try("demo", "--for", "8s", "--keep", kept)
	if code != 0 || !strings.Contains(out, " lost=0 duplicates=0") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	file := filepath.Join(kept, "events.jsonl")
	for _, hint := range []string{"audit.py -captured", file} {
		if !strings.Contains(out, hint) {
			t.Errorf("the demo does not say %q:\n%s", hint, out)
		}
	}
	checkers := map[string][]string{
		"the Go checker":     {cityProgram(t, "audit")},
		"the Python checker": {"python3", "../scripts/city/audit/audit.py"},
	}
	check := func(name, file string) (last string, code int) {
		args := slices.Concat(checkers[name], []string{"-captured", "-keys", filepath.Join(kept, "keys"), file})
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(out), code
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, []byte(`"about"`)) {
		t.Error("it keeps what is no event")
	}
	altered := filepath.Join(t.TempDir(), "altered.jsonl")
	writeFile(t, altered, bytes.Replace(whole, []byte(`"card":"mifare-classic-1k"`), []byte(`"card":"mifare-classic-4k"`), 1), 0o644)
	cut := filepath.Join(t.TempDir(), "cut.jsonl")
	lines := bytes.SplitAfter(bytes.TrimRight(whole, "\n"), []byte("\n"))
	writeFile(t, cut, bytes.Join(lines[:len(lines)-1], nil), 0o644)
	for name := range checkers {
		if out, code := check(name, file); code != 0 || !strings.HasSuffix(out, "audit: intact\n") {
			t.Errorf("%s exits with %d:\n%s", name, code, out)
		}
		if out, code := check(name, altered); code != 1 || !strings.Contains(out, ": altered: ") {
			t.Errorf("%s exits with %d on another card:\n%s", name, code, out)
		}
		if out, code := check(name, cut); code != 1 || !strings.Contains(out, ": unsealed: ") {
			t.Errorf("%s exits with %d without the last seal:\n%s", name, code, out)
		}
	}
	if out, code := g.try("demo", "--for", "1s", "--keep", kept); code != 1 || !strings.Contains(out, "another folder") {
		t.Errorf("it writes over a demo that was kept: exit %d\n%s", code, out)
	}
}
