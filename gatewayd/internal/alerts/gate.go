package alerts

import (
	"math"
	"sync"
	"time"
)

// Gates remember, for alerts that come from numbers, which are raised: that
// decides which end of the hysteresis counts. The zero value has none raised;
// its methods may be called from any goroutine.
type Gates struct {
	mu     sync.Mutex
	raised map[gateKey]bool
	shares map[gateKey]*share
}

// gateKey is a kind about a thing.
type gateKey struct {
	kind  Kind
	about string
}

// Over takes the present value of what a kind's limit is about and tells
// whether the alert stands.
func (g *Gates) Over(k Kind, about string, value float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over(gateKey{k, about}, value)
}

func (g *Gates) over(key gateKey, value float64) bool {
	l := key.kind.Limit()
	bound := l.Raise
	if g.raised[key] {
		bound = l.Clear
	}
	stands := value >= bound
	if l.Raise < l.Clear { // too little is bad
		stands = value < bound
	}
	g.set(key, stands)
	return stands
}

// Clear tells that there is no value any more: the alert does not stand.
func (g *Gates) Clear(k Kind, about string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set(gateKey{k, about}, false)
}

func (g *Gates) set(key gateKey, stands bool) {
	if g.raised == nil {
		g.raised = make(map[gateKey]bool)
	}
	if g.raised[key] = stands; !stands {
		delete(g.raised, key)
	}
}

// Share takes two counters that only rise, of bad and of all, and tells whether
// the alert about their ratio within the limit's window stands, and what was
// counted there. Both counters are taken to have begun at 0.
func (g *Gates) Share(k Kind, about string, now time.Time, bad, all int64) (badNow, allNow int64, stands bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := gateKey{k, about}
	s := g.shares[key]
	if s == nil {
		if g.shares == nil {
			g.shares = make(map[gateKey]*share)
		}
		s = &share{seen: []count{{at: now}}}
		g.shares[key] = s
	}
	l := k.Limit()
	badNow, allNow = s.within(count{now, bad, all}, l.Window, l.Newest)
	if allNow == 0 || badNow < l.Least && !g.raised[key] {
		g.set(key, false)
		return badNow, allNow, false
	}
	return badNow, allNow, g.over(key, float64(badNow)/float64(allNow))
}

// share remembers two counters over a window.
type share struct {
	seen []count // oldest first; the first is what the window is counted from
}

type count struct {
	at       time.Time
	bad, all int64
}

// maxMarks bounds what a share remembers; beyond it every second mark goes.
const maxMarks = 256

// within takes the counters as they are now and tells how far they rose within
// the window, or within the newest of all where those are fewer.
func (s *share) within(now count, window time.Duration, newest int64) (bad, all int64) {
	last := s.seen[len(s.seen)-1]
	switch {
	case now.bad < last.bad || now.all < last.all: // they began again
		s.seen = []count{{at: now.at}, now}
	case now.all != last.all:
		s.seen = append(s.seen, now)
	}
	// It is counted from the newest mark that lies before the window.
	for len(s.seen) > 1 && (now.at.Sub(s.seen[1].at) >= window || newest > 0 && now.all-s.seen[1].all >= newest) {
		s.seen = s.seen[1:]
	}
	if len(s.seen) > maxMarks {
		kept := s.seen[:0]
		for i, c := range s.seen {
			if i%2 == 0 || i == len(s.seen)-1 {
				kept = append(kept, c)
			}
		}
		s.seen = kept
	}
	begin := s.seen[0]
	if len(s.seen) > 1 {
		begin = between(begin, s.seen[1], now.at.Add(-window), now.all-newest, newest > 0)
	}
	return now.bad - begin.bad, now.all - begin.all
}

// between is what the counters were, as a straight line has it, where a window
// begins between two marks: at an instant, or at a count of all where that is
// later.
func between(a, b count, at time.Time, all int64, byCount bool) count {
	part := 0.0
	if span := b.at.Sub(a.at); span > 0 {
		part = float64(at.Sub(a.at)) / float64(span)
	}
	if byCount && b.all > a.all {
		part = max(part, float64(all-a.all)/float64(b.all-a.all))
	}
	part = min(max(part, 0), 1)
	along := func(a, b int64) int64 { return a + int64(math.Round(part*float64(b-a))) }
	return count{at, along(a.bad, b.bad), along(a.all, b.all)}
}
