package journal

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// maxUnsaved is how many revisions wait in memory until some other commit takes
// them along. Where there are more, a commit is made for them.
const maxUnsaved = 4096

// revisionSize is what a revision takes of a page, or a little less, in bytes.
const revisionSize = 80

// revisions are the latest revisions of events, by the events' positions.
type revisions map[uint64]presence.Revision

// without returns the revisions but for those that are on disk now. One that was
// replaced by a later one since stays. As with append, all must not be used any more.
func (all revisions) without(written revisions) revisions {
	for pos, r := range written {
		if all[pos] == r {
			delete(all, pos)
		}
	}
	if len(all) == 0 && len(written) > 0 {
		return make(revisions) // a map never gives back the memory that it once took
	}
	return all
}

// onDiskRevision is a revision's form on disk: a CBOR array under the event's
// position as the key.
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

// Revisions returns the latest revisions of the events from..to, by position. An
// event without one was published with the time of its own reading (presence.Raw),
// or not at all.
func (j *Journal) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	found := j.unsavedBetween(from, to)
	err := j.savedRevisions(from, to, func(r presence.Revision) bool {
		if _, newer := found[r.Pos]; !newer {
			found[r.Pos] = r
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// maxRevisionsRead is how many revisions one call of OpenCorrections reads at most:
// there may be one of each event in the journal, and the caller has other work to
// do in between.
const maxRevisionsRead = 1024

// OpenCorrections returns the corrections of events behind a position, up to
// another, that are saved as not yet acknowledged, in the order of their events. It
// reads a part of the range at a time and returns the position up to which it
// looked; the next call goes on from there.
func (j *Journal) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	found := j.unsavedBetween(after+1, upto)
	looked = upto
	rows := 0
	err = j.savedRevisions(after+1, upto, func(r presence.Revision) bool {
		if _, newer := found[r.Pos]; !newer && r.Open {
			found[r.Pos] = r
		}
		if rows++; rows == maxRevisionsRead {
			looked = r.Pos
			return false
		}
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	for pos, r := range found {
		if r.Open && pos <= looked {
			open = append(open, r)
		}
	}
	slices.SortFunc(open, func(a, b presence.Revision) int { return cmp.Compare(a.Pos, b.Pos) })
	return open, looked, nil
}

// unsavedBetween are the revisions of the events from..to that are not on disk yet.
//
// Whoever wants those on disk as well reads memory first: a revision moves from
// memory to the disk, so that one that is saved in between is found in both places,
// and none is missed.
func (j *Journal) unsavedBetween(from, to uint64) revisions {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := make(revisions)
	for pos, r := range j.unsaved {
		if from <= pos && pos <= to {
			found[pos] = r
		}
	}
	return found
}

// savedRevisions calls fn for the revisions on disk of the events from..to, in order,
// until it wants no more.
func (j *Journal) savedRevisions(from, to uint64, fn func(presence.Revision) (more bool)) error {
	err := j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketRevisions))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		start := posKey(from)
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			r, err := j.codec.readRevision(k, v)
			if err != nil {
				return err
			}
			if r.Pos > to || !fn(r) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return j.unreadable(err)
	}
	return nil
}

// SaveRevisions makes revisions durable that are about to be published. After an
// error they may become durable all the same, and must be taken as published.
func (j *Journal) SaveRevisions(ctx context.Context, all []presence.Revision) error {
	done := make(chan error, 1)
	j.mu.Lock()
	err := j.refusal()
	if err == nil && len(j.unsaved) >= 4*maxUnsaved {
		err = ErrFull // there was no room for those before
	}
	if err == nil {
		j.keepRevisions(all)
		j.queue.saves = append(j.queue.saves, save{all, done})
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

// save is somebody who waits until revisions are on disk.
type save struct {
	revisions []presence.Revision
	done      chan<- error // buffered
}

// saveRevisions answers those who wait for revisions after a commit that brought
// this error. Where there was no room for these it has waiting tags make some.
func (w *writer) saveRevisions(err error) {
	w.j.mu.Lock()
	waits, unsaved := len(w.j.queue.saves) > 0, len(w.j.unsaved)
	w.j.mu.Unlock()
	if !waits {
		return
	}
	if (err != nil || w.stuck) && w.j.Err() == nil {
		// Without room there may be some for those that the reserve is for.
		_ = w.makeRoom([]item{{payload: make([]byte, min(unsaved, pruneStep)*revisionSize)}}, false)
		if w.j.Err() == nil {
			_, err = w.store(change{}, false)
		}
	}
	w.answerSaves(err)
}

// answerSaves tells those who wait for revisions what became of them after a commit
// that brought this error. Whose revisions wait for the next commit waits as well.
func (w *writer) answerSaves(err error) {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil && w.stuck {
		err = ErrFull
	}
	j.queue.saves = slices.DeleteFunc(j.queue.saves, func(s save) bool {
		waits := slices.ContainsFunc(s.revisions, func(r presence.Revision) bool {
			there, ok := j.unsaved[r.Pos]
			return ok && there == r
		})
		switch {
		case !waits:
			s.done <- nil
		case err != nil:
			s.done <- err
		default:
			return false
		}
		return true
	})
}

// QueueRevisions takes revisions that are being published. They go to the disk
// with the next commit, and not later than the cursor moves over their events (see
// Ack).
func (j *Journal) QueueRevisions(all []presence.Revision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keepRevisions(all)
	if len(j.unsaved) >= maxUnsaved {
		j.wakeWriter()
	}
}

// keepRevisions keeps revisions in memory until a commit takes them, but for those
// of events that are no longer in the journal. The caller holds the mutex.
func (j *Journal) keepRevisions(all []presence.Revision) {
	for _, r := range all {
		if r.Pos >= j.oldest {
			j.unsaved[r.Pos] = r
		}
	}
}

// FinalUpto is the position up to which every event's latest revision is final: no
// event's time will ever be known better.
func (j *Journal) FinalUpto() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.finalUpto
}

// SetFinalUpto notes that every event up to a position has its final revision. That
// goes to the disk with some later commit.
func (j *Journal) SetFinalUpto(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.finalUpto = max(j.finalUpto, min(pos, j.end))
}

// putRevisions writes revisions within a transaction, but for those of events that
// are no longer in the journal.
func (c codec) putRevisions(tx *bolt.Tx, all revisions) error {
	if len(all) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketRevisions))
	if err != nil {
		return err
	}
	b.FillPercent = 0.9 // as a rule they come in the order of their events
	// In the order of positions: bbolt keeps the entries that a transaction adds to
	// a page in one sorted slice, and an insertion in its middle moves all entries
	// behind it.
	for _, pos := range slices.Sorted(maps.Keys(all)) {
		r := all[pos]
		if _, there := get(tx, pos); !there {
			continue
		}
		key, t := posKey(pos), r.Timing
		d := onDiskRevision{Rev: t.Rev, Quality: t.Quality, Error: t.Error, Open: r.Open}
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

// readRevision reads what putRevisions wrote.
func (c codec) readRevision(key, value []byte) (presence.Revision, error) {
	var d onDiskRevision
	if len(key) != 8 {
		return presence.Revision{}, boltfile.Damagedf("an answer under a key of %d bytes", len(key))
	}
	if err := c.readChecked(key, value, &d); err != nil {
		return presence.Revision{}, err
	}
	r := presence.Revision{
		Pos:    binary.BigEndian.Uint64(key),
		Timing: presence.Timing{Quality: d.Quality, Error: d.Error, Rev: d.Rev},
		Open:   d.Open,
	}
	if d.Time != 0 {
		r.Timing.Time = time.Unix(0, d.Time)
	}
	if d.Quality == presence.QualityBounded {
		r.Timing.Min, r.Timing.Max = time.Unix(0, d.Min), time.Unix(0, d.Max)
	}
	return r, nil
}
