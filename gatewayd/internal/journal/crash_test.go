package journal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestKilledAtAnyMoment kills a process that writes, over and over, on the same
// journal: what it had called green is there.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := fastDir(t)
	rng := rand.New(rand.NewPCG(7, 8))
	told := newTold()
	for range 15 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS=on", "JOURNAL_TEST_DIR="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for greens := 5 + rng.IntN(60); greens > 0 && lines.Scan(); {
			told.listen(t, append(lines.Bytes(), '\n'))
			if strings.HasPrefix(lines.Text(), "green") {
				greens--
			}
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		for lines.Scan() { // what it said before it died
			told.listen(t, append(lines.Bytes(), '\n'))
		}
		var died *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &died) || died.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		if err := told.holds(options(filepath.Join(dir, "journal.db"), newClock()), true); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d green or sent", len(told.known))
}

// TestADiskThatIsReallyFull fills a small file system beside the journal.
func TestADiskThatIsReallyFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a small tmpfs: %v", err)
		}
		t.Skipf("mount a small tmpfs (it takes root): %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	c := newClock()
	o := options(filepath.Join(dir, "journal.db"), c)
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	large := badge(c, 1)
	large.Badge.Card = strings.Repeat("x", 2000)
	green, refusals := 50, 0
	for refusals < 20 && green < 10_000 {
		_, err := j.Append(t.Context(), large)
		var why *journal.Error
		switch {
		case err == nil:
			green++
		case errors.As(err, &why) && why.Reason() == "disk-full":
			refusals++
		default:
			t.Fatal(err)
		}
	}
	if free := j.Stats().FreeBytes; free > 300<<10 {
		t.Errorf("%d bytes are said to be free", free)
	}
	for range 5 { // starts on a full disk
		closed(t, j)
		j = open(t, o)
		if d := j.Damage(); d != nil {
			t.Fatalf("damage: %+v", d)
		}
	}
	// What is delivered makes room, without the disk.
	j.Ack(j.End())
	for range 20 {
		appended(t, j, large)
		green++
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	appended(t, j, large)
	closed(t, j)
	whole(t, o.Path)
}

// modelled is what a journal must be, kept in memory.
type modelled struct {
	events []presence.Entry // in the journal and not forgotten
	cursor uint64
	end    uint64
}

// TestJournalAgainstAModel lets a journal and a simple model live through the
// same random life, restarts and crashes among it.
func TestJournalAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
		if err != nil {
			rt.Skip("no place in memory")
		}
		defer os.RemoveAll(dir)
		c := newClock()
		o := options(filepath.Join(dir, "journal.db"), c)
		o.CommitInterval = time.Hour // nothing happens by itself
		o.Keep = day
		var m, disk modelled
		j := reopen(rt, o, &m)
		disk = m
		defer func() { j.Close() }()
		number := 0
		var waiting []presence.Draft
		commit := func() { disk = m }
		record := func(e presence.Entry) {
			m.events = append(m.events, e)
			m.end = e.Pos
		}
		settle := func(n int) {
			for _, d := range waiting[:n] {
				m.end++
				last := m.events[len(m.events)-1]
				record(presence.Entry{Pos: m.end, Record: presence.Record{Stream: last.Stream, Seq: last.Seq + 1, Draft: d}})
			}
			waiting = waiting[n:]
		}
		prune := func() { // what one commit may remove
			for range 256 {
				if len(m.events) == 1 {
					return
				}
				e := m.events[0]
				if age, known := c.now().Since(e.At); e.Pos > m.cursor || !known || age <= o.Keep {
					return
				}
				m.events = m.events[1:]
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"tap": func(rt *rapid.T) {
				number++
				d := badge(c, number)
				e, err := j.Append(t.Context(), d)
				if err != nil {
					rt.Fatal(err)
				}
				if e.Pos != m.end+1 || e.Stream != j.Stream() || e.Seq != m.events[len(m.events)-1].Seq+1 {
					rt.Fatalf("the tap is at %d, seq %d; the model ends at %d", e.Pos, e.Seq, m.end)
				}
				record(e)
				settle(len(waiting))
				prune()
				commit()
			},
			"tag": func(rt *rapid.T) {
				if len(waiting) > 200 {
					return
				}
				number++
				d := tag(c, number)
				if err := j.Enqueue(t.Context(), d); err != nil {
					rt.Fatal(err)
				}
				waiting = append(waiting, d)
			},
			"flush": func(rt *rapid.T) {
				if len(waiting) == 0 {
					return
				}
				if err := j.Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
				settle(len(waiting))
				prune()
				commit()
			},
			"ack": func(rt *rapid.T) {
				pos := rapid.Uint64Range(0, m.end+3).Draw(rt, "pos")
				j.Ack(pos)
				m.cursor = max(m.cursor, min(pos, m.end))
			},
			"time": func(rt *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 20).Draw(rt, "hours")) * time.Hour) },
			"read": func(rt *rapid.T) {
				after := rapid.Uint64Range(0, m.end).Draw(rt, "after")
				i := 0
				for i < len(m.events) && m.events[i].Pos <= after {
					i++
				}
				for i < len(m.events) {
					es, err := j.Next(t.Context(), after, rapid.IntRange(1, 700).Draw(rt, "max"))
					if err != nil {
						rt.Fatal(err)
					}
					for _, e := range es {
						if !same(e, m.events[i]) {
							rt.Fatalf("read %+v, want %+v", e, m.events[i])
						}
						i++
						after = e.Pos
					}
				}
			},
			"restart": func(rt *rapid.T) {
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				if len(waiting) > 0 {
					settle(len(waiting))
					prune()
				}
				prune() // by the commit that ends the stream
				j = reopen(rt, o, &m)
				prune()
				commit()
			},
			"crash": func(rt *rapid.T) {
				// The file as it is now is what a crash leaves.
				b, err := os.ReadFile(o.Path)
				if err != nil {
					rt.Fatal(err)
				}
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				if err := os.WriteFile(o.Path, b, 0o640); err != nil {
					rt.Fatal(err)
				}
				waiting = nil
				m = disk
				m.events = append([]presence.Entry(nil), disk.events...)
				j = reopen(rt, o, &m)
				prune()
				commit()
			},
			"": func(rt *rapid.T) {
				s := j.Stats()
				pending := 0
				for _, e := range m.events {
					if e.Pos > m.cursor {
						pending++
					}
				}
				if j.Cursor() != m.cursor || j.End() != m.end || s.Events != int64(len(m.events)) || s.Pending != int64(pending) {
					rt.Fatalf("cursor %d, end %d, %d events, %d wait; the model has %d, %d, %d, %d",
						j.Cursor(), j.End(), s.Events, s.Pending, m.cursor, m.end, len(m.events), pending)
				}
				e := m.events[rapid.IntRange(0, len(m.events)-1).Draw(rt, "find")]
				if pos, ok := j.Find(e.Stream, e.Seq); !ok || pos != e.Pos {
					rt.Fatalf("seq %d is at %d, found %t at %d", e.Seq, e.Pos, ok, pos)
				}
			},
		})
	})
}

// reopen opens the journal and takes its start into the model.
func reopen(rt *rapid.T, o journal.Options, m *modelled) *journal.Journal {
	j, err := journal.Open(o)
	if err != nil {
		rt.Fatal(err)
	}
	m.end++
	m.events = append(m.events, presence.Entry{Pos: m.end, Record: presence.Record{
		Stream: j.Stream(), Seq: 1, Draft: presence.Draft{Kind: presence.KindStart, At: o.Now()},
	}})
	return j
}

// same compares all but what a start says.
func same(a, b presence.Entry) bool {
	return a.Pos == b.Pos && a.Stream == b.Stream && a.Seq == b.Seq && a.Kind == b.Kind && numberOf(a) == numberOf(b) &&
		fmt.Sprint(a.At) == fmt.Sprint(b.At)
}
