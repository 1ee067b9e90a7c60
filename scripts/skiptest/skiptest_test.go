package skiptest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// TestChild is what the other tests run as a process of its own.
func TestChild(t *testing.T) {
	switch os.Getenv("SKIPTEST_CHILD") {
	case "":
		t.Skip("it is for the other tests")
	case "program":
		skiptest.Program(t, "no-such-program")
	case "root":
		skiptest.NoRoot(t, "mounting was refused")
	case "machine":
		skiptest.Skip(t, "a gateway is installed here")
	case "elsewhere":
		skiptest.Elsewhere(t, "a Telegraf", "make telegraf-test", "Telegraf takes minutes to build")
	}
}

// TestLeftOutIsNoted: what is left out is in the file that `make test` reads, once for each
// test, and fails under CI=true unless another command runs it there.
func TestLeftOutIsNoted(t *testing.T) {
	t.Parallel()
	for child, want := range map[string]struct {
		note  string
		inCI  bool // it may be skipped under CI=true
		words string
	}{
		"program":   {"no-such-program (make test-deps test)\n", false, "no-such-program is not installed"},
		"root":      {"root (sudo make test)\n", false, "mounting was refused"},
		"machine":   {"another machine (a gateway is installed here)\n", false, "a gateway is installed here"},
		"elsewhere": {"a Telegraf (make telegraf-test)\n", true, "Telegraf takes minutes to build"},
	} {
		for _, ci := range []string{"", "true"} {
			notes := filepath.Join(t.TempDir(), "left-out")
			if err := os.WriteFile(notes, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
			cmd.Env = append(os.Environ(), "SKIPTEST_CHILD="+child, "CI="+ci, "LEFT_OUT="+notes)
			out, err := cmd.CombinedOutput()
			if skipped := ci == "" || want.inCI; skipped != (err == nil) || !strings.Contains(string(out), want.words) {
				t.Errorf("%s with CI=%s: %v\n%s", child, ci, err, out)
			}
			got, err := os.ReadFile(notes)
			if err != nil {
				t.Fatal(err)
			}
			wantNote := want.note
			if ci == "true" {
				wantNote = ""
			}
			if string(got) != wantNote {
				t.Errorf("%s with CI=%s notes %q, want %q", child, ci, got, wantNote)
			}
		}
	}
}
