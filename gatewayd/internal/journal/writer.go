package journal

import (
	"encoding/binary"
	"errors"
	"time"

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

	link  presence.Link // of the newest event in the file
	seals sealing

	tailBytes   int    // in the bucket tail; negative: not known
	crowded     bool   // delivered events must go, however young they are
	savedLost   losses // what the file says is lost and not named yet
	lostUnsaved bool   // it could not be brought up to date

	retry     time.Time // patient events wait until then
	nextPrune time.Time

	allocated      int64 // the file has blocks up to here
	cannotAllocate bool  // the file system cannot say

	thinned  thinning
	evicted  evicting
	ages     ages
	unlisted bool // the last commit had no room for the list of free pages
	behind   bool // the last commit left revisions for the next one
	stuck    bool // the last commit had no room for any of the revisions that wait

	arena   []byte // records of one commit
	payload []byte // of one of them
	records []packedRecord
}

func newWriter(j *Journal) *writer {
	return &writer{j: j, tailBytes: -1, nextPrune: time.Now().Add(pruneEvery), seals: sealing{anchored: -1}}
}

// batch is what the writer does next.
type batch struct {
	urgent   []item
	ride     int // so many patient items go along
	notes    notes
	seals    []chan<- error // buffered; who waits for a seal
	final    bool
	sealOnly bool // nothing but a seal
	tidy     bool // only if there is something to prune
	probe    bool // only see whether there is room again
	idle     bool // nothing to do for wait
	wait     time.Duration

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
		case b.sealOnly:
			w.sealAlone(b.seals)
		case b.tidy:
			w.pruneIdle(time.Now())
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
		b := batch{urgent: q.urgent, notes: q.takeNotes(), seals: q.takeSeals()}
		q.urgent = nil
		if !waiting {
			b.ride = min(len(q.patient), maxRide)
		}
		q.taken = b.ride
		return b
	case len(q.patient) > 0 && !waiting &&
		(j.closing || len(q.flushes) > 0 || len(q.patient) >= maxBatch || now.Sub(q.patient[0].came) >= j.opt.CommitInterval):
		q.taken = min(len(q.patient), maxBatch)
		return batch{ride: q.taken, notes: q.takeNotes(), seals: q.takeSeals()}
	case len(q.notes.waiting) > 0, len(q.saves) > 0, j.closing && (len(q.notes.data) > 0 || w.behind),
		len(j.unsaved) >= maxUnsaved && !waiting && !w.stuck:
		return batch{notes: q.takeNotes(), seals: q.takeSeals()}
	case j.closing:
		return batch{final: true, seals: q.takeSeals()}
	case len(q.seals) > 0, w.sealDue() && !now.Before(w.seals.due):
		return batch{seals: q.takeSeals(), sealOnly: true}
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
	if w.sealDue() {
		due = min(due, w.seals.due.Sub(now))
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
		ends: b.final && !j.silent, notes: b.notes.data,
		seal: len(b.seals) > 0 || b.final || w.sealRides(j.wrote),
	}
	j.mu.Unlock()

	noted := w.fitNotes(c.notes)
	if noted != nil {
		c.notes = nil
	}
	first, err := w.store(c, false)
	switch {
	case noted != nil:
	case errors.Is(err, ErrFull) && len(c.notes) > 0:
		// Either may have room without the other.
		noted = w.commit(change{notes: c.notes})
		if c.notes = nil; j.Err() == nil {
			first, err = w.store(c, false)
		}
	default:
		noted = err
	}
	b.notes.answer(noted)
	if noted != nil {
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
	w.saveRevisions(err)
	w.answerSeals(b.seals, err)
	for i, it := range b.urgent {
		it.done <- outcomes[i]
	}
}

// outcome is what became of an item that was to be stored at a position by the newest
// commit.
func (w *writer) outcome(pos uint64, err error) outcome {
	o := outcome{pos: pos, seq: pos - w.j.first + 1, err: err}
	if err == nil {
		first := binary.BigEndian.Uint64(w.records[0].key[:])
		o.chain = w.records[pos-first].chain
	}
	return o
}

// storeAlone stores one by one what did not find room together with everything
// else: each needs less than all of them, and all but taps gives way to a tap.
func (w *writer) storeAlone(urgent []item, outcomes []outcome) {
	for i, it := range urgent {
		if w.j.Err() == nil {
			outcomes[i] = w.outcome(w.store(change{items: urgent[i : i+1]}, it.draft.Kind == presence.KindBadge))
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
	q.removeFirst(b.ride, nil)
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
		if it.draft.Kind == presence.KindBadge {
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
		q.removeFirst(len(q.patient), err)
	}
	q.answerFlushes(err)
	j.mu.Unlock()
	w.saveLost()
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
	for _, s := range j.queue.saves {
		s.done <- err
	}
	j.queue.saves = nil
	for _, done := range j.queue.takeSeals() {
		done <- err
	}
	if x := j.queue.exchange; x != nil {
		x.done <- err
	}
	j.queue.removeFirst(len(j.queue.patient), err)
}

// store makes room and commits. It returns the position of the first item.
//
// What was lost while there was no room is named first.
func (w *writer) store(c change, evict bool) (first uint64, err error) {
	if err := w.makeRoom(c.items, evict); err != nil {
		return 0, err
	}
	if c.seal {
		if seal, ok := w.sealFor(c.items); ok {
			c = c.withSeal(seal)
		}
	}
	c.prunes = pruneStep
	first = w.j.End() + 1
	lost := w.takeLost()
	gap, named := w.gapFor(lost)
	if named {
		with := c
		with.items = append([]item{gap}, c.items...)
		err = w.commit(with)
	}
	if !named || errors.Is(err, ErrFull) {
		named = false
		err = w.commit(c)
	}
	if !named || err != nil {
		w.j.mu.Lock()
		w.j.queue.lost.join(lost)
		w.j.mu.Unlock()
	}
	if err != nil {
		return 0, err
	}
	if named {
		first++
	}
	return first, nil
}
