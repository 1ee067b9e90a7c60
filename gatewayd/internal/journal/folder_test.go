package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

// foreign is a journal in a folder that belongs to somebody else than root, who
// runs the test.
func foreign(t *testing.T) journal.Options {
	t.Helper()
	skiptest.Root(t, "to make something of others")
	o := options(newPath(t), newClock())
	if err := os.Chown(filepath.Dir(o.Path), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestWhatRootLeavesBelongsToTheGateway: a command that root runs on a stopped
// gateway's journal leaves no file that the gateway could not open.
func TestWhatRootLeavesBelongsToTheGateway(t *testing.T) {
	o := foreign(t)
	owners := func(when string) {
		t.Helper()
		files, err := os.ReadDir(filepath.Dir(o.Path))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != 65534 || s.Gid != 65534 {
				t.Errorf("%s: %s belongs to %d:%d", when, f.Name(), s.Uid, s.Gid)
			}
		}
	}
	c := newClock()
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	owners("a new journal")
	if _, err := j.Forget(t.Context(), func(r *presence.Record) bool { return numberOf(presence.Entry{Record: *r}) == "7" }); err != nil {
		t.Fatal(err)
	}
	owners("written anew")
	closed(t, j)
	if err := os.Truncate(o.Path, 3*pageSize); err != nil {
		t.Fatal(err)
	}
	j = open(t, o)
	if j.Damage() == nil {
		t.Fatal("no damage")
	}
	owners("salvaged")
	closed(t, j)
	for _, path := range []string{o.Path, strings.TrimSuffix(o.Path, ".db") + ".mark"} {
		if err := os.Chown(path, 0, 0); err != nil { // as an older version left them
			t.Fatal(err)
		}
	}
	closed(t, open(t, o))
	owners("found as root's")
}

// TestRootFollowsNoLinks that the gateway's user put into its folder.
func TestRootFollowsNoLinks(t *testing.T) {
	for _, name := range []string{"journal.db", "journal.db.new", "journal.mark", "journal.mark.new"} {
		t.Run(name, func(t *testing.T) {
			o := foreign(t)
			if name == "journal.db" || name == "journal.db.new" {
				// There is no journal, or a new one is to be made.
			} else {
				closed(t, open(t, o))
			}
			victim := filepath.Join(fastDir(t), "victim")
			const text = "another file of root's"
			if err := os.WriteFile(victim, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(filepath.Dir(o.Path), name)
			_ = os.Remove(link)
			if err := os.Symlink(victim, link); err != nil {
				t.Fatal(err)
			}
			j, err := journal.Open(o)
			if err == nil {
				err = j.Close()
			}
			if name == "journal.db" && !errors.Is(err, syscall.ELOOP) {
				t.Errorf("opened through a link: %v", err)
			}
			info, statErr := os.Stat(victim)
			if statErr != nil {
				t.Fatal(statErr)
			}
			if s := info.Sys().(*syscall.Stat_t); string(read(t, victim)) != text || s.Uid != 0 {
				t.Errorf("the other file has changed: %q, of %d", read(t, victim), s.Uid)
			}
		})
	}
	t.Run("hard link", func(t *testing.T) {
		o := foreign(t)
		victim := filepath.Join(filepath.Dir(o.Path), "victim")
		if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Link(victim, o.Path)); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Open(o); !errors.Is(err, os.ErrPermission) {
			t.Errorf("opened another file by its second name: %v", err)
		}
	})
}

// TestOnlyTheOwnerReadsTheJournal: a member of the gateway's group asks the running
// gateway, which logs it. No file is there to be copied without that: neither a new
// one, nor one written anew or put aside, nor one that was readable for the group.
func TestOnlyTheOwnerReadsTheJournal(t *testing.T) {
	o := options(newPath(t), newClock())
	private := func(when string) {
		t.Helper()
		files, err := os.ReadDir(filepath.Dir(o.Path))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s: the mode of %s is %s", when, f.Name(), info.Mode())
			}
		}
	}
	c := newClock()
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	private("a new journal")
	if _, err := j.Forget(t.Context(), func(r *presence.Record) bool { return numberOf(presence.Entry{Record: *r}) == "7" }); err != nil {
		t.Fatal(err)
	}
	private("written anew")
	closed(t, j)
	if err := os.Chmod(o.Path, 0o644); err != nil { // as an older version left it
		t.Fatal(err)
	}
	closed(t, open(t, o))
	private("found readable for all")
	if err := os.Chmod(o.Path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(o.Path, 3*pageSize); err != nil {
		t.Fatal(err)
	}
	j = open(t, o)
	if j.Damage() == nil {
		t.Fatal("no damage")
	}
	closed(t, j)
	private("salvaged and put aside")
	aside, err := filepath.Glob(o.Path + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Fatal(aside, err)
	}
	if err := os.Chmod(aside[0], 0o640); err != nil { // as an older version put it aside
		t.Fatal(err)
	}
	closed(t, open(t, o))
	private("found put aside and readable for the group")
}
