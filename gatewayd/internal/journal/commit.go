package journal

import (
	"errors"
	"maps"
	"slices"
	"time"

	"presence/gatewayd/internal/journal/boltfile"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// change is what one commit does.
type change struct {
	items     []item
	starts    bool  // the stream begins
	ends      bool  // the stream ends on purpose
	removes   spans // waiting events that have to go
	prunes    int   // at most so many delivered events go
	rides     int   // so many of the items are the first that wait in the queue
	notes     map[string][]byte
	revisions revisions
	waits     uint64 // lowest position with a revision that a later commit writes; 0: none
	lost      losses // what is to be named if the process dies after this commit
	seal      bool   // with a seal, if there is something to seal, a key, and room
	onlySeal  bool   // for nothing but a seal: without one there is no commit
}

// snapshot is what a commit changes of what the journal knows about its file.
type snapshot struct {
	oldest, end uint64
	sealed      uint64
	cursor      uint64
	finalUpto   uint64
	holes       spans
	state       state
}

// commit brings a change to the disk, wholly or not at all. Of what may wait for a
// later commit (revisions, and delivered events that are to go) it takes along what
// there is room for. An error that does not pass makes the journal fail.
func (w *writer) commit(c change) error {
	before, unsaved := w.j.snapshotRevisions()
	order := slices.Sorted(maps.Keys(unsaved))
	r, err := w.room()
	if err != nil {
		return err
	}
	c.lost = w.unnamed(c.rides)
	part, err := w.portion(c, before, order, r)
	if err != nil {
		return err
	}
	saving := thrift{grows: growStep}
	if r.near {
		// Without a list of free pages bbolt goes through the whole file when it undoes
		// a transaction: no second try where the list lately had no room.
		saving = thrift{unlisted: w.unlisted && !c.ends && w.attempt%listAgain != 0}
	}
	for exceeded := false; ; {
		less, sealed := c.withoutSeal()
		err := w.try(c.with(part, unsaved, order), before, saving)
		if !errors.Is(err, berrors.ErrMaxSizeReached) {
			w.unlisted = saving.unlisted
			return err
		}
		switch {
		case saving.grows > 0:
			saving.grows = 0
		case !saving.unlisted:
			saving.unlisted = true
		case sealed && !c.onlySeal:
			c = less
			w.postponeSeal(sealAgain)
		case part.halve(c.essential()):
		case c.essential() && !exceeded:
			exceeded = true
			w.exceed()
		default:
			return ErrFull
		}
	}
}

// listAgain is after how many commits without a list of free pages one has it again, if
// there is room by then.
const listAgain = 256

// thrift is how a transaction deals with the room in the file.
type thrift struct {
	grows    int  // bytes that the file grows by beyond what is needed
	unlisted bool // the list of free pages, which has to lie in one piece, is not written
}

// portion is how much of what may wait one commit takes along.
type portion struct{ revisions, prunes int }

// halve makes the portion smaller, and tells whether that was possible. An essential
// commit has one event go at least, or else no room would ever be made.
func (p *portion) halve(essential bool) bool {
	least := 0
	if essential {
		least = min(p.prunes, 1)
	}
	if p.revisions == 0 && p.prunes == least {
		return false
	}
	p.revisions, p.prunes = p.revisions/2, max(p.prunes/2, least)
	return true
}

// with is the change with so many of the revisions, those with the lowest
// positions, and so many prunes.
func (c change) with(p portion, unsaved revisions, order []uint64) change {
	c.prunes = p.prunes
	c.revisions = make(revisions, p.revisions)
	for _, pos := range order[:p.revisions] {
		c.revisions[pos] = unsaved[pos]
	}
	if p.revisions < len(order) {
		c.waits = order[p.revisions]
	}
	return c
}

// essential tells whether the journal cannot go on without this commit: the start
// and the end of a stream, and what has nothing in it but acknowledgements, the
// count of losses and delivered events that go.
func (c change) essential() bool {
	return c.starts || c.ends || len(c.items) == 0 && len(c.notes) == 0
}

// try makes one transaction of a change. berrors.ErrMaxSizeReached says that it
// needs more room than there is; nothing has happened then.
func (w *writer) try(c change, before snapshot, saving thrift) error {
	j := w.j
	w.attempt++
	after := before
	if c.waits != 0 {
		after.cursor = max(before.state.Cursor, min(before.cursor, c.waits-1))
	}
	link, err := w.pack(c.items, before.end+1)
	if err != nil {
		return w.fatal(err)
	}
	after.end += uint64(len(w.records))
	w.noteSeal(c.items, &after)

	var txid int
	tailBytes := 0
	j.db.AllocSize = saving.grows
	j.db.NoFreelistSync = saving.unlisted || !c.ends && j.db.Stats().FreePageN > maxFreelist
	started := time.Now()
	err = guard(func() error {
		tx, err := j.db.Begin(true)
		if err != nil {
			return err
		}
		txid = tx.ID()
		tailBytes, err = w.fill(tx, c, &after)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
	if err != nil {
		w.tailBytes, w.behind, w.stuck = -1, false, false
		if errors.Is(err, berrors.ErrMaxSizeReached) {
			return err
		}
		return w.failed(err, txid)
	}
	w.tailBytes, w.savedLost, w.link = tailBytes, c.lost, link
	w.afterSeal(c.items, before, after)
	w.behind = c.waits != 0 && len(c.revisions) > 0
	w.stuck = c.waits != 0 && len(c.revisions) == 0
	took := time.Since(started)

	j.mu.Lock()
	defer j.mu.Unlock()
	j.committed(after)
	j.unsaved = j.unsaved.without(c.revisions)
	j.commits.add(took)
	return nil
}

// committed takes over what the file holds now, and tells who waits for more. The
// caller holds the mutex.
func (j *Journal) committed(p snapshot) {
	j.end, j.oldest, j.holes, j.state, j.sealed = p.end, p.oldest, p.holes, p.state, p.sealed
	if j.cursor == j.state.Cursor {
		j.acked = time.Time{}
	} else {
		j.acked = time.Now()
	}
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *Journal) snapshot() snapshot {
	p, _ := j.snapshotRevisions()
	return p
}

// snapshotRevisions is the place together with the unsaved revisions that belong to
// it: the cursor never moves over an event on disk before the event's revision is
// there.
func (j *Journal) snapshotRevisions() (snapshot, revisions) {
	j.mu.Lock()
	defer j.mu.Unlock()
	state := j.state
	state.Sent, state.Unanswered = j.sending.sent, j.sending.unanswered
	state.Yielded = j.yielded
	return snapshot{
		oldest: j.oldest, end: j.end, sealed: j.sealed, cursor: j.cursor, finalUpto: j.finalUpto, holes: j.holes, state: state,
	}, maps.Clone(j.unsaved)
}

// fill puts a change into a transaction.
func (w *writer) fill(tx *bolt.Tx, c change, p *snapshot) (tailBytes int, err error) {
	j := w.j
	if tailBytes, err = w.putRecords(tx); err != nil {
		return 0, err
	}
	streams := tx.Bucket([]byte(bucketStreams))
	if c.starts || c.ends {
		info := streamInfo{First: j.first, Clean: c.ends}
		if err := j.codec.putChecked(streams, j.stream[:], info); err != nil {
			return 0, err
		}
	}
	if removed, err := w.remove(tx, c, p); err != nil {
		return 0, err
	} else if removed {
		tailBytes = sizeOf(tx.Bucket([]byte(bucketTail)))
	}
	if err := j.codec.putNotes(tx, c.notes); err != nil {
		return 0, err
	}
	if err := j.codec.putRevisions(tx, c.revisions); err != nil {
		return 0, err
	}
	p.state.FinalUpto = p.finalUpto
	if !j.silent {
		p.state.Alive = j.opt.Now()
	}
	p.state.Cursor, p.state.Oldest = p.cursor, p.oldest
	meta := tx.Bucket([]byte(bucketMeta))
	if c.starts {
		if err := meta.Delete([]byte(keyGaps)); err != nil { // they are among the items now
			return 0, err
		}
		if err := j.codec.putOrigin(meta, j.opt.Origin); err != nil {
			return 0, err
		}
	}
	if c.starts || !c.lost.equal(w.savedLost) {
		if err := j.codec.putLost(meta, c.lost); err != nil {
			return 0, err
		}
	}
	return tailBytes, j.codec.putChecked(meta, []byte(keyState), p.state)
}

// failed tells errors of a commit that pass from those after which the handle
// must not be used again.
func (w *writer) failed(err error, txid int) error {
	if e, ok := retryable(err); ok && !w.reachedFile(txid) {
		return e
	}
	return w.fatal(err)
}

// fatal makes the journal fail.
func (w *writer) fatal(err error) error {
	reason := reasonFailed
	if errors.Is(err, boltfile.ErrDamaged) || errors.Is(err, errDamagedRecord) {
		reason = reasonDamaged
	}
	failure := &Error{reason, err}
	w.j.fail(failure)
	return failure
}

// reachedFile tells whether a failed transaction shows in the file nevertheless, so
// that its numbers may be in use.
func (w *writer) reachedFile(txid int) bool {
	newest := txid
	err := w.j.view(func(tx *bolt.Tx) error {
		newest = tx.ID()
		return nil
	})
	return err != nil || newest >= txid
}
