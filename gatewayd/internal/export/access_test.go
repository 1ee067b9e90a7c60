package export_test

import (
	"os"
	"path/filepath"
	"testing"

	"presence/gatewayd/internal/export"
)

// TestLogOfExportsIsForItsOwner: also one that an earlier version left readable for the
// group, and what is no log of ours stays as it is.
func TestLogOfExportsIsForItsOwner(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	mode := func(name string) os.FileMode {
		t.Helper()
		info, err := os.Stat(in(name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(in(name), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(in(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for what, tighten := range map[string]func(){
		"at the start of a gateway": func() { export.CloseToOthers(dir) },
		"at an export": func() {
			if err := (export.Access{Action: export.ActionExport}).Append(dir); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, name := range []string{"exports.log", "exports.log.1", "other"} {
			write(name)
		}
		tighten()
		for name, want := range map[string]os.FileMode{"exports.log": 0o600, "exports.log.1": 0o600, "other": 0o640} {
			if got := mode(name); got != want {
				t.Errorf("%s: the mode of %s is %o", what, name, got)
			}
		}
	}
	if err := os.Remove(in("exports.log.1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in("other"), in("exports.log.1")); err != nil {
		t.Fatal(err)
	}
	export.CloseToOthers(dir)
	if got := mode("other"); got != 0o640 {
		t.Errorf("through a link, the mode of another file became %o", got)
	}
}
