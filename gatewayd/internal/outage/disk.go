package outage

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
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
	// EndsLater is an outage whose end is not saved at once: where the process just
	// ends, all that is known of it is Seen.
	EndsLater bool `cbor:"9,keyasint,omitempty"`
	// Began and Ended are what is known of From and To, nil where only what they
	// say themselves. Over is an instant (ns since 1970) by which it had ended, 0
	// where that is not known or Ended is.
	Began *timing `cbor:"10,keyasint,omitempty"`
	Ended *timing `cbor:"11,keyasint,omitempty"`
	Over  int64   `cbor:"12,keyasint,omitempty"`
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

// save saves what the store lacks, at once or with what is written anyway.
func (l *Log) save(now presence.Reading) error {
	passed, ok := now.Since(l.latest)
	if ok && l.latest != (presence.Reading{}) {
		l.budget = min(l.budget+passed.Hours()/budgetEvery.Hours(), maxBudget)
	}
	l.latest = now
	if err := l.saveAtOnce(); err != nil {
		return err
	}
	if ago, ok := now.Since(l.savedLater); ok && ago < laterEvery {
		return nil
	}
	for i := range l.all {
		if k := &l.all[i]; k.To == nil && k.EndsLater {
			l.dirty[k.name] = true // for how long it was seen by now
		}
	}
	if len(l.dirty) == 0 && len(l.dated) == 0 {
		return nil
	}
	if err := l.saveLater(); err != nil {
		return err
	}
	l.savedLater = now
	return nil
}

// saveAtOnce saves at once what may be. Whoever saves so that an outage goes on
// pays for its end as well: else the next process would take it to have lasted
// until this one ended.
func (l *Log) saveAtOnce() error {
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
		case goesOn && k.EndsLater:
			continue
		case goesOn:
			price = 2
		case k.paid:
			price = 0
		}
		if cost+price > l.budget {
			k.EndsLater = goesOn
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
	l.budget -= cost
	for _, k := range paid {
		k.paid = true
	}
	for name := range texts {
		delete(l.dirty, name)
		delete(l.dated, name)
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
		if !l.dirty[k.name] && !l.dated[k.name] {
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
	clear(l.dated)
	return nil
}
