package clock

import (
	"time"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

// span is an interval of true time in ns since 1970.
type span = interval.Interval[int64]

func middle(s span) int64 { return s.From + (s.To-s.From)/2 }

func half(s span) time.Duration { return time.Duration((s.To - s.From + 1) / 2) }

// timing is the answer that an interval gives with a guess where in it the instant
// was: what is claimed around the guess covers all of it.
func timing(s span, q presence.Quality, guess int64) presence.Timing {
	guess = max(s.From, min(s.To, guess))
	return presence.Timing{Quality: q, Time: time.Unix(0, guess), Error: time.Duration(max(guess-s.From, s.To-guess))}
}

// at is what is known of an instant of a boot by a verdict: the interval that all
// sets of voices allow of which one is right, and whether that is one only.
func (b *Book) at(v verdict, k int, bt time.Duration, rate float64) (s span, decided, ok bool) {
	f, o := v[k], &b.boots[k]
	if len(f.held) == 0 || o.tracksFull(bt) {
		return span{}, false, false
	}
	s = o.of(f.held[0], bt, rate)
	for _, t := range f.held[1:] {
		s = s.Hull(o.of(t, bt, rate))
	}
	return s, len(f.held) == 1 && !f.maybeNone, true
}

// bounds is what the boots around say of an instant of a boot of which nothing is
// known by itself. All that happened between the last known instant A before it
// and the start B of the next anchored boot took at least as long as the boots
// were seen running: what remains is the slack by which the instant is uncertain.
func (b *Book) bounds(v verdict, k int, bt time.Duration) (s span, ok bool) {
	g := v[k].gap
	if !g.after || !g.before {
		return span{}, false
	}
	s = interval.Of(g.since+least(bt), g.until-least(max(0, b.boots[k].mark-bt)))
	return s, !s.Empty()
}

// Timing says what is known of the instant of a reading.
func (b *Book) Timing(r presence.Reading) presence.Timing {
	return b.timing(b.verdict(), r)
}

// Proven is Timing by the sources alone that could show who they are.
func (b *Book) Proven(r presence.Reading) presence.Timing {
	return b.timing(b.proof(), r)
}

func (b *Book) timing(v verdict, r presence.Reading) presence.Timing {
	if r.State == presence.ClockTrusted {
		return presence.Timing{Quality: presence.QualityTrusted, Time: r.WallTime()}
	}
	k := b.find(r.Boot)
	if k < 0 || !plausible(r.Boottime) {
		return presence.Raw(r)
	}
	known, decided, ok := b.at(v, k, r.Boottime, 0)
	own, claims := ownSpan(r)
	switch {
	case ok && decided:
		leaning, _, _ := b.at(v, k, r.Boottime, b.rate)
		t := timing(known, presence.QualityCorrected, middle(leaning))
		switch {
		case r.State != presence.ClockSynced:
		case !claims:
			t = presence.Raw(r)
		case own.Overlaps(known):
			t = synced(r, own.Intersect(known), middle(leaning))
		case v[k].weighty || b.boots[k].framed(v[k].held[0], r.Boottime) || b.boots[k].rejected(v[k].held[0], r.Boottime, own):
			t.Disputed = true // by the reading, and two others are against it
		default:
			return b.between(known.Hull(own))
		}
		t.Disputed = t.Disputed || v[k].disputed
		return t
	case ok && !v[k].maybeNone:
		if claims {
			known = known.Hull(own)
		}
		return b.between(known)
	case b.boots[k].tracksFull(r.Boottime):
		return presence.Timing{Quality: presence.QualityUnsynced, Disputed: true}
	}
	// The boot says nothing by itself, or nothing that must be right.
	disputed := v[k].disputed || v[k].gap.disputed
	if claims && len(v[k].held) == 0 && !v[k].disputed {
		// The reading is the only voice of its boot, and it was not weighed yet.
		if !v[k].gap.after || v[k].gap.since+least(r.Boottime) <= own.To {
			return presence.Raw(r)
		}
		disputed = true
	}
	s, bounded := b.bounds(v, k, r.Boottime)
	if !bounded {
		return presence.Timing{Quality: presence.QualityUnsynced, Disputed: disputed}
	}
	if ok {
		s = s.Hull(known)
	}
	t := b.between(s)
	t.Disputed = disputed
	return t
}

// between is the answer that an instant lies between two others.
func (b *Book) between(s span) presence.Timing {
	t := timing(s, presence.QualityBounded, middle(s))
	t.Min, t.Max = time.Unix(0, s.From), time.Unix(0, s.To)
	t.Disputed = true
	return t
}

// ownSpan is what a disciplined clock's reading claims by itself, false where it
// claims nothing that could be right.
func ownSpan(r presence.Reading) (span, bool) {
	if r.State != presence.ClockSynced || r.Wall < 0 || r.Wall > maxUTC || r.MaxError < 0 || r.MaxError > maxError {
		return span{}, false
	}
	return interval.Of(r.Wall-int64(r.MaxError), r.Wall+int64(r.MaxError)), true
}

// staleSync is the error of a disciplined clock from which on it has missed
// its discipline for more than half an hour, so that anchors may know better.
const staleSync = 2 * time.Second

// synced is the answer to a reading of a disciplined clock that agrees with the
// anchors: its own, unless its discipline is old.
func synced(r presence.Reading, both span, guess int64) presence.Timing {
	if r.MaxError > staleSync {
		return timing(both, presence.QualitySynced, guess)
	}
	return presence.Raw(r)
}
