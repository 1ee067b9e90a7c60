package journal

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

// Stats says how a journal fares.
type Stats struct {
	Pending       int64            // events not yet delivered
	OldestPending presence.Reading // of the oldest of them; zero if there is none
	Events        int64            // in the file
	Bytes         int64            // of the file that are in use or were
	FreeBytes     int64            // until the journal or the disk is full
	Waiting       int              // patient events that are not durable yet
	Full          bool             // the last try to record something found no room
	Commits       int64            // of this process
	Written       int64            // bytes that they wrote
	CommitP50     time.Duration    // of the latest commits
	CommitP99     time.Duration
	// WrittenBytesDay is what this process has caused to be written to storage,
	// scaled to a day (proc(5), write_bytes); 0 while it is too young to tell.
	WrittenBytesDay int64
	Starts          int // of the daemon, since the journal exists
	UncleanStarts   int // starts before which the stream was not ended on purpose
	Boots           int // of the machine
	UncleanBoots    int // boots before which the stream was not ended on purpose
}

// Stats looks at the journal now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	s := Stats{
		Pending: int64(j.end - j.cursor - j.holes.count(j.cursor+1, j.end)),
		Events:  int64(j.end + 1 - j.oldest - j.holes.count(j.oldest, j.end)),
		Waiting: len(j.queue.patient), Full: j.queue.full,
		Commits: int64(j.commits.n),
		Starts:  j.state.Starts, UncleanStarts: j.state.Unclean,
		Boots: j.state.Boots, UncleanBoots: j.state.UncleanBoots,
	}
	s.CommitP50, s.CommitP99 = j.commits.quantiles()
	cursor, end := j.cursor, j.end
	j.mu.Unlock()

	if s.Pending > 0 {
		if e, err := j.page(cursor, end, 1); err == nil && len(e) > 0 {
			s.OldestPending = e[0].At
		}
	}
	if used, freePages, err := j.sizes(); err == nil {
		s.Bytes, s.FreeBytes = used, j.freeBytes(used, freePages)
	}
	s.Written = j.written(s.Commits)
	s.WrittenBytesDay = writtenPerDay()
	return s
}

// written is how many bytes so many commits have written: the pages that bbolt
// took for them, and a meta page each.
func (j *Journal) written(commits int64) int64 {
	j.using.RLock()
	defer j.using.RUnlock()
	if j.db == nil {
		return 0
	}
	s := j.db.Stats()
	return s.TxStats.GetPageAlloc() + commits*pageSize
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
