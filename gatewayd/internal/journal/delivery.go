package journal

import "time"

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

// SetSent sets the position up to which everything was sent; it never goes back.
func (j *Journal) SetSent(pos uint64) {
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

// SetUnanswered sets what Unanswered is from now on.
func (j *Journal) SetUnanswered(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sending.unanswered = min(pos, j.end)
}

// Cursor is the position up to which everything is delivered.
func (j *Journal) Cursor() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cursor
}

// End is the newest durable position.
func (j *Journal) End() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end
}

// Ack notes that all up to a position is delivered. It goes to the disk with
// the next commit, or alone after a minute; until then a crash brings those
// events again.
func (j *Journal) Ack(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	pos = min(pos, j.end)
	if pos <= j.cursor {
		return
	}
	j.cursor = pos
	if j.acked.IsZero() {
		j.acked = time.Now()
		j.wakeWriter()
	}
}
