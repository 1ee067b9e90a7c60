package journal

import (
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// sending is how far the city was told, beside the cursor. It goes to the disk
// with some later commit: after a crash it is behind what was, never ahead.
type sending struct {
	sent       uint64
	unanswered uint64
}

// Sent is the newest position that is known to have been sent.
func (j *Journal) Sent() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sending.sent
}

// NoteSent notes that everything up to a position was sent.
func (j *Journal) NoteSent(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sending.sent = max(j.sending.sent, min(pos, j.end))
}

// Unanswered is the position up to which the broker has everything although the
// city did not answer when some of it went again; 0 where it did.
func (j *Journal) Unanswered() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sending.unanswered
}

// NoteUnanswered notes what Unanswered is from now on.
func (j *Journal) NoteUnanswered(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sending.unanswered = min(pos, j.end)
}

// Oldest is the oldest position in the journal.
func (j *Journal) Oldest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.oldest
}

// Place is the position that a stream's event has, or had: it may have been
// forgotten, or be gone because its time was over. False where there never was
// such an event, or nothing of its stream is left.
func (j *Journal) Place(stream presence.ID, seq uint64) (uint64, bool) {
	if pos, found := j.Find(stream, seq); found {
		return pos, true
	}
	if seq == 0 || seq > 1<<62 { // so that a position does not wrap around
		return 0, false
	}
	// What is not there may never have been: a stream ends where the next one
	// begins.
	first, last := j.first, j.End()
	if stream != j.stream {
		last = min(last, j.first-1)
		err := j.view(func(tx *bolt.Tx) error {
			streams := tx.Bucket([]byte(bucketStreams))
			var s, other streamInfo
			if err := j.codec.readChecked(stream[:], streams.Get(stream[:]), &s); err != nil {
				return err
			}
			first = s.First
			return streams.ForEach(func(id, value []byte) error {
				err := j.codec.readChecked(id, value, &other)
				if err == nil && other.First > first {
					last = min(last, other.First-1)
				}
				return err
			})
		})
		if err != nil {
			return 0, false
		}
	}
	pos := first + seq - 1
	return pos, pos <= last
}
