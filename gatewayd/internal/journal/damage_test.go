package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

const pageSize = 4096

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
	got := all(t, j, 0)
	type id struct {
		stream presence.ID
		seq    uint64
	}
	there, named := make(map[id]presence.Entry), make(map[id]bool)
	ends := make(map[presence.ID]uint64) // from this number on to the stream's end
	var last uint64
	gaps := 0
	for _, e := range got {
		if e.Pos <= last {
			t.Fatalf("position %d after %d", e.Pos, last)
		}
		last = e.Pos
		if _, twice := there[id{e.Stream, e.Seq}]; twice {
			t.Fatalf("seq %d is there twice", e.Seq)
		}
		there[id{e.Stream, e.Seq}] = e
		if e.Gap == nil {
			continue
		}
		gaps++
		for _, r := range e.Gap.Ranges {
			if r.Open() {
				ends[r.Stream] = r.From
			}
			for seq := r.From; seq <= r.To; seq++ {
				named[id{r.Stream, seq}] = true
			}
		}
	}
	for k := range there {
		if from, ok := ends[k.stream]; ok && k.seq >= from {
			t.Errorf("seq %d is there, and named as missing", k.seq)
		}
	}
	d := j.Damage()
	missing := 0
	for _, want := range s.events {
		k := id{want.Stream, want.Seq}
		e, ok := there[k]
		if ok {
			if !reflect.DeepEqual(want, e) {
				t.Fatalf("an event has changed:\n%s", cmp.Diff(want, e))
			}
			delete(there, k)
			continue
		}
		missing++
		// It may be missing only if no whole record of it was left.
		if at := bytes.Index(file, recordOf(want)); at >= 0 && !torn(s, file, at) {
			t.Errorf("event %d was whole at %d and was not salvaged", want.Pos, at)
		}
		if from, ok := ends[k.stream]; ok && k.seq >= from {
			continue
		}
		// Without the mark and without any record there is nothing to tell by.
		if d != nil && d.EndUnknown && !named[k] && want.Pos > s.cursor && k.stream == s.events[len(s.events)-1].Stream && s.mark != nil {
			t.Errorf("event %d (seq %d) of the last stream is missing and no gap names it", want.Pos, want.Seq)
		}
		if !named[k] && (d == nil || !d.EndUnknown) {
			t.Errorf("event %d (seq %d) is missing and no gap names it", want.Pos, want.Seq)
		}
	}
	for k, e := range there {
		if k.stream != j.Stream() {
			t.Errorf("an event that never was: %+v", e)
		}
	}
	for k := range named {
		if _, ok := there[k]; ok {
			t.Errorf("seq %d is there and named as missing", k.seq)
		}
	}
	if (d != nil) != (gaps > 0) {
		t.Errorf("damage %+v and %d gaps", d, gaps)
	}
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
			if r, err := journal.Verify(t.Context(), o.Path); (err == nil) != (file != nil) {
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

// TestEveryPageDamaged damages each page in turn, in several ways.
func TestEveryPageDamaged(t *testing.T) {
	t.Parallel()
	s := newSample(t, 50)
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
			r, err := journal.Verify(t.Context(), o.Path)
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

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func TestThingsThatAreNoFile(t *testing.T) {
	t.Parallel()
	s := newSample(t, 10)
	for name, make := range map[string]func(path string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"another bbolt file": func(path string) error {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 16384})
			if err != nil {
				return err
			}
			return db.Close()
		},
		"another database with our page size": func(path string) error {
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
			if err != nil {
				return err
			}
			return db.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.place(t, nil)
			if err := make(o.Path); err != nil {
				t.Fatal(err)
			}
			d, _ := s.survives(t, o, nil)
			if d == nil || d.Quarantine == "" {
				t.Errorf("damage: %+v", d)
			}
		})
	}
}

func TestAnEmptyFileWhereNoneWasIsNoDamage(t *testing.T) {
	o := sample{}.place(t, []byte{})
	if d := open(t, o).Damage(); d != nil {
		t.Errorf("damage: %+v", d)
	}
}

// TestPermissionIsNoDamage: what keeps a journal from being opened, and says
// nothing of it, never puts it aside. It is there again when its cause is gone.
func TestPermissionIsNoDamage(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can become another user")
		}
		t.Skip("only root can become another user")
	}
	s := newSample(t, 10)
	for name, c := range map[string]struct {
		spoil, mend func(path string) error
		says        string
	}{
		"unreadable": {
			func(path string) error { return os.Chmod(path, 0o000) },
			func(path string) error { return os.Chmod(path, 0o666) }, "permission denied",
		},
		"read-only": {
			func(path string) error { return os.Chmod(path, 0o444) },
			func(path string) error { return os.Chmod(path, 0o666) }, "permission denied",
		},
		"immutable folder": {
			func(path string) error {
				return errors.Join(os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o666))
			},
			func(path string) error { return os.Chmod(filepath.Dir(path), 0o777) }, "permission denied",
		},
		"link to itself": {
			func(path string) error { return errors.Join(os.Rename(path, path+".there"), os.Symlink(path, path)) },
			func(path string) error { return errors.Join(os.Rename(path+".there", path), os.Chmod(path, 0o666)) }, "too many levels",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.place(t, s.file)
			dir := filepath.Dir(o.Path)
			exe := filepath.Join(fastDir(t), "test")
			if err := errors.Join(
				os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(exe), 0o755), os.WriteFile(exe, read(t, os.Args[0]), 0o755), c.spoil(o.Path),
			); err != nil {
				t.Fatal(err)
			}
			asNobody := func() ([]byte, error) {
				cmd := exec.Command(exe)
				cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS=damaged", "JOURNAL_TEST_DIR="+dir)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				return cmd.CombinedOutput()
			}
			out, err := asNobody()
			if err == nil || !bytes.Contains(out, []byte(c.says)) {
				t.Fatalf("%v: %s", err, out)
			}
			if q := quarantined(t, o); len(q) > 0 {
				t.Errorf("put aside: %v", q)
			}
			if err := c.mend(o.Path); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, o.Path), s.file) {
				t.Error("the journal is another")
			}
			if out, err := asNobody(); err != nil || bytes.Contains(out, []byte("damage")) {
				t.Errorf("when its cause is gone: %v: %s", err, out)
			}
			if r := whole(t, o.Path); r.Events < int64(len(s.events)) {
				t.Errorf("%d events, want %d", r.Events, len(s.events))
			}
		})
	}
}

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
			events := all(t, j, 0)
			f, err := os.OpenFile(o.Path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			file := read(t, o.Path)
			at := bytes.LastIndex(file, recordOf(events[100]))
			if where == "page" {
				at = at / pageSize * pageSize
			}
			if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 60), int64(at)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			var failure error
			for after := uint64(0); failure == nil; {
				es, err := j.Next(t.Context(), after, 10)
				if failure = err; err == nil {
					after = es[len(es)-1].Pos
				}
			}
			<-j.Failed()
			if _, err := j.Append(t.Context(), badge(c, 2)); err == nil {
				t.Error("a failed journal took a tap")
			}
			closed(t, j)
			s := sample{file: file, events: events}
			d, missing := s.survives(t, o, read(t, o.Path))
			if d == nil || missing == 0 && where == "value" || missing > 30 {
				t.Errorf("%d missing, damage %+v", missing, d)
			}
		})
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
		for _, e := range all(t, j, 0) {
			if e.Stream == newest {
				last = e.Seq
			}
			if e.Gap == nil {
				continue
			}
			for _, r := range e.Gap.Ranges {
				if !r.Open() {
					continue
				}
				if open != 0 || r.Stream != newest {
					t.Errorf("another open range: %+v", r)
				}
				open = r.From
			}
		}
		return open, last
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
