package journal

import (
	"errors"
	"io/fs"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// reservePages is what is left free for commits that make room: bbolt writes the
	// pages it changes anew before it lets go of the old ones.
	reservePages = 64

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
