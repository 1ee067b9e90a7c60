package uplink

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// refusals finds out over which publications a broker hangs up, and sets those
// aside so that all the others go on.
//
// MQTT 3.1.1 has no word for "no": a broker that does not take a message, for its
// size or for its topic, closes the connection, and whatever else was on its way
// looks as guilty. So when a broker closes a connection, what it had not
// acknowledged is suspected, and goes alone at the next one: nothing else is on
// its way meanwhile. What is alone at the end of two connections in a row is set
// aside. It is tried again now and then, for somebody may have mended the broker.
//
// It outlives connections.
type suspects struct {
	aside    time.Duration // for which a topic is set aside at first
	hold     time.Duration // and an event
	watchful atomic.Bool   // there is something to look up; spares a lock for each event

	mu      sync.Mutex
	topics  map[string]*suspect // by topic behind the gateway's prefix
	events  map[uint64]*suspect // by position
	head    uint64              // the oldest unacknowledged event when a broker last hung up
	careful uint64              // events up to here go alone
	lines   int                 // lines of the log from this size on are left out; 0: none
}

// suspect is a publication over which a broker may have hung up.
type suspect struct {
	size     int           // of the smallest payload that it may have been
	name     string        // of an event
	alone    int           // connections in a row that ended while nothing else was on its way
	until    time.Time     // set aside until then; zero: only suspected
	pause    time.Duration // for which it was set aside
	standing bool          // what the gateway has to say there is not said
}

const (
	// enoughAlone is how many connections in a row must have ended over a
	// publication: one may have been chance.
	enoughAlone = 2
	// longestAside is how long what was set aside waits at most for another try,
	// which costs a connection if it is in vain. The wait doubles.
	longestAside = 6 * time.Hour
	// longestHeld is the same for an event: others wait for it.
	longestHeld = time.Hour
)

// treatment is how a publication is to be sent.
type treatment int

const (
	together treatment = iota // with others
	byItself                  // with nothing else on its way
	notNow                    // it is set aside
)

func newSuspects(aside, hold time.Duration) *suspects {
	return &suspects{aside: aside, hold: hold, topics: make(map[string]*suspect), events: make(map[uint64]*suspect)}
}

// topic says how to send a payload of a size on a topic.
func (r *suspects) treatTopic(name string, size int, now time.Time) treatment {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.topics[name]
	switch {
	case s == nil && r.careful == 0:
		return together
	case s != nil && size >= s.size && now.Before(s.until):
		s.standing = true
		return notNow
	}
	return byItself
}

// event says how to send an event. One that need not be sent is not, where it is
// as large as one that is set aside.
func (r *suspects) treatEvent(pos uint64, size int, must bool, now time.Time) treatment {
	if !r.watchful.Load() {
		return together
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.events[pos]
	for _, other := range r.events {
		if !must && size >= other.size && now.Before(other.until) {
			return notNow // it would go the same way
		}
	}
	switch {
	case s != nil && now.Before(s.until):
		return notNow
	case s != nil || pos <= r.careful:
		return byItself
	}
	return together
}

// held tells until when an event is set aside.
func (r *suspects) held(pos uint64, now time.Time) (until time.Time, held bool) {
	if !r.watchful.Load() {
		return time.Time{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.events[pos]
	if s == nil || !now.Before(s.until) {
		return time.Time{}, false
	}
	return s.until, true
}

// tookTopic notes that the broker acknowledged a publication.
func (r *suspects) acknowledgedTopic(name string, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.topics[name]
	if s == nil {
		return
	}
	s.standing, s.alone = false, 0
	if s.until.IsZero() || size >= s.size {
		delete(r.topics, name)
	}
}

// tookEvents notes that the broker acknowledged a run of events.
func (r *suspects) acknowledgedEvents(from, to uint64) {
	if !r.watchful.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.events, func(pos uint64, _ *suspect) bool { return from <= pos && pos <= to })
	if to >= r.careful {
		r.careful = 0
	}
	r.watchful.Store(len(r.events) > 0 || r.careful > 0)
}

// line tells whether a line of the log may be sent.
func (r *suspects) mayLog(size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines == 0 || size < r.lines
}

// hungUp notes what was on its way when the broker closed a connection, and
// whether anything was learnt from it. A line of the log is one of them when it
// was sent a moment ago; nothing acknowledges it.
func (r *suspects) hungUp(posts []*post, events []sent, line int, now time.Time) (learnt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.watchful.Store(len(r.events) > 0 || r.careful > 0) }()
	switch {
	case len(posts) == 0 && len(events) == 0:
		if line > 0 {
			r.lines = line
		}
		return line > 0
	case len(posts) == 1 && len(events) == 0:
		p := posts[0]
		s := r.topics[p.topic]
		if s == nil {
			s = &suspect{size: p.size}
			r.topics[p.topic] = s
		}
		s.blame(p.size, now, r.aside, longestAside)
		return true
	case len(posts) == 0 && len(events) == 1:
		e := &events[0]
		s := r.events[e.pos]
		if s == nil {
			s = &suspect{size: e.size, name: e.name}
			r.events[e.pos] = s
		}
		s.blame(e.size, now, r.hold, longestHeld)
		r.head = e.pos
		return true
	}
	for _, p := range posts {
		if r.topics[p.topic] == nil {
			r.topics[p.topic] = &suspect{size: p.size}
			learnt = true
		}
	}
	if len(events) > 0 {
		// A line that breaks is nothing unusual; that nothing got on is.
		if last := events[len(events)-1].pos; events[0].pos == r.head && last > r.careful {
			r.careful, learnt = last, true
		}
		r.head = events[0].pos
	}
	return learnt
}

// blame notes that a connection ended with nothing else on its way.
func (s *suspect) blame(size int, now time.Time, first, longest time.Duration) {
	s.size = min(s.size, size)
	if s.alone++; s.alone >= enoughAlone {
		s.pause = min(max(2*s.pause, first), longest)
		s.until, s.standing = now.Add(s.pause), true
		s.alone = enoughAlone - 1 // the next try need not be made twice
	}
}

// Refusal is a publication over which the broker hangs up.
type Refusal struct {
	Name string // of the topic behind the gateway's prefix, or the id of an event
	Size int    // of its payload in bytes
}

// Refused lists what is not published because the broker hangs up over it:
// documents and replies by their topics, and events, which wait for a broker
// that takes them.
func (u *Uplink) Refused() (documents, events []Refusal) {
	r := u.suspects
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, s := range r.topics {
		if s.standing && !s.until.IsZero() {
			documents = append(documents, Refusal{topic, s.size})
		}
	}
	for _, s := range r.events {
		if !s.until.IsZero() {
			events = append(events, Refusal{s.name, s.size})
		}
	}
	byName := func(a, b Refusal) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(documents, byName)
	slices.SortFunc(events, byName)
	return documents, events
}

// closedByBroker tells whether a connection was closed on purpose, and not
// because nothing came any more.
func closedByBroker(err error) bool {
	if !errors.Is(err, errLost) {
		return false
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
