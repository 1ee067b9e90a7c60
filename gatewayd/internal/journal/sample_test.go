package journal_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// sample is a journal with several streams, some of it delivered.
type sample struct {
	file   []byte
	mark   []byte
	events []presence.Entry
	cursor uint64
}

func newSample(t testing.TB, perStream int) sample {
	t.Helper()
	c := newClock()
	o := options(newPath(t), c)
	var s sample
	for stream := range 3 {
		j := open(t, o)
		for i := range perStream {
			if i%7 == 0 {
				appended(t, j, badge(c, stream*1000+i))
			} else {
				enqueue(t, j, tag(c, i))
			}
		}
		flushed(t, j)
		if stream == 1 {
			j.Ack(j.End() - 10)
		}
		if stream == 2 { // as a power cut leaves it
			appended(t, j, badge(c, 9999))
			s.events, s.cursor = all(t, j, 0), j.Cursor()
			s.file = read(t, o.Path)
			used := max(binary.LittleEndian.Uint64(s.file[56:]), binary.LittleEndian.Uint64(s.file[pageSize+56:]))
			s.file = s.file[:(used+1)*pageSize] // without what is taken ahead
			s.mark = read(t, strings.TrimSuffix(o.Path, ".db")+".mark")
		}
		closed(t, j)
	}
	return s
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// place puts a damaged file where a journal is expected.
func (s sample) place(t testing.TB, file []byte) journal.Options {
	t.Helper()
	o := options(newPath(t), newClock())
	for path, b := range map[string][]byte{o.Path: file, strings.TrimSuffix(o.Path, ".db") + ".mark": s.mark} {
		if b == nil {
			continue
		}
		if err := os.WriteFile(path, b, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// survives opens a damaged journal and checks all that must hold whatever the
// damage is. It returns what Open says of it and how many events are missing.
func (s sample) survives(t testing.TB, o journal.Options, file []byte) (*journal.Damage, int) {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatalf("no running journal: %v", err)
	}
	defer j.Close()
	missing := s.holds(t, j, file)
	d := j.Damage()
	// It goes on, and is sound from now on.
	e := appended(t, j, badge(newClock(), 1))
	j.Ack(e.Pos)
	closed(t, j)
	whole(t, o.Path)
	again := open(t, o)
	if again.Damage() != nil {
		t.Errorf("damaged again: %+v", again.Damage())
	}
	if again.Cursor() != e.Pos {
		t.Errorf("cursor %d, want %d", again.Cursor(), e.Pos)
	}
	closed(t, again)
	return d, missing
}

// number is a stream's number.
type number struct {
	stream presence.ID
	seq    uint64
}

// findings are what is in a journal, and what its gaps name.
type findings struct {
	there map[number]presence.Entry
	named map[number]bool
	ends  map[presence.ID]uint64 // from this number on to the stream's end
	gaps  int
}

func findingsIn(t testing.TB, j *journal.Journal) findings {
	t.Helper()
	f := findings{there: make(map[number]presence.Entry), named: make(map[number]bool), ends: make(map[presence.ID]uint64)}
	var last uint64
	for _, e := range all(t, j, 0) {
		if e.Pos <= last {
			t.Fatalf("position %d after %d", e.Pos, last)
		}
		last = e.Pos
		n := number{e.Stream, e.Seq}
		if _, twice := f.there[n]; twice {
			t.Fatalf("seq %d is there twice", e.Seq)
		}
		f.there[n] = e
		if e.Gap != nil {
			f.gaps++
			f.name(e.Gap.Ranges)
		}
	}
	return f
}

func (f findings) name(ranges []presence.Range) {
	for _, r := range ranges {
		if r.Open() {
			f.ends[r.Stream] = r.From
		}
		for seq := r.From; seq <= r.To; seq++ {
			f.named[number{r.Stream, seq}] = true
		}
	}
}

// atEnd tells whether a number is behind a stream's end as the gaps name it.
func (f findings) atEnd(n number) bool {
	from, ok := f.ends[n.stream]
	return ok && n.seq >= from
}

// holds checks the journal that was made of a damaged sample: what is there is as it
// was, what is not there is named, and nothing is there that never was. It tells how
// many events are missing.
func (s sample) holds(t testing.TB, j *journal.Journal, file []byte) (missing int) {
	t.Helper()
	f, d := findingsIn(t, j), j.Damage()
	for n := range f.there {
		if f.atEnd(n) {
			t.Errorf("seq %d is there, and named as missing", n.seq)
		}
		if f.named[n] {
			t.Errorf("seq %d is there and named as missing", n.seq)
		}
	}
	for _, want := range s.events {
		n := number{want.Stream, want.Seq}
		if e, ok := f.there[n]; ok {
			if !reflect.DeepEqual(want, e) {
				t.Fatalf("an event has changed:\n%s", cmp.Diff(want, e))
			}
			delete(f.there, n)
			continue
		}
		missing++
		s.mayMiss(t, want, d, f, file)
	}
	for n, e := range f.there {
		if n.stream != j.Stream() {
			t.Errorf("an event that never was: %+v", e)
		}
	}
	if (d != nil) != (f.gaps > 0) {
		t.Errorf("damage %+v and %d gaps", d, f.gaps)
	}
	return missing
}

// mayMiss checks that an event may be missing: no whole record of it was left, and a
// gap names it.
func (s sample) mayMiss(t testing.TB, want presence.Entry, d *journal.Damage, f findings, file []byte) {
	t.Helper()
	n := number{want.Stream, want.Seq}
	if at := bytes.Index(file, recordOf(want)); at >= 0 && !torn(s, file, at) {
		t.Errorf("event %d was whole at %d and was not salvaged", want.Pos, at)
	}
	if f.atEnd(n) || f.named[n] {
		return
	}
	endUnknown := d != nil && d.EndUnknown
	// Without the mark and without any record there is nothing to tell by.
	if endUnknown && want.Pos > s.cursor && n.stream == s.events[len(s.events)-1].Stream && s.mark != nil {
		t.Errorf("event %d (seq %d) of the last stream is missing and no gap names it", want.Pos, want.Seq)
	}
	if !endUnknown {
		t.Errorf("event %d (seq %d) is missing and no gap names it", want.Pos, want.Seq)
	}
}

// recordOf is the beginning of a record as it lies in the file, up to its
// checksum: key, version, and behind length, attempt and checksum the stream and
// the number. Only the last part is the same for certain.
func recordOf(e presence.Entry) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), e.Stream[:]...), e.Seq)
}

// torn tells whether the record around at differs from the sample's.
func torn(s sample, file []byte, at int) bool {
	from, to := max(at-19, 0), min(at+500, len(file))
	record := file[from:to]
	// Some copy of the record in the sound file starts the same way: take the
	// length that it has there.
	n := 35 + 8 + int(binary.BigEndian.Uint16(record[9:]))
	return n > len(record) || !bytes.Contains(s.file, record[:n])
}

func quarantined(t testing.TB, o journal.Options) []string {
	t.Helper()
	names, err := filepath.Glob(o.Path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}
