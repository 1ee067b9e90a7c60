package clock

import (
	"context"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// Source names of anchors. Each source is evaluated by itself.
const (
	SourceSystem = "system" // the system's clock while it was disciplined
	SourceBroker = "broker" // what a broker says that the city's clock says
	SourceCity   = "city"   // what the city's clock says, signed by the city
)

// How the clock is watched.
const (
	// observeEvery is how soon it is noticed that the clock is disciplined, or not
	// any more. A step is told at once (Source.Steps).
	observeEvery = time.Second
	anchorEvery  = 10 * time.Minute
	// stepped is by how much the wall clock and the boot clock part when
	// somebody sets the one, or slews it that far.
	stepped = 250 * time.Millisecond
	// sharper is the uncertainty from which on an anchor that halves it is
	// taken before its time.
	sharper = 250 * time.Millisecond
	// readError is how far apart the two clocks of a reading may be.
	readError = 100 * time.Microsecond
)

// Clock dates readings of one source. It is safe for concurrent use.
type Clock struct {
	source Source

	mu       sync.Mutex
	unsynced presence.Reading // the first reading of the present stretch without discipline
	lost     bool             // there is such a stretch

	book    Book
	changed chan struct{} // closed when older answers may have become better
	doubts  uint64        // see Doubts
	passed  time.Time     // NotBefore at the last observation
	fell    time.Duration // boot time at which that was earlier than at the observation before, 0 never

	anchored   bool             // the system's clock was disciplined at the last observation
	lastAnchor presence.Reading // of the system's clock; only while anchored

	saving sync.Mutex // held over a save, so that none overtakes a later one
	store  Store      // nil: nothing outlives the process
	news   bool       // the store lacks something that changes answers
	saved  mark
}

// New makes a clock on a source. A nil source will do for judging readings of
// the past.
func New(source Source) *Clock {
	return &Clock{source: source, changed: make(chan struct{})}
}

// saveAgain is how long to wait after what is known could not be saved.
const saveAgain = time.Minute

// Run watches the clocks until the context ends: it notes anchors while the
// system's clock is disciplined, and how long the boot has lasted. What cannot be
// saved is no reason to stop: it is tried again every minute, and why it fails is
// the store's to say.
func (c *Clock) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	wake := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() {
		// Where steps cannot be told, the next observation finds them.
		_ = c.source.Steps(ctx, func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	})
	defer watching.Wait()
	defer cancel()

	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	var again time.Time
	for {
		c.observe()
		if now := time.Now(); !now.Before(again) && c.save() != nil {
			again = now.Add(saveAgain)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-wake:
		}
	}
}

// observe reads the clocks: it notes since when the system's clock is disciplined, how
// long the boot has lasted, and where it is worth it an anchor.
func (c *Clock) observe() {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteDiscipline(now)
	if now.State == presence.ClockTrusted {
		return // there is nothing to find out
	}
	c.book.See(now.Boot, now.Boottime)
	if now.State != presence.ClockSynced {
		c.anchored = false
		return
	}
	if c.anchored && !c.wants(now) {
		return
	}
	c.anchored, c.lastAnchor = true, now
	c.learn(now.Boot, Anchor{
		Boottime: now.Boottime, UTC: now.WallTime(), Error: now.MaxError + readError, Source: SourceSystem,
	})
	passed := c.book.NotBefore(now)
	if passed.Before(c.passed.Add(-fallen)) {
		c.fell = now.Boottime
	}
	c.passed = passed
}

// fallen is by how much less may be known to have passed than before without a
// word: anchors that are thinned leave a little less.
const fallen = time.Second

// wants tells whether another disciplined reading should become an anchor:
// because it is time, or because it says something new.
func (c *Clock) wants(now presence.Reading) bool {
	passed, ok := now.Since(c.lastAnchor)
	moved := time.Duration(now.Wall-c.lastAnchor.Wall) - passed
	if !ok || passed >= anchorEvery || moved.Abs() > stepped {
		return true
	}
	known, _, ok := c.book.at(c.book.verdict(), c.book.find(now.Boot), now.Boottime, 0)
	return ok && half(known) > sharper && now.MaxError < half(known)/2
}

// learn notes an anchor. If it changes what is known of its own instant, it may
// change older answers as well.
func (c *Clock) learn(id presence.ID, a Anchor) {
	at := func() (span, bool, bool) {
		if k := c.book.find(id); k >= 0 {
			return c.book.at(c.book.verdict(), k, a.Boottime, 0)
		}
		return span{}, true, false
	}
	before, decidedBefore, known := at()
	verdict := c.book.verdict()
	if !c.book.Add(id, a) {
		return
	}
	after, decided, _ := at()
	doubt := c.book.verdict().doubts(verdict)
	if doubt {
		c.doubts++
	}
	if doubt || !known || decided != decidedBefore || !after.Overlaps(before) ||
		half(before) > sharper && half(after) <= half(before)/2 {
		c.news = true
		c.change()
	}
}

// change tells whoever waits that older answers may have become better.
func (c *Clock) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Changed is closed as soon as answers given before may have become better.
// Take the channel first, then ask for the answers, then wait.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// AddAnchor notes that utc was right within so much at the reading, as some
// source other than the system's clock says. It is saved by Run.
func (c *Clock) AddAnchor(source string, at presence.Reading, utc time.Time, within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learn(at.Boot, Anchor{Boottime: at.Boottime, UTC: utc, Error: within, Source: source})
}

// Now reads all clocks at the same instant.
func (c *Clock) Now() presence.Reading { return c.source.Now() }

// Timing says what is known by now of the instant of a reading.
func (c *Clock) Timing(r presence.Reading) presence.Timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.Timing(r)
}

// Proven says what is known by now of the instant of a reading by what could show
// who says it. Working hours hang on it: a broker cannot open closed ones.
func (c *Clock) Proven(r presence.Reading) presence.Timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.Proven(r)
}

// Doubts counts how often it changed which of the voices are believed that
// contradict each other, 0 while none do. When it rises, what was said of any
// event may have to be taken back. It does not begin at 0 again after a restart
// while there is such a contradiction.
func (c *Clock) Doubts() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubts
}
