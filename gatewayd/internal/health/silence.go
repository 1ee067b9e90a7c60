package health

import (
	"strconv"
	"sync"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

const (
	// alwaysOpen is by how much longer a reader may see no card where the
	// configuration knows no working hours: nights and weekends count then.
	alwaysOpen = 10

	// silentFor is as far back as it matters when a reader saw a card.
	silentFor = 30 * 24 * time.Hour
)

// SilenceOptions is what Silence needs to know of working time.
type SilenceOptions struct {
	// Open reports whether an instant lies in working hours.
	Open func(time.Time) bool
	// Always reports whether no working hours are configured: all hours are open.
	Always func() bool
	// Timing says what is known of the instant of a reading.
	Timing func(presence.Reading) presence.Timing
}

// Silence measures for how long readers have seen no card during working hours: a
// broken antenna looks like nobody coming. Its methods may be called from any
// goroutine.
type Silence struct {
	opt     SilenceOptions
	mu      sync.Mutex
	readers map[string]*lastCard
	gates   alerts.Gates
}

// lastCard is when a reader last saw a card.
type lastCard struct {
	at        presence.Reading
	published presence.Timing // when that was, as it was published; of a card of an earlier process
	counted   int64           // cards and looks at them, as its figures had it
	upto      time.Time       // working time is counted up to here; zero: not yet
	worked    time.Duration   // since the card
}

// NewSilence returns one for which no reader has seen a card yet.
func NewSilence(opt SilenceOptions) *Silence {
	return &Silence{opt: opt, readers: make(map[string]*lastCard)}
}

// Recall notes a card that a reader saw in an earlier process, and what was
// published of when that was: the clock may have forgotten that boot. Only the first call
// for a reader counts.
func (s *Silence) Recall(reader string, at presence.Reading, published presence.Timing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers[reader] == nil {
		s.readers[reader] = &lastCard{at: at, published: published}
	}
}

// Alerts takes the figures of all readers at a reading of the clock, and returns an
// alert for each that has been silent for too long. It says nothing of a reader that
// never saw a card.
func (s *Silence) Alerts(now presence.Reading, readers []presence.ReaderHealth) (as []alerts.Alert) {
	for _, r := range readers {
		if n := r.Taps + r.Repeats + r.Refused + r.Seen; n > 0 {
			s.Recall(r.Name, now, presence.Timing{})
			s.count(r.Name, n, now)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.opt.Timing(now).Time
	always := s.opt.Always()
	for _, r := range readers {
		l := s.readers[r.Name]
		if l == nil {
			continue
		}
		if !t.IsZero() {
			card := s.opt.Timing(l.at).Time
			if card.IsZero() {
				card = l.published.Time
			}
			l.work(t, card, s.opt.Open)
		}
		hours := l.worked.Hours()
		weighed := hours
		if always {
			weighed /= alwaysOpen
		}
		if s.gates.Over(alerts.ReaderSilent, r.Name, weighed) && r.State == "ok" {
			as = append(as, alerts.ReaderSilent.Raise(alerts.Values{"hours": strconv.Itoa(int(hours))}, r.Name))
		}
	}
	return as
}

// count takes a reader's count of cards and notes one where it has risen.
func (s *Silence) count(reader string, n int64, now presence.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.readers[reader]; n > l.counted {
		*l = lastCard{at: now, counted: n}
	}
}

// work adds the working time up to now, in whole minutes. Counting begins at the
// card, or now where the time of the card is not known.
func (l *lastCard) work(now, card time.Time, open func(time.Time) bool) {
	if l.upto.IsZero() {
		if card.IsZero() || card.After(now) {
			card = now
		}
		l.upto = card
		if now.Sub(card) > silentFor {
			l.upto = now.Add(-silentFor)
		}
	}
	for next := l.upto.Add(time.Minute); !next.After(now); next = next.Add(time.Minute) {
		if open(l.upto) {
			l.worked += time.Minute
		}
		l.upto = next
	}
}
