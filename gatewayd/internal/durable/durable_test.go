package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"presence/gatewayd/internal/durable"
	"presence/scripts/skiptest"
)

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"the first, a long one", "the second"} {
		if err := durable.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("the file holds %q (%v), want %q", got, err, text)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
			t.Errorf("mode %v (%v)", info.Mode(), err)
		}
		if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the temporary file is still there: %v", err)
		}
		// What a power cut leaves is longer than what the next call writes.
		if err := os.WriteFile(path+".new", make([]byte, 100), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// foreignDir is a folder of somebody else than root, who runs the test.
func foreignDir(t *testing.T) string {
	t.Helper()
	skiptest.Root(t, "to make something of others")
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestWhatRootWritesBelongsToTheOwnerOfTheFolder: else the gateway could not read
// what a command of root left there.
func TestWhatRootWritesBelongsToTheOwnerOfTheFolder(t *testing.T) {
	path := filepath.Join(foreignDir(t), "file")
	if err := durable.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 65534 || s.Gid != 65534 {
		t.Errorf("it belongs to %d:%d", s.Uid, s.Gid)
	}
}

// TestRootWritesThroughNoLink that the owner of the folder put there.
func TestRootWritesThroughNoLink(t *testing.T) {
	for name, link := range map[string]func(victim, path string) error{"symbolic": os.Symlink, "hard": os.Link} {
		t.Run(name, func(t *testing.T) {
			dir := foreignDir(t)
			victim := filepath.Join(dir, "of root")
			if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "file")
			if err := link(victim, path+".new"); err != nil {
				t.Fatal(err)
			}
			if err := durable.WriteFile(path, []byte("text"), 0o600); err == nil {
				t.Error("written through a link")
			}
			info, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != 0 {
				t.Errorf("root's file was given to %d", s.Uid)
			}
			if got, err := os.ReadFile(victim); err != nil || string(got) != "secret" {
				t.Errorf("root's file now holds %q (%v)", got, err)
			}
		})
	}
}
