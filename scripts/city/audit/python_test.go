package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// python runs audit.py; it returns what it printed and its exit status.
func python(t *testing.T, args ...string) (string, int) {
	t.Helper()
	skiptest.Program(t, "python3")
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"audit.py"}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if errs.Len() > 0 && cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("audit.py %q complains: %s", args, errs.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func write(t *testing.T, path string, lines []string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPythonFindsAnIntactWeekIntact(t *testing.T) {
	dir := t.TempDir()
	r := week("dinkes-01")
	r.writeKey(t, dir)
	file := write(t, filepath.Join(dir, "week.jsonl"), lines(r.events...))
	out, status := python(t, "-keys", dir, file)
	if status != 0 || !strings.HasSuffix(out, "audit: intact\n") {
		t.Errorf("status %d:\n%s", status, out)
	}
}
