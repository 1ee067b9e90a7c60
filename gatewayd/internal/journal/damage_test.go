package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

const pageSize = 4096

func TestDamageAndItsOutcome(t *testing.T) {
	t.Parallel()
	s := newSample(t, 300)
	meta := func(b []byte, id int) []byte { return b[id*pageSize : (id+1)*pageSize] }
	newest := func(b []byte) int {
		if binary.LittleEndian.Uint64(b[pageSize+64:]) > binary.LittleEndian.Uint64(b[64:]) {
			return 1
		}
		return 0
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name    string
		damage  func([]byte) []byte
		atMost  int  // so many events may be missing
		unknown bool // nobody can know whether something is missing at the end
	}{
		{"truncated in the middle", func(b []byte) []byte { return b[:len(b)/2] }, 903, true},
		{"truncated within a page", func(b []byte) []byte { return b[:10*pageSize+77] }, 903, true},
		{"only one page left", func(b []byte) []byte { return b[:pageSize] }, 904, true},
		{"only ten bytes left", func(b []byte) []byte { return b[:10] }, 904, true},
		{"empty", func([]byte) []byte { return []byte{} }, 904, true},
		{"gone", func([]byte) []byte { return nil }, 904, true},
		{"all zero", func(b []byte) []byte { return make([]byte, len(b)) }, 904, true},
		{"all garbage", func(b []byte) []byte {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			return b
		}, 904, true},
		{"newest meta page torn", func(b []byte) []byte { clear(meta(b, newest(b))[40:]); return b }, 0, true},
		{"older meta page torn", func(b []byte) []byte { clear(meta(b, 1-newest(b))[40:]); return b }, 0, true},
		{"both meta pages zero", func(b []byte) []byte { clear(b[:2*pageSize]); return b }, 0, true},
		{"meta pages of another page size", func(b []byte) []byte {
			for id := range 2 {
				binary.LittleEndian.PutUint32(meta(b, id)[24:], 16384)
			}
			return b
		}, 0, true},
		{"a text file", func([]byte) []byte { return []byte(strings.Repeat("not a journal\n", 1000)) }, 904, true},
		{"trailing garbage", func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xB1}, 9999)...) }, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := c.damage(bytes.Clone(s.file))
			o := s.place(t, file)
			if r, err := journal.Verify(t.Context(), o.Path, nil); (err == nil) != (file != nil) {
				t.Errorf("verify: %v", err)
			} else if file != nil && r.Whole() != (c.name == "trailing garbage") {
				t.Errorf("verify says:\n%s", r)
			}
			d, missing := s.survives(t, o, file)
			t.Logf("%d missing; %+v", missing, d)
			if missing > c.atMost {
				t.Errorf("%d events are missing, want at most %d", missing, c.atMost)
			}
			if c.name == "trailing garbage" {
				if d != nil {
					t.Errorf("this is no damage: %+v", d)
				}
				return
			}
			if d == nil {
				t.Fatal("Open says nothing of the damage")
			}
			if want := int(s.events[len(s.events)-1].Pos - s.cursor); c.atMost == 0 && d.Waiting != want {
				t.Errorf("%d events wait, want %d: what was delivered comes again", d.Waiting, want)
			}
			if d.EndUnknown != c.unknown {
				t.Errorf("end unknown: %t", d.EndUnknown)
			}
			if file == nil {
				if d.Quarantine != "" {
					t.Errorf("nothing is kept as %s", d.Quarantine)
				}
			} else if !bytes.Equal(read(t, d.Quarantine), file) {
				t.Error("the damaged file was not kept as it was")
			}
		})
	}
}

// TestEveryPageDamaged damages each page in turn, in several ways. With EVERY_FAULT=1
// those of a larger file.
func TestEveryPageDamaged(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	events := 30
	if everyFault() {
		events = 50
	}
	s := newSample(t, events)
	rng := rand.New(rand.NewPCG(1, 2))
	outcomes := make(map[string]int)
	for page := range len(s.file) / pageSize {
		for name, damage := range map[string]func(p []byte){
			"zero":     func(p []byte) { clear(p) },
			"garbage":  func(p []byte) { fill(rng, p) },
			"half":     func(p []byte) { clear(p[2048:]) },
			"sector":   func(p []byte) { fill(rng, p[512*rng.IntN(8):][:512]) },
			"one bit":  func(p []byte) { p[rng.IntN(len(p))] ^= 1 << rng.IntN(8) },
			"header":   func(p []byte) { fill(rng, p[:16]) },
			"overflow": func(p []byte) { binary.LittleEndian.PutUint32(p[12:], rng.Uint32()) },
			"elements": func(p []byte) { fill(rng, p[16:200]) },
			"another":  func(p []byte) { copy(p, s.file[rng.IntN(len(s.file)/pageSize)*pageSize:][:pageSize]) },
		} {
			file := bytes.Clone(s.file)
			damage(file[page*pageSize:][:pageSize])
			o := s.place(t, file)
			r, err := journal.Verify(t.Context(), o.Path, nil)
			if err != nil {
				t.Fatal(err)
			}
			d, missing := s.survives(t, o, file)
			if r.Whole() != (d == nil) {
				t.Errorf("verify and Open do not agree: %s", r)
			}
			if t.Failed() {
				t.Fatalf("page %d, %s: %+v", page, name, d)
			}
			if d == nil && missing > 0 {
				t.Fatalf("page %d, %s: %d events are missing without a word", page, name, missing)
			}
			if missing > 30 {
				t.Fatalf("page %d, %s: %d events are missing, more than a page holds", page, name, missing)
			}
			switch {
			case d == nil:
				outcomes["sound"]++
			case missing == 0:
				outcomes["all salvaged"]++
			default:
				outcomes["some lost"]++
			}
		}
	}
	t.Log(outcomes)
}

// TestDamageWhileRunning: damage that shows while the journal is in use makes it fail,
// and is mended at the next start.
func TestDamageWhileRunning(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"value", "page"} {
		t.Run(where, func(t *testing.T) {
			c := newClock()
			o := options(newPath(t), c)
			j := open(t, o)
			for i := range 200 {
				enqueue(t, j, tag(c, i))
			}
			flushed(t, j)
			appended(t, j, badge(c, 1))
			s := sample{file: read(t, o.Path), events: all(t, j, 0)}
			at := bytes.LastIndex(s.file, recordOf(s.events[100]))
			if where == "page" {
				at = at / pageSize * pageSize
			}
			overwrite(t, o.Path, bytes.Repeat([]byte{0xff}, 60), int64(at))
			var err error
			for after := uint64(0); err == nil; {
				var es []presence.Entry
				if es, err = j.Next(t.Context(), after, 10); err == nil {
					after = es[len(es)-1].Pos
				}
			}
			<-j.Failed()
			if _, err := j.Append(t.Context(), badge(c, 2)); err == nil {
				t.Error("a failed journal took a tap")
			}
			closed(t, j)
			d, missing := s.survives(t, o, read(t, o.Path))
			if d == nil || missing == 0 && where == "value" || missing > 30 {
				t.Errorf("%d missing, damage %+v", missing, d)
			}
		})
	}
}

// overwrite writes over a part of a file.
func overwrite(t *testing.T, path string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamageDeepInALargeJournal: a large journal is used before all of it was
// looked at. The rest is looked at afterwards, and what is found there is
// accounted for as well.
func TestDamageDeepInALargeJournal(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	large := badge(c, 1)
	large.Badge.Card = strings.Repeat("x", 2500) // two to a leaf
	for range 5000 {
		enqueue(t, j, large)
	}
	flushed(t, j)
	events := all(t, j, 0)
	closed(t, j)
	sound := read(t, o.Path)
	file := bytes.Clone(sound)
	at := bytes.LastIndex(file, recordOf(events[500]))
	file[at+30] ^= 1
	if err := os.WriteFile(o.Path, file, 0o640); err != nil {
		t.Fatal(err)
	}
	j = open(t, o)
	if j.Damage() != nil {
		t.Fatal("all of it was looked at: the test needs a larger journal")
	}
	select {
	case <-j.Failed():
	case <-time.After(20 * time.Second):
		t.Fatal("the damage was not found")
	}
	var why *journal.Error
	if !errors.As(j.Err(), &why) || why.Reason() != "journal-damaged" {
		t.Errorf("failed with %v", j.Err())
	}
	events = append(events, all(t, j, j.End()-1)...)
	closed(t, j)
	d, missing := sample{file: sound, events: events}.survives(t, o, file)
	if d == nil || missing != 1 || len(d.Missing) != 1 {
		t.Errorf("%d missing, damage %+v", missing, d)
	}
}
