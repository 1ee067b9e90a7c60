package journal_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/scripts/skiptest"
)

func TestThingsThatAreNoFile(t *testing.T) {
	t.Parallel()
	s := newSample(t, 10)
	for name, make := range map[string]func(path string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"another bbolt file": func(path string) error {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 16384})
			if err != nil {
				return err
			}
			return db.Close()
		},
		"another database with our page size": func(path string) error {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
			if err != nil {
				return err
			}
			return db.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.place(t, nil)
			if err := make(o.Path); err != nil {
				t.Fatal(err)
			}
			d, _ := s.survives(t, o, nil)
			if d == nil || d.Quarantine == "" {
				t.Errorf("damage: %+v", d)
			}
		})
	}
}

func TestAnEmptyFileWhereNoneWasIsNoDamage(t *testing.T) {
	o := sample{}.place(t, []byte{})
	if d := open(t, o).Damage(); d != nil {
		t.Errorf("damage: %+v", d)
	}
}

// TestPermissionIsNoDamage: what keeps a journal from being opened, and says
// nothing of it, never puts it aside. It is there again when its cause is gone.
func TestPermissionIsNoDamage(t *testing.T) {
	t.Parallel()
	skiptest.Root(t, "to become another user")
	s := newSample(t, 10)
	for name, c := range map[string]struct {
		spoil, mend func(path string) error
		says        string
	}{
		"unreadable": {
			func(path string) error { return os.Chmod(path, 0o000) },
			func(path string) error { return os.Chmod(path, 0o666) }, "permission denied",
		},
		"read-only": {
			func(path string) error { return os.Chmod(path, 0o444) },
			func(path string) error { return os.Chmod(path, 0o666) }, "permission denied",
		},
		"immutable folder": {
			func(path string) error {
				return errors.Join(os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o666))
			},
			func(path string) error { return os.Chmod(filepath.Dir(path), 0o777) }, "permission denied",
		},
		"link to itself": {
			func(path string) error { return errors.Join(os.Rename(path, path+".there"), os.Symlink(path, path)) },
			func(path string) error { return errors.Join(os.Rename(path+".there", path), os.Chmod(path, 0o666)) }, "too many levels",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.place(t, s.file)
			dir := filepath.Dir(o.Path)
			exe := filepath.Join(fastDir(t), "test")
			if err := errors.Join(
				os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(exe), 0o755), os.WriteFile(exe, read(t, os.Args[0]), 0o755), c.spoil(o.Path),
			); err != nil {
				t.Fatal(err)
			}
			asNobody := func() ([]byte, error) {
				cmd := exec.Command(exe)
				cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS=damaged", "JOURNAL_TEST_DIR="+dir)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				return cmd.CombinedOutput()
			}
			out, err := asNobody()
			if err == nil || !bytes.Contains(out, []byte(c.says)) {
				t.Fatalf("%v: %s", err, out)
			}
			if q := quarantined(t, o); len(q) > 0 {
				t.Errorf("put aside: %v", q)
			}
			if err := c.mend(o.Path); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, o.Path), s.file) {
				t.Error("the journal is another")
			}
			if out, err := asNobody(); err != nil || bytes.Contains(out, []byte("damage")) {
				t.Errorf("when its cause is gone: %v: %s", err, out)
			}
			if r := whole(t, o.Path); r.Events < int64(len(s.events)) {
				t.Errorf("%d events, want %d", r.Events, len(s.events))
			}
		})
	}
}
