package journal

import (
	"slices"
	"time"
)

const (
	// maxBatch is how many events go into one commit: enough to share a sync
	// well, few enough that a tap that comes meanwhile hardly waits.
	maxBatch = 1024

	// maxRide is how many patient events ride along with an urgent one.
	maxRide = 256

	// maxPatient is how many patient events wait in memory.
	maxPatient = 4096

	// maxUrgent bounds what waits at once for an answer.
	maxUrgent = 1024
)

// queue is what waits for the writer, under the journal's mutex.
type queue struct {
	urgent  []item
	patient []item
	in, out uint64        // patient items that ever came and went
	flushes []flush       // who waits for patient items
	room    chan struct{} // closed and replaced when patient items went, or may
	taken   int           // patient items that the writer is writing now
	full    bool          // there was no room at the last try
	lost    losses        // what went since without having been stored

	refusing bool // the last tap was refused

	exchange *exchange // a new file that waits to take the old one's place; nil: none
	notes    notes     // to be written with the next commit
	saves    []save    // who waits for revisions

	seals []chan<- error // buffered; who waits for a seal
}

// flush waits until as many patient items have gone as had come.
type flush struct {
	upto uint64
	done chan<- error // buffered
}

// wakeWriter makes the writer look at the queue. The caller holds the mutex.
func (j *Journal) wakeWriter() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// refusal is why nothing is taken any more, nil as long as it is. The caller
// holds the mutex.
func (j *Journal) refusal() error {
	switch {
	case j.refused != nil:
		return j.refused
	case j.err != nil:
		return j.err
	case j.closing:
		return errClosed
	}
	return nil
}

// refusesEvents is why no event can be recorded, nil if one can. The caller holds the
// mutex.
func (j *Journal) refusesEvents() error {
	if err := j.refusal(); err != nil || !j.silent {
		return err
	}
	return errSilent
}

func (j *Journal) pushUrgent(it item) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusesEvents(); err != nil {
		return err
	}
	if len(j.queue.urgent) >= maxUrgent {
		return errBusy
	}
	j.queue.urgent = append(j.queue.urgent, it)
	j.wakeWriter()
	return nil
}

// pushPatient takes a patient item. Where there is no room it returns a channel
// that is closed when there may be.
//
// While the disk is full, room is made in memory as well: the oldest event goes,
// and is accounted for.
func (j *Journal) pushPatient(it item) (room <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusesEvents(); err != nil {
		return nil, err
	}
	q := &j.queue
	if len(q.patient) >= maxPatient && q.full {
		q.drop()
		j.setYielded()
	}
	if len(q.patient) >= maxPatient {
		return q.room, nil
	}
	it.came = time.Now()
	if len(q.patient) == 0 {
		j.wakeWriter()
	}
	q.patient = append(q.patient, it)
	q.in++
	if len(q.patient) == maxBatch {
		j.wakeWriter()
	}
	return nil, nil
}

func (j *Journal) pushFlush(done chan<- error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	if len(j.queue.patient) == 0 {
		done <- nil
		return nil
	}
	j.queue.flushes = append(j.queue.flushes, flush{upto: j.queue.in, done: done})
	j.wakeWriter()
	return nil
}

// drop lets the oldest event go that is not being written: a tag's where there
// is one, else that of a person.
func (q *queue) drop() {
	for _, kind := range yielding {
		for i := q.taken; i < len(q.patient); i++ {
			if q.patient[i].draft.Kind == kind {
				q.lost.add(q.patient[i])
				q.patient = slices.Delete(q.patient, i, i+1)
				q.out++
				q.answerFlushes(nil)
				return
			}
		}
	}
}

// removeFirst takes the first n patient items away and answers who waited for them.
func (q *queue) removeFirst(n int, err error) {
	rest := copy(q.patient, q.patient[n:])
	clear(q.patient[rest:])
	q.patient = q.patient[:rest]
	if rest == 0 && cap(q.patient) > maxBatch {
		q.patient = nil // a flood is over; its memory goes
	}
	q.out += uint64(n)
	q.answerFlushes(err)
	if n > 0 {
		q.tellRoom()
	}
}

// tellRoom has everybody look again who waits for room in the queue.
func (q *queue) tellRoom() {
	close(q.room)
	q.room = make(chan struct{})
}

// answerFlushes answers who waits for items that went; on an error, everybody.
func (q *queue) answerFlushes(err error) {
	waiting := q.flushes[:0]
	for _, f := range q.flushes {
		if err != nil || f.upto <= q.out {
			f.done <- err
		} else {
			waiting = append(waiting, f)
		}
	}
	clear(q.flushes[len(waiting):])
	q.flushes = waiting
}
