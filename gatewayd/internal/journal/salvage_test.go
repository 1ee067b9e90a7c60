package journal_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"testing"

	"presence/gatewayd/internal/journal"
)

// TestTheBeginningIsMissed damages the page with the oldest events, of which
// none was delivered: the gap names them, though nothing is left before them.
func TestTheBeginningIsMissed(t *testing.T) {
	t.Parallel()
	for _, perStream := range []int{5, 200} { // with the start of a later stream behind, or the same stream
		c := newClock()
		o := options(newPath(t), c)
		for range 3 {
			j := open(t, o)
			for i := range perStream {
				appended(t, j, badge(c, i))
			}
			closed(t, j)
		}
		j := open(t, o)
		s := sample{events: all(t, j, 0)}
		closed(t, j)
		s.file = read(t, o.Path)
		file := bytes.Clone(s.file)
		first := recordOf(s.events[0])
		for at := bytes.Index(file, first); at >= 0; at = bytes.Index(file, first) {
			clear(file[at/pageSize*pageSize:][:pageSize]) // in every copy
		}
		if err := os.WriteFile(o.Path, file, 0o640); err != nil {
			t.Fatal(err)
		}
		d, missing := s.survives(t, o, file)
		if d == nil || missing == 0 || d.Lost != missing {
			t.Errorf("%d missing, damage %+v", missing, d)
		}
	}
}

// withoutNewestMeta is a file that shows the order of things only as it was
// before the last commit.
func withoutNewestMeta(file []byte) []byte {
	file = bytes.Clone(file)
	newest, other := file[:pageSize], file[pageSize:][:pageSize]
	if binary.LittleEndian.Uint64(other[64:]) > binary.LittleEndian.Uint64(newest[64:]) {
		newest = other
	}
	clear(newest)
	return file
}

// TestSalvageBringsNothingBack damages each page of a journal in turn in which
// most events are old and removed; copies of them lie about in free pages.
func TestSalvageBringsNothingBack(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Keep = day
	j := open(t, o)
	for i := range 400 {
		enqueue(t, j, tag(c, i))
	}
	flushed(t, j)
	j.Ack(j.End())
	c.pass(2 * day)
	for i := range 5 { // two of them have something to remove
		appended(t, j, badge(c, i))
	}
	kept := oldest(t, j)
	file := read(t, o.Path)
	closed(t, j)
	if kept < 300 || bytes.Count(file, []byte("kenwood:100-")) < 100 {
		t.Fatalf("the oldest event is at %d, %d copies are left", kept, bytes.Count(file, []byte("kenwood:100-")))
	}
	used := max(binary.LittleEndian.Uint64(file[56:]), binary.LittleEndian.Uint64(file[pageSize+56:]))
	damages := 0
	for page := range int(used) {
		damaged := bytes.Clone(file)
		clear(damaged[page*pageSize:][:pageSize])
		if err := os.WriteFile(o.Path, damaged, 0o640); err != nil {
			t.Fatal(err)
		}
		j := open(t, o)
		if j.Damage() != nil {
			damages++
		}
		if back := oldest(t, j); back < kept {
			t.Errorf("without page %d, the event at %d is back; all below %d was removed", page, back, kept)
		}
		closed(t, j)
	}
	if damages < 4 {
		t.Errorf("only %d pages mattered", damages)
	}
}

// TestSalvageDeliversWhatIsNew loses the newest events, all delivered, to damage.
// Their places are used again, and when the file is damaged once more, nothing
// may say that what is there now was delivered.
func TestSalvageDeliversWhatIsNew(t *testing.T) {
	t.Parallel()
	for _, left := range []int{100, 0} {
		c := newClock()
		o := options(newPath(t), c)
		j := open(t, o)
		for i := range 300 {
			appended(t, j, badge(c, i))
		}
		events := all(t, j, 0)
		j.Ack(j.End())
		closed(t, j)
		file := read(t, o.Path)
		for _, e := range events[left:] {
			file = bytes.ReplaceAll(file, recordOf(e), make([]byte, len(recordOf(e)))) // and its checksum is wrong
		}
		if err := os.WriteFile(o.Path, file, 0o640); err != nil {
			t.Fatal(err)
		}
		j = open(t, o)
		fresh := all(t, j, j.Cursor()) // the start, and the gap that names what is gone
		first := fresh[0].Pos
		file = withoutNewestMeta(read(t, o.Path))
		closed(t, j)
		if first >= 290 {
			t.Fatalf("the new events begin at %d", first)
		}
		if err := os.WriteFile(o.Path, file, 0o640); err != nil {
			t.Fatal(err)
		}
		j = open(t, o)
		if j.Damage() == nil || j.Cursor() >= first {
			t.Errorf("cursor %d, and nothing behind %d was delivered; damage %+v", j.Cursor(), first-1, j.Damage())
		}
		if got := all(t, j, first-1); len(got) < len(fresh) || !reflect.DeepEqual(got[:len(fresh)], fresh) {
			t.Errorf("%d events wait", len(got))
		}
		closed(t, j)
	}
}

// TestAnUnknownTailIsAnOpenRange: where nobody knows how many of the newest
// events there were, the gap names all from the first missing number to the end
// of the stream.
func TestAnUnknownTailIsAnOpenRange(t *testing.T) {
	t.Parallel()
	s := newSample(t, 100)
	newest := s.events[len(s.events)-1].Stream
	ranges := func(t *testing.T, file []byte) (open, last uint64) {
		t.Helper()
		j, err := journal.Open(s.place(t, file))
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if d := j.Damage(); d == nil || !d.EndUnknown {
			t.Fatalf("damage: %+v", d)
		}
		f := findingsIn(t, j)
		for n := range f.there {
			if n.stream == newest {
				last = max(last, n.seq)
			}
		}
		if _, ok := f.ends[newest]; !ok || len(f.ends) != 1 {
			t.Errorf("the open ranges are %v", f.ends)
		}
		return f.ends[newest], last
	}
	t.Run("all of it", func(t *testing.T) {
		if open, _ := ranges(t, bytes.Repeat([]byte{0xA5}, len(s.file))); open != 1 {
			t.Errorf("the open range begins at %d", open)
		}
	})
	t.Run("both meta pages and the newest events", func(t *testing.T) {
		file := bytes.Clone(s.file)
		clear(file[:2*pageSize])
		gone := s.events[len(s.events)-3:]
		for _, e := range gone {
			for at := bytes.Index(file, recordOf(e)); at >= 0; at = bytes.Index(file, recordOf(e)) {
				file[at+20] ^= 0xFF
			}
		}
		if open, last := ranges(t, file); open != gone[0].Seq || last != gone[0].Seq-1 {
			t.Errorf("the open range begins at %d behind %d, want %d", open, last, gone[0].Seq)
		}
	})
}

// TestOldDamagedFilesGo: a disk that dies slowly is not filled with what it
// killed.
func TestOldDamagedFilesGo(t *testing.T) {
	t.Parallel()
	s := newSample(t, 10)
	o := s.place(t, s.file)
	for range 6 {
		if err := os.Truncate(o.Path, pageSize+1); err != nil {
			t.Fatal(err)
		}
		closed(t, open(t, o))
	}
	if names := quarantined(t, o); len(names) != 3 {
		t.Errorf("kept: %v", names)
	}
}
