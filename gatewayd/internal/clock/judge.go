package clock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// Source names of anchors. Sources are judged apart from each other.
const (
	SourceSystem = "system" // the system's clock while it was disciplined
	SourceBroker = "broker" // the city's clock, asked over the broker
)

// How the clock is watched.
const (
	lookEvery   = time.Second
	anchorEvery = 10 * time.Minute
	// markEvery bounds the writing while nothing disciplines the clock, when
	// all that is known of the next boots hangs on how long this one ran.
	// Disciplined, an anchor comes soon enough.
	markEvery = time.Minute
	// stepped is by how much REALTIME and BOOTTIME part when somebody sets the
	// clock; what an NTP client slews moves both.
	stepped = 250 * time.Millisecond
	// sharper is the uncertainty from which on an anchor that halves it is
	// taken before its time.
	sharper = 250 * time.Millisecond
	// readError is how far apart the two clocks of a reading may be.
	readError = 100 * time.Microsecond
)

// Store keeps what is known of boots and anchors over power cuts: a few
// kilobytes, seldom more than once in ten minutes and never in vain.
type Store interface {
	// LoadClock returns what was saved last, nothing if nothing was.
	LoadClock() ([]byte, error)
	// SaveClock makes the bytes durable in place of those before.
	SaveClock([]byte) error
}

// Clock judges readings of one source. It is safe for concurrent use.
type Clock struct {
	source Source

	mu       sync.Mutex
	unsynced presence.Reading // the first reading of the present unsynced stretch
	lost     bool             // there is such a stretch

	book    Book
	changed chan struct{} // closed when older answers may have become better

	anchored   bool             // the last look made or found a fresh anchor
	lastAnchor presence.Reading // of the system's clock; only while anchored

	saving sync.Mutex // held over a save, so that none overtakes a later one
	store  Store      // nil: nothing outlives the process
	dirty  bool       // the store lacks something that matters
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
	defer c.mu.Unlock()
	c.store = store
	data, err := store.LoadClock()
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	if len(data) == 0 {
		return nil
	}
	past, err := DecodeBook(data)
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	c.book = *past
	c.change()
	return nil
}

// Run watches the clocks until the context ends: it notes anchors while the
// system's clock is disciplined, and how long the boot has lasted. It fails if
// that cannot be saved; started again, it tries again.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.look()
		if err := c.save(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *Clock) look() {
	now := c.source.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch(now)
	c.book.See(now.Boot, now.Boottime)
	if now.State != presence.ClockSynced {
		c.anchored = false
		return
	}
	matters, periodic := c.wants(now)
	if !matters && !periodic {
		return
	}
	c.anchored, c.lastAnchor = true, now
	c.book.Add(now.Boot, Anchor{
		Boottime: now.Boottime, UTC: now.WallTime(), Error: now.MaxError + readError, Source: SourceSystem,
	})
	c.dirty = true
	if matters {
		c.change()
	}
}

// wants tells whether a disciplined reading should become an anchor: because it
// says something new, or because it is time.
func (c *Clock) wants(now presence.Reading) (matters, periodic bool) {
	if !c.anchored {
		return true, false
	}
	passed, ok := now.Since(c.lastAnchor)
	if !ok {
		return true, false
	}
	moved := time.Duration(now.Wall-c.lastAnchor.Wall) - passed
	if moved.Abs() > stepped {
		return true, false
	}
	if known, _, ok := c.book.boots[c.book.find(now.Boot)].at(now.Boottime); ok {
		if half := known.half(); half > sharper && now.MaxError < half/2 {
			return true, false
		}
	}
	return false, passed >= anchorEvery
}

// change tells whoever waits that older answers may have become better.
func (c *Clock) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// save saves what the store lacks, if it is worth a write.
func (c *Clock) save() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	due := c.dirty
	var at mark
	if n := len(c.book.boots); n > 0 {
		newest := c.book.boots[n-1]
		at = mark{newest.id, newest.mark}
		due = due || !c.anchored && (at.boot != c.saved.boot || at.bt-c.saved.bt >= markEvery)
	}
	if c.store == nil || !due {
		c.mu.Unlock()
		return nil
	}
	data, err := c.book.Encode()
	c.dirty = false
	c.mu.Unlock()
	if err == nil {
		err = c.store.SaveClock(data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.dirty = true
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

// AddAnchor notes that utc was right within so much at the reading, as some source
// other than the system's clock says. It is saved by Run.
func (c *Clock) AddAnchor(source string, at presence.Reading, utc time.Time, within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := true
	if k := c.book.find(at.Boot); k >= 0 {
		if known, _, ok := c.book.boots[k].at(at.Boottime); ok {
			half := known.half()
			utc := utc.UnixNano()
			inside := known.lo <= utc && utc <= known.hi
			news = !inside || half > sharper && within < half/2
		}
	}
	if !c.book.Add(at.Boot, Anchor{Boottime: at.Boottime, UTC: utc, Error: within, Source: source}) {
		return
	}
	c.dirty = true
	if news {
		c.change()
	}
}

// Seen notes that the boot of the reading lasted at least until it: an event
// on disk is as good a mark as one that was saved for the purpose. Boots are
// to be told in order.
func (c *Clock) Seen(r presence.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.See(r.Boot, r.Boottime)
}

// Now reads all clocks at the same instant.
func (c *Clock) Now() presence.Reading { return c.source.Now() }

// Timing says what is known by now of the instant of a reading.
func (c *Clock) Timing(r presence.Reading) presence.Timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.Timing(r)
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
	stateHoldover = "holdover" // not disciplined any more, but known from this boot's anchors
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

// watch notes since when the clock has been unsynced.
func (c *Clock) watch(now presence.Reading) {
	switch {
	case now.Known():
		c.lost = false
	case !c.lost:
		c.lost, c.unsynced = true, now
	}
}
