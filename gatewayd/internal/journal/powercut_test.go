package journal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"presence/scripts/skiptest"
)

// TestEveryCut lets a journal live through taps, tags, acknowledgements,
// retention, a full disk, damage, restarts and kills, and cuts the power before
// every single operation on the disk. After each cut the journal opens, and what
// was promised holds.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	mountDisk(t, nil) // without one there is nothing to cut, and to count
	var mu sync.Mutex
	boundaries, gaps, seals, kinds := 0, 0, 0, make(map[cutKind]int)
	t.Run("lives", func(t *testing.T) {
		for _, life := range [][]string{{"ends", "dies", "ends"}, {"full", "ends"}, {"tears", "mends"}} {
			t.Run(strings.Join(life, " "), func(t *testing.T) {
				t.Parallel()
				n, w, each := cutEverywhere(t, life)
				mu.Lock()
				defer mu.Unlock()
				boundaries += n
				gaps += w.gaps
				seals += w.seals
				for kind, n := range each {
					kinds[kind] += n
				}
			})
		}
	})
	t.Logf("%d cut points, cuts: %v, %d seals", boundaries, kinds, seals)
	if seals < 20 {
		t.Errorf("only %d seals", seals)
	}
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
func cutEverywhere(t *testing.T, life []string) (boundaries int, w *told, kinds map[cutKind]int) {
	d, at := mountDisk(t, nil)
	p := newPlatter()
	w = newTold()
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
	return boundaries, w, kinds
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
