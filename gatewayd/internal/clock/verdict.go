package clock

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"presence/gatewayd/internal/interval"
)

// A track is a stretch of anchors of one source that do not contradict each
// other: one voice, however many anchors it has, since all of them may come from
// one wrong server. Voices that contradict each other cannot all be right:
//
//   - within a boot, two voices contradict each other if no crystal could drift
//     from the one to the other;
//   - across boots, the voices of a later boot contradict those of an earlier one
//     if the later boot would have begun before the earlier one was over.
//
// The verdict looks for the largest set of voices that can all be right. What
// only such sets believe that are as large as each other stands undecided: two
// voices that contradict each other decide nothing, until a third agrees with
// one of them.

// trackSet is a set of a boot's tracks, a bit for each in the order in which
// they were opened.
type trackSet uint32

func (t trackSet) has(a anchor) bool { return t&(1<<a.track) != 0 }

// first is which of the tracks was opened first.
func (t trackSet) first() int { return bits.TrailingZeros32(uint32(t)) }

// finding is what the verdict says of one boot.
type finding struct {
	// held are the sets of tracks of which one is right; none where the boot has
	// no track, or none that is believed.
	held []trackSet
	// maybeNone means that all tracks of the boot may be wrong.
	maybeNone bool
	// disputed means that voices were weighed against each other here.
	disputed bool
	// gap is where the boot lies if it says nothing by itself.
	gap gap
	// weighty means that more than one voice stands for the only held set.
	weighty bool
}

func (f finding) equal(o finding) bool {
	return slices.Equal(f.held, o.held) && f.maybeNone == o.maybeNone && f.disputed == o.disputed
}

// verdict is the finding of each boot, in the order of the boots.
type verdict []finding

func (v verdict) disputed() bool {
	return slices.ContainsFunc(v, func(f finding) bool { return f.disputed })
}

// doubts tells whether other voices are believed than by an older verdict, of
// those that contradict each other.
func (v verdict) doubts(old verdict) bool {
	for k, f := range v {
		if f.disputed && (k >= len(old) || !f.equal(old[k])) {
			return true
		}
	}
	return false
}

// maxSets is how many sets of a boot's voices are weighed: a clock that contradicts itself over and over has
// more, and the smallest are not missed.
const maxSets = 16

// choice is a set that may be right: voices of one boot that can all be right.
type choice struct {
	boot   int
	tracks trackSet
	weight int
	start  int64 // the latest true time of the boot's start, by these voices
	end    int64 // the earliest true time of when the boot was last seen, by these voices
}

// chains are the sets of voices of all boots, and how heavy the heaviest chains
// of those are that can follow each other.
type chains struct {
	sets       []choice
	first      []int   // of each boot's sets, and one more
	running    []int64 // how long the boots before each were seen running
	upto, from []int   // the weight of the heaviest chain up to a set, and from it on
	most       int     // the weight of the heaviest chain
}

// chains makes the sets of tracks of the sources that a function believes.
func (b *Book) chains(believed func(source string) bool, weight func(*boot, trackSet) int) chains {
	c := chains{first: make([]int, len(b.boots)+1), running: make([]int64, len(b.boots)+1)}
	for k := range b.boots {
		o := &b.boots[k]
		c.first[k] = len(c.sets)
		c.running[k+1] = c.running[k] + least(o.mark)
		for _, t := range o.agreeing(believed) {
			c.sets = append(c.sets, choice{
				boot: k, tracks: t, weight: weight(o, t),
				start: o.of(t, 0, 0).To, end: o.of(t, o.mark, 0).From,
			})
		}
	}
	c.first[len(b.boots)] = len(c.sets)
	c.upto, c.from = make([]int, len(c.sets)), make([]int, len(c.sets))
	for i, s := range c.sets {
		for j := range i {
			if c.follows(j, i) {
				c.upto[i] = max(c.upto[i], c.upto[j])
			}
		}
		c.upto[i] += s.weight
		c.most = max(c.most, c.upto[i])
	}
	for i, s := range slices.Backward(c.sets) {
		for j := i + 1; j < len(c.sets); j++ {
			if c.follows(i, j) {
				c.from[i] = max(c.from[i], c.from[j])
			}
		}
		c.from[i] += s.weight
	}
	return c
}

// follows tells whether the boot of the later set can have begun after that of
// the earlier was over, if both are right.
func (c *chains) follows(earlier, later int) bool {
	a, z := c.sets[earlier], c.sets[later]
	return a.boot < z.boot && a.end+c.running[z.boot]-c.running[a.boot+1] <= z.start
}

// around is what the heaviest chains that leave a boot out say of it, and whether
// there are any. A boot between two sets of a chain began after the one's was over,
// and was over before the other's began.
func (c *chains) around(boot int, v verdict) (g gap, without bool) {
	g = gap{since: math.MaxInt64, until: math.MinInt64, after: true, before: true}
	world := func(i, j int) {
		without = true
		from, to := 0, len(v)-1
		if i < 0 {
			g.after = false
		} else {
			from = c.sets[i].boot
			g.since = min(g.since, c.sets[i].end+c.running[boot]-c.running[from+1])
		}
		if j < 0 {
			g.before = false
		} else {
			to = c.sets[j].boot
			g.until = max(g.until, c.sets[j].start-c.running[to]+c.running[boot+1])
		}
		g.disputed = g.disputed || v[from:to+1].disputed()
	}
	last, next := c.first[boot], c.first[boot+1]
	for i := range last {
		if c.upto[i] == c.most {
			world(i, -1)
		}
		for j := next; j < len(c.sets); j++ {
			if c.upto[i]+c.from[j] == c.most && c.follows(i, j) {
				world(i, j)
			}
		}
	}
	for j := next; j < len(c.sets); j++ {
		if c.from[j] == c.most {
			world(-1, j)
		}
	}
	if !without {
		return gap{}, false
	}
	return g, true
}

// gap is where between others a boot lies: it began after an instant, and was over
// before another, where those are known.
type gap struct {
	since, until  int64
	after, before bool // since and until are known
	disputed      bool // clocks contradicted each other over it
}

// weigh finds the verdict on all boots, by the sources that a function believes.
func (b *Book) weigh(believed func(source string) bool) verdict {
	c := b.chains(believed, func(_ *boot, t trackSet) int { return bits.OnesCount32(uint32(t)) })
	v := make(verdict, len(b.boots))
	for i, s := range c.sets {
		for j := i + 1; j < len(c.sets); j++ {
			if !c.follows(i, j) {
				v[s.boot].disputed, v[c.sets[j].boot].disputed = true, true
			}
		}
	}
	for k := range v {
		f := &v[k]
		for i := c.first[k]; i < c.first[k+1]; i++ {
			if c.upto[i]+c.from[i]-c.sets[i].weight == c.most {
				f.held = append(f.held, c.sets[i].tracks)
			}
		}
		f.gap, f.maybeNone = c.around(k, v)
		f.weighty = len(f.held) == 1 && bits.OnesCount32(uint32(f.held[0])) > 1
	}
	return v
}

// standing is, for each boot, what counts of the system's clock where nothing is
// decided: the voices that lasted for the most days, and of those that lasted as
// long the first.
func (b *Book) standing() []trackSet {
	const day = 24 * time.Hour
	c := b.chains(func(source string) bool { return source == SourceSystem }, func(o *boot, t trackSet) int {
		return 1 + int(o.lasted(t)/day)
	})
	all := make([]trackSet, len(b.boots))
	for left, last := c.most, -1; left > 0; {
		next := -1
		for i := last + 1; i < len(c.sets); i++ {
			if c.from[i] != left || last >= 0 && !c.follows(last, i) {
				continue
			}
			if next >= 0 && c.sets[i].boot != c.sets[next].boot {
				break
			}
			if next < 0 || c.sets[i].tracks.first() < c.sets[next].tracks.first() {
				next = i
			}
		}
		if next < 0 {
			break
		}
		all[c.sets[next].boot] = c.sets[next].tracks
		left, last = left-c.sets[next].weight, next
	}
	return all
}

// lasted is for how long a set of tracks was heard.
func (b *boot) lasted(t trackSet) (d time.Duration) {
	var opened [maxTracks]time.Duration
	var last [maxTracks]time.Duration
	for _, a := range b.anchors {
		if a.opens {
			opened[a.track] = a.bt
		}
		last[a.track] = a.bt
	}
	for rest := uint32(t); rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros32(rest)
		d += last[i] - opened[i]
	}
	return d
}

// tracksOf returns those of the boot's tracks that are of one source.
func (b *boot) tracksOf(source string) (t trackSet) {
	for _, a := range b.anchors {
		if a.source == source {
			t |= 1 << a.track
		}
	}
	return t
}

// agreeing returns the largest sets of believed tracks that agree with each
// other, the heaviest first.
func (b *boot) agreeing(believed func(source string) bool) (cliques []trackSet) {
	var all trackSet
	var with [maxTracks]trackSet // the tracks that each agrees with
	for _, a := range b.anchors {
		if believed(a.source) {
			all |= 1 << a.track
		}
	}
	for i := range with {
		with[i] = all &^ (1 << i)
	}
	for i, a := range b.anchors {
		for _, o := range b.anchors[:i] {
			if a.track != o.track && !a.agrees(o) {
				with[a.track] &^= 1 << o.track
				with[o.track] &^= 1 << a.track
			}
		}
	}
	// Bron and Kerbosch, with the pivot that leaves the least to try.
	var grow func(in, may, done trackSet)
	grow = func(in, may, done trackSet) {
		if may|done == 0 {
			if in != 0 {
				cliques = append(cliques, in)
			}
			return
		}
		pivot, best := 0, -1
		for rest := uint32(may | done); rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros32(rest)
			if n := bits.OnesCount32(uint32(may & with[i])); n > best {
				pivot, best = i, n
			}
		}
		for rest := uint32(may &^ with[pivot]); rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros32(rest)
			grow(in|1<<i, may&with[i], done&with[i])
			may, done = may&^(1<<i), done|1<<i
		}
	}
	grow(0, all, 0)
	slices.SortStableFunc(cliques, func(a, b trackSet) int {
		return bits.OnesCount32(uint32(b)) - bits.OnesCount32(uint32(a))
	})
	return cliques[:min(len(cliques), maxSets)]
}

// number notes which track each anchor belongs to, in the order in which they
// were opened.
func (b *boot) number() {
	open := make(map[string]int, maxSources)
	n := 0
	for i := range b.anchors {
		a := &b.anchors[i]
		if a.opens {
			open[a.source] = n
			n++
		}
		a.track = open[a.source]
	}
}

// agrees tells whether a crystal can drift from one anchor to the other.
func (a anchor) agrees(o anchor) bool {
	own := interval.Of(a.utc-int64(a.err), a.utc+int64(a.err))
	return o.cone(a.bt, 0).Overlaps(own)
}

// of is what a set of tracks that agree says of an instant of the boot.
func (b *boot) of(t trackSet, bt time.Duration, rate float64) (s span) {
	s = interval.Of[int64](math.MinInt64, math.MaxInt64)
	for _, a := range b.anchors {
		// Leaning by a rate, anchors that agree may miss each other.
		if c := a.cone(bt, rate); t.has(a) && c.Overlaps(s) {
			s = s.Intersect(c)
		}
	}
	return s
}

// framed tells whether an instant lies between two anchors of a set: a source
// said the same before it and after it.
func (b *boot) framed(t trackSet, bt time.Duration) bool {
	before, after := false, false
	for _, a := range b.anchors {
		before = before || t.has(a) && a.bt <= bt
		after = after || t.has(a) && a.bt > bt
	}
	return before && after
}

// rejected tells whether a reading at an instant agrees with a track that is not
// among those held, so that it was weighed with it.
func (b *boot) rejected(held trackSet, bt time.Duration, own span) bool {
	for i := range maxTracks {
		if t := trackSet(1 << i); held&t == 0 && slices.ContainsFunc(b.anchors, t.has) && b.of(t, bt, 0).Overlaps(own) {
			return true
		}
	}
	return false
}
