package clock

import (
	"math"
	"slices"
	"time"

	"presence/gatewayd/internal/interval"
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
	Source   string        // who says so; sources are judged apart
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

// at is what is known of an instant of a boot by a verdict: the interval that all
// sets of voices allow of which one is right, and whether that is one only.
func (b *Book) at(v verdict, k int, bt time.Duration, rate float64) (s span, decided, ok bool) {
	f, o := v[k], &b.boots[k]
	if len(f.held) == 0 || o.mad(bt) {
		return span{}, false, false
	}
	s = o.of(f.held[0], bt, rate)
	for _, t := range f.held[1:] {
		s = s.Hull(o.of(t, bt, rate))
	}
	return s, len(f.held) == 1 && !f.maybeNone, true
}

// mad tells whether the instant lies behind so many contradictions that the next
// would not be noted any more.
func (b *boot) mad(bt time.Duration) bool {
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
	own, judged := ownSpan(r)
	switch {
	case ok && decided:
		leaning, _, _ := b.at(v, k, r.Boottime, b.rate)
		t := timing(known, presence.QualityCorrected, middle(leaning))
		switch {
		case r.State != presence.ClockSynced:
		case !judged:
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
		if judged {
			known = known.Hull(own)
		}
		return b.between(known)
	case b.boots[k].mad(r.Boottime):
		return presence.Timing{Quality: presence.QualityUnsynced, Disputed: true}
	}
	// The boot says nothing by itself, or nothing that must be right.
	disputed := v[k].disputed || v[k].gap.disputed
	if judged && len(v[k].held) == 0 && !v[k].disputed {
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

// NotBefore is an instant that has certainly passed at the reading, zero if
// nothing is known. Certificates can be judged by it before the clock is set.
//
// What the city says over the broker does not count: who can tell a gateway that
// a certificate has ended can cut it off for ever. Where the system's clock
// contradicted itself, the first that it said stands, until it has said another
// for a day longer: a server that sets the clock back for an hour revives no
// certificate, and one that sets it ahead ends none for good.
func (b *Book) NotBefore(r presence.Reading) time.Time {
	k := b.find(r.Boot)
	if k < 0 {
		k, r.Boottime = len(b.boots), 0
	}
	if !plausible(r.Boottime) {
		return time.Time{}
	}
	proof := b.proof()
	var standing []trackSet
	since := int64(0)
	for i := min(k, len(b.boots)-1); i >= 0; i-- {
		bt := b.boots[i].mark
		if i == k {
			bt = r.Boottime
		}
		var t trackSet
		switch f := proof[i]; {
		case f.maybeNone || len(f.held) > 1: // undecided
			if standing == nil {
				standing = b.standing()
			}
			t = standing[i]
		case len(f.held) == 1:
			t = f.held[0] & b.boots[i].tracksOf(SourceSystem)
		}
		if t != 0 {
			return time.Unix(0, b.boots[i].of(t, bt, 0).From+since)
		}
		since += least(bt)
	}
	return time.Time{}
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
