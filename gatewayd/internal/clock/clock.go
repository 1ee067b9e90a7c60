package clock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// Source names of anchors. Sources are judged apart from each other.
const (
	SourceSystem = "system" // the system's clock while it was disciplined
	SourceBroker = "broker" // what a broker says that the city's clock says
	SourceCity   = "city"   // what the city's clock says, signed by the city
)

// How the clock is watched.
const (
	// lookEvery is how soon it is noticed that the clock is disciplined, or not
	// any more. A step is told at once (Source.Steps).
	lookEvery   = time.Second
	anchorEvery = 10 * time.Minute
	// stepped is by how much the wall clock and the boot clock part when
	// somebody sets the one, or slews it that far.
	stepped = 250 * time.Millisecond
	// sharper is the uncertainty from which on an anchor that halves it is
	// taken before its time.
	sharper = 250 * time.Millisecond
	// readError is how far apart the two clocks of a reading may be.
	readError = 100 * time.Microsecond
)

// markEvery is how often what is known is saved while nothing new is learned.
// What a power cut takes with it is how long the boot lasted since: a few
// percent, and never more than that of one that has lasted for hours. Each save
// writes several pages: every minute for ever would be 20 MB a day, and most of
// it for nothing.
func markEvery(boottime time.Duration) time.Duration {
	return max(time.Minute, min(boottime/8, 30*time.Minute))
}

// Past is where what is known of boots and anchors lies: a few kilobytes.
type Past interface {
	// Load returns what was saved last under a name, nothing if nothing was.
	Load(name string) ([]byte, error)
}

// Store keeps it over power cuts. It is asked to save some sixty times a day.
type Store interface {
	Past
	// Save makes the bytes durable in place of those before.
	Save(name string, data []byte) error
}

// noteName is the name under which it lies.
const noteName = "clock"

// Clock judges readings of one source. It is safe for concurrent use.
type Clock struct {
	source Source

	mu       sync.Mutex
	unsynced presence.Reading // the first reading of the present stretch without discipline
	lost     bool             // there is such a stretch

	book    Book
	changed chan struct{} // closed when older answers may have become better
	doubts  uint64        // see Doubts
	passed  time.Time     // NotBefore at the last look
	fell    time.Duration // boot time at which that was earlier than at the look before, 0 never

	anchored   bool             // the system's clock was disciplined at the last look
	lastAnchor presence.Reading // of the system's clock; only while anchored

	saving sync.Mutex // held over a save, so that none overtakes a later one
	store  Store      // nil: nothing outlives the process
	news   bool       // the store lacks something that changes answers
	saved  mark
}

// mark is how far into which boot the store knows.
type mark struct {
	boot presence.ID
	bt   time.Duration
}

// New makes a clock on a source. A nil source will do for judging readings of
// the past.
func New(source Source) *Clock {
	return &Clock{source: source, changed: make(chan struct{})}
}

// Attach reads what earlier boots and processes knew, and lets Run save it. It
// is called before Run. After an error the clock works on without the past.
func (c *Clock) Attach(store Store) error {
	c.mu.Lock()
	c.store = store
	c.mu.Unlock()
	return c.Read(store)
}

// Read reads what earlier boots and processes knew.
func (c *Clock) Read(past Past) error {
	data, err := past.Load(noteName)
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	if len(data) == 0 {
		return nil
	}
	book, err := DecodeBook(data)
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book = *book
	if c.book.verdict().disputed() {
		c.doubts++
	}
	c.change()
	return nil
}

// maxRecall is how many records of the journal Recall looks at.
const maxRecall = 20_000

// Recall notes from the journal how long boots lasted: an event on disk is as
// good a mark as one that was saved for the purpose. It is called between
// Attach and Run, with a function that passes the journal's records newest
// first until it has passed enough.
//
// Boots that are older than those known are left alone: nobody knows where
// among them they belong.
func (c *Clock) Recall(tail func(func(presence.Entry) bool) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := presence.ID{}
	if n := len(c.book.boots); n > 0 {
		known = c.book.boots[n-1].id
	}
	var last []presence.Reading // of each boot, the newest boot first
	looked := 0
	err := tail(func(e presence.Entry) bool {
		if n := len(last); n == 0 || last[n-1].Boot != e.At.Boot {
			last = append(last, e.At)
		}
		looked++
		return e.At.Boot != known && len(last) < maxBoots && looked < maxRecall
	})
	if err != nil {
		return fmt.Errorf("recall boots: %w", err)
	}
	for _, r := range slices.Backward(last) {
		c.book.See(r.Boot, r.Boottime)
	}
	if c.source != nil {
		// What this boot's clock says is held against the boots before it from the
		// first event on.
		if now := c.source.Now(); now.State != presence.ClockTrusted {
			c.book.See(now.Boot, now.Boottime)
			c.passed = c.book.NotBefore(now)
		}
	}
	return nil
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
		// Where steps cannot be told, the next look finds them.
		_ = c.source.Steps(ctx, func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	})
	defer watching.Wait()
	defer cancel()

	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var again time.Time
	for {
		c.look()
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

func (c *Clock) look() {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch(now)
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

// save saves what the store lacks, if it is worth a write: news at once,
// anything else every so often.
func (c *Clock) save() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	due := c.news
	var at mark
	if n := len(c.book.boots); n > 0 {
		newest := c.book.boots[n-1]
		at = mark{newest.id, newest.mark}
		due = due || at.boot != c.saved.boot || at.bt-c.saved.bt >= markEvery(at.bt)
	}
	if c.store == nil || !due {
		c.mu.Unlock()
		return nil
	}
	data, err := c.book.Encode()
	news := c.news
	c.news = false
	c.mu.Unlock()
	if err == nil {
		err = c.store.Save(noteName, data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.news = c.news || news
		return fmt.Errorf("save clock: %w", err)
	}
	c.saved = at
	return nil
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

// Disagreement is how far the system's clock is ahead of what the broker's
// clock says, false while one of the two does not know the time.
func (c *Clock) Disagreement() (time.Duration, bool) {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.book.find(now.Boot)
	if k < 0 || now.State != presence.ClockSynced {
		return 0, false
	}
	broker, ok := c.book.boots[k].track(SourceCity, now.Boottime)
	if !ok {
		broker, ok = c.book.boots[k].track(SourceBroker, now.Boottime)
	}
	if !ok || half(broker) > maxDoubt {
		return 0, false
	}
	return time.Duration(now.Wall - middle(broker)), true
}

// maxDoubt is how well the broker's clock must be known to be compared.
const maxDoubt = time.Second

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

// jumpFor is how long a contradiction stays worth a word after it was decided.
const jumpFor = time.Hour

// Jump tells how the clock contradicts itself: the instant that was known to have
// passed before this boot's clock said otherwise, what it says now, and whether
// it is known by now which of the two is right. It is false while there is no
// contradiction, and an hour after the last.
func (c *Clock) Jump() (j Jump, is bool) {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.book.find(now.Boot)
	if k < 0 || now.State == presence.ClockTrusted {
		return Jump{}, false
	}
	j = Jump{Passed: c.book.NotBefore(now), Shows: now.WallTime()}
	f := c.book.verdict()[k]
	fell := c.fell > 0 && now.Boottime-c.fell < jumpFor
	if !f.disputed && !fell {
		// The latest reading may be the first that contradicts the anchors.
		t := c.book.Timing(now)
		return j, t.Disputed && now.State == presence.ClockSynced
	}
	_, decided, ok := c.book.at(c.book.verdict(), k, now.Boottime, 0)
	j.Decided = ok && decided
	last := time.Duration(0)
	for _, a := range c.book.boots[k].anchors {
		if a.opens {
			last = max(last, a.bt)
		}
	}
	return j, fell || !j.Decided || now.Boottime-last < jumpFor
}

// Jump is a contradiction of the clock with itself.
type Jump struct {
	Passed  time.Time // certainly passed, by what stands; zero if nothing does
	Shows   time.Time // what the wall clock shows
	Decided bool      // a third voice has told which is right
}

// CertTime is the instant by which certificates are judged: the wall clock, or
// what has certainly passed where that is later, or where the wall clock
// contradicts what was known before.
func (c *Clock) CertTime() time.Time {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	passed, wall := c.book.NotBefore(now), now.WallTime()
	if now.State == presence.ClockTrusted {
		return wall
	}
	t := c.book.Proven(now)
	if t.Disputed && (t.Quality != presence.QualitySynced || !t.Time.Equal(wall)) || wall.Before(passed) {
		return passed
	}
	return wall
}

// NotBefore is an instant that has certainly passed, zero if nothing is known:
// certificates can be judged by it on a machine that woke in 1970.
func (c *Clock) NotBefore() time.Time {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.NotBefore(now)
}

// The states of a clock in the health report.
const (
	stateSynced   = "synced"
	stateHoldover = "holdover" // not disciplined any more, or never, but known all the same
	stateUnsynced = "unsynced"
	stateTrusted  = "trusted"
)

// Health says how well the time is known now, and for how long the system's
// clock has not been disciplined. It is asked at least every few seconds, or
// Run runs, and measures from when it first found the clock unsynced.
func (c *Clock) Health() presence.ClockHealth {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch(now)
	t := c.book.Timing(now)
	h := presence.ClockHealth{State: stateUnsynced, Quality: t.Quality}
	switch t.Quality {
	case presence.QualitySynced:
		h.State = stateSynced
		if c.lost {
			h.State = stateHoldover
		}
	case presence.QualityTrusted:
		h.State = stateTrusted
	case presence.QualityCorrected:
		h.State = stateHoldover
	}
	if !t.Time.IsZero() {
		ms := float64(t.Error.Microseconds()) / 1000
		h.ErrorMS = &ms
	}
	if c.lost {
		if d, ok := now.Since(c.unsynced); ok {
			h.UnsyncedS = int64(d.Seconds())
		}
	}
	return h
}

// watch notes since when nobody has disciplined the clock. The kernel believes
// it for some nine hours more; NTP asks at least every 34 minutes.
func (c *Clock) watch(now presence.Reading) {
	switch {
	case now.Known() && now.MaxError <= staleSync:
		c.lost = false
	case !c.lost:
		c.lost, c.unsynced = true, now
	}
}
