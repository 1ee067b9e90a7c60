package uplink

import (
	"cmp"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// suspects finds out over which publications a broker closes the connection ("hangs
// up"), and sets those aside so that all others get through.
//
// In MQTT 3.1.1 a broker cannot refuse a single message: if it does not accept one,
// because of its size or its topic, it closes the connection, and anything that was on
// its way may have been the reason. So when a broker closes a connection, everything
// that it had not acknowledged becomes a suspect, and is sent alone at the next
// connection, while nothing else is on its way. What was alone when two connections in
// a row ended is set aside. It is tried again now and then, as somebody may have
// changed the broker's configuration.
//
// It outlives connections.
type suspects struct {
	aside    time.Duration // for which a topic is set aside at first
	hold     time.Duration // and an event
	watchful atomic.Bool   // some events need a look-up; if not, the mutex is not taken for each event

	mu      sync.Mutex
	topics  map[string]*suspect // by topic behind the gateway's prefix
	events  map[uint64]*suspect // by position
	heads   map[head]uint64     // the oldest unacknowledged events when a broker last hung up
	careful doubtful            // events that go alone
	batches batchSuspect
	lines   int // lines of the log from this size in bytes on are not sent; 0: all are
}

// suspect is a publication over which a broker may have hung up.
type suspect struct {
	size     int           // in bytes, of the smallest payload over which it may have hung up
	name     string        // an event's id
	alone    int           // connections in a row that ended while nothing else was on its way
	until    time.Time     // it is set aside until then; zero: it is only suspected
	pause    time.Duration // for how long it was set aside
	standing bool          // a topic's present document is not published because of it
}

const (
	// enoughAlone is how many connections in a row must end over a publication before it
	// is set aside: one may be chance.
	enoughAlone = 2
	// longestAside is the longest pause before what was set aside is tried again, which
	// costs a connection if it is in vain. The pause doubles each time.
	longestAside = 6 * time.Hour
	// longestHeld is the same for an event, for which others wait.
	longestHeld = time.Hour
)

// treatment is how a publication is to be sent.
type treatment int

const (
	together treatment = iota // alongside others
	byItself                  // alone, with nothing else on its way
	notNow                    // not at all, as it is set aside
)

func newSuspects(aside, hold time.Duration) *suspects {
	return &suspects{aside: aside, hold: hold, topics: make(map[string]*suspect), events: make(map[uint64]*suspect)}
}

// treatTopic returns how to send a payload of a size on a topic.
func (all *suspects) treatTopic(name string, size int, now time.Time) treatment {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.topics[name]
	switch {
	case s == nil && all.careful.empty():
		return together
	case s != nil && size >= s.size && now.Before(s.until):
		s.standing = true
		return notNow
	}
	return byItself
}

// treatEvent returns how to send an event. One that does not have to be sent is not sent
// if it is as large as one that is set aside.
func (all *suspects) treatEvent(pos uint64, size int, must bool, now time.Time) treatment {
	if !all.watchful.Load() {
		return together
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.events[pos]
	for _, other := range all.events {
		if !must && size >= other.size && now.Before(other.until) {
			return notNow // the broker would hang up over this one too
		}
	}
	switch {
	case s != nil && now.Before(s.until):
		return notNow
	case s != nil || all.careful.has(pos):
		return byItself
	}
	return together
}

// held returns until when an event is set aside, false if it is not.
func (all *suspects) held(pos uint64, now time.Time) (until time.Time, held bool) {
	if !all.watchful.Load() {
		return time.Time{}, false
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.events[pos]
	if s == nil || !now.Before(s.until) {
		return time.Time{}, false
	}
	return s.until, true
}

// acknowledgedTopic notes that the broker acknowledged a document or a reply.
func (all *suspects) acknowledgedTopic(name string, size int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.topics[name]
	if s == nil {
		return
	}
	s.standing, s.alone = false, 0
	if s.until.IsZero() || size >= s.size {
		delete(all.topics, name)
	}
}

// acknowledgedEvent notes that the broker acknowledged an event, which was sent in its
// turn or not.
func (all *suspects) acknowledgedEvent(pos uint64, inTurn bool) {
	if !all.watchful.Load() {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.events, pos)
	all.careful.acknowledged(pos, inTurn)
	all.batches.plain.acknowledged(pos, inTurn)
	all.watchful.Store(all.anyEvent())
}

// nothingToSend notes that there is nothing left to be sent for now: what was to go out of
// turn, and did not, has become superfluous.
func (all *suspects) nothingToSend() {
	if !all.watchful.Load() {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.careful.others, all.batches.plain.others = nil, nil
	all.watchful.Store(all.anyEvent())
}

// anyEvent reports whether some events need a look-up. The caller holds the mutex.
func (all *suspects) anyEvent() bool {
	return len(all.events) > 0 || !all.careful.empty() || !all.batches.plain.empty()
}

// mayLog reports whether a line of the log of this size may be sent.
func (all *suspects) mayLog(size int) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.lines == 0 || size < all.lines
}

// hungUp notes what was on its way when the broker closed a connection: documents and
// replies, events, and a line of the log of so many bytes that was sent a moment ago (0:
// none), which no PUBACK acknowledges. It reports whether the next connection may get
// further for it.
func (all *suspects) hungUp(posts []*post, events []sent, line int, now time.Time) (learnt bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	defer func() { all.watchful.Store(all.anyEvent()) }()
	switch {
	case len(posts) == 0 && len(events) == 0:
		if line > 0 {
			all.lines = line
		}
		return line > 0
	case len(posts) == 1 && len(events) == 0:
		p := posts[0]
		s := all.topics[p.topic]
		if s == nil {
			s = &suspect{size: p.size}
			all.topics[p.topic] = s
		}
		s.blame(p.size, now, all.aside, longestAside)
		return true
	case len(posts) == 0 && len(events) == 1 && len(events[0].more) == 0:
		e := &events[0]
		s := all.events[e.pos]
		if s == nil {
			s = &suspect{size: e.size}
			all.events[e.pos] = s
		}
		s.name = cmp.Or(e.name, s.name) // it has none where it was only by chance alone
		s.blame(e.size, now, all.hold, longestHeld)
		all.noteHeads(events)
		return true
	}
	for _, p := range posts {
		if all.topics[p.topic] == nil {
			all.topics[p.topic] = &suspect{size: p.size}
			learnt = true
		}
	}
	if len(events) == 0 {
		return learnt
	}
	// That a connection is lost proves nothing. That it is lost while the same event is
	// still the oldest one for its purpose does: then events are suspected.
	again := all.noteHeads(events)
	switch smallest := smallestBatch(events); {
	case !again:
		return learnt
	case smallest > 0: // at first it is found out whether it was over a batch
		all.batches.hungUp(events, smallest, now, all.aside)
		return true
	}
	return all.careful.add(events) || learnt
}

// head is of which publications an event is the oldest: of those in turn, and of those
// out of turn for each purpose. Of all of them together it would be now this, now that.
type head struct {
	inTurn bool
	why    purpose
}

// noteHeads notes the oldest events that the broker did not acknowledge, and reports
// whether one of them was the oldest when it last hung up, too.
func (all *suspects) noteHeads(events []sent) (again bool) {
	heads := make(map[head]uint64)
	for i := range events {
		e := &events[i]
		of := head{e.first, e.why}
		if _, known := heads[of]; known {
			continue
		}
		heads[of] = e.pos
		again = again || all.heads[of] == e.pos
	}
	all.heads = heads
	return again
}

// blame notes that a connection ended while nothing else was on its way, and sets the
// publication aside if that was so before: at first for the duration first, then for
// twice as long each time up to longest.
func (s *suspect) blame(size int, now time.Time, first, longest time.Duration) {
	s.size = min(s.size, size)
	if s.alone++; s.alone >= enoughAlone {
		s.pause = min(max(2*s.pause, first), longest)
		s.until, s.standing = now.Add(s.pause), true
		s.alone = enoughAlone - 1 // the next time, one more connection is enough
	}
}

// Refusal is a publication that is set aside because the broker hangs up over it.
type Refusal struct {
	Name string // of the topic behind the gateway's prefix, or the id of an event
	Size int    // of its payload in bytes
}

// Refused lists what is set aside because the broker hangs up over it: documents and
// replies by their topics, and events by their ids. Events wait in the journal for a
// broker that accepts them.
func (u *Uplink) Refused() (documents, events []Refusal) {
	all := u.suspects
	all.mu.Lock()
	defer all.mu.Unlock()
	for topic, s := range all.topics {
		if s.standing && !s.until.IsZero() && topic != BatchTopic { // see BatchesDenied
			documents = append(documents, Refusal{topic, s.size})
		}
	}
	for _, s := range all.events {
		if !s.until.IsZero() {
			events = append(events, Refusal{s.name, s.size})
		}
	}
	byName := func(a, b Refusal) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(documents, byName)
	slices.SortFunc(events, byName)
	return documents, events
}

// closedByBroker reports whether an error says that the other side closed the
// connection, and not that nothing came over it any more.
func closedByBroker(err error) bool {
	return errors.Is(err, errLost) && closedByPeer(err)
}

// closedByPeer reports whether an error says that the other side, or somebody on the
// way, closed a connection.
func closedByPeer(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
