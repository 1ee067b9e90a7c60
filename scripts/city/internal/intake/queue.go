package intake

import (
	"context"
	"sync"
	"time"

	"presence/scripts/city/internal/event"
)

// Delivery is what one message holds.
type Delivery struct {
	Events  []event.Event
	Refused []event.Refusal
	// Came is when it did.
	Came time.Time

	bytes   int
	session *Session
	ack     func()
}

// Broker is the number of the broker that delivered it, from 0.
func (d *Delivery) Broker() int { return d.session.opt.Number }

// Ack tells the broker that the message is stored. Messages of a broker are acknowledged
// in the order in which they came (MQTT 3.1.1, 4.6). Over a connection that is no more it
// does nothing.
func (d *Delivery) Ack() { d.ack() }

// Queue is what came and is not stored yet, in the order of arrival, bounded in bytes.
// Several sessions fill it, and one goroutine empties it.
type Queue struct {
	limit int

	mu      sync.Mutex
	waiting []Delivery
	bytes   int // of those that wait and those that are taken, until Done
	events  int // of those that wait
	wanted  int // at so many events who takes is woken

	enough chan struct{} // wakes who takes
	freed  chan struct{} // is closed when room was made, and replaced
}

// NewQueue makes a queue of at most so many bytes.
func NewQueue(bytes int) *Queue {
	return &Queue{limit: bytes, enough: make(chan struct{}, 1), freed: make(chan struct{})}
}

// put adds a delivery as soon as there is room for it. It is false if that does not come
// in time. A delivery that is larger than the whole queue has room in an empty one.
func (q *Queue) put(ctx context.Context, d Delivery, within time.Duration) bool {
	add := func() bool {
		if q.bytes > 0 && q.bytes+d.bytes > q.limit {
			return false
		}
		q.waiting = append(q.waiting, d)
		q.bytes += d.bytes
		q.events += weight(&d)
		if q.events >= q.wanted {
			select {
			case q.enough <- struct{}{}:
			default:
			}
		}
		return true
	}
	q.mu.Lock()
	added := add()
	q.mu.Unlock()
	if added {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return q.await(ctx, add)
}

// weight is how many events a delivery counts for: what holds none takes part of a
// transaction, too.
func weight(d *Delivery) int { return max(len(d.Events)+len(d.Refused), 1) }

// awaitRoom waits until half of the queue is free; false if the context ends before.
func (q *Queue) awaitRoom(ctx context.Context) bool {
	return q.await(ctx, func() bool { return q.bytes <= q.limit/2 })
}

// await waits until something is true that depends on the room in the queue; false if the
// context ends before. It is asked with mu held.
func (q *Queue) await(ctx context.Context, condition func() bool) bool {
	for {
		q.mu.Lock()
		done, freed := condition(), q.freed
		q.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// Take waits for deliveries and returns them in order: those that hold so many events
// together, and at least one. For more than the first it waits at most so long. None come
// back when the context ends.
func (q *Queue) Take(ctx context.Context, events int, company time.Duration) []Delivery {
	if !q.awaitEvents(ctx, 1, nil) {
		return nil
	}
	timer := time.NewTimer(company)
	defer timer.Stop()
	q.awaitEvents(ctx, events, timer.C)
	q.mu.Lock()
	defer q.mu.Unlock()
	n, taken := 0, 0
	for n < len(q.waiting) && (n == 0 || taken+weight(&q.waiting[n]) <= events) {
		taken += weight(&q.waiting[n])
		n++
	}
	first := q.waiting[:n:n]
	q.waiting = append([]Delivery(nil), q.waiting[n:]...)
	q.events -= taken
	return first
}

// awaitEvents waits until so many events are there; false if they are late or the context
// ends.
func (q *Queue) awaitEvents(ctx context.Context, events int, late <-chan time.Time) bool {
	for {
		q.mu.Lock()
		q.wanted = events
		there := q.events >= events
		q.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-q.enough:
		case <-late:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// Done frees the room of deliveries that were taken.
func (q *Queue) Done(taken []Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range taken {
		q.bytes -= taken[i].bytes
	}
	close(q.freed)
	q.freed = make(chan struct{})
}

// Length is how many events wait, how many bytes they and what is being stored have, and
// since when the oldest waits, zero where none does.
func (q *Queue) Length() (events, bytes int, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		oldest = q.waiting[0].Came
	}
	return q.events, q.bytes, oldest
}

// perEvent is about how many bytes of memory an event takes beside its own text.
const perEvent = 400

// size is about how many bytes of memory a delivery takes.
func (d *Delivery) size(payload int) int {
	n := payload + perEvent
	for i := range d.Events {
		e := &d.Events[i]
		n += perEvent + len(e.More)
		if len(d.Events) > 1 { // of a batch, which was unpacked
			n += len(e.Raw)
		}
	}
	for i := range d.Refused {
		n += perEvent + len(d.Refused[i].Payload)
	}
	return n
}
