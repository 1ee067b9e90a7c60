package journal_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal"
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
	if r, err := journal.Verify(t.Context(), o.Path); err != nil || !r.Whole() {
		t.Errorf("the journal is not whole: %v %v", r.Damage, err)
	}
}

func TestNotesOutliveADamagedJournal(t *testing.T) {
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
