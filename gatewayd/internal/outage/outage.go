package outage

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// Store keeps the log over restarts.
type Store interface {
	// Load returns what was saved last under a name, nothing if nothing was.
	Load(name string) ([]byte, error)
	// Save makes the bytes durable in place of those before.
	Save(name string, data []byte) error
}

// Name is the log's name in the store.
const Name = "outages"

// Outage is one stretch during which something did not work.
type Outage struct {
	// What did not work.
	What alerts.Outage    `cbor:"1,keyasint"`
	From presence.Reading `cbor:"2,keyasint"`
	// To is the first reading at which it worked again, nil while it does not.
	To *presence.Reading `cbor:"3,keyasint,omitempty"`
}

const (
	// brief outages are not worth a line: a reader that is opened again.
	brief = 5 * time.Second

	// maxKept bounds the log. A contact that is loose all day makes many.
	maxKept = 1000

	version = 2
)

// Log is the outages of this gateway. Its methods may be called from any
// goroutine.
type Log struct {
	store Store

	mu    sync.Mutex
	all   []Outage                           // in the order of their beginning
	since map[alerts.Outage]presence.Reading // what does not work now
	dirty bool                               // the store lacks something
}

type onDisk struct {
	_       struct{} `cbor:",toarray"`
	Version int
	All     cbor.RawMessage // of version 2: []Outage
}

// Open reads the log. What did not work when the last process ended is taken to
// have ended with it, at the last sign of life. A log that cannot be read is
// reported, and a new one begins.
func Open(store Store, lastAlive presence.Reading) (*Log, error) {
	l := &Log{store: store, since: make(map[alerts.Outage]presence.Reading)}
	all, err := Read(store)
	if err != nil {
		return l, err
	}
	for i := range all {
		if all[i].To == nil {
			all[i].To = &lastAlive
		}
	}
	l.all = all
	return l, nil
}

// Read is the log as it was saved, also that of a gateway that does not run.
func Read(store interface{ Load(string) ([]byte, error) }) ([]Outage, error) {
	data, err := store.Load(Name)
	if err != nil {
		return nil, fmt.Errorf("load outages: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	var d onDisk
	if err := cbor.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("load outages: %w", err)
	}
	switch d.Version {
	case 1:
		return readFirst(data)
	case version:
		var all []Outage
		if err := cbor.Unmarshal(d.All, &all); err != nil {
			return nil, fmt.Errorf("load outages: %w", err)
		}
		return all, nil
	}
	return nil, fmt.Errorf("load outages: version %d is unknown", d.Version)
}

// readFirst reads the first version of the log, which kept the code of an alert:
// what failed and of what name in one word.
func readFirst(data []byte) ([]Outage, error) {
	var d struct {
		_       struct{} `cbor:",toarray"`
		Version int
		All     []struct {
			What string            `cbor:"1,keyasint"`
			From presence.Reading  `cbor:"2,keyasint"`
			To   *presence.Reading `cbor:"3,keyasint,omitempty"`
		}
	}
	if err := cbor.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("load outages: %w", err)
	}
	all := make([]Outage, 0, len(d.All))
	for _, o := range d.All {
		what := alerts.Outage{Failure: alerts.Failure(o.What)}
		for _, f := range []alerts.Failure{alerts.ReaderBroken, alerts.ReceiverLost} {
			if name, ok := strings.CutPrefix(o.What, strings.TrimSuffix(string(f), "<name>")); ok {
				what = alerts.Outage{Failure: f, Name: name}
			}
		}
		all = append(all, Outage{What: what, From: o.From, To: o.To})
	}
	return all, nil
}

// Look is told, every few seconds, what does not work at a reading. Outages
// that began before the oldest wanted one may be forgotten.
func (l *Log) Look(now presence.Reading, broken []alerts.Outage, keep time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for what, since := range l.since {
		if !slices.Contains(broken, what) {
			l.end(what, now)
			delete(l.since, what)
			continue
		}
		if lasted, ok := now.Since(since); ok && lasted >= brief && !l.open(what) {
			l.all = append(l.all, Outage{What: what, From: since})
			l.dirty = true
		}
	}
	for _, what := range broken {
		if _, known := l.since[what]; !known {
			l.since[what] = now
		}
	}
	if !l.dirty {
		return nil
	}
	l.forget(now, keep)
	all, err := cbor.Marshal(l.all)
	if err != nil {
		return fmt.Errorf("save outages: %w", err)
	}
	data, err := cbor.Marshal(onDisk{Version: version, All: all})
	if err != nil {
		return fmt.Errorf("save outages: %w", err)
	}
	if err := l.store.Save(Name, data); err != nil {
		return fmt.Errorf("save outages: %w", err)
	}
	l.dirty = false
	return nil
}

// open reports whether an outage of this is under way and in the log.
func (l *Log) open(what alerts.Outage) bool {
	return slices.ContainsFunc(l.all, func(o Outage) bool { return o.What == what && o.To == nil })
}

func (l *Log) end(what alerts.Outage, now presence.Reading) {
	for i := range l.all {
		if o := &l.all[i]; o.What == what && o.To == nil {
			o.To = &now
			l.dirty = true
		}
	}
}

// forget drops what is too old, and the oldest of what is too much.
func (l *Log) forget(now presence.Reading, keep time.Duration) {
	l.all = slices.DeleteFunc(l.all, func(o Outage) bool {
		if o.To == nil {
			return false
		}
		ago, ok := now.Since(*o.To)
		return ok && ago > keep
	})
	if n := len(l.all) - maxKept; n > 0 {
		l.all = slices.Delete(l.all, 0, n)
	}
}

// All is the log as of now.
func (l *Log) All() []Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
