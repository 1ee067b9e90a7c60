package journal

import (
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// Oldest is the oldest position in the journal.
func (j *Journal) Oldest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.oldest
}

// PositionOf is the position that a stream's event has, or had: it may have been
// forgotten, or be gone because its time was over. False where there never was
// such an event, or nothing of its stream is left.
func (j *Journal) PositionOf(stream presence.ID, seq uint64) (uint64, bool) {
	if pos, found := j.Find(stream, seq); found {
		return pos, true
	}
	if seq == 0 || seq > noEnd { // so that a position does not wrap around
		return 0, false
	}
	// What is not there may never have been.
	first, last, known := j.extent(stream)
	pos := first + seq - 1
	return pos, known && pos <= last
}

// extent is where a stream of which something is left has its number 1, and where it
// ends: where the next one begins.
func (j *Journal) extent(stream presence.ID) (first, last uint64, known bool) {
	first, last = j.first, j.End()
	if stream == j.stream {
		return first, last, true
	}
	last = min(last, j.first-1)
	err := j.view(func(tx *bolt.Tx) error {
		streams := tx.Bucket([]byte(bucketStreams))
		var s, other streamInfo
		if err := j.codec.readChecked(stream[:], streams.Get(stream[:]), &s); err != nil {
			return err
		}
		first, known = s.First, true
		return streams.ForEach(func(id, value []byte) error {
			err := j.codec.readChecked(id, value, &other)
			if err == nil && other.First > first {
				last = min(last, other.First-1)
			}
			return err
		})
	})
	return first, last, known && err == nil
}

// Find is the position of a stream's event, false where it is not in the
// journal.
func (j *Journal) Find(stream presence.ID, seq uint64) (uint64, bool) {
	if seq == 0 {
		return 0, false
	}
	first := j.first
	if stream != j.stream {
		var s streamInfo
		err := j.view(func(tx *bolt.Tx) error {
			return j.codec.readChecked(stream[:], tx.Bucket([]byte(bucketStreams)).Get(stream[:]), &s)
		})
		if err != nil {
			return 0, false
		}
		first = s.First
	}
	pos := first + seq - 1
	found := false
	err := j.view(func(tx *bolt.Tx) error {
		r, ok := get(tx, pos)
		found = ok && pos <= j.End() && r.stream == stream && r.seq == seq
		return nil
	})
	return pos, found && err == nil
}
