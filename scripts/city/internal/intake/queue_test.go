package intake

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"presence/scripts/city/internal/event"
)

func delivery(events, bytes int) Delivery {
	return Delivery{Events: make([]event.Event, events), bytes: bytes, Came: time.Now()}
}

func TestQueueTakesInOrderAndWaitsForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1000)
		go func() {
			for i := range 5 {
				if !q.put(t.Context(), delivery(i+1, 10), time.Hour) {
					t.Error("no room")
				}
				time.Sleep(time.Second)
			}
		}()
		begun := time.Now()
		// The first comes at once; three more come in the 3.5 s for which it waits.
		taken := q.Take(t.Context(), 100, 3500*time.Millisecond)
		if len(taken) != 4 || len(taken[3].Events) != 4 || time.Since(begun) != 3500*time.Millisecond {
			t.Errorf("took %d after %s", len(taken), time.Since(begun))
		}
		q.Done(taken)
		// With enough of them it does not wait.
		time.Sleep(time.Minute)
		begun = time.Now()
		if taken = q.Take(t.Context(), 5, time.Hour); len(taken) != 1 || time.Since(begun) != 0 {
			t.Errorf("took %d after %s", len(taken), time.Since(begun))
		}
		// What holds more than is asked for comes alone, and nothing is left behind.
		q.Done(taken)
		q.put(t.Context(), delivery(3, 10), 0)
		q.put(t.Context(), delivery(9, 10), 0)
		if taken = q.Take(t.Context(), 2, 0); len(taken) != 1 || len(taken[0].Events) != 3 {
			t.Errorf("took %+v", taken)
		}
		if n, _, _ := q.Length(); n != 9 {
			t.Errorf("%d events are left", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.Take(ctx, 9, 0)
		if taken = q.Take(ctx, 1, 0); taken != nil {
			t.Errorf("took %+v of nothing", taken)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1000)
		if !q.put(t.Context(), delivery(1, 5000), 0) {
			t.Error("what is larger than the queue has no room in an empty one")
		}
		begun := time.Now()
		if q.put(t.Context(), delivery(1, 10), 5*time.Second) || time.Since(begun) != 5*time.Second {
			t.Errorf("there was room after %s", time.Since(begun))
		}
		go func() {
			taken := q.Take(t.Context(), 10, 0) // what is taken takes room until it is stored
			time.Sleep(3 * time.Second)
			q.Done(taken)
		}()
		begun = time.Now()
		if !q.put(t.Context(), delivery(1, 10), 5*time.Second) || time.Since(begun) != 3*time.Second {
			t.Errorf("room after %s", time.Since(begun))
		}
		if !q.awaitRoom(t.Context()) {
			t.Error("half of it is not free")
		}
	})
}
