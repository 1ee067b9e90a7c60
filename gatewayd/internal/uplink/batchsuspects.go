package uplink

import "time"

// batchSuspect is what is known of batches over which a broker hangs up, because of their
// size or because of an event in them. Whatever was in such batches goes once more, one
// by one: so an event over which the broker hangs up is found as it would be without
// batches. The batches that follow are half as large, until some time has passed.
type batchSuspect struct {
	plain doubtful      // events that go one by one
	most  int           // the most bytes of a batch until then
	until time.Time     // when larger ones are tried again
	pause time.Duration // for how long batches were kept small
}

// hungUp notes that a broker closed the connection twice over some publications, the
// smallest batch of which had so many bytes.
func (b *batchSuspect) hungUp(events []sent, smallest int, now time.Time, aside time.Duration) {
	b.plain.add(events)
	if !now.Before(b.until) {
		b.pause = min(max(2*b.pause, aside), longestAside)
	}
	b.most, b.until = smallest/2, now.Add(b.pause)
}

// smallestBatch returns how many bytes the smallest batch has among publications, 0 where
// there is none.
func smallestBatch(all []sent) (size int) {
	for i := range all {
		if e := &all[i]; len(e.more) > 0 && (size == 0 || e.size < size) {
			size = e.size
		}
	}
	return size
}

// largestBatch returns how many bytes a batch may have.
func (all *suspects) largestBatch(now time.Time) int {
	all.mu.Lock()
	defer all.mu.Unlock()
	if b := &all.batches; now.Before(b.until) {
		return b.most
	}
	return maxPacket
}

// mayTravel reports whether an event may be part of a batch: it is no suspect, nor is it
// among those that go one by one because the broker hung up over a batch.
func (all *suspects) mayTravel(pos uint64, size int, must bool, now time.Time) bool {
	if all.treatEvent(pos, size, must, now) != together {
		return false
	}
	if !all.watchful.Load() {
		return true
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return !all.batches.plain.has(pos)
}
