package journal_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

// TestBytesAreThoseOfTheFile, whatever of them is in use.
func TestBytesAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 2_000 {
		if i%200 == 0 {
			info, err := os.Stat(o.Path)
			if err != nil {
				t.Fatal(err)
			}
			if s := j.Stats(); s.Bytes != info.Size() {
				t.Errorf("after %d taps: %d bytes of a file of %d", i, s.Bytes, info.Size())
			}
		}
		appended(t, j, badge(c, i))
	}
}

// TestWrittenBytesAreCountedFromTheFirstMinute, as the kernel counts them.
func TestWrittenBytesAreCountedFromTheFirstMinute(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "journal-test-") // on storage, not in memory
	if err != nil {
		skiptest.Skip(t, err.Error())
	}
	defer os.RemoveAll(dir)
	c := newClock()
	j := open(t, options(dir+"/journal.db", c))
	for i := range 20 {
		appended(t, j, badge(c, i))
	}
	before := kernelsCount(t)
	got := j.Stats().WrittenBytesDay
	if after := kernelsCount(t); got < before || got > after {
		t.Errorf("%d bytes written; the kernel says %d to %d", got, before, after)
	}
	closed(t, j)
}

func kernelsCount(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		skiptest.Skip(t, err.Error())
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	skiptest.Skip(t, "the kernel does not count what is written")
	return 0
}

// TestPatientEventsWaitForTheCommitInterval: from when the oldest of them came,
// no less and no more, whatever comes meanwhile.
func TestPatientEventsWaitForTheCommitInterval(t *testing.T) {
	const interval = 10 * time.Second
	durable := func(j *journal.Journal, match func(presence.Entry) bool) int {
		n := 0
		for _, e := range all(t, j, 0) {
			if match(e) {
				n++
			}
		}
		return n
	}
	tags := func(e presence.Entry) bool { return e.Tag != nil }
	t.Run("alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClock()
			o := options(newPath(t), c)
			o.CommitInterval = interval
			j := open(t, o)
			for i := range 11 { // one after the other, and no quiet in between
				enqueue(t, j, tag(c, i))
				if i < 10 {
					time.Sleep(interval/10 - time.Millisecond)
				}
				synctest.Wait()
			}
			if n := durable(j, tags); n != 0 {
				t.Errorf("%d tags were written before their time", n)
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if n := durable(j, tags); n != 11 {
				t.Errorf("%d tags are durable after the interval", n)
			}
			closed(t, j)
		})
	})
	t.Run("with a tap that takes some along", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClock()
			o := options(newPath(t), c)
			o.CommitInterval = interval
			j := open(t, o)
			const many = 600
			for i := range many {
				enqueue(t, j, tag(c, i))
			}
			time.Sleep(interval - time.Second)
			appended(t, j, badge(c, 1))
			if n := durable(j, tags); n == 0 || n == many {
				t.Errorf("the tap took %d of %d tags along", n, many)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := durable(j, tags); n != many {
				t.Errorf("%d of %d tags are durable after the interval", n, many)
			}
			closed(t, j)
		})
	})
}
