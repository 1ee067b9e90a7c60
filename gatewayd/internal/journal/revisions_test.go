package journal_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// revisionsOf makes revisions of the events at these positions.
func revisionsOf(rev int, open bool, positions ...uint64) (all []presence.Revision) {
	at := time.Date(2026, 11, 23, 7, 30, 0, 123456789, time.UTC)
	for _, pos := range positions {
		all = append(all, presence.Revision{Pos: pos, Open: open, Timing: presence.Timing{
			Quality: presence.QualityBounded, Time: at, Error: time.Minute, Min: at.Add(-time.Minute), Max: at.Add(time.Minute), Rev: rev,
		}})
	}
	return all
}

// checkRevisions compares the revisions that a journal has with those that it should have.
func checkRevisions(t *testing.T, from interface {
	Revisions(from, to uint64) (map[uint64]presence.Revision, error)
}, want ...presence.Revision,
) {
	t.Helper()
	got, err := from.Revisions(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	wanted := make(map[uint64]presence.Revision)
	for _, s := range want {
		wanted[s.Pos] = s
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
}

// copied copies a journal as it lies on the disk now.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := newPath(t)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestRevisionsOutliveARestart(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for range 5 {
		if _, err := j.Append(t.Context(), badge(c, 0)); err != nil {
			t.Fatal(err)
		}
	}
	j.QueueRevisions(revisionsOf(0, false, 2, 3))
	checkRevisions(t, j, revisionsOf(0, false, 2, 3)...)
	if err := j.SaveRevisions(t.Context(), revisionsOf(1, true, 3, 4)); err != nil {
		t.Fatal(err)
	}
	want := append(revisionsOf(0, false, 2), revisionsOf(1, true, 3, 4)...)
	checkRevisions(t, j, want...)
	j.SetFinalUpto(2)

	// A copy of the file is what a power cut would leave now.
	cut := o
	cut.Path = copied(t, o.Path)
	after := open(t, cut)
	checkRevisions(t, after, want...)
	corrections, _, err := after.OpenCorrections(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(revisionsOf(1, true, 3, 4), corrections); diff != "" {
		t.Errorf("open corrections (-want +got):\n%s", diff)
	}

	j.QueueRevisions(revisionsOf(1, false, 3, 4))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.OpenReadOnly(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	checkRevisions(t, r, append(revisionsOf(0, false, 2), revisionsOf(1, false, 3, 4)...)...)
}

// TestDeliveryNeverOvertakesRevisions: the cursor of a file never covers an
// event whose revision is not in the file.
func TestDeliveryNeverOvertakesRevisions(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for pos := uint64(2); pos < 40; pos++ {
		if _, err := j.Append(t.Context(), badge(c, 0)); err != nil {
			t.Fatal(err)
		}
		j.QueueRevisions(revisionsOf(0, false, pos))
		j.Ack(pos)
		if pos%7 != 0 {
			continue
		}
		cut := o
		cut.Path = copied(t, o.Path)
		after := open(t, cut)
		all, err := after.Revisions(0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for p := uint64(2); p <= after.Cursor(); p++ {
			if _, ok := all[p]; !ok {
				t.Fatalf("cursor %d, and nothing is known of %d", after.Cursor(), p)
			}
		}
	}
}

func TestRevisionsGoWhenTheirEventsExpire(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for pos := uint64(2); pos <= 5; pos++ {
		if _, err := j.Append(t.Context(), badge(c, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.SaveRevisions(t.Context(), revisionsOf(1, false, 2, 3, 4, 5)); err != nil {
		t.Fatal(err)
	}
	j.Ack(5)
	c.pass(40 * 24 * time.Hour)
	if _, err := j.Append(t.Context(), badge(c, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), badge(c, 2)); err != nil {
		t.Fatal(err)
	}
	checkRevisions(t, j)
	j.QueueRevisions(revisionsOf(2, false, 3)) // too late
	checkRevisions(t, j)
}

func TestManyRevisionsAreWrittenByThemselves(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for range 3 {
		if _, err := j.Append(t.Context(), badge(c, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var many []presence.Revision
	for pos := uint64(2); pos < 6000; pos++ {
		many = append(many, revisionsOf(0, false, pos)...) // most are of no event
	}
	j.QueueRevisions(many)
	deadline := time.Now().Add(10 * time.Second)
	for {
		cut := o
		cut.Path = copied(t, o.Path)
		r, err := journal.OpenReadOnly(cut.Path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Revisions(0, 10)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		if len(all) == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d revisions are on disk", len(all))
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestRevisionsAreForgottenWithTheirEvents(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	for n := range 4 {
		if _, err := j.Append(t.Context(), badge(c, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.SaveRevisions(t.Context(), revisionsOf(1, false, 2, 3, 4, 5)); err != nil {
		t.Fatal(err)
	}
	gone := badge(c, 1).Badge.Badge
	if _, err := j.Forget(t.Context(), func(r *presence.Record) bool { return r.Badge.Badge == gone }); err != nil {
		t.Fatal(err)
	}
	checkRevisions(t, j, revisionsOf(1, false, 2, 4, 5)...)
}

// TestSavedRevisionsAreOnDisk: in a file that is about as large as it may be, a commit
// takes along a part of the revisions only. Whoever saves some waits for the commit
// that has them.
func TestSavedRevisionsAreOnDisk(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	for n := range 2900 {
		enqueue(t, j, badge(c, n))
	}
	flushed(t, j)
	for pos := uint64(2); pos < 1000; pos++ {
		j.QueueRevisions(revisionsOf(0, false, pos))
	}
	want := revisionsOf(1, true, 2400)
	before := j.Stats().Commits
	if err := j.SaveRevisions(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if n := j.Stats().Commits - before; n < 4 {
		t.Errorf("saved after %d commits of 256 revisions, and there were 998 before it", n)
	}
	r, err := journal.OpenReadOnly(copied(t, o.Path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Revisions(2400, 2400)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[uint64]presence.Revision{2400: want[0]}, got); diff != "" {
		t.Errorf("saved, and on disk (-want +got):\n%s", diff)
	}
}
