package uplink

import (
	"context"
	"math"
	"sync"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

// revisions decides with which timing each event is published, and keeps one
// promise: two different timings never go out under the same id and rev, whatever
// crashes in between.
//
// A timing that the event's own reading gives (presence.Raw) is not saved: every
// later process computes the same again. Any other timing is saved in the journal
// as the event's revision:
//
//   - together with the event's delivery, where it is certainly the first that
//     anybody gets of the event;
//   - before it is published, where it differs from a timing that was published
//     before, or may have been.
//
// A crash between the publish and the save of the first kind leaves an event
// without a revision. The next process cannot know which timing went out under
// rev 0, nor whether any did, and publishes what it knows by then under rev 1.
//
// So an event of this process that nobody got yet goes out under rev 0. Of others the
// first that a city gets may have a higher rev, and so it may where the line broke while
// rev 0 was on its way.
type revisions struct {
	journal Journal
	times   Times

	// deciding is held from reading the saved revisions until the new ones are
	// saved, so that two goroutines never decide about the same event.
	deciding  sync.Mutex
	outOfTurn interval.Set[uint64] // positions of events that may have been shown or sent out of turn

	mu     sync.Mutex
	closed uint64 // none of the events up to here has an open correction
	opened int    // counts the corrections that were opened, so that a search notices new ones
}

func newRevisions(j Journal, t Times) *revisions {
	return &revisions{journal: j, times: t}
}

// allPositions stands for "this process may have published any event".
func allPositions() uint64 { return math.MaxUint64 }

// choice is which timing an event is to be published with.
type choice int

const (
	lastPublished choice = iota // the one that it was published with before
	bestKnown                   // the best that is known by now
	// bestKnownOutOfTurn is bestKnown for an event that the drain did not reach
	// yet: an export shows it, or a tap is sent ahead. The drain must know of that
	// when it comes to the event.
	bestKnownOutOfTurn
)

// revise returns the revision with which to publish each of some events, which are
// in order, and saves those that have to be saved. This process has published no
// event of its own stream behind the position published, except out of turn.
//
// published is called when it is this goroutine's turn to decide: another one that
// decided just before may have published the same events.
func (r *revisions) revise(ctx context.Context, entries []presence.Entry, published func() uint64, which choice) ([]presence.Revision, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	r.deciding.Lock()
	defer r.deciding.Unlock()
	return r.decide(ctx, entries, published(), which)
}

// decide is revise for a caller that holds the lock deciding.
func (r *revisions) decide(ctx context.Context, entries []presence.Entry, published uint64, which choice) ([]presence.Revision, error) {
	saved, err := r.journal.Revisions(entries[0].Pos, entries[len(entries)-1].Pos)
	if err != nil {
		return nil, err
	}
	if published != allPositions() {
		r.outOfTurn = r.outOfTurn.DropBelow(published + 1) // the others count as published anyway
	}
	all := make([]presence.Revision, len(entries))
	var before, with []presence.Revision // to be saved before the publish, or with the delivery
	for i := range entries {
		e := &entries[i]
		revision, known := saved[e.Pos]
		if !known {
			revision = presence.Revision{Pos: e.Pos, Timing: presence.Raw(e.At)}
		}
		first := !known && e.Stream == r.journal.Stream() && e.Pos > published && !r.outOfTurn.Has(e.Pos)
		if which == bestKnownOutOfTurn && e.Pos > published {
			r.outOfTurn = r.outOfTurn.Add(spanOf(e.Pos, e.Pos))
		}
		now := r.times.Timing(e.At)
		switch {
		case first && now.Improves(revision.Timing):
			revision.Timing = now
			with = append(with, revision)
		case first && !now.SameAs(revision.Timing):
			// If this were not on disk, a process after a crash would assume that Raw was
			// published under rev 0. Where now improves on Raw that does no harm: that
			// process knows as much, and publishes rev 1. Here it might publish Raw
			// itself, under the same rev 0.
			revision.Timing = now
			before = append(before, revision)
		case first:
		case which != lastPublished || !known:
			if best := r.times.Revise(revision.Timing, e.At); best.Rev > revision.Timing.Rev {
				revision.Timing, revision.Open = best, true
				before = append(before, revision)
			}
		}
		all[i] = revision
	}
	if len(with) > 0 {
		r.journal.QueueRevisions(with)
	}
	if len(before) > 0 {
		err = r.journal.SaveRevisions(ctx, before)
		r.noteOpen(before) // after an error they may be saved all the same
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// noteOpen has openCorrections search again where there are corrections that the
// broker has not acknowledged.
func (r *revisions) noteOpen(all []presence.Revision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, revision := range all {
		if revision.Open {
			r.closed = min(r.closed, revision.Pos-1)
			r.opened++
		}
	}
}

// acknowledge closes corrections that are delivered: of each, the position and the rev
// count. Where the saved revisions cannot be read they stay open, and are sent once more.
func (r *revisions) acknowledge(all []presence.Revision) {
	if len(all) == 0 {
		return
	}
	// Held so that no better revision is saved meanwhile, which this would replace.
	r.deciding.Lock()
	defer r.deciding.Unlock()
	closed := make([]presence.Revision, 0, len(all))
	for _, revision := range all {
		saved, err := r.journal.Revisions(revision.Pos, revision.Pos)
		newest, ok := saved[revision.Pos]
		if err != nil || !ok || !newest.Open || newest.Timing.Rev != revision.Timing.Rev {
			continue // a better one is on its way
		}
		newest.Open = false
		closed = append(closed, newest)
	}
	if len(closed) > 0 {
		r.journal.QueueRevisions(closed)
	}
}

// openCorrections returns the next corrections behind a position, up to another,
// that are to be sent again at a new connection, in order. It searches a part of
// the range at a time and returns the position up to which it looked.
func (r *revisions) openCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	r.mu.Lock()
	from := max(after, min(r.closed, upto))
	fromClosed, opened := from == r.closed, r.opened
	r.mu.Unlock()
	if from >= upto {
		return nil, upto, nil
	}
	open, looked, err = r.journal.OpenCorrections(from, upto)
	if err != nil {
		return nil, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if fromClosed && r.opened == opened { // nobody opened one during the search
		r.closed = looked
		if len(open) > 0 {
			r.closed = open[0].Pos - 1
		}
	}
	return open, looked, nil
}
