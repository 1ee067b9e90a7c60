package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

// Stats says how a journal fares.
type Stats struct {
	Pending       int64            // events not yet delivered
	OldestPending presence.Reading // of the oldest of them; zero if there is none
	Events        int64            // in the file
	Damaged       int64            // records that could not be read
	Bytes         int64            // size of the file
	FreeBytes     int64            // until the journal or the disk is full
	CommitP50     time.Duration    // of the latest commits
	CommitP99     time.Duration
	// WrittenBytesDay is what this process has caused to be written to storage,
	// scaled to a day (proc(5), write_bytes); 0 while it is too young to tell.
	WrittenBytesDay int64
	Boots           int // of the machine, since the journal exists
	UncleanBoots    int // boots before which the last stream was not ended on purpose
}

// Stats looks at the journal now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	s := Stats{
		Pending: int64(j.last - j.cursor), Damaged: j.damaged,
		Boots: int(j.boots.count), UncleanBoots: int(j.boots.unclean),
	}
	if j.last > 0 {
		s.Events = int64(j.last-max(j.first, 1)) + 1
	}
	s.CommitP50, s.CommitP99 = j.latencies.quantiles()
	cursor, last := j.cursor, j.last
	j.mu.Unlock()

	if s.Pending > 0 {
		entries, _, err := readPage(j.db, j.codec, cursor, last, 1, func(uint64, error) {})
		if err == nil && len(entries) > 0 {
			s.OldestPending = entries[0].At
		}
	}
	var used int64
	_ = j.db.View(func(tx *bolt.Tx) error { // fails only when closed
		s.Bytes = tx.Size()
		free := j.db.Stats()
		used = s.Bytes - int64(free.FreePageN+free.PendingPageN)*int64(j.db.Info().PageSize)
		return nil
	})
	s.FreeBytes = max(j.opt.MaxBytes-used, 0)
	var disk unix.Statfs_t
	if unix.Statfs(filepath.Dir(j.opt.Path), &disk) == nil {
		s.FreeBytes = min(s.FreeBytes, int64(disk.Bavail)*int64(disk.Bsize))
	}
	s.WrittenBytesDay = writtenPerDay()
	return s
}

// writtenPerDay scales what this process has written to a day.
func writtenPerDay() int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	up := processAge()
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok && up > time.Minute {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return 0
			}
			return int64(float64(n) / up.Hours() * 24)
		}
	}
	return 0
}

// processAge is how long this process has run (proc(5): /proc/self/stat, field
// 22 in ticks of 1/100 s since the boot), 0 if that cannot be read.
func processAge() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	// The second field is a name in parentheses that may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return 0
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(ticks)*10*time.Millisecond
}

// latencies remembers how long the latest commits took.
type latencies struct {
	ring [512]time.Duration
	n    int
}

func (l *latencies) add(d time.Duration) {
	l.ring[l.n%len(l.ring)] = d
	l.n++
}

func (l *latencies) quantiles() (p50, p99 time.Duration) {
	n := min(l.n, len(l.ring))
	if n == 0 {
		return 0, 0
	}
	sorted := slices.Clone(l.ring[:n])
	slices.Sort(sorted)
	return sorted[(n-1)/2], sorted[(n-1)*99/100]
}
