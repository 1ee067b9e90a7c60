package gateway

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

	// maxRecalled is how many records are looked at for the last card of each
	// reader.
	maxRecalled = 20_000
)

// silence is for how long the readers have seen no card while people worked: a
// broken antenna reads as nobody. Its methods may be called from any goroutine.
type silence struct {
	mu      sync.Mutex
	readers map[string]*lastCard
	gates   alerts.Gates
}

// lastCard is when a reader last saw a card.
type lastCard struct {
	at      presence.Reading
	counted int64         // cards and looks at them, as its figures had it
	upto    time.Time     // working time is counted up to here; zero: not yet
	worked  time.Duration // since the card
}

// saw notes a card of a reader, from an earlier process.
func (s *silence) saw(reader string, at presence.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == nil {
		s.readers = make(map[string]*lastCard)
	}
	if s.readers[reader] == nil {
		s.readers[reader] = &lastCard{at: at}
	}
}

// look tells which readers have been silent for too long, by their figures at a
// reading. Only those are judged that ever saw a card.
func (s *silence) look(now presence.Reading, readers []presence.ReaderHealth, always bool, open func(time.Time) bool, timing func(presence.Reading) presence.Timing) (as []alerts.Alert) {
	for _, r := range readers {
		if n := r.Taps + r.Repeats + r.Refused + r.Seen; n > 0 {
			s.saw(r.Name, now)
			s.count(r.Name, n, now)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := timing(now).Time
	for _, r := range readers {
		l := s.readers[r.Name]
		if l == nil {
			continue
		}
		if !t.IsZero() {
			l.work(t, timing(l.at).Time, open)
		}
		hours := l.worked.Hours()
		judged := hours
		if always {
			judged /= alwaysOpen
		}
		if s.gates.Over(alerts.ReaderSilent, r.Name, judged) && r.State == "ok" {
			as = append(as, alerts.ReaderSilent.Raise(alerts.Values{"hours": strconv.Itoa(int(hours))}, r.Name))
		}
	}
	return as
}

// count takes a reader's figure and notes a card where it has risen.
func (s *silence) count(reader string, n int64, now presence.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.readers[reader]; n > l.counted {
		*l = lastCard{at: now, counted: n}
	}
}

// work counts the working minutes up to an instant, from that of the card, which
// may be unknown.
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

// silentReaders are the readers that have seen no card for too long.
func (d *Gateway) silentReaders() []alerts.Alert {
	return d.silence.look(d.clock.Now(), d.door.Health(), d.hours.Always(), d.hours.Open, d.clock.Timing)
}

// recallCards reads from the journal when each reader last saw a card.
func (d *Gateway) recallCards() {
	missing := make(map[string]bool)
	for _, r := range d.cfg.Readers {
		missing[r.Name] = true
	}
	looked := 0
	err := d.journal.Tail(func(e presence.Entry) bool {
		if e.Badge != nil && missing[e.Badge.Reader] {
			d.silence.saw(e.Badge.Reader, e.At)
			delete(missing, e.Badge.Reader)
		}
		looked++
		return len(missing) > 0 && looked < maxRecalled
	})
	if err != nil {
		d.log.Warn("nobody knows when the readers saw their last card", "error", err)
	}
}
