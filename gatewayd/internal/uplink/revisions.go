package uplink

import (
	"context"
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
type revisions struct {
	journal Journal
	times   Times

	deciding  sync.Mutex // held from asking what was told until it is noted what will be
	outOfTurn uint64     // events up to here may have been told elsewhere than to the city

	mu     sync.Mutex
	closed uint64 // of the events up to here no correction waits for a PUBACK
	opened int    // how often there were more that wait
}

func newRevisions(j Journal, t Times) *revisions {
	return &revisions{journal: j, times: t}
}

// everything is a position behind which no process has told anything.
const allPositions = ^uint64(0)

// manner is how to tell what was told before.
type choice int

const (
	lastPublished      choice = iota // as it was
	bestKnown                        // better, where that is known by now
	bestKnownOutOfTurn               // better, and not to the city
)

// decide says what to tell of events, which are in order, and notes it. This
// process has told nothing of positions behind told.
func (a *revisions) revise(ctx context.Context, entries []presence.Entry, told uint64, how choice) ([]presence.Revision, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	a.deciding.Lock()
	defer a.deciding.Unlock()
	noted, err := a.journal.Revisions(entries[0].Pos, entries[len(entries)-1].Pos)
	if err != nil {
		return nil, err
	}
	told = max(told, a.outOfTurn)
	if how == bestKnownOutOfTurn {
		a.outOfTurn = max(a.outOfTurn, entries[len(entries)-1].Pos)
	}
	all := make([]presence.Revision, len(entries))
	var ahead, later []presence.Revision
	for i := range entries {
		e := &entries[i]
		s, known := noted[e.Pos]
		if !known {
			s = presence.Revision{Pos: e.Pos, Timing: presence.Raw(e.At)}
		}
		first := !known && e.Stream == a.journal.Stream() && e.Pos > told
		now := a.times.Timing(e.At)
		switch {
		case first && now.Improves(s.Timing):
			s.Timing = now
			later = append(later, s)
		case first && !now.SameAs(s.Timing):
			// The next process could not tell this from what the reading says.
			s.Timing = now
			ahead = append(ahead, s)
		case first:
		case how != lastPublished || !known:
			if best := presence.Revise(s.Timing, now); best.Rev > s.Timing.Rev {
				s.Timing, s.Open = best, true
				ahead = append(ahead, s)
			}
		}
		all[i] = s
	}
	if len(later) > 0 {
		a.journal.QueueRevisions(later)
	}
	if len(ahead) > 0 {
		err = a.journal.SaveRevisions(ctx, ahead)
		a.noteOpen(ahead) // after an error they may be noted all the same
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// keepOpen sees to it that those of these that wait for a PUBACK are found again.
func (a *revisions) noteOpen(all []presence.Revision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range all {
		if s.Open {
			a.closed = min(a.closed, s.Pos-1)
			a.opened++
		}
	}
}

// acknowledged notes that the broker has these corrections. Where what was noted
// before cannot be read they stay open, and are sent once more.
func (a *revisions) acknowledge(all []presence.Revision) {
	if len(all) == 0 {
		return
	}
	// Nothing better is told meanwhile that this would overtake.
	a.deciding.Lock()
	defer a.deciding.Unlock()
	closed := make([]presence.Revision, 0, len(all))
	for _, s := range all {
		noted, err := a.journal.Revisions(s.Pos, s.Pos)
		if newest, ok := noted[s.Pos]; err != nil || !ok || !newest.Open || newest.Timing.Rev != s.Timing.Rev {
			continue // a better one is on its way
		}
		s.Open = false
		closed = append(closed, s)
	}
	if len(closed) > 0 {
		a.journal.QueueRevisions(closed)
	}
}

// unacknowledged are the next corrections behind a position, up to another, that
// are to be sent again at a new connection, in order. It looks at a part of what
// there is at a time, and says how far.
func (a *revisions) openCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	a.mu.Lock()
	from := max(after, min(a.closed, upto))
	known, opened := from == a.closed, a.opened
	a.mu.Unlock()
	if from >= upto {
		return nil, upto, nil
	}
	open, looked, err = a.journal.OpenCorrections(from, upto)
	if err != nil {
		return nil, 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known && a.opened == opened {
		a.closed = looked
		if len(open) > 0 {
			a.closed = open[0].Pos - 1
		}
	}
	return open, looked, nil
}
