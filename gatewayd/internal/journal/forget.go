package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Forgotten says what Forget removed.
type Forgotten struct {
	Kinds  map[string]int   // how many events of each kind
	Ranges []presence.Range // their numbers
	// Waiting of them had not been delivered, and will not be.
	Waiting int
}

const (
	// copyStep and copyBytes bound what is copied between two syncs, and so how
	// long a tap waits for the disk behind a copy.
	copyStep  = 4096
	copyBytes = 1 << 20

	// copyReserve is what a copy leaves of the disk, for taps meanwhile.
	copyReserve = 4 << 20

	// copyBehind is how many events at most are left for the writer to copy
	// while taps wait.
	copyBehind = 64
)

// Forget removes the events that match for good. When it returns without an
// error, no copy of them is left in the journal's file, nor beside it: damaged
// files that were kept are removed as well, since nobody can tell what is in
// them. Gaps without any identity name their numbers.
//
// Starts, gaps and seals are not asked about and stay. What is recorded while Forget
// runs may be forgotten or not; what the uplink has read before is sent. A note
// about the person must be saved anew before.
//
// bbolt leaves old content in pages that are free, so the file is written anew,
// beside the old one and while that stays in use, with a pause of a few syncs
// at the end. That takes free disk space as large as the events. A power cut
// leaves the old file or the new one; after an error it is the old one, unless
// Failed is closed.
func (j *Journal) Forget(ctx context.Context, match func(*presence.Record) bool) (Forgotten, error) {
	done, err := j.beginCopy()
	if err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	defer done()
	if err := j.Flush(ctx); err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	c, err := j.newCopy(match)
	if err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", err)
	}
	if err := c.run(ctx); err != nil {
		return Forgotten{}, fmt.Errorf("forget: %w", errors.Join(err, c.discard()))
	}
	return c.forgotten, nil
}

// beginCopy sees to it that there is one copy at a time, and that Close waits
// for its end.
func (j *Journal) beginCopy() (done func(), err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return nil, err
	}
	if j.copying {
		return nil, errors.New("the journal is being written anew already")
	}
	j.copying = true
	j.readers.Add(1)
	return func() {
		j.mu.Lock()
		j.copying = false
		j.mu.Unlock()
		j.readers.Done()
	}, nil
}

// fileCopy is a new file for the journal, without some of its events.
type fileCopy struct {
	j         *Journal
	match     func(*presence.Record) bool
	path      string
	file      *os.File
	db        *bolt.DB
	forgotten Forgotten
	gone      spans // positions of what is forgotten
	holes     spans // of the journal when the copy began
	upto      uint64
	streams   map[presence.ID]bool // that have events in the copy
}

func (j *Journal) newCopy(match func(*presence.Record) bool) (*fileCopy, error) {
	used, free, err := j.sizes()
	if err != nil {
		return nil, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(j.opt.Path), &disk); err != nil {
		return nil, fmt.Errorf("look at the disk: %w", err)
	}
	need := used - free*boltfile.PageSize + copyReserve
	if there := int64(disk.Bavail) * int64(disk.Bsize); there < need {
		return nil, fmt.Errorf("the disk has %d MB free, and the journal written anew takes %d MB: %w", there>>20, need>>20+1, unix.ENOSPC)
	}
	c := &fileCopy{
		j: j, match: match, path: j.opt.Path + ".new", holes: j.snapshot().holes,
		forgotten: Forgotten{Kinds: make(map[string]int)}, streams: make(map[presence.ID]bool),
	}
	if err := createAt(c.path, j.codec); err != nil {
		return nil, err
	}
	if c.file, err = durable.OpenFile(c.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if c.db, err = j.openFile(c.file); err != nil {
		return nil, errors.Join(err, c.discard())
	}
	c.db.AllocSize = 0 // it may be as large as the journal may be
	return c, nil
}

// discard removes a copy that did not take the journal's place.
func (c *fileCopy) discard() error {
	var err error
	if c.db != nil {
		err = guard(c.db.Close)
	}
	removed := os.Remove(c.path)
	if errors.Is(removed, fs.ErrNotExist) {
		removed = nil // it has the journal's name, and Failed is closed
	}
	return errors.Join(err, ignoreClosed(c.file.Close()), removed)
}

// run copies what there is, and has the writer copy the rest and exchange the
// files.
func (c *fileCopy) run(ctx context.Context) error {
	for c.j.End() > c.upto+copyBehind {
		select {
		case <-c.j.done:
			return c.j.closedError()
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if err := c.step(c.j.End()); err != nil {
			return err
		}
	}
	if err := errors.Join(ctx.Err(), c.j.removeQuarantined()); err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := c.j.pushCopy(c, done); err != nil {
		return err
	}
	return <-done // the writer answers in any case, and nobody else may touch the copy
}

// step copies the next events, durably.
func (c *fileCopy) step(to uint64) error {
	records, err := c.read(to)
	if err != nil {
		return c.j.unreadable(err)
	}
	return guard(func() error {
		return c.db.Update(func(tx *bolt.Tx) error { return putEvents(tx, records) })
	})
}

// read reads the next events and keeps those that do not match. The copy's
// records are in memory of their own.
func (c *fileCopy) read(to uint64) (kept []packedRecord, err error) {
	looked, bytes := 0, 0
	err = c.j.view(func(tx *bolt.Tx) error {
		return walk(tx, c.upto+1, to, func(key, value []byte) (bool, error) {
			var e presence.Entry
			if err := c.j.codec.decode(key, value, &e); err != nil {
				return false, fmt.Errorf("position %x: %w", key, err)
			}
			c.upto = e.Pos
			looked++
			bytes += len(value)
			if e.Start == nil && e.Gap == nil && e.Seal == nil && c.match(&e.Record) {
				c.forget(e)
			} else {
				c.streams[e.Stream] = true
				kept = append(kept, packedRecord{key: [8]byte(key), value: slices.Clone(value)})
			}
			return looked < copyStep && bytes < copyBytes, nil
		})
	})
	if looked < copyStep && bytes < copyBytes {
		c.upto = to
	}
	return kept, err
}

func (c *fileCopy) forget(e presence.Entry) {
	c.gone = c.gone.Add(span{From: e.Pos, To: e.Pos})
	c.forgotten.Kinds[e.Kind.String()]++
	c.forgotten.Ranges = addRange(c.forgotten.Ranges, &e.Record)
	if e.Pos > c.j.Cursor() {
		c.forgotten.Waiting++
	}
}

// exchange completes a copy and puts it in the journal's place. Nothing else is
// written meanwhile. An error after which nobody knows which of the two files a
// power cut would leave makes the journal fail.
func (w *writer) exchange(c *fileCopy) error {
	j := w.j
	for c.upto < j.End() {
		if err := c.step(j.End()); err != nil {
			return err
		}
	}
	items, err := w.forgottenGaps(c.forgotten)
	if err != nil {
		return err
	}
	after := j.snapshot()
	before := after
	w.attempt++
	if seal, ok := w.newSeal(); ok && (len(items) > 0 || w.unsealed()) {
		items = append(items, seal)
	}
	link, err := w.pack(items, after.end+1)
	if err != nil {
		return err
	}
	after.end += uint64(len(w.records))
	w.noteSeal(items, &after)
	after.state.Cursor = after.cursor
	after.holes = after.holes.Union(c.gone)
	err = guard(func() error {
		return c.db.Update(func(tx *bolt.Tx) error { return w.complete(tx, c, &after) })
	})
	if err != nil {
		return err
	}
	if err := durable.Rename(c.path, j.opt.Path); err != nil {
		if _, same, statErr := stillAt(j.file, j.opt.Path); statErr == nil && same {
			return err // nothing has changed
		}
		return w.fatal(err)
	}
	w.link = link
	w.afterSeal(items, before, after)
	w.adopt(c, after)
	return nil
}

// forgottenGaps name what is forgotten, and nothing more.
func (w *writer) forgottenGaps(f Forgotten) ([]item, error) {
	if len(f.Ranges) == 0 {
		return nil, nil
	}
	var items []item
	for _, d := range w.j.gapDrafts(presence.Gap{
		Reason: presence.GapForgotten, Kinds: f.Kinds, Ranges: f.Ranges, Comment: "removed on request",
	}) {
		it, err := w.j.codec.encode(d)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// complete brings the copy up to the journal as it is now, in one transaction:
// the gaps, what went since the copy began, and all that is not events.
func (w *writer) complete(tx *bolt.Tx, c *fileCopy, p *snapshot) error {
	for _, h := range append(spans{{From: 0, To: p.oldest - 1}}, p.holes...) {
		if c.holes.HasInterval(h) {
			continue
		}
		if err := removeSpan(tx, h); err != nil {
			return err
		}
	}
	if err := putEvents(tx, w.records); err != nil {
		return err
	}
	first, _, err := bounds(tx)
	if err != nil {
		return err
	}
	p.oldest = first.pos
	p.holes = p.holes.DropBelow(p.oldest)
	p.state.Oldest = p.oldest
	c.streams[w.j.stream] = true
	err = w.j.db.View(func(old *bolt.Tx) error { return copyBuckets(old, tx, c.streams) })
	if err != nil {
		return err
	}
	if err := putHoles(tx.Bucket([]byte(bucketHoles)), nil, p.holes); err != nil {
		return err
	}
	return w.j.codec.putChecked(tx.Bucket([]byte(bucketMeta)), []byte(keyState), p.state)
}

// removeSpan removes the records of some positions.
func removeSpan(tx *bolt.Tx, s span) error {
	var keys [][8]byte
	err := walk(tx, s.From, s.To, func(key, _ []byte) (bool, error) {
		keys = append(keys, [8]byte(key))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := tx.Bucket([]byte(bucketEvents)).Delete(key[:]); err != nil {
			return err
		}
	}
	return nil
}

// copyBuckets copies everything but events and holes; of the streams, those that
// have events, and of the revisions those of an event that is there.
func copyBuckets(from, to *bolt.Tx, streams map[presence.ID]bool) error {
	return from.ForEach(func(name []byte, b *bolt.Bucket) error {
		switch string(name) {
		case bucketEvents, bucketTail, bucketHoles:
			return nil
		}
		into, err := to.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		return b.ForEach(func(k, v []byte) error {
			if string(name) == bucketStreams && (len(k) != len(presence.ID{}) || !streams[presence.ID(k)]) {
				return nil
			}
			if string(name) == bucketRevisions {
				if len(k) != 8 {
					return boltfile.Damagedf("an answer under a key of %d bytes", len(k))
				}
				if _, there := get(to, binary.BigEndian.Uint64(k)); !there {
					return nil
				}
			}
			return into.Put(k, v)
		})
	})
}

// adopt goes on with the copy's file.
func (w *writer) adopt(c *fileCopy, after snapshot) {
	j := w.j
	j.using.Lock()
	old := j.db
	j.db, j.file = c.db, c.file
	j.using.Unlock()
	if err := guard(old.Close); err != nil {
		j.opt.Log.Warn("the file before is not closed", "error", err)
	}
	w.tailBytes, w.allocated, w.thinned, w.evicted = -1, 0, thinning{}, evicting{}

	j.mu.Lock()
	defer j.mu.Unlock()
	j.committed(after)
}

// pushCopy hands a copy to the writer.
func (j *Journal) pushCopy(c *fileCopy, done chan<- error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	j.queue.exchange = &exchange{copy: c, done: done}
	j.wakeWriter()
	return nil
}

// exchange is a copy that waits for the writer.
type exchange struct {
	copy *fileCopy
	done chan<- error // buffered
}

// removeQuarantined removes all damaged files that are kept.
func (j *Journal) removeQuarantined() error {
	for _, name := range j.quarantined() {
		if err := os.RemoveAll(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove damaged journal: %w", err)
		}
	}
	return nil
}
