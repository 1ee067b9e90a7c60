package journal_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"presence/gatewayd/internal/journal"
)

// TestAJournalIsSetAside as it is, twice under the same name too, and can be opened there.
func TestAJournalIsSetAside(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	o.Origin = originOf(t, "dinkop-07", "dinkop")
	for _, want := range []string{"dinkop-07", "dinkop-07-2"} {
		heads := tapped(t, o, c, 2)
		file := read(t, o.Path)
		to, err := journal.SetAside(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if rel, _ := filepath.Rel(filepath.Dir(o.Path), to); rel != filepath.Join("former", want) {
			t.Errorf("it is in %s", rel)
		}
		aside := o
		aside.Path = filepath.Join(to, "journal.db")
		if !bytes.Equal(read(t, aside.Path), file) {
			t.Error("it was changed")
		}
		j := open(t, aside)
		if j.Damage() != nil || len(headsOf(t, j)) <= len(heads) {
			t.Errorf("damage %+v", j.Damage())
		}
	}
	j := open(t, o)
	if _, err := journal.SetAside(o.Path); !errors.Is(err, journal.ErrHeld) {
		t.Errorf("while it is open: %v", err)
	}
	if d := j.Damage(); d != nil {
		t.Errorf("the new one begins with %+v", d)
	}
}
