package recap

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// Sheet is one day, or one month, of one gateway, or of several (see Merge).
type Sheet struct {
	Origin    presence.Origin
	Gateways  []string  // of which gateways it is
	From, To  time.Time // the day or month: from midnight until just before the next
	Month     bool      // it is of a month
	Only      []string  // the badges that it is restricted to; none: all
	Simulated bool      // events of mocked hardware are among them
	Damaged   bool      // not all of the journal could be read: the sheet is not complete
	Badges    []Badge   // by identity and day
	Uncertain []Tap     // may have been on this day or on another
	Outages   []Outage  // by their beginning
	Gaps      []Gap
	Conflicts []Conflict // by tag
	Begins    []Begin    // of a month: where a gateway's record begins within it
}

// Begin says that a gateway holds nothing from before an instant: it is not kept any
// more, or there was no gateway yet. Nobody was absent on the days before that because
// the sheet has no line.
type Begin struct {
	Gateway string
	At      presence.Timing
}

// Conflict is a tag that was heard at two places in turn on the day, at both of
// which nobody can be: what it says is no evidence.
type Conflict struct {
	Gateway     string
	Tag         string
	First, Last presence.Timing // of the events that say so
	Event       presence.EventID
}

// Badge is what a badge did on one day.
type Badge struct {
	Badge       string
	Day         time.Time // its midnight
	Taps        int
	First, Last Tap
}

// Tap is one tap.
type Tap struct {
	Gateway  string
	Event    presence.EventID
	Badge    string
	Reader   string
	At       presence.Timing
	Earliest time.Time // by what was recorded before it; zero: unknown
	Latest   time.Time // by what was recorded after it; zero: unknown
}

// Outage is a stretch during which the gateway did not do its work.
type Outage struct {
	Gateway  string
	What     alerts.Outage
	From, To presence.Timing
	Open     bool          // it goes on
	Times    int           // how often it failed in between: 1, or more where it flapped
	Down     time.Duration // for how long altogether, where it flapped
}

// Gap is what was lost.
type Gap struct {
	Gateway     string
	Event       presence.EventID // zero: no event names it
	Reason      presence.GapReason
	Kinds       map[string]int
	First, Last presence.Timing
	Found       presence.Timing
}

// Times says what is known of when something happened.
type Times interface {
	Timing(presence.Reading) presence.Timing
}

// Collector makes a sheet out of the journal's entries.
type Collector struct {
	sheet  Sheet
	times  Times
	badges map[badgeDay]*Badge

	hasBegun bool // an entry was there of which it is known when it was

	last    presence.Entry // the one before
	now     presence.Timing
	before  time.Time // the newest instant that is known to lie before the next entry
	undated []int     // in sheet.Uncertain: taps that wait for an entry with a time
	unended []Outage  // ended at an entry without a time, and wait for one with a time
	boots   map[presence.ID]known
}

// badgeDay is a badge on one day, which is named by its midnight.
type badgeDay struct {
	badge string
	day   time.Time
}

// New begins the sheet of the day that holds an instant, by the office's wall
// clock.
func New(o presence.Origin, day time.Time, times Times) *Collector {
	y, m, d := day.In(o.Location).Date()
	return newCollector(times, Sheet{
		Origin: o,
		From:   time.Date(y, m, d, 0, 0, 0, 0, o.Location),
		To:     time.Date(y, m, d+1, 0, 0, 0, 0, o.Location),
	})
}

// NewMonth begins the sheet of the month that holds an instant: what a badge did has a
// line for each day.
func NewMonth(o presence.Origin, month time.Time, times Times) *Collector {
	y, m, _ := month.In(o.Location).Date()
	return newCollector(times, Sheet{
		Origin: o, Month: true,
		From: time.Date(y, m, 1, 0, 0, 0, 0, o.Location),
		To:   time.Date(y, m+1, 1, 0, 0, 0, 0, o.Location),
	})
}

func newCollector(times Times, s Sheet) *Collector {
	s.Gateways = []string{s.Origin.Gateway}
	return &Collector{sheet: s, times: times, badges: make(map[badgeDay]*Badge), boots: make(map[presence.ID]known)}
}

// Only restricts the sheet to some badges, before the first entry. What the gateway
// could not do stays on it.
func (c *Collector) Only(badges []string) { c.sheet.Only = badges }

// isWanted reports whether a badge belongs on the sheet.
func (c *Collector) isWanted(badge string) bool {
	return len(c.sheet.Only) == 0 || slices.Contains(c.sheet.Only, badge)
}

// midnight is the beginning of the day that holds an instant.
func (c *Collector) midnight(t time.Time) time.Time {
	y, m, d := t.In(c.sheet.Origin.Location).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, c.sheet.Origin.Location)
}

// Span is the day or month: from its beginning until just before the next one's.
func (c *Collector) Span() (from, to time.Time) { return c.sheet.From, c.sheet.To }

// Entry adds the journal's next entry, oldest first, with the timing of its published
// revision: a sheet that says something else than the city has would be no evidence.
func (c *Collector) Entry(e presence.Entry, t presence.Timing) {
	before := c.before
	if lo, hi, ok := t.Bounds(); ok {
		c.begin(lo, t)
		for _, i := range c.undated {
			c.sheet.Uncertain[i].Latest = hi
		}
		c.undated = c.undated[:0]
		for _, o := range c.unended {
			c.outage(o.endedBy(hi))
		}
		c.unended = c.unended[:0]
		if lo.After(c.before) {
			c.before = lo
		}
		c.know(e.At, t)
	}
	switch {
	case e.Tag != nil && e.Tag.Conflict && len(c.sheet.Only) == 0: // else it may be another person's
		c.conflict(e, t, e.Tag.Tag)
	case e.Badge != nil && c.isWanted(e.Badge.Badge):
		c.tap(e, t)
		if check := e.Badge.Check; check != nil && check.State == presence.TagConflict {
			c.conflict(e, t, check.Tag)
		}
	case e.Start != nil:
		c.start(e, t, before)
	case e.Gap != nil:
		c.gap(e, t)
	}
	c.last = e
}

// begin notes the first entry of which it is known when it was, if it is of the month.
func (c *Collector) begin(earliest time.Time, t presence.Timing) {
	if c.hasBegun {
		return
	}
	c.hasBegun = true
	if c.sheet.Month && earliest.After(c.sheet.From) {
		c.sheet.Begins = []Begin{{c.sheet.Origin.Gateway, t}}
	}
}

// conflict notes a tag that is in conflict, by an event that is surely of the day.
func (c *Collector) conflict(e presence.Entry, t presence.Timing, tag string) {
	lo, hi, ok := t.Bounds()
	if !ok || lo.Before(c.sheet.From) || !hi.Before(c.sheet.To) {
		return
	}
	i, known := slices.BinarySearchFunc(c.sheet.Conflicts, tag, func(one Conflict, tag string) int { return cmp.Compare(one.Tag, tag) })
	if !known {
		id := presence.EventID{Stream: e.Stream, Seq: e.Seq}
		c.sheet.Conflicts = slices.Insert(c.sheet.Conflicts, i, Conflict{Gateway: c.sheet.Origin.Gateway, Tag: tag, First: t, Event: id})
	}
	c.sheet.Conflicts[i].Last = t
}

func (c *Collector) tap(e presence.Entry, t presence.Timing) {
	tap := Tap{
		Gateway: c.sheet.Origin.Gateway, Event: presence.EventID{Stream: e.Stream, Seq: e.Seq},
		Badge: e.Badge.Badge, Reader: e.Badge.Reader, At: t,
	}
	lo, hi, known := t.Bounds()
	switch {
	case !known:
		tap.Earliest = c.before
		c.undated = append(c.undated, len(c.sheet.Uncertain))
		c.sheet.Uncertain = append(c.sheet.Uncertain, tap)
		return
	case !hi.After(c.sheet.From), !lo.Before(c.sheet.To):
		return
	case lo.Before(c.sheet.From), !hi.Before(c.sheet.To), !c.midnight(lo).Equal(c.midnight(hi)):
		tap.Earliest, tap.Latest = lo, hi
		c.sheet.Uncertain = append(c.sheet.Uncertain, tap)
		return
	}
	c.sheet.Simulated = c.sheet.Simulated || e.Simulated
	key := badgeDay{tap.Badge, c.midnight(tap.At.Time)}
	b := c.badges[key]
	if b == nil {
		b = &Badge{Badge: key.badge, Day: key.day, First: tap, Last: tap}
		c.badges[key] = b
	}
	b.Taps++
	if tap.At.Time.Before(b.First.At.Time) {
		b.First = tap
	}
	if !tap.At.Time.Before(b.Last.At.Time) {
		b.Last = tap
	}
}

// start notes that the gateway was off before this entry: since it was last known
// to run, which is the most that it can have been. That is what the start says,
// or at least the entry before it.
func (c *Collector) start(e presence.Entry, t presence.Timing, before time.Time) {
	p := e.Start.Before()
	alive := e.Start.Alive
	if last := c.last.At; c.last.Pos != 0 && (alive == nil || isAfter(last, *alive)) {
		alive = &last
	}
	if p == nil || alive == nil {
		return
	}
	what := alerts.Crashed
	switch {
	case p.Clean:
		what = alerts.Stopped
	case alive.Boot != e.At.Boot:
		what = alerts.PowerOff
	}
	o := Outage{What: alerts.Outage{Failure: what}, From: c.timing(*alive), To: t, Times: 1}
	if _, hi, ok := t.Bounds(); ok && o.From.Time.IsZero() && !before.IsZero() {
		o.From = presence.Between(before, hi)
	}
	if what == alerts.Stopped && isBrief(*alive, e.At, o) {
		return
	}
	if t.Time.IsZero() {
		c.unended = append(c.unended, o)
		return
	}
	c.outage(o)
}

// isBrief reports whether what is between two readings was over too soon for a
// line: by the clock of one boot, and unless published times say otherwise.
func isBrief(from, to presence.Reading, o Outage) bool {
	d, ok := to.Since(from)
	if !ok || from.Boot != to.Boot || d < 0 || d >= outage.Brief {
		return false
	}
	_, begun, known := o.From.Bounds()
	ended, _, also := o.To.Bounds()
	return !known || !also || ended.Sub(begun) < outage.Brief
}

// isAfter reports whether a is surely after b.
func isAfter(a, b presence.Reading) bool {
	d, ok := a.Since(b)
	return ok && d > 0
}

// Outage takes a stretch that was noted while it lasted. It is called after all
// entries, which may tell more of when that was.
func (c *Collector) Outage(noted outage.Outage) {
	o := Outage{
		What: noted.What, From: noted.Began, To: noted.Ended,
		Open: noted.To == nil, Times: noted.Times, Down: noted.Down,
	}
	if o.From.Time.IsZero() {
		o.From = c.timing(noted.From)
	}
	if !o.Open && o.To.Time.IsZero() {
		o.To = c.timing(*noted.To)
	}
	c.outage(o)
}

// outage keeps one that may have touched the day.
func (c *Collector) outage(o Outage) {
	if o.Gateway = c.sheet.Origin.Gateway; c.mayTouch(o) {
		c.sheet.Outages = append(c.sheet.Outages, o)
	}
}

// mayTouch reports whether an outage may have been on the day.
func (c *Collector) mayTouch(o Outage) bool {
	if lo, _, ok := o.From.Bounds(); ok && !lo.Before(c.sheet.To) {
		return false
	}
	if _, hi, ok := o.To.Bounds(); ok && !hi.After(c.sheet.From) {
		return false
	}
	// Of a time of which nothing is known it is of no day.
	return !o.From.Time.IsZero() || !o.To.Time.IsZero() || o.Open
}

// endedBy is an outage of whose end nothing is known but that it was over by an
// instant.
func (o Outage) endedBy(latest time.Time) Outage {
	if began, _, ok := o.From.Bounds(); ok && o.To.Time.IsZero() && !o.Open {
		o.To = presence.Between(began, latest)
	}
	return o
}

func (c *Collector) gap(e presence.Entry, t presence.Timing) {
	g := Gap{
		Gateway: c.sheet.Origin.Gateway,
		Event:   presence.EventID{Stream: e.Stream, Seq: e.Seq},
		Reason:  e.Gap.Reason, Kinds: maps.Clone(e.Gap.Kinds), Found: t,
	}
	if e.Gap.First != nil {
		g.First = c.timing(*e.Gap.First)
	}
	if e.Gap.Last != nil {
		g.Last = c.timing(*e.Gap.Last)
	}
	// What is not known to have been on other days may have been on this one.
	if lo, _, ok := g.First.Bounds(); ok && !lo.Before(c.sheet.To) {
		return
	}
	if _, hi, ok := cmp.Or(g.Last, t).Bounds(); ok && !hi.After(c.sheet.From) {
		return
	}
	c.sheet.Gaps = append(c.sheet.Gaps, g)
}

// Damaged notes that a part of the journal cannot be read. Nobody knows what is in
// it, so it may be of the day.
func (c *Collector) Damaged() {
	c.sheet.Damaged = true
}

// Now notes when the sheet is made, after all that it is made of has happened: a
// day that has not begun by then has no failures. Without it, or of an unknown
// time, nothing is known of that.
func (c *Collector) Now(t presence.Timing) { c.now = t }

// begun reports whether the day may have begun. An event that lies on the day or
// after it contradicts a clock that says it has not, and is no less worth.
func (c *Collector) begun() bool {
	_, latest, known := c.now.Bounds()
	return !known || latest.After(c.sheet.From) || !c.before.Before(c.sheet.From)
}

// outages are those that may have touched the day. What is over was over before the
// sheet is made, if nothing else is known of its end; an event that was later than
// that contradicts the clock, and is no less worth.
func (c *Collector) outages() []Outage {
	all := slices.Concat(c.sheet.Outages, c.unended)
	if _, latest, ok := c.now.Bounds(); ok {
		if c.before.After(latest) {
			latest = c.before
		}
		for i := range all {
			all[i] = all[i].endedBy(latest)
		}
	}
	return slices.DeleteFunc(all, func(o Outage) bool { return !c.mayTouch(o) })
}

// Sheet is the day as far as the entries went.
func (c *Collector) Sheet() Sheet {
	s := c.sheet
	for _, b := range c.badges {
		s.Badges = append(s.Badges, *b)
	}
	slices.SortFunc(s.Badges, byBadgeAndDay)
	s.Outages = c.outages()
	if !c.begun() {
		s.Uncertain, s.Outages, s.Gaps = nil, nil, nil
	}
	if s.Damaged { // where the journal cannot be read, no sheet is complete
		s.Gaps = append(slices.Clone(s.Gaps), Gap{Gateway: s.Origin.Gateway, Reason: presence.GapJournalDamaged})
	}
	s.Uncertain = slices.DeleteFunc(slices.Clone(s.Uncertain), func(t Tap) bool {
		return !t.Earliest.IsZero() && !t.Earliest.Before(s.To) || !t.Latest.IsZero() && !t.Latest.After(s.From)
	})
	slices.SortStableFunc(s.Outages, func(a, b Outage) int { return a.From.Time.Compare(b.From.Time) })
	return s
}

func byBadgeAndDay(a, b Badge) int {
	return cmp.Or(cmp.Compare(a.Badge, b.Badge), a.Day.Compare(b.Day))
}
