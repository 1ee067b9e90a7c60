package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestAJournalThatRefuses holds nothing, takes nothing, and says why.
func TestAJournalThatRefuses(t *testing.T) {
	c := newClock()
	for errno, reason := range map[error]string{
		syscall.EROFS: "read-only", syscall.ENOSPC: "disk-full", syscall.EACCES: "journal-closed",
	} {
		why := fmt.Errorf("open journal: %w", &os.PathError{Op: "open", Path: "x", Err: errno})
		j, err := journal.Refuse(options(newPath(t), c), why)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		t.Cleanup(cancel)
		var refusal *journal.Error
		_, err = j.Append(ctx, badge(c, 1))
		if !errors.As(err, &refusal) || refusal.Reason() != reason || !errors.Is(err, errno) {
			t.Errorf("a tap: %v", err)
		}
		for what, err := range map[string]error{
			"a tag": j.Enqueue(ctx, tag(c, 1)), "a note": j.Save("x", nil), "a flush": j.Flush(ctx), "why": j.Refused(),
		} {
			if !errors.Is(err, errno) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := j.Forget(ctx, func(*presence.Record) bool { return true }); !errors.Is(err, errno) {
			t.Errorf("forget: %v", err)
		}
		if _, err := j.Next(ctx, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("next: %v", err)
		}
		if err := j.Tail(func(presence.Entry) bool { t.Error("there is an event"); return true }); err != nil {
			t.Error(err)
		}
		if data, err := j.Load("x"); data != nil || err != nil {
			t.Errorf("note %q, %v", data, err)
		}
		if _, found := j.Find(j.Stream(), 1); found || j.Cursor() != 0 || j.End() != 0 {
			t.Error("something is found")
		}
		if s := j.Stats(); !s.Full || s.Events != 0 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		if r, err := j.Verify(t.Context(), nil); err != nil || r.Whole() {
			t.Errorf("verify: %v, %v", r, err)
		}
		closed(t, j)
		closed(t, j)
	}
}

func TestWritable(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	dir := filepath.Dir(o.Path)
	check := func(when string) {
		t.Helper()
		if err := journal.Writable(o.Path); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("without a journal")
	j := open(t, o)
	appended(t, j, badge(c, 1))
	closed(t, j)
	before := read(t, o.Path)
	check("with a journal")
	if !bytes.Equal(before, read(t, o.Path)) {
		t.Error("the journal is another")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("left: %v, %v", files, err)
	}
	if journal.Writable(filepath.Join(dir, "none", "journal.db")) == nil {
		t.Error("a directory that is not there can be written")
	}
}
