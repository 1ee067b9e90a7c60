package outage

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

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

	// What is saved at once: as many changes as maxPrompt, and one more every
	// promptEvery. The rest is saved every rideEvery with what is written anyway.
	// Together with a heartbeat every ten minutes and the clock's notes that is
	// less than 3 MB a day, whatever flaps.
	maxPrompt   = 10
	promptEvery = 4 * time.Hour
	rideEvery   = 90 * time.Minute
)

// note is an outage in its form on disk, and what the next process needs of it.
type note struct {
	What  alerts.Outage     `cbor:"1,keyasint"`
	From  presence.Reading  `cbor:"2,keyasint"`
	To    *presence.Reading `cbor:"3,keyasint,omitempty"`
	Times int               `cbor:"4,keyasint"`
	Down  time.Duration     `cbor:"5,keyasint"` // without the failure that goes on
	// Newest is when the last of its failures began, Seen when that was last
	// seen, and Stream that of the process which saw it.
	Newest presence.Reading `cbor:"6,keyasint"`
	Seen   presence.Reading `cbor:"7,keyasint"`
	Stream presence.ID      `cbor:"8,keyasint"`
	// Loose is an outage whose end is not saved at once: where the process just
	// ends, all that is known of it is Seen.
	Loose bool `cbor:"9,keyasint,omitempty"`
}

// cut ends the note of a process that just ended and was alive last at a
// reading, nil where nobody knows.
func (n *note) cut(alive *presence.Reading) {
	end := n.Seen
	if alive != nil && !n.Loose && later(*alive, end) {
		end = *alive
	}
	n.end(end)
}

// end notes that the thing works again, or nobody can tell any more.
func (n *note) end(at presence.Reading) {
	if d, ok := at.Since(n.Newest); ok {
		n.Down += max(d, 0)
	}
	n.To = &at
}

func (n *note) outage() Outage {
	return Outage{What: n.What, From: n.From, To: n.To, Times: n.Times, Down: n.Down}
}

// Log is the outages of this gateway. Its methods may be called from any
// goroutine.
type Log struct {
	store  Store
	stream presence.ID

	mu     sync.Mutex
	all    []kept                             // in the order of their beginning
	next   uint64                             // number of the next one
	since  map[alerts.Outage]presence.Reading // what does not work now
	dirty  map[string]bool                    // names that the store lacks something of
	prompt float64                            // so many changes may be saved at once
	looked presence.Reading
	rode   presence.Reading // the last look that saved with what is written anyway
}

// kept is a note under its name.
type kept struct {
	name string
	paid bool // that its end is saved at once is accounted for
	note
}

// Open reads the log. What did not work when the process of an earlier stream
// ended is taken to have ended with it: lastAlive tells when that process was
// last known to run (of a zero stream: the one before this), false where nobody
// knows. Parts that cannot be read are reported, and the rest is used.
func Open(store Store, stream presence.ID, lastAlive func(stream presence.ID) (presence.Reading, bool)) (*Log, error) {
	l := &Log{
		store: store, stream: stream, since: make(map[alerts.Outage]presence.Reading),
		dirty: make(map[string]bool), prompt: maxPrompt,
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

// later reports whether a is surely not before b.
func later(a, b presence.Reading) bool {
	d, ok := a.Since(b)
	return ok && d >= 0
}

func number(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, Prefix+"/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

func (l *Log) newName() string {
	n := l.next
	l.next++
	return fmt.Sprintf("%s/%016x", Prefix, n)
}

// Read is the log as it was saved, also that of a gateway that does not run.
// Where the gateway does not run, what goes on as far as the log knows has ended
// with the process, at alive.
func Read(past Past, alive *presence.Reading) ([]Outage, error) {
	all, err := load(past)
	var list []Outage
	for i := range all {
		n := &all[i].note
		if n.To == nil && alive != nil {
			n.cut(alive)
		}
		list = append(list, n.outage())
	}
	return list, err
}

// load reads what of the log can be read, in the order of beginning.
func load(past Past) ([]kept, error) {
	texts, problem := past.LoadAll(Prefix)
	if problem != nil {
		problem = fmt.Errorf("load outages: %w", problem)
	}
	var all []kept
	for name, text := range texts {
		if name == Prefix {
			old, err := readFirst(text)
			if err != nil {
				problem = err
			}
			all = append(all, old...)
			continue
		}
		if _, ok := number(name); !ok {
			continue // a later version's
		}
		k := kept{name: name}
		if err := cbor.Unmarshal(text, &k.note); err != nil {
			problem = fmt.Errorf("load outages: %s: %w", name, err)
			continue
		}
		all = append(all, k)
	}
	// Names rise with the beginning; those of the first versions come before.
	slices.SortStableFunc(all, func(a, b kept) int { return cmp.Compare(a.name, b.name) })
	return all, problem
}

// readFirst reads the log of the first versions, which was one text.
func readFirst(text []byte) ([]kept, error) {
	var d struct {
		_       struct{} `cbor:",toarray"`
		Version int
		All     cbor.RawMessage
	}
	if err := cbor.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("load outages: %w", err)
	}
	var all []kept
	add := func(what alerts.Outage, from presence.Reading, to *presence.Reading) {
		n := note{What: what, From: from, Times: 1, Newest: from, Seen: from}
		if to != nil {
			n.end(*to)
		}
		all = append(all, kept{name: Prefix, note: n})
	}
	switch d.Version {
	case 1: // the code of an alert: what failed and of what name in one word
		var list []struct {
			What string            `cbor:"1,keyasint"`
			From presence.Reading  `cbor:"2,keyasint"`
			To   *presence.Reading `cbor:"3,keyasint,omitempty"`
		}
		if err := cbor.Unmarshal(d.All, &list); err != nil {
			return nil, fmt.Errorf("load outages: %w", err)
		}
		for _, o := range list {
			what := alerts.Outage{Failure: alerts.Failure(o.What)}
			for _, f := range []alerts.Failure{alerts.ReaderBroken, alerts.ReceiverLost} {
				if name, ok := strings.CutPrefix(o.What, strings.TrimSuffix(string(f), "<name>")); ok {
					what = alerts.Outage{Failure: f, Name: name}
				}
			}
			add(what, o.From, o.To)
		}
	case 2:
		var list []struct {
			What alerts.Outage     `cbor:"1,keyasint"`
			From presence.Reading  `cbor:"2,keyasint"`
			To   *presence.Reading `cbor:"3,keyasint,omitempty"`
		}
		if err := cbor.Unmarshal(d.All, &list); err != nil {
			return nil, fmt.Errorf("load outages: %w", err)
		}
		for _, o := range list {
			add(o.What, o.From, o.To)
		}
	default:
		return nil, fmt.Errorf("load outages: version %d is unknown", d.Version)
	}
	return all, nil
}

// Look is told, every few seconds, what does not work at a reading. Outages
// that ended before the oldest wanted one may be forgotten.
func (l *Log) Look(now presence.Reading, broken []alerts.Outage, keep time.Duration) error {
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
	l.forget(now, keep)
	return l.save(now)
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
		k.To, k.Newest, k.Seen, k.Stream, k.Loose = nil, since, now, l.stream, true
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

// forget drops what is too old, and the oldest of what is too much.
func (l *Log) forget(now presence.Reading, keep time.Duration) {
	drop := len(l.all) - maxKept
	l.all = slices.DeleteFunc(l.all, func(k kept) bool {
		drop--
		old := drop >= 0
		if k.To != nil && !old {
			ago, ok := now.Since(*k.To)
			old = ok && ago > keep
		}
		if old {
			l.dirty[k.name] = true
		}
		return old
	})
}

// save saves what the store lacks, at once or with what is written anyway.
func (l *Log) save(now presence.Reading) error {
	passed, ok := now.Since(l.looked)
	if ok && l.looked != (presence.Reading{}) {
		l.prompt = min(l.prompt+passed.Hours()/promptEvery.Hours(), maxPrompt)
	}
	l.looked = now
	if err := l.savePrompt(); err != nil {
		return err
	}
	if ago, ok := now.Since(l.rode); ok && ago < rideEvery {
		return nil
	}
	for i := range l.all {
		if k := &l.all[i]; k.To == nil && k.Loose {
			l.dirty[k.name] = true // for how long it was seen by now
		}
	}
	if len(l.dirty) == 0 {
		return nil
	}
	if err := l.saveLater(); err != nil {
		return err
	}
	l.rode = now
	return nil
}

// savePrompt saves at once what may be. Whoever saves so that an outage goes on
// pays for its end as well: else the next process would take it to have lasted
// until this one ended.
func (l *Log) savePrompt() error {
	texts := make(map[string][]byte)
	cost := 0.0
	var paid []*kept
	for i := range l.all {
		k := &l.all[i]
		if !l.dirty[k.name] || k.Times > 1 {
			continue
		}
		goesOn := k.To == nil
		price := 1.0
		switch {
		case goesOn && k.Loose:
			continue
		case goesOn:
			price = 2
		case k.paid:
			price = 0
		}
		if cost+price > l.prompt {
			k.Loose = goesOn
			continue
		}
		text, err := cbor.Marshal(k.note)
		if err != nil {
			return fmt.Errorf("save outages: %w", err)
		}
		texts[k.name] = text
		cost += price
		if goesOn {
			paid = append(paid, k)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	if err := l.store.SaveAll(texts); err != nil {
		return fmt.Errorf("save outages: %w", err)
	}
	l.prompt -= cost
	for _, k := range paid {
		k.paid = true
	}
	for name := range texts {
		delete(l.dirty, name)
	}
	return nil
}

// saveLater saves everything else with what is written anyway.
func (l *Log) saveLater() error {
	texts := make(map[string][]byte)
	for name := range l.dirty {
		texts[name] = nil // unless it is there
	}
	for i := range l.all {
		k := &l.all[i]
		if !l.dirty[k.name] {
			continue
		}
		text, err := cbor.Marshal(k.note)
		if err != nil {
			return fmt.Errorf("save outages: %w", err)
		}
		texts[k.name] = text
	}
	if err := l.store.SaveLater(texts); err != nil {
		return fmt.Errorf("save outages: %w", err)
	}
	clear(l.dirty)
	return nil
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
	if len(l.dirty) == 0 {
		return nil
	}
	return l.saveLater()
}

// All is the log as of now.
func (l *Log) All() []Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Outage
	for _, k := range l.all {
		list = append(list, k.outage())
	}
	return list
}
