package journal

import (
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

const (
	// maxBatch is how many patient events go into one transaction: enough to
	// share a sync well, few enough that a tap that comes meanwhile hardly
	// waits.
	maxBatch = 512

	// noteAfter is how long an acknowledgement waits for another commit to ride
	// on before it gets its own.
	noteAfter = time.Minute

	// pruneStep is how many old events one commit removes at most.
	pruneStep = 256

	// pruneEvery is how often a journal that nothing is written to looks for
	// old events.
	pruneEvery = time.Hour
)

// request is an urgent draft and who waits for it.
type request struct {
	draft  presence.Draft
	entry  presence.Entry
	answer chan error // has room for one
}

// writer is the state of the one goroutine that writes.
type writer struct {
	j      *Journal
	stream streamStart
	noted  uint64 // the cursor on the disk

	waiting []presence.Draft // patient drafts not yet durable
}

// write is the writer's goroutine: it ends with the journal.
func (j *Journal) write() {
	defer close(j.done)
	w := &j.writer
	due := time.NewTimer(0) // when the oldest patient draft must go
	due.Stop()
	defer due.Stop()
	note := time.NewTicker(noteAfter)
	defer note.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()

	for {
		var err error
		select {
		case r := <-j.urgent:
			err = w.commitUrgent(r)
		case d := <-j.patient:
			if len(w.waiting) == 0 {
				due.Reset(j.opt.CommitInterval)
			}
			w.waiting = append(w.waiting, d)
			if len(w.waiting) >= maxBatch {
				err = w.commitPatient()
			}
		case <-due.C:
			err = w.commitPatient()
		case answer := <-j.flush:
			w.takePatient()
			for err == nil && len(w.waiting) > 0 {
				err = w.commitPatient()
				w.takePatient()
			}
			answer <- err
		case <-note.C:
			if j.Cursor() > w.noted {
				err = w.commit(nil, nil)
			}
		case <-prune.C:
			err = w.commit(nil, nil)
		case <-j.quit:
			w.close()
			return
		}
		if j.Err() != nil {
			w.refuse()
			return
		}
		if err != nil && len(w.waiting) > 0 {
			// The disk is full: the patient ones wait for room.
			due.Reset(max(j.opt.CommitInterval, time.Second))
		}
	}
}

// commitUrgent commits a tap, all taps that came with it, and what waits.
func (w *writer) commitUrgent(first *request) error {
	batch := []*request{first}
	for more := true; more && len(batch) < cap(w.j.urgent); {
		select {
		case r := <-w.j.urgent:
			batch = append(batch, r)
		default:
			more = false
		}
	}
	ride := w.waiting[:min(len(w.waiting), maxBatch)]
	err := w.commit(batch, ride)
	if err != nil && len(ride) > 0 && w.j.Err() == nil {
		// Taps go before tags: they need less room alone.
		ride = nil
		err = w.commit(batch, nil)
	}
	for _, r := range batch {
		r.answer <- err
	}
	if err == nil {
		w.rode(len(ride))
	}
	return err
}

// commitPatient commits what waits.
func (w *writer) commitPatient() error {
	n := min(len(w.waiting), maxBatch)
	if n == 0 {
		return nil
	}
	err := w.commit(nil, w.waiting[:n])
	if err == nil {
		w.rode(n)
	}
	return err
}

// rode forgets the first n waiting drafts, which are durable now.
func (w *writer) rode(n int) {
	rest := copy(w.waiting, w.waiting[n:])
	clear(w.waiting[rest:])
	w.waiting = w.waiting[:rest]
}

// takePatient takes what was enqueued up to now, one batch at the most.
func (w *writer) takePatient() {
	for len(w.waiting) < maxBatch {
		select {
		case d := <-w.j.patient:
			w.waiting = append(w.waiting, d)
		default:
			return
		}
	}
}

// close writes what waits and marks the stream as ended on purpose.
func (w *writer) close() {
	for {
		select {
		case r := <-w.j.urgent:
			if w.commitUrgent(r) != nil {
				return
			}
			continue
		default:
		}
		w.takePatient()
		if len(w.waiting) == 0 {
			break
		}
		if err := w.commitPatient(); err != nil {
			w.j.opt.Log.Error("patient events were not written at the end", "events", len(w.waiting), "error", err)
			break
		}
	}
	w.stream.clean = true
	if err := w.commit(nil, nil); err != nil {
		w.j.opt.Log.Error("the journal was not ended cleanly", "error", err)
	}
}

// refuse answers who still waits after the journal has failed.
func (w *writer) refuse() {
	for {
		select {
		case r := <-w.j.urgent:
			r.answer <- w.j.Err()
		case answer := <-w.j.flush:
			answer <- w.j.Err()
		default:
			return
		}
	}
}

// commit makes drafts durable, in order: first the urgent ones, then those that
// ride. With them goes what else has changed: the cursor, how the stream ended,
// and the removal of old events. On an error nothing of it has happened.
func (w *writer) commit(urgent []*request, ride []presence.Draft) error {
	j := w.j
	if err := w.makeRoom(len(urgent) + len(ride)); err != nil {
		return err
	}
	cursor := j.Cursor()
	pos := j.last
	first := j.first
	if first == 0 {
		first = 1
	}
	newStream := j.last < w.stream.first
	started := time.Now()
	err := j.db.Update(func(tx *bolt.Tx) error {
		events, streams, meta := tx.Bucket(bucketEvents), tx.Bucket(bucketStreams), tx.Bucket(bucketMeta)
		events.FillPercent = 1 // keys only ever come at the end
		put := func(d presence.Draft) (presence.Entry, error) {
			pos++
			e := presence.Entry{Pos: pos, Record: presence.Record{
				Stream: j.stream, Seq: pos - w.stream.first + 1, Draft: d,
			}}
			k := key(pos)
			v, err := j.codec.encode(k, &e.Record)
			if err != nil {
				return e, err
			}
			return e, events.Put(k, v)
		}
		for _, r := range urgent {
			var err error
			if r.entry, err = put(r.draft); err != nil {
				return err
			}
		}
		for _, d := range ride {
			if _, err := put(d); err != nil {
				return err
			}
		}
		if newStream || w.stream.clean {
			if err := streams.Put(key(w.stream.first), w.stream.value()); err != nil {
				return err
			}
		}
		if newStream {
			if err := meta.Put(keyBoots, j.boots.value()); err != nil {
				return err
			}
		}
		if cursor > w.noted {
			if err := meta.Put(keyCursor, key(cursor)); err != nil {
				return err
			}
		}
		var err error
		first, err = w.prune(events, streams, first, cursor)
		return err
	})
	if err != nil {
		return w.failedCommit(err)
	}
	took := time.Since(started)
	w.noted = max(w.noted, cursor)

	j.mu.Lock()
	defer j.mu.Unlock()
	j.last, j.first = pos, first
	for len(j.starts) > 1 && j.starts[1].first <= first {
		j.starts = j.starts[1:]
	}
	j.latencies.add(took)
	close(j.grown)
	j.grown = make(chan struct{})
	return nil
}

// failedCommit tells errors that pass from those after which the handle must
// not be used again.
func (w *writer) failedCommit(err error) error {
	if e, ok := passing(err); ok {
		return e
	}
	j := w.j
	failure := &Error{"write-failed", err}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure == nil {
		j.failure = failure
		close(j.failed)
	}
	return failure
}

// prune removes delivered events that are older than Keep, or for which there
// is no room, a step at a time, and the streams that have none left. It returns
// the oldest position that stays.
func (w *writer) prune(events, streams *bolt.Bucket, first, cursor uint64) (uint64, error) {
	j := w.j
	now := j.opt.Now()
	crowded := w.used() > j.opt.MaxBytes*3/4
	c := events.Cursor()
	for range pruneStep {
		// The newest event stays, delivered or not: positions go on from it.
		if first > cursor || first >= j.last {
			break
		}
		k, v := c.Seek(key(first))
		if len(k) == 8 && binary.BigEndian.Uint64(k) != first { // it was damaged and is gone
			first = min(binary.BigEndian.Uint64(k), cursor+1)
			continue
		}
		if !crowded {
			e, err := j.codec.decode(k, v)
			if age, known := now.Since(e.At); err == nil && (!known || age < j.opt.Keep) {
				break
			}
		}
		if err := events.Delete(k); err != nil {
			return 0, err
		}
		first++
	}
	j.mu.Lock()
	starts := j.starts
	j.mu.Unlock()
	for len(starts) > 1 && starts[1].first <= first {
		if err := streams.Delete(key(starts[0].first)); err != nil {
			return 0, err
		}
		starts = starts[1:]
	}
	return first, nil
}

// recordEstimate is the room that is set aside for a record before its size is
// known, with its share of the pages above it.
const recordEstimate = 512

// reserve is the room that removing events needs: bbolt writes the pages it
// changes anew before it lets go of the old ones.
const reserve = 256 << 10

// makeRoom refuses what does not fit. Where delivered events can go, it lets
// them go first.
func (w *writer) makeRoom(records int) error {
	j := w.j
	need := int64(records) * recordEstimate
	for records > 0 && w.used()+need+reserve > j.opt.MaxBytes {
		j.mu.Lock()
		delivered := j.first != 0 && j.first <= j.cursor && j.first < j.last
		before := j.first
		j.mu.Unlock()
		if !delivered {
			return ErrFull
		}
		if err := w.commit(nil, nil); err != nil {
			return err
		}
		if j.first == before {
			return ErrFull
		}
	}
	return nil
}

// used is how much of the file holds something. Free pages in it are room.
func (w *writer) used() int64 {
	var size int64
	if err := w.j.db.View(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	}); err != nil {
		return 0
	}
	s := w.j.db.Stats()
	return size - int64(s.FreePageN+s.PendingPageN)*int64(w.j.db.Info().PageSize)
}
