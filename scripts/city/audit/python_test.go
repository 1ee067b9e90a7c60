package main_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// python runs audit.py; it returns what it printed and its exit status.
func python(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	skiptest.Program(t, "openssl")
	cmd := exec.CommandContext(t.Context(), skiptest.Program(t, "python3"), append([]string{"audit.py"}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	printed, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status = cmd.ProcessState.ExitCode()
	if (errs.Len() > 0) != (status == 2) {
		t.Errorf("audit.py %q: status %d, and it complains: %s", args, status, errs.String())
	}
	return string(printed), status
}

func write(t *testing.T, path string, lines []string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPythonIsShort: whoever has to believe it, an expert of a court for example, is to
// read it whole, in half an hour.
func TestPythonIsShort(t *testing.T) {
	text, err := os.ReadFile("audit.py")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > 120 {
		t.Errorf("audit.py has %d lines, want at most 120", n)
	}
}

// TestPythonIsClean: pyflakes has nothing to say about it, where there is one.
func TestPythonIsClean(t *testing.T) {
	command := []string{"pyflakes3"}
	if _, err := exec.LookPath(command[0]); err != nil {
		command = []string{skiptest.Program(t, "python3"), "-m", "pyflakes"}
		if exec.CommandContext(t.Context(), command[0], "-c", "import pyflakes").Run() != nil {
			skiptest.Elsewhere(t, "pyflakes", "apt-get install pyflakes3", "there is no pyflakes")
		}
	}
	if out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], "audit.py")...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// numbers whose form RFC 8785 gives in its appendix B, and at the limits of forms.
var numbers = []float64{
	0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64,
	9007199254740992, -9007199254740992, 295147905179352830000, 9.999999999999997e22, 1e23, 1.0000000000000001e23,
	999999999999999700000, 999999999999999900000, 1e21, 9.999999999999997e-7, 0.000001, 333333333.3333332, 333333333.33333325,
	333333333.3333333, 333333333.3333334, 333333333.33333343, -0.0000033333333333333333, 1424953923781206.2,
	1e-7, 1e20, 123456789012345680000, 0.1, 100, 5e-7, 1.5e300, -7.9778, 112.634,
}

// TestPythonWritesCanonicalForms: its links agree with those that rest on the canonical forms
// of another implementation, over numbers and strings of every kind.
func TestPythonWritesCanonicalForms(t *testing.T) {
	random := rand.New(rand.NewPCG(8785, 1))
	dir := t.TempDir()
	r := newRecorder("dinkes-01")
	r.writeKey(t, dir)
	r.starts()
	r.start(true)
	for _, number := range numbers {
		r.add("tag", event{"number": number})
	}
	for range 500 {
		bits := math.Float64frombits(random.Uint64())
		if math.IsNaN(bits) || math.IsInf(bits, 0) {
			continue
		}
		r.add("tag", event{"number": []any{bits, float64(random.Int64N(1 << 53)), float64(random.IntN(1e6)) / 1e4}})
	}
	letters := []rune("\x00\x01\b\t\n\f\r\x1f \"\\/<>&'\x7f\u0080öé€\u2028\u2029\ud7ff\ue000\ufb33\ufeff\uffff\U0001f600\U0010ffff")
	for range 500 {
		fields := event{}
		for range 4 {
			name := "x"
			for range random.IntN(4) {
				name += string(letters[random.IntN(len(letters))])
			}
			fields[name[random.IntN(2):]] = map[string]any{name: name, strings.Repeat(name, 2): nil, "€": true, "\U0001f600": false, "\ufb33": []any{}}
		}
		r.add("tag", fields)
	}
	r.seal()
	out, status := python(t, "-keys", dir, write(t, filepath.Join(dir, "all"), lines(r.events...)))
	if status != 0 || !strings.HasSuffix(out, "\naudit: intact\n") {
		t.Errorf("status %d:\n%.2000s", status, out)
	}
}

// TestPythonRefusesLines of which RFC 8785 has no canonical form, or two.
func TestPythonRefusesLines(t *testing.T) {
	dir := t.TempDir()
	r := week("dinkes-01")
	r.writeKey(t, dir)
	intact := lines(r.events...)
	for what, change := range map[string][2]string{
		"a name twice":                     {`"kind":"badge"`, `"kind":"badge","kind":"badge"`},
		"a name twice, inside":             {`"state":"near"`, `"state":"near","state":"near"`},
		"half a surrogate pair":            {`"door"`, `"\ud83d"`},
		"what is no UTF-8":                 {`"door"`, "\"d\xffor\""},
		"more than a double":               {`17.25`, `1e999`},
		"no number":                        {`17.25`, `NaN`},
		"digits that a double cannot hold": {`17.25`, `17.250000000000000000001`},
		"a comma too many":                 {`"seq":`, `,"seq":`},
	} {
		at := slices.IndexFunc(r.events, func(e event) bool { return e["kind"] == "badge" })
		other := slices.Clone(intact)
		if other[at] = strings.Replace(intact[at], change[0], change[1], 1); other[at] == intact[at] {
			t.Fatalf("%s: nothing is changed", what)
		}
		out, status := python(t, "-keys", dir, write(t, filepath.Join(dir, "changed"), other))
		if want := fmt.Sprintf("FINDING dinkes-01 %s: missing: ", r.events[at]["id"]); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, want 1 and %q in\n%s", what, status, want, out)
		}
	}
}

// TestPythonIsCalledWrongly, and says so with exit status 2: nothing of it is a finding.
func TestPythonIsCalledWrongly(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	r := week("dinkes-01")
	file := write(t, filepath.Join(dir, "events"), lines(r.events...))
	for _, args := range [][]string{
		{},
		{"-keys", keys},
		{file},
		{"-keys", filepath.Join(dir, "none"), file},
		{"-keys", keys, filepath.Join(dir, "none")},
		{"-keys", keys, "-head", "there", file},
		{"-keys", keys, "-all", file},
		{"-keys", keys, os.DevNull},
	} {
		if _, status := python(t, args...); status != 2 {
			t.Errorf("audit.py %q: status %d, want 2", args, status)
		}
	}
	// A key that is not there, or is somebody else's, is a finding.
	other := newRecorder("dinkes-01")
	other.key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for range 2 {
		if out, status := python(t, "-keys", keys, file); status != 1 || !strings.Contains(out, ": seal: ") {
			t.Errorf("status %d without the key:\n%s", status, out)
		}
		other.writeKey(t, keys)
	}
}
