package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// somebody is the badge of the person who is to be forgotten.
const somebody = "h:00000000000000000000000000c0ffee"

// ofSomebody tells whether a record is about that person.
func ofSomebody(r *presence.Record) bool { return r.Badge != nil && r.Badge.Badge == somebody }

// traces counts the places in the files of a directory where the person shows.
func traces(t testing.TB, dir string) int {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if f.Name() != notes {
			n += bytes.Count(read(t, filepath.Join(dir, f.Name())), []byte(somebody))
		}
	}
	return n
}

// TestForgottenIsGone forgets a person while others tap: nothing of that person
// is left in any file, all else is as it was, and gaps name what went.
func TestForgottenIsGone(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Keep = day
	j := withSomebody(t, o, c)
	var want, gone []presence.Entry
	for _, e := range all(t, j, 0) {
		if ofSomebody(&e.Record) {
			gone = append(gone, e)
		} else {
			want = append(want, e)
		}
	}
	if n := traces(t, filepath.Dir(o.Path)); n < 2*len(gone)/3 {
		t.Fatalf("only %d traces before", n)
	}
	f := forgetWhileOthersTap(t, j)
	if n := traces(t, filepath.Dir(o.Path)); n > 0 {
		t.Errorf("%d traces are left", n)
	}
	if len(quarantined(t, o)) > 0 {
		t.Errorf("left: %q", quarantined(t, o))
	}
	if total(f) != len(gone) || f.Kinds["badge"] != len(gone) || f.Waiting == 0 || f.Waiting >= len(gone) {
		t.Errorf("%d events to forget, forgotten are %+v", len(gone), f)
	}
	if s, there := j.Stats(), all(t, j, 0); s.Events != int64(len(there)) || s.Pending != int64(len(all(t, j, j.Cursor()))) {
		t.Errorf("%d events, %d wait; there are %d", s.Events, s.Pending, len(there))
	}
	forgottenAndNothingElse(t, j, want, gone)
	// It goes on, also after a crash and a restart, and after damage.
	appended(t, j, badge(c, 1))
	crashed := read(t, o.Path)
	closed(t, j)
	whole(t, o.Path)
	for _, file := range [][]byte{crashed, withoutNewestMeta(crashed)} {
		if err := os.WriteFile(o.Path, file, 0o640); err != nil {
			t.Fatal(err)
		}
		j = open(t, o)
		if pos, ok := j.Find(want[0].Stream, want[0].Seq); !ok || pos != want[0].Pos {
			t.Errorf("the oldest event is found at %d, %t", pos, ok)
		}
		forgottenAndNothingElse(t, j, want, gone)
		closed(t, j)
		whole(t, o.Path)
	}
}

// withSomebody is a journal of three streams in which somebody taps now and then, a
// part of it delivered, with a damaged file beside it from which nothing was lost.
func withSomebody(t *testing.T, o journal.Options, c *clock) *journal.Journal {
	t.Helper()
	about := badge(c, 0)
	about.Badge.Badge = somebody
	var j *journal.Journal
	for stream := range 3 {
		switch stream {
		case 1:
			closed(t, j)
		case 2:
			j.Ack(j.End() - 500)
			closed(t, j)
			if err := os.WriteFile(o.Path, withoutNewestMeta(read(t, o.Path)), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		j = open(t, o)
		for i := range 1500 {
			if i%10 == 0 {
				enqueue(t, j, about)
			} else {
				enqueue(t, j, tag(c, i))
			}
		}
		flushed(t, j)
	}
	if quarantined(t, o) == nil || j.Damage() == nil {
		t.Fatal("no damaged file is kept")
	}
	return j
}

// forgetWhileOthersTap forgets somebody while others tap without a pause.
func forgetWhileOthersTap(t *testing.T, j *journal.Journal) journal.Forgotten {
	t.Helper()
	var slowest time.Duration
	stop := make(chan struct{})
	var door sync.WaitGroup
	door.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			started := time.Now()
			if _, err := j.Append(context.Background(), badge(newClock(), i)); err != nil {
				t.Errorf("a tap while a person is forgotten: %v", err)
				return
			}
			slowest = max(slowest, time.Since(started))
		}
	})
	f, err := j.Forget(t.Context(), ofSomebody)
	close(stop)
	door.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("forgot %d events; the slowest tap meanwhile took %v", total(f), slowest)
	return f
}

// forgottenAndNothingElse checks that a journal begins with what it should have,
// and that its gaps name exactly what is gone.
func forgottenAndNothingElse(t *testing.T, j *journal.Journal, want, gone []presence.Entry) {
	t.Helper()
	got := all(t, j, 0)
	if len(got) < len(want) || !reflect.DeepEqual(got[:len(want)], want) {
		t.Errorf("%d events are there, not all of the %d that should be", len(got), len(want))
	}
	named := make(map[eventID]bool)
	for _, e := range got {
		if e.Gap == nil || e.Gap.Reason != presence.GapForgotten {
			continue
		}
		if strings.Contains(fmt.Sprint(*e.Gap), somebody) {
			t.Error("the gap names the person")
		}
		for _, r := range e.Gap.Ranges {
			for seq := r.From; seq <= r.To; seq++ {
				named[eventID{r.Stream, seq}] = true
			}
		}
	}
	for _, e := range gone {
		if !named[eventID{e.Stream, e.Seq}] {
			t.Errorf("no gap names %s", eventID{e.Stream, e.Seq})
		}
	}
	if len(named) != len(gone) {
		t.Errorf("gaps name %d events, %d are gone", len(named), len(gone))
	}
}

// TestForgettingNobody rewrites the file all the same: what was removed before
// may lie about in free pages. No gap says that something went.
func TestForgettingNobody(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Keep = day
	j := open(t, o)
	about := badge(c, 0)
	about.Badge.Badge = somebody
	for range 100 {
		enqueue(t, j, about)
	}
	flushed(t, j)
	j.Ack(j.End())
	c.pass(2 * day)
	last := appended(t, j, badge(c, 1))
	if oldest(t, j) != last.Pos || traces(t, filepath.Dir(o.Path)) == 0 {
		t.Fatalf("the oldest is %d, %d traces", oldest(t, j), traces(t, filepath.Dir(o.Path)))
	}
	f, err := j.Forget(t.Context(), ofSomebody)
	if err != nil || total(f) != 0 {
		t.Fatalf("forgotten: %+v, %v", f, err)
	}
	if n := traces(t, filepath.Dir(o.Path)); n > 0 {
		t.Errorf("%d traces are left", n)
	}
	if got := all(t, j, 0); len(got) != 1 || got[0].Pos != last.Pos {
		t.Errorf("left: %+v", got)
	}
}

// TestAForgetThatFails leaves everything as it was.
func TestAForgetThatFails(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 500 {
		appended(t, j, badge(c, i))
	}
	before := all(t, j, 0)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := j.Forget(ctx, func(r *presence.Record) bool { cancel(); return true })
	if err == nil {
		t.Error("cancelled, and went through")
	}
	if err := os.Mkdir(o.Path+".new", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Path+".new/x", nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Forget(t.Context(), func(*presence.Record) bool { return true }); err == nil {
		t.Error("there was no place for the new file, and it went through")
	}
	if err := os.RemoveAll(o.Path + ".new"); err != nil {
		t.Fatal(err)
	}
	if got := all(t, j, 0); !reflect.DeepEqual(got, before) {
		t.Errorf("%d events, before there were %d", len(got), len(before))
	}
	appended(t, j, badge(c, 1))
	closed(t, j)
	if _, err := j.Forget(t.Context(), func(*presence.Record) bool { return true }); err == nil {
		t.Error("a closed journal has forgotten")
	}
	whole(t, o.Path)
}

// TestForgetAtEveryCut cuts the power before every operation on the disk while a
// person is forgotten: after each cut, either all of that person's events are
// there or none, and no file shows a trace of them then; all else is there.
func TestForgetAtEveryCut(t *testing.T) {
	t.Parallel()
	d, at := mountDisk(t, nil)
	if out, err := run(t, "forgets", at); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := fastDir(t)
	o := options(filepath.Join(dir, "journal.db"), newClock())
	p, w := newPlatter(), newTold()
	rng := rand.New(rand.NewPCG(9, 10))
	some := []cutKind{cutKept, cutPart, cutReordered, cutTorn512, cutTorn4K}
	begun, forgotten, cuts, whole, none := false, false, 0, 0, 0
	for i, next := range d.history() {
		if next.kind == opNote {
			begun = begun || bytes.Contains(next.data, []byte("forget\n"))
			forgotten = forgotten || bytes.Contains(next.data, []byte("forgotten\n"))
			w.listen(t, next.data)
			continue
		}
		if begun {
			for _, kind := range []cutKind{cutDropped, some[i%len(some)]} {
				put(t, dir, p.cut(kind, rng))
				if err := w.holds(o, cuts%10 == 0); err != nil {
					t.Fatalf("power cut before operation %d (%s %s at %d), unsynced writes %s: %v", i, next.kind, next.name, next.off, kind, err)
				}
				cuts++
				left := w.ofSomebody
				switch {
				case left == 0 && traces(t, dir) == 0:
					none++
				case left == forgettable && !forgotten:
					whole++
				default:
					t.Fatalf("power cut before operation %d (%s %s at %d), unsynced writes %s: %d events and %d traces are left; done: %t",
						i, next.kind, next.name, next.off, kind, left, traces(t, dir), forgotten)
				}
			}
		}
		p.add(next)
	}
	t.Logf("%d cuts: %d times all was there, %d times nothing", cuts, whole, none)
	if whole == 0 || none == 0 || !forgotten {
		t.Error("the person was not forgotten under way")
	}
}

// forgettable is how many events of the person a process under test records.
const forgettable = 12

// forgets records, forgets and goes on.
func (o *office) forgets() error {
	if err := o.open(); err != nil {
		return err
	}
	for i := range 40 {
		if err := o.tag(); err != nil {
			return err
		}
		if err := o.tap(); err != nil {
			return err
		}
		if i >= forgettable {
			continue
		}
		d := presence.Draft{Kind: presence.KindBadge, At: o.clock.now(), Badge: &presence.Badge{Reader: "door", Badge: somebody}}
		if _, err := o.j.Append(context.Background(), d); err != nil {
			return err
		}
	}
	o.say("forget")
	f, err := o.j.Forget(context.Background(), ofSomebody)
	if err != nil {
		return err
	}
	if total(f) != forgettable {
		return fmt.Errorf("forgotten: %+v", f)
	}
	o.say("forgotten")
	for range 10 {
		if err := o.tap(); err != nil {
			return err
		}
	}
	return o.j.Close()
}

// total is how many events were removed.
func total(f journal.Forgotten) (n int) {
	for _, k := range f.Kinds {
		n += k
	}
	return n
}
