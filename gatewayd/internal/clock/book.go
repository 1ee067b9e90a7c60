package clock

import (
	"math"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

// usualDrift is what a crystal is off as a rule: how far a measured rate is
// believed depends on whether it was measured better than that.
const usualDrift = 20e-6

// What a book keeps. Thinning loses sharpness of old answers, never truth.
const (
	maxBoots      = 32
	maxAnchors    = 32 // of the newest boot
	maxOldAnchors = 8  // of each boot before it
	maxTracks     = 16 // in a boot: how often its sources may contradict themselves
	maxSources    = 4  // in a boot
	maxSourceName = 16
)

// The limits of what a book believes to be times at all. They keep the sum of
// a time and all the boots that a book holds from overflowing.
const (
	maxBoottime = 4 * 365 * 24 * time.Hour
	maxUTC      = int64(4_102_444_800_000_000_000) // 2100-01-01
	maxError    = 24 * time.Hour
)

// Anchor ties an instant of a boot to true time.
type Anchor struct {
	Boottime time.Duration // presence.Reading.Boottime of the instant
	UTC      time.Time     // what the source says it was
	Error    time.Duration // UTC is right within this much
	Source   string        // who says so; each source is evaluated by itself
}

// Book is what is known of boots and anchors: all that corrected time rests on.
// The zero value is empty and ready. A Book is not safe for concurrent use.
//
// Every answer is an interval: an anchor allows a cone that opens by the drift
// with the distance from it, and what several anchors allow is where their
// cones overlap. So another anchor can only narrow an answer.
//
// Within the interval the best guess is where the cones would overlap if they
// leaned by the rate at which this machine's crystal was last seen to run:
// half way between two anchors that is an interpolation, and hours away from
// the only one it is right to milliseconds where the interval is seconds wide.
// The interval itself never rests on a measured rate: crystals change with the
// weather.
//
// An anchor that contradicts its own source (a step, a leap second, a server
// that was wrong) opens a new track. Nobody knows which of the two is right until
// a third voice agrees with one of them: see verdict. Until then an answer is
// only that it was between what the two say, and then what was said before may
// turn out to be wrong.
type Book struct {
	boots []boot  // in the order in which they happened
	rate  float64 // see measure

	// found is the verdict of all sources, and proven that of those which could
	// show who they are; nil where it has to be weighed again.
	found, proven verdict
}

func plausible(bt time.Duration) bool { return bt >= 0 && bt <= maxBoottime }

// See notes that the boot was running at this boottime. A boot not seen before
// is the newest.
func (b *Book) See(id presence.ID, bt time.Duration) {
	if !plausible(bt) {
		return
	}
	if k := b.find(id); k >= 0 {
		if b.boots[k].mark < bt {
			b.boots[k].mark = bt
			if k < len(b.boots)-1 { // else no boot follows that it could contradict
				b.found, b.proven = nil, nil
			}
		}
		return
	}
	b.found, b.proven = nil, nil
	if n := len(b.boots); n > 0 {
		b.boots[n-1].thin(maxOldAnchors)
	}
	b.boots = append(b.boots, boot{id: id, mark: bt})
	if len(b.boots) > maxBoots {
		b.forget()
	}
}

// Add notes an anchor and reports whether it was taken. It is not if it makes
// no sense, or contradicts the ones before it once too often.
func (b *Book) Add(id presence.ID, a Anchor) bool {
	utc := a.UTC.UnixNano()
	if !plausible(a.Boottime) || a.UTC.Unix() < 0 || a.UTC.Unix() > maxUTC/1e9 ||
		a.Error < 0 || a.Error > maxError || len(a.Source) > maxSourceName {
		return false
	}
	b.See(id, a.Boottime)
	limit := maxOldAnchors
	k := b.find(id)
	if k == len(b.boots)-1 {
		limit = maxAnchors
	}
	if !b.boots[k].add(anchor{bt: a.Boottime, utc: utc, err: a.Error, source: a.Source}, limit) {
		return false
	}
	b.found, b.proven = nil, nil
	b.measure()
	return true
}

// verdict is the verdict by all sources.
func (b *Book) verdict() verdict {
	if b.found == nil {
		b.found = b.weigh(func(string) bool { return true })
	}
	return b.found
}

// proof is the verdict by the sources that could show who they are: what hours
// and certificates hang on.
func (b *Book) proof() verdict {
	if b.proven == nil {
		b.proven = b.weigh(func(source string) bool { return source != SourceBroker })
	}
	return b.proven
}

// measure finds out at which rate true time runs against the boot clock, less
// one: from the two anchors that tell it best, shrunk by what they leave open.
func (b *Book) measure() {
	const most = 1.0 / presence.MaxDrift
	b.rate = 0
	best := math.Inf(1)
	for _, o := range b.boots {
		for i, a := range o.anchors {
			for _, later := range o.anchors[i+1:] {
				if later.source != a.source {
					continue
				}
				if later.opens {
					break
				}
				passed := float64(later.bt - a.bt)
				if doubt := float64(a.err+later.err) / passed; doubt < best {
					best = doubt
					rate := max(-most, min(most, float64(later.utc-a.utc)/passed-1))
					b.rate = rate / (1 + doubt*doubt/(usualDrift*usualDrift))
				}
			}
		}
	}
}

func (b *Book) find(id presence.ID) int {
	for k := len(b.boots) - 1; k >= 0; k-- {
		if b.boots[k].id == id {
			return k
		}
	}
	return -1
}

// forget drops the boot that is missed least. That is the oldest, unless it is
// the one known instant that the boots after it are bounded by (a gateway that
// starts over and over in a brownout); then it is the shortest of those boots. One
// without an anchor that comes later is bounded by others, and young.
func (b *Book) forget() {
	anchored := func(k int) bool { return len(b.boots[k].anchors) > 0 }
	drop := 0
	if anchored(0) && !anchored(1) {
		drop = 1
		for k := 2; k < len(b.boots)-1 && !anchored(k); k++ {
			if b.boots[k].mark < b.boots[drop].mark {
				drop = k
			}
		}
	}
	b.boots = slices.Delete(b.boots, drop, drop+1)
}
