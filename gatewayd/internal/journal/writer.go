package journal

import (
	"errors"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

const (
	// ackAfter is how long an acknowledgement waits for a commit to ride on
	// before it gets its own.
	ackAfter = time.Minute

	// pruneEvery is how often a journal to which nothing is written looks for
	// old events.
	pruneEvery = time.Hour

	// retryAfter is how long patient events wait after the disk was full.
	retryAfter = time.Second
)

// writer is the one goroutine that writes, and what only it knows.
type writer struct {
	j       *Journal
	attempt uint32 // counts commits, failed ones too

	tailBytes int    // in the bucket tail; negative: not known
	crowded   bool   // delivered events must go, however young they are
	noted     losses // what the file says is lost and not named yet
	unnotable bool   // it could not be brought up to date

	retry     time.Time // patient events wait until then
	nextPrune time.Time

	backed     int64 // the file has blocks up to here
	unbackable bool  // the file system cannot say

	thinned thinning
	evicted evicting
	ages    ages
	behind  bool // the last commit left revisions for the next one

	arena   []byte // records of one commit
	records []sealedRecord
}

// sealedRecord is a record in its form on disk.
type sealedRecord struct {
	key   [8]byte
	value []byte
}

func newWriter(j *Journal) *writer {
	return &writer{j: j, tailBytes: -1, nextPrune: time.Now().Add(pruneEvery)}
}

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
	lost      losses // what is to be named if the process dies after this commit
}

// batch is what the writer does next.
type batch struct {
	urgent []item
	ride   int // so many patient items go along
	notes  notes
	final  bool
	tidy   bool // only if there is something to prune
	probe  bool // only see whether there is room again
	idle   bool // nothing to do for wait
	wait   time.Duration

	exchange *exchange // nothing else, if set
}

// run writes until the journal is closed or fails.
func (w *writer) run() {
	defer close(w.j.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	beat := w.j.opt.Beat
	if beat == nil {
		beat = func(time.Duration) {}
	}
	defer beat(-1)
	for {
		beat(0)
		b := w.next(time.Now())
		if b.idle {
			beat(b.wait)
			timer.Reset(b.wait)
			select {
			case <-w.j.wake:
			case <-w.ages.news:
			case <-timer.C:
			}
			continue
		}
		switch {
		case b.exchange != nil:
			b.exchange.done <- w.exchange(b.exchange.copy)
		case b.tidy:
			w.tidy(time.Now())
		case b.probe:
			w.probe()
		default:
			w.write(b)
		}
		if b.final || w.j.Err() != nil {
			w.refuseRest()
			return
		}
	}
}

// next decides what to do. Taps come first, and take along only so many tags
// that they hardly notice.
func (w *writer) next(now time.Time) batch {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	q := &j.queue
	waiting := now.Before(w.retry) && !j.closing
	switch {
	case q.exchange != nil:
		b := batch{exchange: q.exchange}
		q.exchange = nil
		return b
	case len(q.urgent) > 0:
		b := batch{urgent: q.urgent, notes: q.takeNotes()}
		q.urgent = nil
		if !waiting {
			b.ride = min(len(q.patient), maxRide)
		}
		q.taken = b.ride
		return b
	case len(q.patient) > 0 && !waiting &&
		(j.closing || len(q.flushes) > 0 || len(q.patient) >= maxBatch || now.Sub(q.patient[0].came) >= j.opt.CommitInterval):
		q.taken = min(len(q.patient), maxBatch)
		return batch{ride: q.taken, notes: q.takeNotes()}
	case len(q.notes.waiting) > 0, j.closing && (len(q.notes.data) > 0 || w.behind), len(j.unsaved) >= maxUnsaved && !waiting:
		return batch{notes: q.takeNotes()}
	case j.closing:
		return batch{final: true}
	case !j.acked.IsZero() && now.Sub(j.acked) >= ackAfter, j.pulse, w.behind && !waiting:
		return batch{notes: q.takeNotes()}
	case q.full && !waiting:
		return batch{probe: true}
	case !now.Before(w.nextPrune), w.ages.outdated():
		return batch{tidy: true}
	}
	due := w.nextPrune.Sub(now)
	if !j.acked.IsZero() {
		due = min(due, j.acked.Add(ackAfter).Sub(now))
	}
	if len(q.patient) > 0 {
		due = min(due, max(q.patient[0].came.Add(j.opt.CommitInterval).Sub(now), w.retry.Sub(now)))
	}
	if q.full {
		due = min(due, w.retry.Sub(now))
	}
	return batch{idle: true, wait: max(due, 0)}
}

// write makes a batch durable and answers everybody in it.
func (w *writer) write(b batch) {
	j := w.j
	j.mu.Lock()
	j.wrote, j.pulse = time.Now(), false
	c := change{
		items: append(b.urgent[:len(b.urgent):len(b.urgent)], j.queue.patient[:b.ride]...), rides: b.ride,
		ends: b.final, notes: b.notes.data,
	}
	j.mu.Unlock()

	first, err := w.store(c, false)
	b.notes.answer(err)
	if err != nil {
		j.keepNotes(b.notes)
	}
	outcomes := make([]outcome, len(b.urgent))
	for i := range outcomes {
		outcomes[i] = w.outcome(first+uint64(i), err)
	}
	if err != nil {
		b.ride = 0
		w.storeAlone(b.urgent, outcomes)
	}
	w.account(b, outcomes, err)
	for i, it := range b.urgent {
		it.done <- outcomes[i]
	}
}

// outcome is what became of an item that was to be stored at a position.
func (w *writer) outcome(pos uint64, err error) outcome {
	return outcome{pos: pos, seq: pos - w.j.first + 1, err: err}
}

// storeAlone stores one by one what did not find room together with everything
// else: each needs less than all of them, and all but taps gives way to a tap.
func (w *writer) storeAlone(urgent []item, outcomes []outcome) {
	for i, it := range urgent {
		if w.j.Err() == nil {
			outcomes[i] = w.outcome(w.store(change{items: urgent[i : i+1]}, it.kind == presence.KindBadge))
		}
	}
}

// account notes what a batch brought to the disk and what it did not: in memory,
// and in the file before anybody is told.
func (w *writer) account(b batch, outcomes []outcome, err error) {
	j := w.j
	j.mu.Lock()
	q := &j.queue
	q.taken = 0
	q.settle(b.ride, nil)
	if err == nil {
		// Notes live off the reserve: that they found room says nothing.
		if b.probe || b.ride > 0 || len(b.urgent) > 0 {
			q.full, q.refusing = false, false
		}
		j.mu.Unlock()
		return
	}
	refused := 0
	for i, it := range b.urgent {
		if it.kind == presence.KindBadge {
			q.refusing = outcomes[i].err != nil
		}
		if outcomes[i].err != nil {
			q.lost.add(it)
			refused++
		}
	}
	if refused > 0 || !q.full {
		j.opt.Log.Error("events were not recorded", "error", err, "urgent", refused, "waiting", len(q.patient))
	}
	w.retry = time.Now().Add(retryAfter)
	if !q.full {
		q.full = true
		q.tellRoom() // whoever waits may let the oldest go now
	}
	if j.closing { // there is no later
		for _, it := range q.patient {
			q.lost.add(it)
		}
		q.settle(len(q.patient), err)
	}
	q.answerFlushes(err)
	j.mu.Unlock()
	w.noteLost()
}

// refuseRest answers who still waits at the end.
func (w *writer) refuseRest() {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.refusal()
	for _, it := range j.queue.urgent {
		it.done <- outcome{err: err}
	}
	j.queue.urgent = nil
	notes := j.queue.takeNotes()
	notes.answer(err)
	if x := j.queue.exchange; x != nil {
		x.done <- err
	}
	j.queue.settle(len(j.queue.patient), err)
}

// store makes room and commits. It returns the position of the first item.
//
// What was lost while there was no room is named first.
func (w *writer) store(c change, evict bool) (first uint64, err error) {
	if err := w.makeRoom(c.items, evict); err != nil {
		return 0, err
	}
	lost := w.takeLost()
	gap, named := w.gapFor(lost)
	if named {
		c.items = append([]item{gap}, c.items...)
	}
	c.prunes = pruneStep
	first = w.j.End() + 1
	if err := w.commit(c); err != nil {
		w.j.mu.Lock()
		w.j.queue.lost.join(lost)
		w.j.mu.Unlock()
		return 0, err
	}
	if named {
		first++
	}
	return first, nil
}

// commit brings a change to the disk, wholly or not at all. An error that does
// not pass makes the journal fail.
func (w *writer) commit(c change) error {
	j := w.j
	w.attempt++
	before, unsaved := j.snapshotRevisions()
	after := before
	near, err := w.bound()
	if err != nil {
		return err
	}
	c.revisions, c.lost = unsaved, w.unnamed(c.rides)
	if near && !c.ends {
		// No more goes in than goes out: a commit removes as many events.
		if c.revisions = unsaved.first(pruneStep); len(c.revisions) < len(unsaved) {
			after.cursor = max(before.state.Cursor, min(before.cursor, c.revisions.last()))
		}
	}
	after.end += uint64(len(c.items))
	w.seal(c.items, before.end+1)

	var txid int
	tailBytes := 0
	j.db.NoFreelistSync = !c.ends && j.db.Stats().FreePageN > maxFreelist
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
		w.tailBytes, w.behind = -1, false
		return w.failed(err, txid)
	}
	w.tailBytes, w.noted, w.behind = tailBytes, c.lost, len(c.revisions) < len(unsaved)
	took := time.Since(started)

	j.mu.Lock()
	defer j.mu.Unlock()
	j.settle(after)
	j.unsaved.removeWritten(c.revisions)
	j.commits.add(took)
	return nil
}

// settle takes over what the file holds now, and tells who waits for more. The
// caller holds the mutex.
func (j *Journal) settle(p place) {
	j.end, j.oldest, j.holes, j.state = p.end, p.oldest, p.holes, p.state
	if j.cursor == j.state.Cursor {
		j.acked = time.Time{}
	} else {
		j.acked = time.Now()
	}
	close(j.grown)
	j.grown = make(chan struct{})
}

// place is what a commit changes of what the journal knows about its file.
type place struct {
	oldest, end uint64
	cursor      uint64
	finalUpto   uint64
	holes       spans
	state       state
}

func (j *Journal) snapshot() place {
	p, _ := j.snapshotRevisions()
	return p
}

// snapshotRevisions is the place together with the unsaved revisions that belong to
// it: the cursor never moves over an event on disk before the event's revision is
// there.
func (j *Journal) snapshotRevisions() (place, revisions) {
	j.mu.Lock()
	defer j.mu.Unlock()
	state := j.state
	state.Sent, state.Unanswered = j.sending.sent, j.sending.unanswered
	state.Yielded = j.yielded
	return place{
		oldest: j.oldest, end: j.end, cursor: j.cursor, finalUpto: j.finalUpto, holes: j.holes, state: state,
	}, maps.Clone(j.unsaved)
}

// seal brings items into their form on disk, from a position on.
func (w *writer) seal(items []item, pos uint64) {
	need := 0
	for _, it := range items {
		need += recordHeader + len(it.payload)
	}
	if cap(w.arena) < need || cap(w.arena) > 1<<20 {
		w.arena = make([]byte, 0, need)
	}
	w.arena, w.records = w.arena[:0], w.records[:0]
	for _, it := range items {
		start := len(w.arena)
		w.arena = seal(w.arena, pos, w.j.stream, pos-w.j.first+1, w.attempt, it.payload)
		w.records = append(w.records, sealedRecord{posKey(pos), w.arena[start:len(w.arena):len(w.arena)]})
		pos++
	}
}

// fill puts a change into a transaction.
func (w *writer) fill(tx *bolt.Tx, c change, p *place) (tailBytes int, err error) {
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
	p.state.Alive = j.opt.Now()
	p.state.Cursor, p.state.Oldest = p.cursor, p.oldest
	meta := tx.Bucket([]byte(bucketMeta))
	if c.starts {
		if err := meta.Delete([]byte(keyGaps)); err != nil { // they are among the items now
			return 0, err
		}
	}
	if c.starts || !c.lost.equal(w.noted) {
		if err := j.codec.putLost(meta, c.lost); err != nil {
			return 0, err
		}
	}
	return tailBytes, j.codec.putChecked(meta, []byte(keyState), p.state)
}

// What bbolt keeps inside the parent's page: a quarter page at most.
const maxTail = pageSize / 4

// putRecords writes the sealed records: into the tail where they fit, else
// the tail and they go to the tree.
func (w *writer) putRecords(tx *bolt.Tx) (tailBytes int, err error) {
	tail := tx.Bucket([]byte(bucketTail))
	tailBytes = w.tailBytes
	if tailBytes < 0 {
		tailBytes = sizeOf(tail)
	}
	if len(w.records) == 0 {
		return tailBytes, nil
	}
	need := 0
	for _, r := range w.records {
		need += elementSize(r.key[:], r.value)
	}
	if tailBytes+need <= maxTail {
		for _, r := range w.records {
			if err := tail.Put(r.key[:], r.value); err != nil {
				return 0, err
			}
		}
		return tailBytes + need, nil
	}
	if err := moveTail(tail, tx.Bucket([]byte(bucketEvents))); err != nil {
		return 0, err
	}
	return pageHeader, putEvents(tx, w.records)
}

// putEvents puts records into the tree, behind those that are there.
func putEvents(tx *bolt.Tx, records []sealedRecord) error {
	events := tx.Bucket([]byte(bucketEvents))
	events.FillPercent = 1 // keys only ever come at the end
	for _, r := range records {
		if err := events.Put(r.key[:], r.value); err != nil {
			return err
		}
	}
	return nil
}

// moveTail empties the tail into the tree.
func moveTail(tail, events *bolt.Bucket) error {
	var moved []sealedRecord
	err := tail.ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return damagedf("a key of %d bytes in the tail", len(k))
		}
		moved = append(moved, sealedRecord{[8]byte(k), append([]byte(nil), v...)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range moved {
		if err := tail.Delete(r.key[:]); err != nil {
			return err
		}
		if err := events.Put(r.key[:], r.value); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is how large a small bucket is on its page.
func sizeOf(b *bolt.Bucket) int {
	size := pageHeader
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		size += elementSize(k, v)
	}
	return size
}

func elementSize(key, value []byte) int { return leafElement + len(key) + len(value) }

// failed tells errors of a commit that pass from those after which the handle
// must not be used again.
func (w *writer) failed(err error, txid int) error {
	if e, ok := passing(err); ok && !w.reached(txid) {
		return e
	}
	return w.fatal(err)
}

// fatal makes the journal fail.
func (w *writer) fatal(err error) error {
	reason := reasonFailed
	if errors.Is(err, errDamagedFile) || errors.Is(err, errDamagedRecord) {
		reason = reasonDamaged
	}
	failure := &Error{reason, err}
	w.j.fail(failure)
	return failure
}

// reached tells whether a failed transaction shows in the file nevertheless, so
// that its numbers may be in use.
func (w *writer) reached(txid int) bool {
	newest := txid
	err := w.j.view(func(tx *bolt.Tx) error {
		newest = tx.ID()
		return nil
	})
	return err != nil || newest >= txid
}
