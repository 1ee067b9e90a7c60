package export

import (
	"context"
	"io"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// Journal reads the entries of a journal in order.
type Journal interface {
	Scan(ctx context.Context, fn func(presence.Entry) error) error
}

// Times says what is known of an event's time.
type Times interface {
	Timing(presence.Reading) presence.Timing
	// Revise is the same for an event that was published with another timing before.
	Revise(before presence.Timing, r presence.Reading) presence.Timing
}

// Reviser returns the revision to print of each of some entries, which are in order
// and at least one.
type Reviser func(context.Context, []presence.Entry) ([]presence.Revision, error)

// Published returns the published revisions, or better ones where more is known by
// now. Those are not saved: under the same rev the gateway may publish something
// better still.
func Published(store interface {
	Revisions(from, to uint64) (map[uint64]presence.Revision, error)
}, times Times,
) Reviser {
	return func(_ context.Context, entries []presence.Entry) ([]presence.Revision, error) {
		published, err := store.Revisions(entries[0].Pos, entries[len(entries)-1].Pos)
		if err != nil {
			return nil, err
		}
		all := make([]presence.Revision, len(entries))
		for i, e := range entries {
			r, ok := published[e.Pos]
			if !ok {
				r = presence.Revision{Pos: e.Pos, Timing: presence.Raw(e.At)}
			}
			r.Timing = times.Revise(r.Timing, e.At)
			all[i] = r
		}
		return all, nil
	}
}

// Source is what an export is made of.
type Source struct {
	Origin  presence.Origin
	Times   Times
	Journal Journal
	// Revisions are as the city has them, or will have them: a gateway that runs
	// saves them as published.
	Revisions Reviser
	// Estimates are within the margin of those, and not saved. They serve to find
	// the events whose revisions are needed.
	Estimates Reviser
	Outages   []outage.Outage
	Off       *Off                   // nil: the gateway runs
	Damaged   bool                   // not all of the journal can be read
	Now       func() presence.Timing // nil: the present time is not known
	// Upto is the last position of which a sealed export is to have the event: what was
	// recorded when it was asked for. 0: there is no more to come.
	Upto uint64
}

// Off is a gateway that does not run.
type Off struct {
	Since   presence.Reading // when it was last alive
	Failure alerts.Failure   // why it does not run
}

// Write writes what is wanted to w.
func (s Source) Write(ctx context.Context, w io.Writer, x Request) error {
	if x.IsRecap() {
		return s.recap(ctx, w, x)
	}
	if x.Sealed {
		return s.sealed(ctx, w, x)
	}
	return s.events(ctx, w, x)
}

// pageSize is how many entries are revised at once.
const pageSize = 256

// margin is by how much an estimate may differ from the revision. The revision decides
// whether an event lies in a span of time, so an event whose estimate lies outside, but
// by less than the margin, needs its revision too.
const margin = time.Hour

// each passes the journal's entries in order. Those that may lie in a span of time
// come with their revision, so that all exports agree with the city and with each
// other; the others with an estimate, by which the caller sees that they lie
// outside.
func (s Source) each(ctx context.Context, since, until time.Time, fn func(presence.Entry, presence.Timing) error) error {
	var page []presence.Entry
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		timings, err := s.revise(ctx, page, since, until)
		if err != nil {
			return err
		}
		for i, e := range page {
			if err := fn(e, timings[i].Timing); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	err := s.Journal.Scan(ctx, func(e presence.Entry) error {
		page = append(page, e)
		if len(page) < pageSize {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// revise returns the revisions, or the estimates, of the entries of a page.
func (s Source) revise(ctx context.Context, page []presence.Entry, since, until time.Time) ([]presence.Revision, error) {
	timings, err := s.Estimates(ctx, page)
	if err != nil {
		return nil, err
	}
	var wanted []presence.Entry
	var places []int // of wanted in the page
	for i, r := range timings {
		if mayLie(r.Timing, since, until) {
			wanted, places = append(wanted, page[i]), append(places, i)
		}
	}
	if len(wanted) == 0 {
		return timings, nil
	}
	revisions, err := s.Revisions(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for i, r := range revisions {
		timings[places[i]] = r
	}
	return timings, nil
}

// mayLie tells whether an event of a time may lie in a span, or close to it; a
// zero end is no bound.
func mayLie(t presence.Timing, since, until time.Time) bool {
	if t.Time.IsZero() {
		return true
	}
	first, last := t.Time.Add(-t.Error-margin), t.Time.Add(t.Error+margin)
	return !last.Before(since) && (until.IsZero() || first.Before(until))
}
