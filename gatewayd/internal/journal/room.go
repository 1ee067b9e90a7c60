package journal

import (
	"errors"
	"io/fs"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

const (
	// pruneStep is how many old events one commit removes at most.
	pruneStep = 256

	// reservePages is what is left free for commits that make room: bbolt writes the
	// pages it changes anew before it lets go of the old ones.
	reservePages = 64

	// maxFreelist is how many free pages are listed in the file. Every commit
	// writes the list anew: after a long outage, when most of a large file is free
	// again, it would cost a hundred times what a tap does. Without the list the
	// file is gone through at the next start, unless it is closed in peace.
	maxFreelist = 2048

	// thinStep is how many waiting tag events one commit removes at most.
	thinStep = 512

	// thinScan is how many events are looked at for one try to make room, so
	// that a tap has its answer soon.
	thinScan = 40_000
)

// makeRoom sees to it that items fit. Delivered events go first, then waiting
// tag events as far as they can be thinned. What then remains of tags and
// persons goes only where they are to evict it: for a tap.
//
// A commit without items lives off the reserve.
func (w *writer) makeRoom(items []item, evict bool) error {
	scan := thinScan
	kinds := 0 // of what may be evicted, those of which nothing is left
	for {
		err := w.fits(items)
		if err == nil || len(items) == 0 {
			return nil
		}
		if w.j.Err() != nil {
			return err
		}
		before := w.j.snapshot()
		w.crowded = true
		if before.oldest <= before.cursor && before.oldest < before.end {
			if err := w.commit(change{prunes: pruneStep}); err != nil {
				return err
			}
			if w.j.snapshot().oldest > before.oldest {
				continue
			}
		}
		made, err2 := w.thin(&scan)
		for !made && err2 == nil && evict && kinds < len(yielding) {
			if made, err2 = w.evict(kinds); !made {
				kinds++
			}
		}
		if err2 != nil {
			return err2
		}
		if !made {
			return err
		}
	}
}

// fits tells whether items fit into the journal's size and onto the disk.
func (w *writer) fits(items []item) error {
	bytes := int64(0)
	for _, it := range items {
		bytes += int64(leafElement + 8 + recordHeader + len(it.payload))
	}
	size, free, err := w.j.sizes()
	if err != nil {
		return w.fatal(err)
	}
	// Leaves, their branches, the page of the buckets and the list of free
	// pages.
	pages := bytes/pageSize*5/4 + 8 + min(free, maxFreelist)*8/pageSize
	grows := max(pages+reservePages-free, 0) * pageSize
	w.crowded = size-free*pageSize > w.j.opt.MaxBytes/8*7
	// A file that is larger already, because max_mb was lowered or a reader kept
	// old pages from being used again, never shrinks: what is free in it counts.
	if grows > 0 && size+grows > w.j.opt.MaxBytes {
		return ErrFull
	}
	return w.back(size + grows)
}

// sizes is how much of the file bbolt has used so far, and how many pages in it
// are free again.
func (j *Journal) sizes() (used, freePages int64, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		used = tx.Size()
		return nil
	})
	j.using.RLock()
	defer j.using.RUnlock()
	if j.db == nil {
		return 0, 0, err
	}
	s := j.db.Stats()
	return used, int64(s.FreePageN + s.PendingPageN), err
}

// bound sees to it that the next commit does not make the file larger than it may
// be, and tells whether it is near that.
//
// There the file grows by what is needed and no more. bbolt cuts off then what was
// taken from the disk ahead of time, so that it has to be taken again.
//
// What commits have freed while somebody reads stays as it was for that reader, and
// cannot be used: where it is needed, everybody who reads now has read first. A page
// of records is read in milliseconds.
func (w *writer) bound() (near bool, err error) {
	size, _, err := w.j.sizes()
	if err != nil {
		return false, w.fatal(err)
	}
	w.j.db.AllocSize = growStep
	if near = size > w.j.opt.MaxBytes-2*growStep; near {
		w.j.db.AllocSize = 0
		w.backed = min(w.backed, size)
	}
	s := w.j.db.Stats()
	usable := int64(s.FreePageN)
	if s.PendingPageN > 0 && usable < reservePages && size+(reservePages-usable)*pageSize > w.j.opt.MaxBytes {
		w.j.using.Lock()
		defer w.j.using.Unlock() // those who come then see the newest commit
	}
	return near, nil
}

// back takes the blocks for a file of this size from the disk ahead of time: a
// disk that is full is noticed before a commit, while there is still enough to
// make room with.
func (w *writer) back(size int64) error {
	if w.unbackable || size <= w.backed {
		return nil
	}
	ahead := max(size, min(size+growStep, w.j.opt.MaxBytes))
	for _, to := range []int64{ahead, size} {
		err := unix.Fallocate(int(w.j.file.Fd()), 0, w.backed, to-w.backed)
		switch {
		case err == nil:
			w.backed = to
			return nil
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			w.unbackable = true
			return nil
		case to == size:
			w.crowded = true
			err = &fs.PathError{Op: "fallocate", Path: w.j.opt.Path, Err: err}
			if e, ok := passing(err); ok {
				return e
			}
			return w.fatal(err)
		}
	}
	return nil
}

// remove takes what the change says out of the file, and delivered events that
// are old or in the way.
func (w *writer) remove(tx *bolt.Tx, c change, p *place) (removed bool, err error) {
	before := p.holes // its list is not changed
	for _, s := range c.removes {
		for pos := s.from; pos <= s.to; pos++ {
			if err := del(tx, pos); err != nil {
				return false, err
			}
		}
	}
	p.holes = p.holes.union(c.removes)
	pruned, err := w.prune(tx, c.prunes, p)
	if err != nil {
		return false, err
	}
	p.holes = p.holes.below(p.oldest)
	if err := putHoles(tx.Bucket([]byte(bucketHoles)), before, p.holes); err != nil {
		return false, err
	}
	return pruned || len(c.removes) > 0, nil
}

// prune removes at most n delivered events that are older than Keep, or all
// the same where the journal is crowded. The newest event stays: positions and
// numbers go on from it.
func (w *writer) prune(tx *bolt.Tx, n int, p *place) (bool, error) {
	may := p.cursor
	if !w.crowded {
		if n > 0 {
			if err := w.lookAtAges(tx, *p, n); err != nil {
				return false, err
			}
		}
		may = min(may, w.ages.old)
	}
	var gone []uint64
	streams := make(map[presence.ID]bool)
	var stays presence.ID
	err := walk(tx, p.oldest, p.end, func(key, value []byte) (bool, error) {
		s, err := unseal(key, value)
		if err != nil {
			return false, err
		}
		stays = s.stream
		p.oldest = s.pos
		if len(gone) >= n || s.pos > may || s.pos >= p.end {
			return false, nil
		}
		gone = append(gone, s.pos)
		streams[s.stream] = true
		return true, nil
	})
	if err != nil {
		return false, err
	}
	for _, pos := range gone {
		if err := del(tx, pos); err != nil {
			return false, err
		}
	}
	delete(streams, stays)
	for id := range streams {
		if err := tx.Bucket([]byte(bucketStreams)).Delete(id[:]); err != nil {
			return false, err
		}
	}
	return len(gone) > 0, nil
}

// del removes a record, wherever it is.
func del(tx *bolt.Tx, pos uint64) error {
	key := posKey(pos)
	for _, name := range []string{bucketEvents, bucketTail} {
		if err := tx.Bucket([]byte(name)).Delete(key[:]); err != nil {
			return err
		}
	}
	if revisions := tx.Bucket([]byte(bucketRevisions)); revisions != nil {
		return revisions.Delete(key[:])
	}
	return nil
}

// thinning is how far the waiting tag events have been thinned: window by
// window, of each tag only the newest event in the window stays. When all are
// through, it begins anew with larger windows, and then with the largest as
// long as there is something to win.
type thinning struct {
	next  uint64 // look from here on
	level int
	won   bool   // something went since the pass began
	empty uint64 // a whole pass with the largest windows found nothing up to here
}

// thinWindows are the sizes of the windows, in positions.
var thinWindows = [...]uint64{512, 4096, 32768}

// thin removes some waiting tag events and names them in a gap, in one commit.
// It looks at no more than scan events, and tells whether it removed any.
func (w *writer) thin(scan *int) (bool, error) {
	j := w.j
	p := j.snapshot()
	t := &w.thinned
	for *scan > 0 {
		t.next = max(t.next, p.cursor+1)
		if t.next > p.end {
			if !w.nextPass(p) {
				return false, nil
			}
			continue
		}
		to := min(t.next+thinWindows[t.level]-1, p.end)
		victims, looked, err := j.thinWindow(t.next, to)
		if err != nil {
			return false, w.fatal(err)
		}
		*scan -= looked
		if len(victims) == 0 {
			t.next = to + 1
			continue
		}
		if len(victims) > thinStep {
			victims = victims[:thinStep] // the rest of the window follows
		}
		t.won = true
		_, err = w.removeWaiting(victims)
		return true, err
	}
	return false, nil
}

// nextPass begins anew at the oldest waiting event, if that may win something.
func (w *writer) nextPass(p place) bool {
	t := &w.thinned
	switch {
	case t.level+1 < len(thinWindows):
		t.level++
	case t.won:
	case p.end < t.empty+thinStep:
		return false
	default:
		t.empty = p.end
	}
	t.won = false
	t.next = p.cursor + 1
	return true
}

// thinWindow finds the tag events after which the same tag has another one in
// the window, oldest first.
func (j *Journal) thinWindow(from, to uint64) (victims []presence.Entry, looked int, err error) {
	last := make(map[string]uint64)
	var tags []presence.Entry
	err = j.view(func(tx *bolt.Tx) error {
		return walk(tx, from, to, func(key, value []byte) (bool, error) {
			looked++
			var e presence.Entry
			if err := j.codec.decode(key, value, &e); err != nil {
				return false, err
			}
			if e.Tag != nil {
				last[e.Tag.Tag] = e.Pos
				tags = append(tags, e)
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, 0, err
	}
	for _, e := range tags {
		if last[e.Tag.Tag] != e.Pos {
			victims = append(victims, e)
		}
	}
	return victims, looked, nil
}

// yielding are the kinds of waiting events that go for a tap, in this order.
var yielding = [...]presence.Kind{presence.KindTag, presence.KindPresence}

// evicting is how far the waiting events have been looked through for each of
// the kinds that yield: what is before is gone.
type evicting [len(yielding)]uint64

// evict removes the oldest waiting events of a kind, and names them in a gap. It
// tells whether there were any.
func (w *writer) evict(which int) (bool, error) {
	victims, err := w.victims(which, thinStep)
	if err != nil || len(victims) == 0 {
		return false, err
	}
	removed, err := w.removeWaiting(victims)
	if err != nil {
		return false, err
	}
	w.evicted[which] = victims[removed-1].Pos + 1
	return true, nil
}

// victims are the oldest waiting events of a kind, so many at most.
func (w *writer) victims(which, most int) ([]presence.Entry, error) {
	p := w.j.snapshot()
	next := &w.evicted[which]
	*next = max(*next, p.cursor+1)
	var victims []presence.Entry
	err := w.j.view(func(tx *bolt.Tx) error {
		return walk(tx, *next, p.end, func(key, value []byte) (bool, error) {
			s, err := unseal(key, value)
			if err != nil {
				return false, err
			}
			if kindOf(s.payload) != yielding[which] {
				return true, nil
			}
			var e presence.Entry
			if err := w.j.codec.decode(key, value, &e); err != nil {
				return false, err
			}
			victims = append(victims, e)
			return len(victims) < most, nil
		})
	})
	if err != nil {
		return nil, w.fatal(err)
	}
	if len(victims) == 0 {
		*next = p.end + 1
	}
	return victims, nil
}

// noteYield notes that events which waited for delivery go for want of room. The
// caller holds the mutex.
func (j *Journal) noteYield() {
	now := j.opt.Now()
	j.yielded = &now
}

// Yielded is how long ago, at least, tags or what was said of persons went for
// want of room before they were delivered, by this process or one before it;
// false where that never happened.
func (j *Journal) Yielded() (ago time.Duration, ever bool) {
	j.mu.Lock()
	at := j.yielded
	j.mu.Unlock()
	if at == nil {
		return 0, false
	}
	ago, _ = j.age(*at)
	if now := j.opt.Now(); now.Boot != at.Boot {
		ago = max(ago, now.Boottime) // whatever is known of the time, this boot came after it
	}
	return ago, true
}

// removeWaiting removes events, or the first of them where their numbers are in
// more places than one gap can name, and appends the gap. It tells how many.
func (w *writer) removeWaiting(victims []presence.Entry) (int, error) {
	j := w.j
	var gone spans
	var ranges []presence.Range
	kinds := make(map[string]int)
	for i, e := range victims {
		more := addRange(ranges, e.Stream, e.Seq)
		if len(more) > maxGapRanges {
			victims = victims[:i]
			break
		}
		ranges = more
		gone = gone.add(span{e.Pos, e.Pos})
		kinds[e.Kind.String()]++
	}
	gap := &presence.Gap{
		Reason: presence.GapJournalFull, Kinds: kinds,
		First: &victims[0].At, Last: &victims[len(victims)-1].At,
		Ranges: ranges,
	}
	it, err := j.codec.encode(presence.Draft{
		Kind: presence.KindGap, At: j.opt.Now(), Simulated: j.opt.Simulated, Gap: gap,
	})
	if err != nil {
		return 0, err
	}
	j.opt.Log.Warn("no room: waiting events were removed", "events", len(victims),
		"from", victims[0].Pos, "to", victims[len(victims)-1].Pos)
	j.mu.Lock()
	j.noteYield() // goes to the disk with what it is about
	j.mu.Unlock()
	return len(victims), w.commit(change{items: []item{it}, removes: gone})
}

// addRange puts one more number into ranges, which are in order.
func addRange(ranges []presence.Range, stream presence.ID, seq uint64) []presence.Range {
	if n := len(ranges); n > 0 && ranges[n-1].Stream == stream && ranges[n-1].To+1 == seq {
		ranges[n-1].To = seq
		return ranges
	}
	return append(ranges, presence.Range{Stream: stream, From: seq, To: seq})
}

// freeBytes is how large the file is, and how many bytes of events the journal
// can still take (as they lie in it, some 60 bytes more each than their
// content) without giving up any, delivered or not: by its own size and by the
// disk, less the reserve. Delivered events and tags that would make room for more
// are not part of it.
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
	pages := grow/pageSize + freePages - reservePages - 8 - min(freePages, maxFreelist)*8/pageSize
	return file.Size, max(pages, 0) * pageSize * 7 / 8 // pages are never quite full
}
