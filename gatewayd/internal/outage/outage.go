package outage

import (
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// Past is where the log lies.
type Past interface {
	// LoadAll returns what was saved under names that begin so.
	LoadAll(prefix string) (map[string][]byte, error)
}

// Store keeps the log over restarts.
type Store interface {
	Past
	// SaveAll makes texts durable under their names, each in place of the one
	// before; nil removes one.
	SaveAll(map[string][]byte) error
	// SaveLater does the same with what is written next, within some minutes.
	SaveLater(map[string][]byte) error
}

// Prefix is how the log's names in the store begin. The first versions kept all
// of it under this name itself.
const Prefix = "outages"

// Outage is one stretch during which something did not work, at least now and
// then.
type Outage struct {
	What alerts.Outage
	From presence.Reading
	// To is the first reading at which it worked again, nil while it does not.
	To *presence.Reading
	// Began and Ended are what is known of when that was; without a time where
	// nothing is, and of an outage that goes on there is no end.
	Began, Ended presence.Timing
	// Times is how often it failed in between, 1 for a plain outage, and Down
	// for how long altogether, up to the last end.
	Times int
	Down  time.Duration
}

// Brief is how short an outage is not worth a line: a reader that is opened again,
// a program that is started anew for another configuration.
const Brief = 5 * time.Second

const (
	// A thing flaps that fails for the next time within an hour after as many
	// outages, and goes on flapping while it rests for less than calm.
	flapsAfter  = 5
	flapsWithin = time.Hour
	calm        = 10 * time.Minute

	// maxKept bounds the log.
	maxKept = 1000

	// What is saved at once: as many changes as maxBudget, and one more every
	// budgetEvery. The rest is saved every laterEvery with what is written anyway.
	// Together with a heartbeat every ten minutes and the clock's notes that is
	// less than 3 MB a day, whatever flaps.
	maxBudget   = 10
	budgetEvery = 4 * time.Hour
	laterEvery  = 90 * time.Minute
)

// cut ends the note of a process that just ended and was alive last at a
// reading, nil where nobody knows.
func (n *note) cut(alive *presence.Reading) {
	end := n.Seen
	if alive != nil && !n.EndsLater && notBefore(*alive, end) {
		end = *alive
	}
	n.end(end)
}

// end notes that the thing works again, or nobody can tell any more.
func (n *note) end(at presence.Reading) {
	if d, ok := at.Since(n.Newest); ok {
		n.Down += max(d, 0)
	}
	n.To, n.Ended, n.Over = &at, nil, 0
}

// Log is the outages of this gateway. Its methods may be called from any
// goroutine.
type Log struct {
	store  Store
	stream presence.ID
	clock  Clock

	mu         sync.Mutex
	all        []kept                             // in the order of their beginning
	next       uint64                             // number of the next one
	since      map[alerts.Outage]presence.Reading // what does not work now
	dirty      map[string]bool                    // names that the store lacks something of
	dated      map[string]bool                    // names of which it lacks no more than when that was
	news       <-chan struct{}                    // closed when more is known of that than at the last observation
	budget     float64                            // so many changes may be saved at once
	latest     presence.Reading                   // of the last observation
	savedLater presence.Reading                   // of the last one that saved with what is written anyway
}

// kept is a note under its name.
type kept struct {
	name string
	paid bool // the budget was charged for its end when its beginning was saved
	note
}

// Open reads the log. What did not work when the process of an earlier stream
// ended is taken to have ended with it: lastAlive tells when that process was
// last known to run (of a zero stream: the one before this), false where nobody
// knows. Parts that cannot be read are reported, and the rest is used.
func Open(store Store, stream presence.ID, clock Clock, lastAlive func(stream presence.ID) (presence.Reading, bool)) (*Log, error) {
	l := &Log{
		store: store, stream: stream, clock: clock, since: make(map[alerts.Outage]presence.Reading),
		dirty: make(map[string]bool), dated: make(map[string]bool), budget: maxBudget,
	}
	all, err := load(store)
	l.all = all
	for i := range l.all {
		k := &l.all[i]
		if n, ok := number(k.name); ok {
			l.next = max(l.next, n+1)
		}
		if k.To != nil {
			continue
		}
		if alive, ok := lastAlive(k.Stream); ok {
			k.cut(&alive)
		} else {
			k.cut(nil)
		}
		l.dirty[k.name] = true
	}
	// The first versions kept all under one name.
	for i := range l.all {
		if k := &l.all[i]; k.name == Prefix {
			k.name = l.newName()
			l.dirty[k.name], l.dirty[Prefix] = true, true
		}
	}
	return l, err
}

// notBefore reports whether a is surely not before b.
func notBefore(a, b presence.Reading) bool {
	d, ok := a.Since(b)
	return ok && d >= 0
}

// Read is the log as it was saved, also that of a gateway that does not run.
// Where the gateway does not run, what goes on as far as the log knows has ended
// with the process, at alive.
func Read(past Past, times Times, alive *presence.Reading) ([]Outage, error) {
	all, err := load(past)
	for i := range all {
		if n := &all[i].note; n.To == nil && alive != nil {
			n.cut(alive)
		}
	}
	return dated(all, times), err
}

// Observe is told, every few seconds, what does not work at a reading. Outages
// that have been over for longer than keep are forgotten.
func (l *Log) Observe(now presence.Reading, broken []alerts.Outage, keep time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for what, since := range l.since {
		k := l.goingOn(what)
		if !slices.Contains(broken, what) {
			delete(l.since, what)
			if k != nil {
				k.end(now)
				l.dirty[k.name] = true
			}
			continue
		}
		if k != nil {
			k.Seen = now
			continue
		}
		if lasted, ok := now.Since(since); ok && lasted >= Brief {
			l.begin(what, since, now)
		}
	}
	for _, what := range broken {
		if _, known := l.since[what]; !known {
			l.since[what] = now
		}
	}
	t := l.clock.Revise(presence.Raw(now), now)
	l.date(t)
	l.forget(now, t, keep)
	return l.save(now)
}

// date notes what is known by now of when outages began and ended. It asks the
// clock again only of those that changed and when more may be known.
func (l *Log) date(now presence.Timing) {
	all := l.news == nil
	select {
	case <-l.news:
		all = true
	default:
	}
	if all {
		l.news = l.clock.Changed() // before anything is asked
	}
	for i := range l.all {
		k := &l.all[i]
		if (all || l.dirty[k.name]) && k.date(l.clock, now) {
			l.dated[k.name] = true
		}
	}
}

// goingOn is the outage of this thing that is under way and in the log, nil if
// there is none.
func (l *Log) goingOn(what alerts.Outage) *kept {
	for i := len(l.all) - 1; i >= 0; i-- {
		if k := &l.all[i]; k.What == what && k.To == nil {
			return k
		}
	}
	return nil
}

// begin notes an outage that has begun at since and was seen now.
func (l *Log) begin(what alerts.Outage, since, now presence.Reading) {
	if k := l.flapping(what, since); k != nil {
		k.To, k.Ended, k.Over = nil, nil, 0
		k.Newest, k.Seen, k.Stream, k.EndsLater = since, now, l.stream, true
		k.Times++
		l.dirty[k.name] = true
		return
	}
	k := kept{name: l.newName(), note: note{What: what, From: since, Times: 1, Newest: since, Seen: now, Stream: l.stream}}
	l.all = append(l.all, k)
	l.dirty[k.name] = true
}

// flapping is the outage to which one that begins at a reading belongs, since
// the thing fails over and over; nil where it is one of its own.
func (l *Log) flapping(what alerts.Outage, since presence.Reading) *kept {
	var newest *kept
	lately := 0
	for i := range l.all {
		k := &l.all[i]
		if k.What != what || k.To == nil {
			continue
		}
		newest = k
		if ago, ok := since.Since(k.From); ok && ago < flapsWithin {
			lately++
		}
	}
	if newest == nil {
		return nil
	}
	rested, ok := since.Since(*newest.To)
	if !ok || rested >= calm || newest.Times == 1 && lately < flapsAfter {
		return nil
	}
	return newest
}

// forget drops what is too old at a reading, of whose time so much is known, and
// the oldest of what is too much.
func (l *Log) forget(now presence.Reading, t presence.Timing, keep time.Duration) {
	drop := len(l.all) - maxKept
	l.all = slices.DeleteFunc(l.all, func(k kept) bool {
		drop--
		old := drop >= 0 || k.age(now, t) > keep
		if old {
			l.dirty[k.name] = true
		}
		return old
	})
}

// age is for how long the outage has surely been over at a reading, of whose time
// so much is known; 0 where it goes on or nothing is known.
func (n *note) age(now presence.Reading, t presence.Timing) time.Duration {
	if n.To == nil {
		return 0
	}
	if now.Boot == n.To.Boot {
		return now.Boottime - n.To.Boottime
	}
	if t.Time.IsZero() {
		return 0
	}
	earliest, _, _ := t.Bounds()
	if ended := n.Ended.of(*n.To); !ended.Time.IsZero() {
		_, latest, _ := ended.Bounds()
		return earliest.Sub(latest)
	}
	if n.Over == 0 {
		return 0
	}
	return earliest.Sub(time.Unix(0, n.Over))
}

// Close notes that the process ends at a reading: what does not work by then,
// nobody can tell any more. It goes to the disk with what is written last.
func (l *Log) Close(now presence.Reading) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.all {
		if k := &l.all[i]; k.To == nil {
			k.end(now)
			l.dirty[k.name] = true
		}
	}
	clear(l.since)
	l.date(l.clock.Revise(presence.Raw(now), now))
	if len(l.dirty) == 0 && len(l.dated) == 0 {
		return nil
	}
	return l.saveLater()
}

// All is the log as of now.
func (l *Log) All() []Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return dated(l.all, l.clock)
}
