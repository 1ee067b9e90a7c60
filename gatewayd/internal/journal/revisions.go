package journal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// maxUnwritten is how many answers wait in memory for a commit to ride on.
const maxUnsaved = 4096

// answers are what was last said of events, by position.
type revisions map[uint64]presence.Revision

// written takes those away that are on disk now.
func (a revisions) written(done revisions) {
	for pos, s := range done {
		if a[pos] == s {
			delete(a, pos)
		}
	}
}

// first are the n with the lowest positions, all where there are no more.
func (a revisions) first(n int) revisions {
	if len(a) <= n {
		return a
	}
	some := make(revisions, n)
	for _, pos := range slices.Sorted(maps.Keys(a))[:n] {
		some[pos] = a[pos]
	}
	return some
}

// last is the highest position, 0 where there is none.
func (a revisions) last() (last uint64) {
	for pos := range a {
		last = max(last, pos)
	}
	return last
}

// onDiskSaid is an answer's form on disk. The position is its key.
type onDiskRevision struct {
	_       struct{} `cbor:",toarray"`
	Rev     int
	Quality presence.Quality
	Time    int64 // ns since 1970; 0 where the time is not known
	Error   time.Duration
	Min     int64
	Max     int64
	Open    bool
}

// Said returns what was last said of the events from..to, by position, where it
// was not what their own clocks say.
func (j *Journal) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	found := make(revisions)
	// What is in memory goes to the disk, and not the other way.
	j.mu.Lock()
	for pos, s := range j.unsaved {
		if from <= pos && pos <= to {
			found[pos] = s
		}
	}
	j.mu.Unlock()
	err := j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketRevisions))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		start := posKey(from)
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			s, err := j.codec.readRevision(k, v)
			if err != nil {
				return err
			}
			if s.Pos > to {
				return nil
			}
			if _, newer := found[s.Pos]; !newer {
				found[s.Pos] = s
			}
		}
		return nil
	})
	if err != nil {
		return nil, j.unreadable(err)
	}
	return found, nil
}

// maxAnswers is at how many answers one call of OpenCorrections looks at most:
// there may be one of each event, and who asks has more to do.
const maxRevisionsRead = 1024

// OpenCorrections are corrections of events behind a position, up to another,
// that were said and not acknowledged, in the order of their events. It looks at
// a part of them at a time, and says how far it looked; the next call goes on
// from there.
func (j *Journal) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	found := make(revisions)
	// What is in memory goes to the disk, and not the other way.
	j.mu.Lock()
	for pos, s := range j.unsaved {
		if after < pos && pos <= upto {
			found[pos] = s
		}
	}
	j.mu.Unlock()
	looked = upto
	err = j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketRevisions))
		if b == nil {
			return nil
		}
		c, rows := b.Cursor(), 0
		start := posKey(after + 1)
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			s, err := j.codec.readRevision(k, v)
			if err != nil {
				return err
			}
			if s.Pos > upto {
				return nil
			}
			if _, newer := found[s.Pos]; !newer && s.Open {
				found[s.Pos] = s
			}
			if rows++; rows == maxRevisionsRead {
				looked = s.Pos
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, j.unreadable(err)
	}
	for pos, s := range found {
		if s.Open && pos <= looked {
			open = append(open, s)
		}
	}
	slices.SortFunc(open, func(a, b presence.Revision) int { return cmp.Compare(a.Pos, b.Pos) })
	return open, looked, nil
}

// Say makes durable what is about to be said. After an error it may become
// durable all the same, and counts as said.
func (j *Journal) SaveRevisions(ctx context.Context, all []presence.Revision) error {
	done := make(chan error, 1)
	j.mu.Lock()
	err := j.refusal()
	if err == nil {
		j.keepRevisions(all)
		j.queue.notes.waiting = append(j.queue.notes.waiting, done)
		j.wakeWriter()
	}
	j.mu.Unlock()
	if err == nil {
		select {
		case err = <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("note what is said: %w", err)
	}
	return nil
}

// SayLater notes what is being said. It goes to the disk with the next commit,
// and not later than the delivery of those events does (see Ack).
func (j *Journal) QueueRevisions(all []presence.Revision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keepRevisions(all)
	if len(j.unsaved) >= maxUnsaved {
		j.wakeWriter()
	}
}

// note keeps answers in memory. The caller holds the mutex.
func (j *Journal) keepRevisions(all []presence.Revision) {
	for _, s := range all {
		if s.Pos >= j.oldest {
			j.unsaved[s.Pos] = s
		}
	}
}

// Settled is the position up to which no event's time can be told better.
func (j *Journal) FinalUpto() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.finalUpto
}

// Settle notes that no event's time up to a position can be told better. It
// goes to the disk with some later commit.
func (j *Journal) SetFinalUpto(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.finalUpto = max(j.finalUpto, min(pos, j.end))
}

// Said is Journal.Said of a journal that no daemon holds, as far as it can be
// read. It reads the pages that hold the answers asked for, and no others.
func (r *Reader) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	if r.revisions == nil {
		index, err := newRevisionIndex(r.file, r.size)
		if err != nil {
			return nil, fmt.Errorf("read what was said: %w", err)
		}
		r.revisions = index
	}
	return r.revisions.read(r.codec, from, to), nil
}

// saidIndex is where the answers lie in a file of which nothing is certain and
// that does not change.
type revisionIndex struct {
	im     *image
	inline *bucket
	leaves []leafRef
}

// newSaidIndex finds the pages. What cannot be found counts as not said.
func newRevisionIndex(file io.ReaderAt, size int64) (*revisionIndex, error) {
	im, err := openImage(file, size)
	if im == nil {
		return nil, err
	}
	index := &revisionIndex{im: im}
	buckets, err := im.buckets()
	if err != nil {
		return index, nil
	}
	b, ok := buckets[bucketRevisions]
	switch {
	case !ok:
	case b.inline != nil:
		index.inline = &b
	default:
		if index.leaves, err = im.leaves(b.root); err != nil {
			index.leaves = nil
		}
	}
	return index, nil
}

// read returns the answers of a range, by position, those that can be read.
func (x *revisionIndex) read(c codec, from, to uint64) revisions {
	found := make(revisions)
	take := func(e element) error {
		if s, err := c.readRevision(e.key, e.value); err == nil && from <= s.Pos && s.Pos <= to {
			found[s.Pos] = s
		}
		return nil
	}
	if x.inline != nil {
		_ = x.im.each(*x.inline, take)
		return found
	}
	first, last := posKey(from), posKey(to)
	i := sort.Search(len(x.leaves), func(i int) bool {
		return x.leaves[i].upper == nil || bytes.Compare(x.leaves[i].upper, first[:]) > 0
	})
	for ; i < len(x.leaves) && bytes.Compare(x.leaves[i].lower, last[:]) <= 0; i++ {
		_ = x.im.leafElements(x.leaves[i], take)
	}
	return found
}

// readSaid reads the answers of a file of which nothing is certain, as far as
// they can be read.
func readRevisions(im *image, c codec) (revisions, error) {
	found := make(revisions)
	buckets, err := im.buckets()
	if err != nil {
		return found, err
	}
	b, ok := buckets[bucketRevisions]
	if !ok {
		return found, nil
	}
	s := survey{codec: c, revision: func(a presence.Revision) { found[a.Pos] = a }}
	return found, s.bucket(im, bucketRevisions, b)
}

// putSaid writes answers within a transaction, of those events that are still
// there.
func (c codec) putRevisions(tx *bolt.Tx, all revisions) error {
	if len(all) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketRevisions))
	if err != nil {
		return err
	}
	// In order: bbolt keeps what a transaction adds to a page in one list, and
	// an insertion into the middle of it moves all that is behind.
	for _, pos := range slices.Sorted(maps.Keys(all)) {
		s := all[pos]
		if _, there := get(tx, pos); !there {
			continue
		}
		key, t := posKey(pos), s.Timing
		d := onDiskRevision{Rev: t.Rev, Quality: t.Quality, Error: t.Error, Open: s.Open}
		if !t.Time.IsZero() {
			d.Time = t.Time.UnixNano()
		}
		if t.Quality == presence.QualityBounded {
			d.Min, d.Max = t.Min.UnixNano(), t.Max.UnixNano()
		}
		if err := c.putChecked(b, key[:], d); err != nil {
			return err
		}
	}
	return nil
}

// readSaid reads what putSaid wrote.
func (c codec) readRevision(key, value []byte) (presence.Revision, error) {
	var d onDiskRevision
	if len(key) != 8 {
		return presence.Revision{}, damagedf("an answer under a key of %d bytes", len(key))
	}
	if err := c.readChecked(key, value, &d); err != nil {
		return presence.Revision{}, err
	}
	s := presence.Revision{
		Pos:    binary.BigEndian.Uint64(key),
		Timing: presence.Timing{Quality: d.Quality, Error: d.Error, Rev: d.Rev},
		Open:   d.Open,
	}
	if d.Time != 0 {
		s.Timing.Time = time.Unix(0, d.Time)
	}
	if d.Quality == presence.QualityBounded {
		s.Timing.Min, s.Timing.Max = time.Unix(0, d.Min), time.Unix(0, d.Max)
	}
	return s, nil
}
