package journal_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// load asks a file that nobody holds.
func load(t *testing.T, path, name string) []byte {
	t.Helper()
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := r.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// noted makes a journal with a small and a large note in it, and closes it.
func noted(t *testing.T) (o journal.Options, large []byte) {
	t.Helper()
	o = options(newPath(t), newClock())
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	large = bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, note := range [][2][]byte{{[]byte("a"), []byte("one")}, {[]byte("b"), large}, {[]byte("a"), []byte("two")}} {
		if err := j.Save(string(note[0]), note[1]); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := j.Load("a"); err != nil || string(data) != "two" {
		t.Errorf("a holds %q, %v", data, err)
	}
	if data, err := j.Load("c"); err != nil || data != nil {
		t.Errorf("c holds %q, %v", data, err)
	}
	if err := j.Save("c", make([]byte, 1<<20)); err == nil {
		t.Error("a note without bounds was taken")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Save("a", nil); err == nil {
		t.Error("a closed journal took a note")
	}
	return o, large
}

func TestNotesOutliveARestart(t *testing.T) {
	o, large := noted(t)
	if got := load(t, o.Path, "b"); !bytes.Equal(got, large) {
		t.Errorf("b holds %d bytes", len(got))
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := j.Load("a"); err != nil || string(data) != "two" {
		t.Errorf("a holds %q, %v", data, err)
	}
	if err := errors.Join(j.Save("b", []byte("three")), j.Close()); err != nil {
		t.Fatal(err)
	}
	if got := load(t, o.Path, "b"); string(got) != "three" {
		t.Errorf("b holds %q", got)
	}
	if r, err := journal.Verify(t.Context(), o.Path, nil); err != nil || !r.Whole() {
		t.Errorf("the journal is not whole: %v %v", r.Damage, err)
	}
}

func TestNotesOutliveADamagedJournal(t *testing.T) {
	t.Parallel()
	o, large := noted(t)
	file, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	// The start event's only copy goes; its checksum tells.
	at := bytes.Index(file, []byte("\x64test"))
	for ; at >= 0; at = bytes.Index(file, []byte("\x64test")) {
		file[at+1] = 'T'
	}
	if err := os.WriteFile(o.Path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.Damage() == nil {
		t.Fatal("the damage was not noticed")
	}
	if data, err := j.Load("b"); err != nil || !bytes.Equal(data, large) {
		t.Errorf("b holds %d bytes, %v", len(data), err)
	}
}

func TestADamagedNoteIsDamage(t *testing.T) {
	t.Parallel()
	o, large := noted(t)
	file, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.ReplaceAll(file, large[:64], bytes.Repeat([]byte("X"), 64))
	if err := os.WriteFile(o.Path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.Damage() == nil {
		t.Error("the damage was not noticed")
	}
	if data, err := j.Load("a"); err != nil || string(data) != "two" {
		t.Errorf("a holds %q, %v", data, err)
	}
	if data, err := j.Load("b"); err != nil || data != nil {
		t.Errorf("b holds %d bytes, %v", len(data), err)
	}
}

// TestFilesWithoutNotes are those of the first gateways.
func TestFilesWithoutNotes(t *testing.T) {
	t.Parallel()
	o, _ := noted(t)
	db, err := bolt.Open(o.Path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("notes")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if got := load(t, o.Path, "a"); got != nil {
		t.Errorf("a holds %q", got)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if j.Damage() != nil {
		t.Errorf("damage: %+v", j.Damage())
	}
	if data, err := j.Load("a"); err != nil || data != nil {
		t.Errorf("a holds %q, %v", data, err)
	}
	if err := errors.Join(j.Save("a", []byte("new")), j.Close()); err != nil {
		t.Fatal(err)
	}
	if got := load(t, o.Path, "a"); string(got) != "new" {
		t.Errorf("a holds %q", got)
	}
}

// Notes that may wait ride along with what is written anyway, and with the end.
func TestNotesThatMayWaitRideAlong(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	commits := func() int64 { return j.Stats().Commits }
	before := commits()
	if err := j.SaveLater(map[string][]byte{"x/1": []byte("one"), "x/2": []byte("two"), "y": []byte("else")}); err != nil {
		t.Fatal(err)
	}
	if n := commits() - before; n != 0 {
		t.Errorf("%d commits for notes that may wait", n)
	}
	if _, err := j.Append(t.Context(), badge(c, 1)); err != nil {
		t.Fatal(err)
	}
	all, err := j.LoadAll("x/")
	if err != nil || len(all) != 2 || string(all["x/1"]) != "one" || commits()-before != 1 {
		t.Errorf("after a tap: %q, %v, %d commits", all, err, commits()-before)
	}
	if err := j.SaveLater(map[string][]byte{"x/1": nil, "x/3": []byte("three")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.OpenReadOnly(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if all, err = r.LoadAll("x/"); err != nil || len(all) != 2 || string(all["x/2"]) != "two" || string(all["x/3"]) != "three" {
		t.Errorf("after the end: %q, %v", all, err)
	}
}

// A start says when the process before it was last alive: at its stop, or at its
// last commit.
func TestStartsSayWhenTheProcessBeforeWasAlive(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	start := func(j *journal.Journal) *presence.Start {
		t.Helper()
		var first presence.Entry
		if err := j.Tail(func(e presence.Entry) bool { first = e; return false }); err != nil {
			t.Fatal(err)
		}
		if first.Start == nil {
			t.Fatalf("the newest event is %+v", first)
		}
		return first.Start
	}
	j := open(t, o)
	if s := start(j); s.Alive != nil {
		t.Errorf("the first start follows %v", s.Alive)
	}
	c.pass(time.Hour)
	stopped := o.Now()
	closed(t, j)
	c.pass(5 * time.Minute)
	ended(t, o.Path, stopped, true)
	j = open(t, o)
	if s := start(j); s.Alive == nil || *s.Alive != stopped {
		t.Errorf("alive at %v, stopped at %v", s.Alive, stopped)
	}
	// What is as good as a power cut: the file as it is after a commit.
	c.pass(time.Minute)
	committed := o.Now()
	appended(t, j, badge(c, 1))
	c.pass(time.Minute)
	o.Path = copied(t, o.Path)
	c.reboot()
	ended(t, o.Path, committed, false)
	cut := open(t, o)
	if s := start(cut); s.Alive == nil || *s.Alive != committed {
		t.Errorf("alive at %v, committed at %v", s.Alive, committed)
	}
}

// ended checks what a file says of the end of the last process.
func ended(t *testing.T, path string, wantAlive presence.Reading, wantClean bool) {
	t.Helper()
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if alive, clean, ok := r.Ended(); !ok || alive != wantAlive || clean != wantClean {
		t.Errorf("ended at %v, on purpose: %v, known: %v", alive, clean, ok)
	}
}
