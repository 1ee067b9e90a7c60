package uplink

import (
	"context"
	"maps"
	"slices"
	"sync"

	"presence/gatewayd/internal/presence"
)

// tellings decides what is told of when events happened, and sees to it that two
// different things are never told under one id and rev.
//
// What a reading says by itself (presence.Raw) needs no note. What was worked
// out is noted in the journal: where it is the first that is told, together with
// the event's delivery, and before the publish where it follows, or may follow,
// something else. After a crash in between the next process does not know what
// was told, and tells what it knows then under the next rev.
type tellings struct {
	journal Journal
	times   Times

	deciding sync.Mutex // held from asking what was told until it is noted what will be
	shown    uint64     // events up to here may have been told elsewhere than to the city

	mu     sync.Mutex
	open   map[uint64]presence.Said // corrections without a PUBACK, by position
	loaded bool                     // those of earlier processes are in
}

func newTellings(j Journal, t Times) *tellings {
	return &tellings{journal: j, times: t, open: make(map[uint64]presence.Said)}
}

// everything is a position behind which no process has told anything.
const everything = ^uint64(0)

// manner is how to tell what was told before.
type manner int

const (
	asBefore  manner = iota // as it was
	better                  // better, where that is known by now
	elsewhere               // better, and not to the city
)

// decide says what to tell of events, which are in order, and notes it. This
// process has told nothing of positions behind told.
func (a *tellings) decide(ctx context.Context, entries []presence.Entry, told uint64, how manner) ([]presence.Said, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	a.deciding.Lock()
	defer a.deciding.Unlock()
	noted, err := a.journal.Said(entries[0].Pos, entries[len(entries)-1].Pos)
	if err != nil {
		return nil, err
	}
	told = max(told, a.shown)
	if how == elsewhere {
		a.shown = max(a.shown, entries[len(entries)-1].Pos)
	}
	all := make([]presence.Said, len(entries))
	var ahead, later []presence.Said
	for i := range entries {
		e := &entries[i]
		s, known := noted[e.Pos]
		if !known {
			s = presence.Said{Pos: e.Pos, Timing: presence.Raw(e.At)}
		}
		first := !known && e.Stream == a.journal.Stream() && e.Pos > told
		now := a.times.Timing(e.At)
		switch {
		case first && now.Improves(s.Timing):
			s.Timing = now
			later = append(later, s)
		case first && !now.Says(s.Timing):
			// The next process could not tell this from what the reading says.
			s.Timing = now
			ahead = append(ahead, s)
		case first:
		case how != asBefore || !known:
			if best := presence.Best(s.Timing, now); best.Rev > s.Timing.Rev {
				s.Timing, s.Open = best, true
				ahead = append(ahead, s)
			}
		}
		all[i] = s
	}
	a.keepOpen(ahead)
	if len(later) > 0 {
		a.journal.SayLater(later)
	}
	if len(ahead) > 0 {
		if err := a.journal.Say(ctx, ahead); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// keepOpen remembers which of these wait for a PUBACK.
func (a *tellings) keepOpen(all []presence.Said) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range all {
		if s.Open {
			a.open[s.Pos] = s
		}
	}
}

// acknowledged notes that the broker has these corrections.
func (a *tellings) acknowledged(all []presence.Said) {
	a.mu.Lock()
	defer a.mu.Unlock()
	closed := make([]presence.Said, 0, len(all))
	for _, s := range all {
		if newest, ok := a.open[s.Pos]; !ok || newest.Timing.Rev != s.Timing.Rev {
			continue // a better one is on its way
		}
		delete(a.open, s.Pos)
		s.Open = false
		closed = append(closed, s)
	}
	if len(closed) > 0 {
		// Under the mutex, so that it does not overtake a better one's note.
		a.journal.SayLater(closed)
	}
}

// unacknowledged are the positions up to one whose corrections are to be sent
// again at a new connection, in order.
func (a *tellings) unacknowledged(upto uint64) ([]uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.loaded {
		left, err := a.journal.OpenCorrections()
		if err != nil {
			return nil, err
		}
		for _, s := range left {
			a.open[s.Pos] = s
		}
		a.loaded = true
	}
	var again []uint64
	for _, pos := range slices.Sorted(maps.Keys(a.open)) {
		if pos <= upto {
			again = append(again, pos)
		}
	}
	return again, nil
}

// gone notes that the journal no longer has an event.
func (a *tellings) gone(pos uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, pos)
}
