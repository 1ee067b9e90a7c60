package clock

import (
	"slices"
	"time"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

type boot struct {
	id      presence.ID
	mark    time.Duration // the highest boottime seen: it ran at least this long
	anchors []anchor      // by boottime
}

type anchor struct {
	bt     time.Duration
	utc    int64 // ns since 1970
	err    time.Duration
	source string
	opens  bool // the first of a track of its source
	track  int  // which track of the boot: see number
}

// cone is what the anchor allows for an instant of its boot, leaning by a rate.
func (a anchor) cone(bt time.Duration, rate float64) span {
	t := a.utc + int64(bt-a.bt) + int64(float64(bt-a.bt)*rate)
	e := int64(a.err) + slack(bt-a.bt)
	return interval.Of(t-e, t+e)
}

// slack is how far a clock may drift in d, rounded up.
func slack(d time.Duration) int64 { return int64(presence.Drift(d)) }

// least is the least true time that passes while a boot clock shows d.
func least(d time.Duration) int64 { return max(0, int64(d)-slack(d)) }

func (b *boot) add(a anchor, limit int) bool {
	tracks := 0
	for _, o := range b.anchors {
		if o.opens {
			tracks++
		}
	}
	known, ok := b.track(a.source, a.bt)
	if !ok && len(b.sources()) == maxSources {
		return false
	}
	if !ok || !known.Overlaps(a.cone(a.bt, 0)) {
		a.opens = true
	}
	if a.opens && tracks == maxTracks {
		return false
	}
	// Anchors come in order, but for one that travelled over the line.
	i, _ := slices.BinarySearchFunc(b.anchors, a.bt, func(o anchor, bt time.Duration) int {
		if o.bt <= bt {
			return -1
		}
		return 1
	})
	if slices.ContainsFunc(b.anchors[i:], func(o anchor) bool { return o.source == a.source }) {
		// Between two anchors of its source a new one adds nothing that is
		// worth the question of whose track it belongs to.
		return false
	}
	b.anchors = slices.Insert(b.anchors, i, a)
	b.thin(limit)
	b.number()
	return true
}

// thin drops anchors until no more than limit are left: those first that have
// neighbours close by. The first and last of a track stay, and so do both ends
// of each stretch without an anchor, which is where events need them.
func (b *boot) thin(limit int) {
	for len(b.anchors) > limit {
		drop, closest := -1, maxBoottime+1
		for _, source := range b.sources() {
			before, middle := -1, -1
			for after, a := range b.anchors {
				if a.source != source {
					continue
				}
				if before >= 0 && !a.opens && !b.anchors[middle].opens && a.bt-b.anchors[before].bt < closest {
					drop, closest = middle, a.bt-b.anchors[before].bt
				}
				before, middle = middle, after
			}
		}
		if drop < 0 {
			return
		}
		b.anchors = slices.Delete(b.anchors, drop, drop+1)
	}
}

// sources are those of the anchors.
func (b *boot) sources() []string {
	list := make([]string, 0, maxSources)
	for _, a := range b.anchors {
		if !slices.Contains(list, a.source) {
			list = append(list, a.source)
		}
	}
	return list
}

// track asks the source's track in force at bt: the last that was opened
// before, else the first.
func (b *boot) track(source string, bt time.Duration) (s span, ok bool) {
	for _, a := range b.anchors {
		switch {
		case a.source != source:
		case !ok, a.opens && a.bt <= bt:
			s, ok = a.cone(bt, 0), true
		case a.opens:
			return s, true
		default:
			if c := a.cone(bt, 0); c.Overlaps(s) {
				s = s.Intersect(c)
			}
		}
	}
	return s, ok
}

// tracksFull tells whether the instant lies behind so many contradictions that the next
// would not be noted any more.
func (b *boot) tracksFull(bt time.Duration) bool {
	n := len(b.anchors)
	return n > 0 && b.anchors[n-1].bt <= bt && b.tracks() == maxTracks
}

// tracks is how many tracks were opened.
func (b *boot) tracks() (n int) {
	for _, a := range b.anchors {
		if a.opens {
			n++
		}
	}
	return n
}
