package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestMain lets this binary be the process under test as well: a process that
// is killed, that lives on a disk with faults, or that is another user's.
func TestMain(m *testing.M) {
	if what := os.Getenv("JOURNAL_TEST_PROCESS"); what != "" {
		if err := process(what, os.Getenv("JOURNAL_TEST_DIR")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run runs a process under test and returns what it prints.
func run(t testing.TB, what, dir string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS="+what, "JOURNAL_TEST_DIR="+dir,
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else each costs a second under the race detector
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func process(what, dir string) error {
	switch what {
	case "damaged":
		j, err := journal.Open(options(filepath.Join(dir, "journal.db"), newClock()))
		if err != nil {
			return err
		}
		if d := j.Damage(); d != nil {
			fmt.Printf("damage: %+v\n", *d)
		}
		return j.Close()
	case "ends", "dies", "full", "mends":
		return newOffice(dir, what).run()
	case "faults":
		return newOffice(dir, what).faults()
	case "on":
		return newOffice(dir, what).on()
	case "fills":
		return newOffice(dir, what).fills()
	case "tears":
		return newOffice(dir, what).tears()
	case "forgets":
		return newOffice(dir, what).forgets()
	}
	return fmt.Errorf("what is %q", what)
}

// office is the life that a journal leads in a process under test: taps from
// two doors, tags, and a city that reads and acknowledges. It notes what it
// asks for, before, and what it was told, after.
type office struct {
	what  string
	notes *os.File
	clock *sharedClock
	opt   journal.Options
	next  int // number of the next draft
	mu    sync.Mutex
	j     *journal.Journal
}

type sharedClock struct {
	mu sync.Mutex
	clock
}

func (c *sharedClock) now() presence.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass(time.Minute)
	return c.at
}

func newOffice(dir, what string) *office {
	c := &sharedClock{clock: *newClock()}
	o := options(filepath.Join(dir, "journal.db"), nil)
	o.Now = c.now
	o.Keep = 20 * time.Minute
	o.CommitInterval = 3 * time.Millisecond
	if what == "full" {
		o.MaxBytes = 350 << 10
	}
	return &office{what: what, clock: c, opt: o, next: os.Getpid() * 10_000}
}

func (o *office) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := fmt.Fprintf(o.notes, format+"\n", args...); err != nil {
		panic(err)
	}
}

func (o *office) number() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	return o.next
}

func (o *office) open() (err error) {
	dir := filepath.Dir(o.opt.Path)
	if o.notes, err = os.OpenFile(filepath.Join(dir, notes), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
		return err
	}
	o.say("open")
	o.j, err = journal.Open(o.opt)
	if err == nil && (o.j.Damage() != nil) != (o.what == "mends") {
		err = fmt.Errorf("damaged: %+v", o.j.Damage())
	}
	if err == nil {
		o.say("opened")
	}
	return err
}

// tears shows some badges and then damages the file, in a way that loses
// nothing: the older of the two meta pages says that it is another.
func (o *office) tears() error {
	if err := o.open(); err != nil {
		return err
	}
	for range 10 {
		if err := errors.Join(o.tag(), o.tap()); err != nil {
			return err
		}
	}
	if err := o.j.Close(); err != nil {
		return err
	}
	path := o.opt.Path
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	older := int64(0)
	if binary.LittleEndian.Uint64(b[pageSize+64:]) < binary.LittleEndian.Uint64(b[64:]) {
		older = pageSize
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{7}, older)
	return errors.Join(err, f.Sync(), f.Close())
}

// tap shows a badge and tells whether the lamp was green.
func (o *office) tap() error {
	n := o.number()
	o.say("ask %d", n)
	d := presence.Draft{Kind: presence.KindBadge, At: o.clock.now(), Badge: &presence.Badge{
		Reader: "door", Badge: strconv.Itoa(n), Card: "mifare-classic-1k", Assurance: "uid",
	}}
	e, err := o.j.Append(context.Background(), d)
	if err == nil {
		o.say("green %d %s %d %d", n, e.Stream, e.Seq, e.Pos)
	}
	return err
}

func (o *office) tag() error {
	n := o.number()
	o.say("ask %d", n)
	d := presence.Draft{Kind: presence.KindTag, At: o.clock.now(), Tag: &presence.Tag{
		Receiver: "yard", Tag: "kenwood:" + strconv.Itoa(n%3), FixTime: int64(n), Fix: presence.FixLive,
	}}
	return o.j.Enqueue(context.Background(), d)
}

// numberOf is the number of the draft that an event was.
func numberOf(e presence.Entry) string {
	switch {
	case e.Badge != nil && e.Badge.Badge != somebody:
		return e.Badge.Badge
	case e.Tag != nil:
		return strconv.FormatInt(e.Tag.FixTime, 10)
	}
	return "0"
}

// city reads, and acknowledges some.
func (o *office) city(ctx context.Context, acks bool) {
	after := o.j.Cursor()
	for n := 0; ; n++ {
		es, err := o.j.Next(ctx, after, 7)
		if err != nil {
			return
		}
		for _, e := range es {
			o.say("sent %s %s %d %d", numberOf(e), e.Stream, e.Seq, e.Pos)
			after = e.Pos
		}
		if acks && n%3 == 0 {
			o.say("ack %d", after)
			o.j.Ack(after)
		}
	}
}

func (o *office) run() error {
	if err := o.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var w sync.WaitGroup
	w.Go(func() { o.city(ctx, o.what != "full") })
	var doors sync.WaitGroup
	errs := make([]error, 2)
	for door := range errs {
		doors.Go(func() {
			taps, tags := 12, door
			if o.what == "full" {
				taps, tags = 22, 8
			}
			for i := range taps {
				for range tags {
					errs[door] = errors.Join(errs[door], o.tag())
				}
				errs[door] = errors.Join(errs[door], o.tap())
				if i%10 == 9 {
					errs[door] = errors.Join(errs[door], o.j.Flush(ctx))
				}
			}
		})
	}
	doors.Wait()
	if o.what == "dies" {
		os.Exit(0) // without a word to anybody
	}
	cancel()
	w.Wait()
	return errors.Join(errors.Join(errs...), o.j.Close())
}

// on goes on for ever, and speaks on its standard output.
func (o *office) on() error {
	if err := o.open(); err != nil {
		return err
	}
	o.notes = os.Stdout
	go o.city(context.Background(), true)
	for {
		if err := errors.Join(o.tag(), o.tap()); err != nil {
			return err
		}
	}
}

// faults shows badges until the journal fails, or twenty.
func (o *office) faults() error {
	if err := o.open(); err != nil {
		fmt.Println("not opened:", err)
		return nil
	}
	for n := range 8 {
		if n == 4 {
			if _, err := o.j.Forget(context.Background(), func(*presence.Record) bool { return false }); err != nil {
				fmt.Println("not written anew:", err)
			}
		}
		if err := o.tag(); err != nil {
			fmt.Println("tag:", err)
		}
		if err := o.tap(); err != nil {
			fmt.Println("red:", err)
		}
		select {
		case <-o.j.Failed():
			fmt.Println("failed:", o.j.Err())
			if err := o.tap(); err == nil {
				return errors.New("a failed journal has accepted a tap")
			}
			return o.j.Close()
		default:
		}
	}
	err := o.j.Close()
	if why := o.j.Err(); why != nil {
		fmt.Println("failed:", why)
	}
	return err
}

// fills shows badges until ten were red and five green again.
func (o *office) fills() error {
	if err := o.open(); err != nil {
		return err
	}
	reasons, red := make(map[string]int), 0
	for green := 0; green < 5; {
		if err := o.tag(); err != nil {
			return err
		}
		err := o.tap()
		var why *journal.Error
		switch {
		case err == nil && red >= 10:
			green++
		case errors.As(err, &why):
			reasons[why.Reason()]++
			red++
			o.say("red %s", why.Reason())
		case err != nil:
			return err
		}
	}
	fmt.Println("red:", reasons)
	if err := o.j.Flush(context.Background()); err != nil {
		return err
	}
	lost := 0
	for _, err := range []error{o.j.Scan(context.Background(), func(e presence.Entry) error {
		if e.Gap != nil {
			lost += e.Gap.Kinds["badge"]
		}
		return nil
	}), o.j.Close()} {
		if err != nil {
			return err
		}
	}
	if lost != red {
		return fmt.Errorf("%d taps were red, the ledger has %d", red, lost)
	}
	return nil
}

// told is what the notes say up to some point.
type told struct {
	asked   map[string]bool
	known   []knownEvent       // that were green, or sent
	byPlace map[eventID]string // whose number is what event
	acked   uint64
	opening bool // the journal is being opened
	damaged bool // it may be found damaged: somebody has torn it
	gaps    int  // the most numbers that gaps have named

	ofSomebody int    // events about that person that holds has found last
	rest       string // of a line: the kernel cuts what is written at its pages
}

type knownEvent struct {
	eventID
	number string
	pos    uint64
	green  bool
}

// eventID is the id under which the city knows an event.
type eventID struct {
	stream presence.ID
	seq    uint64
}

func (e eventID) String() string { return fmt.Sprintf("%s-%d", e.stream, e.seq) }

func newTold() *told {
	return &told{asked: make(map[string]bool), byPlace: make(map[eventID]string)}
}

func (w *told) listen(t testing.TB, data []byte) {
	t.Helper()
	w.rest += string(data)
	for {
		line, rest, whole := strings.Cut(w.rest, "\n")
		if !whole {
			return
		}
		w.rest = rest
		f := strings.Fields(line)
		number := func(i int) uint64 {
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				t.Fatalf("note %q: %v", line, err)
			}
			return n
		}
		switch f[0] {
		case "open", "opened":
			w.opening = f[0] == "open"
		case "ask":
			w.asked[f[1]] = true
		case "ack":
			w.acked = max(w.acked, number(1))
		case "green", "sent":
			stream, err := presence.ParseID(f[2])
			if err != nil {
				t.Fatalf("note %q: %v", line, err)
			}
			e := knownEvent{eventID: eventID{stream, number(3)}, number: f[1], pos: number(4), green: f[0] == "green"}
			if n, ok := w.byPlace[e.eventID]; ok && n != e.number {
				t.Fatalf("seq %s is of event %s and of event %s", e.eventID, n, e.number)
			}
			w.byPlace[e.eventID] = e.number
			w.known = append(w.known, e)
		}
	}
}

// holds opens a journal as it was found and checks it against what was told.
// Thoroughly, it is closed and verified as well.
func (w *told) holds(o journal.Options, thoroughly bool) error {
	j, err := journal.Open(o)
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	defer j.Close()
	if d := j.Damage(); d != nil && !w.damaged {
		return fmt.Errorf("a power cut is no damage: %+v", *d)
	}
	if c := j.Cursor(); c > w.acked {
		return fmt.Errorf("cursor %d, but only %d was acknowledged", c, w.acked)
	}
	there := make(map[eventID]uint64) // where
	numbers := make(map[string]bool)
	named := make(map[eventID]bool)
	var last presence.Entry
	w.ofSomebody = 0
	err = j.Scan(context.Background(), func(e presence.Entry) error {
		if ofSomebody(&e.Record) {
			w.ofSomebody++
		}
		place := eventID{e.Stream, e.Seq}
		n := numberOf(e)
		switch {
		case e.Pos <= last.Pos:
			return fmt.Errorf("position %d after %d", e.Pos, last.Pos)
		case e.Stream == last.Stream && e.Seq <= last.Seq:
			return fmt.Errorf("seq %d after %d", e.Seq, last.Seq)
		case n != "0" && numbers[n]:
			return fmt.Errorf("event %s is there twice", n)
		case n != "0" && !w.asked[n]:
			return fmt.Errorf("event %s was never recorded", n)
		}
		if known, ok := w.byPlace[place]; ok && (known != n || e.Stream == j.Stream()) {
			return fmt.Errorf("seq %s was event %s and is event %s", place, known, n)
		}
		if e.Gap != nil {
			for _, r := range e.Gap.Ranges {
				for seq := r.From; seq <= r.To; seq++ {
					named[eventID{r.Stream, seq}] = true
				}
			}
		}
		numbers[n], there[place], last = true, e.Pos, e
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range w.known {
		if pos, ok := there[k.eventID]; ok {
			if pos != k.pos {
				return fmt.Errorf("event %s was at %d and is at %d", k.number, k.pos, pos)
			}
			continue
		}
		if k.pos > w.acked && (k.green || !named[k.eventID]) {
			return fmt.Errorf("event %s (green %t, seq %s, position %d) is missing", k.number, k.green, k.eventID, k.pos)
		}
	}
	w.gaps = max(w.gaps, len(named))
	if !thoroughly {
		return nil
	}
	if err := j.Close(); err != nil {
		return err
	}
	r, err := journal.Verify(context.Background(), o.Path)
	if err == nil && !r.Whole() {
		err = fmt.Errorf("not whole: %s", r)
	}
	return err
}

// TestEveryCut lets a journal live through taps, tags, acknowledgements,
// retention, a full disk, damage, restarts and kills, and cuts the power before
// every single operation on the disk. After each cut the journal opens, and what
// was promised holds.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	mountDisk(t, nil) // without one there is nothing to cut, and to count
	var mu sync.Mutex
	boundaries, gaps, kinds := 0, 0, make(map[cutKind]int)
	t.Run("lives", func(t *testing.T) {
		for _, life := range [][]string{{"ends", "dies", "ends"}, {"full", "ends"}, {"tears", "mends"}} {
			t.Run(strings.Join(life, " "), func(t *testing.T) {
				t.Parallel()
				n, named, each := cutEverywhere(t, life)
				mu.Lock()
				defer mu.Unlock()
				boundaries += n
				gaps += named
				for kind, n := range each {
					kinds[kind] += n
				}
			})
		}
	})
	t.Logf("%d cut points, cuts: %v", boundaries, kinds)
	if gaps == 0 {
		t.Error("the journal was never full")
	}
	if boundaries < 1000 {
		t.Errorf("only %d cut points", boundaries)
	}
}

// cutEverywhere cuts the power at every operation of a life, once with one kind
// of cut after the other; and with each kind while the journal is being made or
// mended, which is when its name and what is behind it come about; with two kinds
// there, in turn, unless EVERY_FAULT=1 is set.
func cutEverywhere(t *testing.T, life []string) (boundaries, gaps int, kinds map[cutKind]int) {
	d, at := mountDisk(t, nil)
	p, w := newPlatter(), newTold()
	for _, what := range life {
		w.damaged = w.damaged || what == "tears"
		if out, err := run(t, what, at); err != nil {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
	}
	dir := fastDir(t)
	o := options(filepath.Join(dir, "journal.db"), newClock())
	rng := rand.New(rand.NewPCG(5, 6))
	some := []cutKind{cutKept, cutPart, cutReordered, cutTorn512, cutTorn4K}
	kinds = make(map[cutKind]int)
	cuts := 0
	changed := true // what is certain, or what was told
	for i, next := range d.history() {
		if next.kind == opNote {
			w.listen(t, next.data)
			changed = true
			continue
		}
		boundaries++
		kindsHere := []cutKind{some[i%len(some)]}
		switch {
		case w.opening && everyFault():
			kindsHere = slices.Clone(some)
		case w.opening:
			kindsHere = append(kindsHere, some[(i+i/len(some)+2)%len(some)])
		}
		if changed { // else dropped would be found as it was before
			kindsHere = append(kindsHere, cutDropped)
		}
		for _, kind := range kindsHere {
			put(t, dir, p.cut(kind, rng))
			if err := w.holds(o, cuts%10 == 0); err != nil {
				t.Fatalf("power cut before operation %d (%s %s at %d), unsynced writes %s: %v", i, next.kind, next.name, next.off, kind, err)
			}
			cuts++
			kinds[kind]++
		}
		p.add(next)
		changed = next.kind == opSync || next.kind == opSyncDir
	}
	return boundaries, w.gaps, kinds
}

// put makes a directory hold exactly these files.
func put(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	old, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, withoutEnd(b), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutEnd is b without the zeros at its end, more or less.
func withoutEnd(b []byte) []byte {
	var zeros [pageSize]byte
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros[:]) {
		b = b[:len(b)-len(zeros)]
	}
	return b
}

// everyFault tells whether the long forms of tests are asked for, as by make torture.
func everyFault() bool { return os.Getenv("EVERY_FAULT") != "" }

// TestEveryFault lets each single write and sync fail in turn. A tap that meets
// it is red; what was green is there afterwards, whether the disk kept what it
// had not synced or not; and after a failed sync the journal says that it is
// finished.
//
// What the disk says is another thing at each place; with EVERY_FAULT=1 it says
// everything at every place, as make torture has it.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	answers := []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS}
	for offset, kind := range []opKind{opWrite, opSync, opSize, opSyncDir, opRename} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			points, outcomes := 0, make(map[string]int)
			for n, hit := 0, true; hit; n++ {
				said := answers
				if !everyFault() {
					said = answers[(n+offset)%len(answers):][:1]
				}
				for _, errno := range said {
					if hit = faultAt(t, kind, n, errno, outcomes); hit {
						points++
					}
				}
			}
			t.Logf("%d points: %v", points, outcomes)
			if points == 0 {
				t.Error("nothing failed")
			}
		})
	}
}

// faultAt lets the nth operation of a kind fail in the life of a journal, and
// looks at what is left. It tells whether there were so many.
func faultAt(t *testing.T, kind opKind, n int, errno syscall.Errno, outcomes map[string]int) bool {
	var hit atomic.Bool
	left := n
	d, at, unmount := mountDiskFor(t, func(o op) syscall.Errno {
		if o.kind == kind && o.file >= 0 && !hit.Load() {
			if left--; left < 0 {
				hit.Store(true)
				return errno
			}
		}
		return 0
	})
	defer unmount()
	out, err := run(t, "faults", at)
	ops := d.history()
	if err != nil {
		t.Fatalf("the %dth %s failed with %v: %v\n%s", n, kind, errno, err, out)
	}
	if !hit.Load() {
		return false
	}
	for line := range strings.Lines(out) {
		outcome, _, _ := strings.Cut(line, ":")
		outcomes[outcome]++
	}
	if journalSyncFailed(ops) && !strings.Contains(out, "failed:") && !strings.Contains(out, "not opened:") {
		t.Errorf("the %dth sync failed, and the journal went on:\n%s", n, out)
	}
	dir := fastDir(t)
	for _, cut := range []cutKind{cutDropped, cutKept, cutTorn512} {
		p, w := newPlatter(), newTold()
		p.loses = cut != cutKept
		for _, o := range ops {
			if o.kind == opNote {
				w.listen(t, o.data)
			}
			p.add(o)
		}
		put(t, dir, p.cut(cut, rand.New(rand.NewPCG(uint64(n), 1))))
		if err := w.holds(options(filepath.Join(dir, "journal.db"), newClock()), true); err != nil {
			t.Fatalf("after the %dth %s failed with %v, unsynced writes %s: %v\n%s", n, kind, errno, cut, err, out)
		}
	}
	return true
}

// TestADiskThatIsFullForAWhile refuses room from some point on, until some taps
// were red: all goes on by itself then, without a restart, and the ledger names
// what was refused.
func TestADiskThatIsFullForAWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		errno  syscall.Errno
		kinds  []opKind
		reason string
	}{
		{syscall.ENOSPC, []opKind{opSize}, "disk-full"},
		{syscall.ENOSPC, []opKind{opSize, opWrite}, "disk-full"},
		{syscall.EROFS, []opKind{opSize, opWrite}, "read-only"},
	} {
		t.Run(fmt.Sprintf("%v at %v", c.errno, c.kinds), func(t *testing.T) {
			var said []byte
			count := func(word string) int { return bytes.Count(said, []byte(word)) }
			d, at := mountDisk(t, func(o op) syscall.Errno {
				switch {
				case o.kind == opNote:
					said = append(said, o.data...)
				case !slices.Contains(c.kinds, o.kind):
				case o.kind == opWrite && o.off < 2*pageSize:
					// A meta page has its place already. (Would its write fail, nobody
					// could know what the disk holds: see TestEveryFault.)
				case count("green ") >= 20 && count("red ") < 10:
					return c.errno
				}
				return 0
			})
			out, err := run(t, "fills", at)
			if err != nil || !strings.Contains(out, c.reason) {
				t.Fatalf("%v: %s, %d green, %d red", err, out, count("green "), count("red "))
			}
			w, p := newTold(), newPlatter()
			for _, o := range d.history() {
				if o.kind == opNote {
					w.listen(t, o.data)
				}
				p.add(o)
			}
			dir := fastDir(t)
			put(t, dir, p.cut(cutDropped, nil))
			if err := w.holds(options(filepath.Join(dir, "journal.db"), newClock()), true); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// journalSyncFailed tells whether a sync of the journal in use failed: that of
// its mark may, and that of a file that has not taken its place.
func journalSyncFailed(ops []op) bool {
	names := make(map[int]string)
	for _, o := range ops {
		switch o.kind {
		case opCreate:
			names[o.file] = o.name
		case opRename:
			for file, name := range names {
				if name == o.name {
					names[file] = o.to
				}
			}
		case opLose:
			if names[o.file] == "journal.db" {
				return true
			}
		}
	}
	return false
}
