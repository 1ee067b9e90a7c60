package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"math"

	"presence/gatewayd/internal/journal/boltfile"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// reservePages is what is left free for commits that make room: bbolt writes the
	// pages it changes anew before it lets go of the old ones.
	reservePages = 64

	// workingPages of the reserve are for commits that bring nothing: those of
	// acknowledgements, and of delivered events that go.
	workingPages = 16

	// removingPages of the reserve are for removing waiting events.
	removingPages = 12

	// inFlight is more events than are on their way to the city at a time, or made
	// ready for it. A part of the reserve is for their revisions: without those they
	// cannot be delivered, and never make room.
	inFlight = 1024

	// maxFreelist is how many free pages are listed in the file. Every commit
	// writes the list anew: after a long outage, when most of a large file is free
	// again, it would cost a hundred times what a tap does. Without the list the
	// file is gone through at the next start, unless it is closed in peace.
	maxFreelist = 2048
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
		if dropped, err := w.dropDelivered(); err != nil {
			return err
		} else if dropped {
			continue
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

// dropDelivered removes some delivered events, however young, and tells whether there
// were any.
func (w *writer) dropDelivered() (bool, error) {
	before := w.j.snapshot()
	w.crowded = true
	if before.oldest > before.cursor || before.oldest >= before.end {
		return false, nil
	}
	if err := w.commit(change{prunes: pruneStep}); err != nil {
		return false, err
	}
	return w.j.snapshot().oldest > before.oldest, nil
}

// fits tells whether items fit into the journal's size and onto the disk.
func (w *writer) fits(items []item) error {
	bytes := int64(0)
	for _, it := range items {
		bytes += int64(boltfile.LeafElementSize + 8 + it.size())
	}
	size, free, err := w.j.sizes()
	if err != nil {
		return w.fatal(err)
	}
	// Leaves, their branches, the page of the buckets and the list of free
	// pages.
	pages := bytes/boltfile.PageSize*5/4 + 8 + min(free, maxFreelist)*8/boltfile.PageSize
	grows := max(pages+reservePages-free, 0) * boltfile.PageSize
	w.crowded = size-free*boltfile.PageSize > w.j.opt.MaxBytes/8*7
	// A file that is larger already, because max_mb was lowered or a reader kept
	// old pages from being used again, never shrinks: what is free in it counts.
	if grows > 0 && size+grows > w.j.opt.MaxBytes {
		return ErrFull
	}
	return w.allocate(size + grows)
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

// room is what the file has room for.
type room struct {
	pages int64 // that are free in it, or by which it may still grow
	near  bool  // it is about as large as it may be
}

// room measures what the file has room for, and has bbolt refuse to make it larger
// than it may be. A file that is larger already does not grow.
//
// What commits have freed while somebody reads stays as it was for that reader, and
// cannot be used: where it is needed, everybody who reads now has read first. A page
// of records is read in milliseconds.
func (w *writer) room() (room, error) {
	used, free, err := w.j.sizes()
	if err != nil {
		return room{}, w.fatal(err)
	}
	limit := max(w.j.opt.MaxBytes, used+boltfile.PageSize) // bbolt wants a page behind the last
	w.j.db.MaxSize = int(min(limit, math.MaxInt))
	r := room{pages: free + (limit-used)/boltfile.PageSize - 1, near: used > w.j.opt.MaxBytes-2*growStep}
	s := w.j.db.Stats()
	if usable := int64(s.FreePageN); s.PendingPageN > 0 && usable < reservePages && r.pages-free < reservePages-usable {
		w.j.using.Lock()
		defer w.j.using.Unlock() // those who come then see the newest commit
	}
	return r, nil
}

// exceed lets the next commit make the file larger than it may be, for otherwise no
// event could ever be acknowledged any more, and so make room. It takes hundreds of
// starts of a full gateway to get there.
func (w *writer) exceed() {
	w.j.db.MaxSize += reservePages * boltfile.PageSize
	w.j.opt.Log.Error("the journal grows beyond its largest size (max_mb), since not even its reserve has room for what must be written")
}

// delivering is how many pages the revisions of the events that are delivered next may
// still take: those events that have none yet.
func (w *writer) delivering(tx *bolt.Tx, p snapshot) int64 {
	most := min(p.cursor+inFlight, p.end)
	without := int64(most - p.cursor)
	if b := tx.Bucket([]byte(bucketRevisions)); b != nil {
		c := b.Cursor()
		start, end := posKey(p.cursor+1), posKey(most)
		for k, _ := c.Seek(start[:]); k != nil && bytes.Compare(k, end[:]) <= 0; k, _ = c.Next() {
			without--
		}
	}
	return (without*revisionSize + boltfile.PageSize - 1) / boltfile.PageSize
}

// spare is how many pages there are beside those that are kept for acknowledgements and
// for the delivery of the next events.
func (w *writer) spare(r room) (pages int64, err error) {
	err = w.j.view(func(tx *bolt.Tx) error {
		pages = r.pages - workingPages - w.delivering(tx, w.j.snapshot())
		return nil
	})
	if err != nil {
		return 0, w.fatal(err)
	}
	return pages, nil
}

// portion is how many revisions and how many delivered events that are to go one
// commit takes along.
//
// In a file that is about as large as it may be no more comes in than goes out: a
// revision for each event that goes, or in place of an earlier one. More live off the
// reserve: those of the events that are delivered next, and of others what leaves
// enough for those, and for removing waiting events.
func (w *writer) portion(c change, p snapshot, order []uint64, r room) (portion, error) {
	part := portion{revisions: len(order), prunes: c.prunes}
	if !r.near || len(order) == 0 {
		return part, nil
	}
	comes := int64(0)
	if w.crowded && p.cursor >= p.oldest {
		comes = -min(int64(c.prunes), int64(min(p.cursor-p.oldest, pruneStep)))
	}
	part.revisions = min(part.revisions, pruneStep)
	err := w.j.view(func(tx *bolt.Tx) error {
		next := r.pages - workingPages
		other := next - w.delivering(tx, p) - removingPages
		b := tx.Bucket([]byte(bucketRevisions))
		for i, pos := range order[:part.revisions] {
			key := posKey(pos)
			if b != nil && b.Get(key[:]) != nil {
				continue
			}
			pages := next
			if pos > p.cursor+inFlight {
				pages = other
			}
			if comes++; comes > 0 && comes*revisionSize > pages*boltfile.PageSize {
				part.revisions = i
				break
			}
		}
		return nil
	})
	if err != nil {
		return part, w.fatal(err)
	}
	return part, nil
}

// allocate takes the blocks for a file of this size from the disk ahead of time: a
// disk that is full is noticed before a commit, while there is still enough to
// make room with.
func (w *writer) allocate(size int64) error {
	if w.cannotAllocate || size <= w.allocated {
		return nil
	}
	ahead := max(size, min(size+growStep, w.j.opt.MaxBytes))
	for _, to := range []int64{ahead, size} {
		err := unix.Fallocate(int(w.j.file.Fd()), 0, w.allocated, to-w.allocated)
		switch {
		case err == nil:
			w.allocated = to
			return nil
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			w.cannotAllocate = true
			return nil
		case to == size:
			w.crowded = true
			err = &fs.PathError{Op: "fallocate", Path: w.j.opt.Path, Err: err}
			if e, ok := retryable(err); ok {
				return e
			}
			return w.fatal(err)
		}
	}
	return nil
}
