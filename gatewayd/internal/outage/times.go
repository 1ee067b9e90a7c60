package outage

import (
	"time"

	"presence/gatewayd/internal/presence"
)

// Times says when readings were taken. It may forget: a clock knows only its last
// boots, and the log is kept for longer. What it said of an end before is
// therefore kept in the note.
type Times interface {
	// Revise is what is known by now of the instant of a reading, after what was
	// known of it before.
	Revise(before presence.Timing, r presence.Reading) presence.Timing
}

// Clock is the clock of a gateway that runs.
type Clock interface {
	Times
	// Changed is closed as soon as more may be known than before.
	Changed() <-chan struct{}
}

// timing is a presence.Timing in its form on disk.
type timing struct {
	_       struct{} `cbor:",toarray"`
	Quality presence.Quality
	Time    int64 // ns since 1970, like Min and Max, which are 0 where there are none
	Error   time.Duration
	Min     int64
	Max     int64
}

// keep is the form on disk of what is known of a reading, nil where the reading
// says that itself.
func keep(t presence.Timing, r presence.Reading) *timing {
	if t.Time.IsZero() || t.SameAs(presence.Raw(r)) {
		return nil
	}
	k := &timing{Quality: t.Quality, Time: t.Time.UnixNano(), Error: t.Error}
	if t.Quality == presence.QualityBounded {
		k.Min, k.Max = t.Min.UnixNano(), t.Max.UnixNano()
	}
	return k
}

// of is what was known of a reading.
func (k *timing) of(r presence.Reading) presence.Timing {
	if k == nil {
		return presence.Raw(r)
	}
	t := presence.Timing{Quality: k.Quality, Time: time.Unix(0, k.Time), Error: k.Error}
	if k.Quality == presence.QualityBounded {
		t.Min, t.Max = time.Unix(0, k.Min), time.Unix(0, k.Max)
	}
	return t
}

// date notes what is known by now of both ends, and reports whether that is news.
// The present instant, where it is known, is one by which the outage was over.
func (n *note) date(times Times, now presence.Timing) (news bool) {
	update := func(known **timing, r presence.Reading) presence.Timing {
		before := (*known).of(r)
		t := times.Revise(before, r)
		if !t.SameAs(before) {
			*known, news = keep(t, r), true
		}
		return t
	}
	update(&n.Began, n.From)
	if n.To == nil {
		return news
	}
	if t := update(&n.Ended, *n.To); t.Time.IsZero() && n.Over == 0 && !now.Time.IsZero() {
		_, latest, _ := now.Bounds()
		n.Over, news = latest.UnixNano(), true
	}
	return news
}

// dated are the outages of some notes, in the order of their beginning, with all
// that is known of when they began and ended.
//
// Of an end that the clock never knew, or has forgotten, the order tells something:
// no outage began before the one that is noted before it, or after its own end, and
// it was over by the first instant after it that was known.
func dated(all []kept, times Times) []Outage {
	list := make([]Outage, 0, len(all))
	var earliest time.Time // no later outage began before this instant
	for i := range all {
		n := &all[i].note
		o := Outage{What: n.What, From: n.From, To: n.To, Times: n.Times, Down: n.Down}
		o.Began = times.Revise(n.Began.of(n.From), n.From)
		if n.To != nil {
			o.Ended = times.Revise(n.Ended.of(*n.To), *n.To)
		}
		over := time.Time{}
		switch {
		case !o.Ended.Time.IsZero():
			_, over, _ = o.Ended.Bounds()
		case n.Over != 0:
			over = time.Unix(0, n.Over)
		}
		if o.Began.Time.IsZero() && !earliest.IsZero() && !over.IsZero() {
			o.Began = presence.Between(earliest, over)
		}
		if !o.Began.Time.IsZero() {
			began, _, _ := o.Began.Bounds()
			if began.After(earliest) {
				earliest = began
			}
			if n.To != nil && o.Ended.Time.IsZero() && !over.IsZero() {
				o.Ended = presence.Between(began, over)
			}
		}
		list = append(list, o)
	}
	return list
}
