package uplink

import (
	"context"
	"slices"
	"sync"
)

// documentRoom is how many documents of the city may wait to be handled. They are large.
const documentRoom = 8

// documentQueue is the documents of the city that wait to be handled, oldest first.
//
// A document replaces the one before it of its topic. So where too many come at once, an
// old one is dropped. If it were the newest, the gateway would go on until the next
// connection with the roster, or the revoked badges, of before.
type documentQueue struct {
	changed chan struct{} // has room for one: there may be a document

	mu      sync.Mutex
	waiting []message
}

func newDocumentQueue() *documentQueue {
	return &documentQueue{changed: make(chan struct{}, 1)}
}

// put adds a document. It returns false if one had to be dropped: the oldest of those
// that a later one replaces, or else this one.
func (q *documentQueue) put(m message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, m)
	select {
	case q.changed <- struct{}{}:
	default:
	}
	if len(q.waiting) <= documentRoom {
		return true
	}
	for i, older := range q.waiting {
		replaced := func(later message) bool { return later.topic == older.topic }
		if slices.ContainsFunc(q.waiting[i+1:], replaced) || i == documentRoom {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			break
		}
	}
	return false
}

// next takes the oldest document, and waits for one where there is none.
func (q *documentQueue) next(ctx context.Context) (message, error) {
	for ctx.Err() == nil {
		if m, ok := q.take(); ok {
			return m, nil
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
		}
	}
	return message{}, ctx.Err()
}

func (q *documentQueue) take() (message, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return message{}, false
	}
	m := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return m, true
}
