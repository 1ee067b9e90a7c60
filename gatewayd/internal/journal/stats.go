package journal

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Stats says how a journal fares.
type Stats struct {
	Pending       int64            // events not yet delivered
	OldestPending presence.Reading // of the oldest of them; zero if there is none
	Events        int64            // in the file
	Bytes         int64            // of the file
	FreeBytes     int64            // of events that can still be taken (see freeBytes)
	Waiting       int              // patient events that are not durable yet
	Full          bool             // something found no room, and there is none yet
	Refusing      bool             // the last tap found none, and there is none yet
	Commits       int64            // of this process
	Written       int64            // bytes that they wrote
	CommitP50     time.Duration    // of the latest commits
	CommitP99     time.Duration
	// WrittenBytesDay is what this process has caused to be written to storage
	// within the last 24 hours, or since it began (proc(5), write_bytes).
	WrittenBytesDay int64
	Boots           int // of the machine
	UncleanBoots    int // boots before which the stream was not ended on purpose
}

// Stats looks at the journal now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	s := Stats{
		Pending: int64(j.end - j.cursor - j.holes.Count(span{From: j.cursor + 1, To: j.end})),
		Events:  int64(j.end + 1 - j.oldest - j.holes.Count(span{From: j.oldest, To: j.end})),
		Waiting: len(j.queue.patient), Full: j.queue.full, Refusing: j.queue.refusing,
		Commits: int64(j.commits.n),
		Boots:   j.state.Boots, UncleanBoots: j.state.UncleanBoots,
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
		s.Bytes, s.FreeBytes = j.freeBytes(used, freePages)
	}
	if s.Refusing {
		s.FreeBytes = 0
	}
	if total, ok := writtenBytes(); ok {
		j.mu.Lock()
		s.WrittenBytesDay = j.daily.Rise(time.Now(), total)
		j.mu.Unlock()
	}
	s.Written = j.written(s.Commits)
	return s
}

// Refusing tells whether the journal would refuse a tap: it refused the last
// one, and there is no room yet; or there is no journal, or it has failed.
func (j *Journal) Refusing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.queue.refusing || j.err != nil
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
	return s.TxStats.GetPageAlloc() + commits*boltfile.PageSize
}

// writtenBytes is what this process has caused to be written to storage since
// it began, false where the kernel does not tell.
func writtenBytes() (int64, bool) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
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

// freeBytes returns the size of the file, and how many bytes of events the journal can
// still take without giving up any other event, delivered or not. Bytes are counted as
// events lie in the file, some 60 bytes more each than their content. Both MaxBytes
// and the disk bound them, and the reserve is not part of them.
func (j *Journal) freeBytes(used, freePages int64) (size, free int64) {
	j.using.RLock()
	defer j.using.RUnlock()
	if j.file == nil {
		return 0, 0
	}
	var file unix.Stat_t
	if unix.Fstat(int(j.file.Fd()), &file) != nil {
		return 0, 0
	}
	grow := max(j.opt.MaxBytes-used, 0)
	var disk unix.Statfs_t
	if unix.Fstatfs(int(j.file.Fd()), &disk) == nil {
		backed := max(int64(file.Blocks)*512-used, 0)
		grow = min(grow, backed+int64(disk.Bavail)*int64(disk.Bsize))
	}
	pages := grow/boltfile.PageSize + freePages - reservePages - 8 - min(freePages, maxFreelist)*8/boltfile.PageSize
	return file.Size, max(pages, 0) * boltfile.PageSize * 7 / 8 // pages are never quite full
}
