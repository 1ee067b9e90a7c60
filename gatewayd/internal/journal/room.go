package journal

import (
	"encoding/binary"
	"errors"
	"io/fs"

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
// tag events. What is left then is taps, and those stay.
func (w *writer) makeRoom(items []item) error {
	scan := thinScan
	for {
		err := w.fits(items)
		if err == nil || len(items) == 0 {
			return nil // a commit without items lives off the reserve
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
		thinned, err2 := w.thin(&scan)
		if err2 != nil {
			return err2
		}
		if !thinned {
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
		if len(gone) >= n || s.pos > p.cursor || s.pos >= p.end || !w.mayGo(key, value) {
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

// mayGo tells whether a delivered event need not be kept any longer. One whose
// age is unknown stays, as long as there is room.
func (w *writer) mayGo(key, value []byte) bool {
	if w.crowded {
		return true
	}
	var e presence.Entry
	if err := w.j.codec.decode(key, value, &e); err != nil {
		return false
	}
	age, known := w.j.opt.Now().Since(e.At)
	return known && age > w.j.opt.Keep
}

// canPrune tells whether the oldest event may go.
func (w *writer) canPrune() bool {
	p := w.j.snapshot()
	can := false
	err := w.j.view(func(tx *bolt.Tx) error {
		return walk(tx, p.oldest, p.end, func(key, value []byte) (bool, error) {
			can = binary.BigEndian.Uint64(key) <= p.cursor && p.oldest < p.end && w.mayGo(key, value)
			return false, nil
		})
	})
	return can && err == nil
}

// del removes a record, wherever it is.
func del(tx *bolt.Tx, pos uint64) error {
	key := posKey(pos)
	for _, name := range []string{bucketEvents, bucketTail} {
		if err := tx.Bucket([]byte(name)).Delete(key[:]); err != nil {
			return err
		}
	}
	if said := tx.Bucket([]byte(bucketSaid)); said != nil {
		return said.Delete(key[:])
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
		return true, w.removeTags(victims)
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

// removeTags removes events and appends the gap that names them.
func (w *writer) removeTags(victims []presence.Entry) error {
	j := w.j
	var gone spans
	var ranges []presence.Range
	for _, e := range victims {
		gone = gone.add(span{e.Pos, e.Pos})
		ranges = addRange(ranges, e.Stream, e.Seq)
	}
	gap := &presence.Gap{
		Reason: presence.GapJournalFull, Kinds: map[string]int{presence.KindTag.String(): len(victims)},
		First: &victims[0].At, Last: &victims[len(victims)-1].At,
		Ranges: ranges,
	}
	it, err := j.codec.encode(presence.Draft{
		Kind: presence.KindGap, At: j.opt.Now(), Simulated: j.opt.Simulated, Gap: gap,
	})
	if err != nil {
		return err
	}
	j.opt.Log.Warn("no room: waiting tag events were thinned", "events", len(victims),
		"from", victims[0].Pos, "to", victims[len(victims)-1].Pos)
	return w.commit(change{items: []item{it}, removes: gone})
}

// addRange puts one more number into ranges, which are in order.
func addRange(ranges []presence.Range, stream presence.ID, seq uint64) []presence.Range {
	if n := len(ranges); n > 0 && ranges[n-1].Stream == stream && ranges[n-1].To+1 == seq {
		ranges[n-1].To = seq
		return ranges
	}
	return append(ranges, presence.Range{Stream: stream, From: seq, To: seq})
}

// freeBytes is how much the journal can still take, of its own size and of the
// disk's.
func (j *Journal) freeBytes(used, freePages int64) int64 {
	free := max(j.opt.MaxBytes-used, 0)
	j.using.RLock()
	defer j.using.RUnlock()
	var disk unix.Statfs_t
	if j.file == nil {
		return 0
	}
	if unix.Fstatfs(int(j.file.Fd()), &disk) == nil {
		free = min(free, int64(disk.Bavail)*int64(disk.Bsize))
	}
	return free + freePages*pageSize
}
