package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// diskWrites is what this process has caused to be written to storage (proc(5)).
func diskWrites(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
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
	t.Fatal("no write_bytes in /proc/self/io")
	return 0
}

// BenchmarkLoneTap appends one tap at a time, each delivered before the next.
func BenchmarkLoneTap(b *testing.B) {
	c := newClock()
	j := open(b, options(diskPath(b), c))
	before := diskWrites(b)
	for i := 0; b.Loop(); i++ {
		e := appended(b, j, badge(c, i))
		j.Ack(e.Pos)
	}
	b.ReportMetric(float64(diskWrites(b)-before)/float64(b.N), "disk-B/op")
}

// BenchmarkTapUnderTags appends taps while tags come as fast as they are taken.
func BenchmarkTapUnderTags(b *testing.B) {
	c := newClock()
	o := options(diskPath(b), c)
	o.MaxBytes = 1 << 30
	j := open(b, o)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				if j.Enqueue(b.Context(), tag(newClock(), i)) != nil {
					return
				}
			}
		}
	}()
	for i := 0; b.Loop(); i++ {
		appended(b, j, badge(c, i))
	}
	close(stop)
	<-done
	s := j.Stats()
	b.ReportMetric(float64(s.CommitP50.Microseconds()), "p50-µs")
	b.ReportMetric(float64(s.CommitP99.Microseconds()), "p99-µs")
}

// BenchmarkTags commits 50 tag events at a time: a second of 50/s.
func BenchmarkTags(b *testing.B) {
	c := newClock()
	o := options(diskPath(b), c)
	o.MaxBytes = 1 << 30
	o.CommitInterval = time.Hour
	j := open(b, o)
	before := diskWrites(b)
	n := 0
	for b.Loop() {
		for range 50 {
			enqueue(b, j, tag(c, n))
			n++
		}
		flushed(b, j)
		j.Ack(j.End())
	}
	b.ReportMetric(float64(diskWrites(b)-before)/float64(n), "disk-B/event")
}

// BenchmarkFlood enqueues tags as fast as they are taken.
func BenchmarkFlood(b *testing.B) {
	c := newClock()
	o := options(diskPath(b), c)
	o.MaxBytes = 1 << 30
	j := open(b, o)
	before := diskWrites(b)
	for i := 0; b.Loop(); i++ {
		enqueue(b, j, tag(c, i))
	}
	flushed(b, j)
	b.ReportMetric(float64(diskWrites(b)-before)/float64(b.N), "disk-B/event")
}

// diskPath is a place on the disk: these figures are about it.
func diskPath(b *testing.B) string { return filepath.Join(b.TempDir(), "journal.db") }

func filled(b *testing.B, path string, events int) {
	b.Helper()
	c := newClock()
	o := options(path, c)
	o.MaxBytes = 1 << 30
	j := open(b, o)
	for i := range events {
		enqueue(b, j, tag(c, i))
	}
	flushed(b, j)
	closed(b, j)
}

// BenchmarkDrain reads 100,000 waiting events.
func BenchmarkDrain(b *testing.B) {
	const events = 100_000
	path := diskPath(b)
	filled(b, path, events)
	j := open(b, options(path, newClock()))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for after := uint64(0); after < events; {
			es, err := j.Next(b.Context(), after, 256)
			if err != nil {
				b.Fatal(err)
			}
			n += len(es)
			after = es[len(es)-1].Pos
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOpen opens journals of several sizes.
func BenchmarkOpen(b *testing.B) {
	for _, events := range []int{0, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(events), func(b *testing.B) {
			path := diskPath(b)
			filled(b, path, events)
			o := options(path, newClock())
			o.MaxBytes = 1 << 30
			for b.Loop() {
				j, err := journal.Open(o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				closed(b, j)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkForget forgets one tag in forty of a journal of 256 MB while somebody
// taps all the time.
func BenchmarkForget(b *testing.B) {
	const events = 1_300_000
	path := diskPath(b)
	filled(b, path, events)
	o := options(path, newClock())
	o.MaxBytes = 1 << 30
	j := open(b, o)
	b.SetBytes(j.Stats().Bytes)
	for n := 0; b.Loop(); n++ {
		var taps []time.Duration
		stop := make(chan struct{})
		var door sync.WaitGroup
		door.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				started := time.Now()
				appended(b, j, badge(newClock(), n))
				taps = append(taps, time.Since(started))
			}
		})
		forgotten := fmt.Sprintf("kenwood:100-%d", 1000+n)
		f, err := j.Forget(b.Context(), func(r *presence.Record) bool { return r.Tag != nil && r.Tag.Tag == forgotten })
		close(stop)
		door.Wait()
		if err != nil || total(f) == 0 {
			b.Fatalf("%+v, %v", f.Kinds, err)
		}
		slices.Sort(taps)
		b.ReportMetric(float64(taps[len(taps)/2].Microseconds())/1000, "ms/tap-p50")
		b.ReportMetric(float64(taps[len(taps)-1].Microseconds())/1000, "ms/tap-worst")
	}
}
