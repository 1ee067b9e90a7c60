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
const maxUnwritten = 4096

// answers are what was last said of events, by position.
type answers map[uint64]presence.Said

// written takes those away that are on disk now.
func (a answers) written(done answers) {
	for pos, s := range done {
		if a[pos] == s {
			delete(a, pos)
		}
	}
}

// first are the n with the lowest positions, all where there are no more.
func (a answers) first(n int) answers {
	if len(a) <= n {
		return a
	}
	some := make(answers, n)
	for _, pos := range slices.Sorted(maps.Keys(a))[:n] {
		some[pos] = a[pos]
	}
	return some
}

// last is the highest position, 0 where there is none.
func (a answers) last() (last uint64) {
	for pos := range a {
		last = max(last, pos)
	}
	return last
}

// onDiskSaid is an answer's form on disk. The position is its key.
type onDiskSaid struct {
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
func (j *Journal) Said(from, to uint64) (map[uint64]presence.Said, error) {
	found := make(answers)
	// What is in memory goes to the disk, and not the other way.
	j.mu.Lock()
	for pos, s := range j.said {
		if from <= pos && pos <= to {
			found[pos] = s
		}
	}
	j.mu.Unlock()
	err := j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketSaid))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		start := posKey(from)
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			s, err := j.codec.readSaid(k, v)
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
const maxAnswers = 1024

// OpenCorrections are corrections of events behind a position, up to another,
// that were said and not acknowledged, in the order of their events. It looks at
// a part of them at a time, and says how far it looked; the next call goes on
// from there.
func (j *Journal) OpenCorrections(after, upto uint64) (open []presence.Said, looked uint64, err error) {
	found := make(answers)
	// What is in memory goes to the disk, and not the other way.
	j.mu.Lock()
	for pos, s := range j.said {
		if after < pos && pos <= upto {
			found[pos] = s
		}
	}
	j.mu.Unlock()
	looked = upto
	err = j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketSaid))
		if b == nil {
			return nil
		}
		c, rows := b.Cursor(), 0
		start := posKey(after + 1)
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			s, err := j.codec.readSaid(k, v)
			if err != nil {
				return err
			}
			if s.Pos > upto {
				return nil
			}
			if _, newer := found[s.Pos]; !newer && s.Open {
				found[s.Pos] = s
			}
			if rows++; rows == maxAnswers {
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
	slices.SortFunc(open, func(a, b presence.Said) int { return cmp.Compare(a.Pos, b.Pos) })
	return open, looked, nil
}

// Say makes durable what is about to be said. After an error it may become
// durable all the same, and counts as said.
func (j *Journal) Say(ctx context.Context, all []presence.Said) error {
	done := make(chan error, 1)
	j.mu.Lock()
	err := j.refusal()
	if err == nil {
		j.note(all)
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
func (j *Journal) SayLater(all []presence.Said) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note(all)
	if len(j.said) >= maxUnwritten {
		j.wakeWriter()
	}
}

// note keeps answers in memory. The caller holds the mutex.
func (j *Journal) note(all []presence.Said) {
	for _, s := range all {
		if s.Pos >= j.oldest {
			j.said[s.Pos] = s
		}
	}
}

// Settled is the position up to which no event's time can be told better.
func (j *Journal) Settled() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.settled
}

// Settle notes that no event's time up to a position can be told better. It
// goes to the disk with some later commit.
func (j *Journal) Settle(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.settled = max(j.settled, min(pos, j.end))
}

// Said is Journal.Said of a journal that no daemon holds, as far as it can be
// read. It reads the pages that hold the answers asked for, and no others.
func (r *Reader) Said(from, to uint64) (map[uint64]presence.Said, error) {
	if r.said == nil {
		index, err := newSaidIndex(r.file, r.size)
		if err != nil {
			return nil, fmt.Errorf("read what was said: %w", err)
		}
		r.said = index
	}
	return r.said.read(r.codec, from, to), nil
}

// saidIndex is where the answers lie in a file of which nothing is certain and
// that does not change.
type saidIndex struct {
	im     *image
	inline *bucket
	leaves []leafRef
}

// newSaidIndex finds the pages. What cannot be found counts as not said.
func newSaidIndex(file io.ReaderAt, size int64) (*saidIndex, error) {
	im, err := openImage(file, size)
	if im == nil {
		return nil, err
	}
	index := &saidIndex{im: im}
	buckets, err := im.buckets()
	if err != nil {
		return index, nil
	}
	b, ok := buckets[bucketSaid]
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
func (x *saidIndex) read(c codec, from, to uint64) answers {
	found := make(answers)
	take := func(e element) error {
		if s, err := c.readSaid(e.key, e.value); err == nil && from <= s.Pos && s.Pos <= to {
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
func readSaid(im *image, c codec) (answers, error) {
	found := make(answers)
	buckets, err := im.buckets()
	if err != nil {
		return found, err
	}
	b, ok := buckets[bucketSaid]
	if !ok {
		return found, nil
	}
	s := survey{codec: c, said: func(a presence.Said) { found[a.Pos] = a }}
	return found, s.bucket(im, bucketSaid, b)
}

// putSaid writes answers within a transaction, of those events that are still
// there.
func (c codec) putSaid(tx *bolt.Tx, all answers) error {
	if len(all) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketSaid))
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
		d := onDiskSaid{Rev: t.Rev, Quality: t.Quality, Error: t.Error, Open: s.Open}
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
func (c codec) readSaid(key, value []byte) (presence.Said, error) {
	var d onDiskSaid
	if len(key) != 8 {
		return presence.Said{}, damagedf("an answer under a key of %d bytes", len(key))
	}
	if err := c.readChecked(key, value, &d); err != nil {
		return presence.Said{}, err
	}
	s := presence.Said{
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
