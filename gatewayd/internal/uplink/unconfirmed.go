package uplink

import (
	"sync"
	"time"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

// unconfirmed is the corrections that the broker has acknowledged and of which, with
// receipts, the city has yet to say that it has them: a broker can acknowledge one and
// lose it, and then the event stays in the city's database with its worse time. They are
// open in the journal as well, so that a process that knows nothing of them sends them
// again.
//
// A city that confirms no correction ever, as one whose receipts are made by hand, is not
// sent them for ever: after patientRounds times without a word the broker's
// acknowledgement counts, as it does without receipts.
type unconfirmed struct {
	patient patience
	wake    func() // has the sender look at due

	mu        sync.Mutex
	positions interval.Set[uint64]
	since     time.Time // of the last acknowledgement or confirmation
	rounds    int       // how often they went again since the last confirmation
	confirms  bool      // the city has confirmed a correction to this process
}

// patientRounds is how often corrections go again to a city that has not confirmed any.
const patientRounds = 3

func newUnconfirmed(patient patience, wake func()) *unconfirmed {
	return &unconfirmed{patient: patient, wake: wake}
}

// await notes that the broker has acknowledged corrections. It reports whether they wait
// for the city; if not, the acknowledgement is all that is to be had.
func (c *unconfirmed) await(corrections []presence.Revision, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.confirms && c.rounds >= patientRounds {
		return false
	}
	for _, r := range corrections {
		c.positions = c.positions.Add(spanOf(r.Pos, r.Pos))
	}
	c.since = now
	c.wake()
	return true
}

// confirmed notes that the city has corrections.
func (c *unconfirmed) confirmed(corrections []presence.Revision, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range corrections {
		c.positions = c.positions.Remove(spanOf(r.Pos, r.Pos))
	}
	c.confirms, c.rounds, c.since = true, 0, now
}

// has reports whether a correction waits for the city, so that it does not go again now.
func (c *unconfirmed) has(pos uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.positions.Has(pos)
}

// due reports whether the corrections are to go again, which it then leaves to the
// caller, and if not, when they are; zero where none waits.
func (c *unconfirmed) due(now time.Time) (again bool, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.positions) == 0 {
		return false, time.Time{}
	}
	if next = c.since.Add(c.patient.pause(c.rounds)); now.Before(next) {
		return false, next
	}
	c.positions = nil
	c.rounds++
	return true, time.Time{}
}
