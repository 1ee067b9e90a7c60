package staff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/presence"
)

// Journal holds the events of badges and tags, and takes presence events.
type Journal interface {
	// Next returns up to limit records behind a position, in order. It blocks
	// until there is at least one.
	Next(ctx context.Context, after uint64, limit int) ([]presence.Entry, error)
	// Tail passes the records newest first until fn returns false.
	Tail(fn func(presence.Entry) bool) error
	// Enqueue takes a draft that may wait for the disk. One for which there is no
	// room it drops and accounts for, so that nobody offers it twice.
	Enqueue(ctx context.Context, d presence.Draft) error
}

// Options is what Staff needs.
type Options struct {
	// Roster returns the tag of each badge, and a channel that is closed when that
	// changes.
	Roster func() (tags map[string]string, replaced <-chan struct{})
	// Where tells where a tag is, false if that is not known.
	Where     func(tag string) (presence.Whereabouts, bool)
	Open      func(time.Time) bool // the working hours
	Location  *time.Location       // whose days count
	Now       func() presence.Reading
	Timing    func(presence.Reading) presence.Timing // what is known of it by now
	Journal   Journal
	Simulated bool
}

const (
	// evaluateEvery is how often all employees are evaluated where nothing happens.
	evaluateEvery = time.Second

	// maxDoubt is how far off the time may be for it to be compared with the working
	// hours: shorter than any break in them.
	maxDoubt = 10 * time.Minute

	// maxLookBack is how many records before today's are read in search of the states
	// that were recorded last.
	maxLookBack = 100_000

	// page is how many records are read at a time.
	page = 256
)

// Staff follows the journal and records who is where. Run is called by one goroutine
// at a time.
type Staff struct {
	opt     Options
	started time.Duration // CLOCK_BOOTTIME
	stale   atomic.Bool   // records that were read have been removed

	today     int    // as dateOf; 0: nothing was read yet
	timeLost  bool   // the time was unknown, so that records of then belong to no day yet
	pos       uint64 // of the newest record that was read
	replaced  <-chan struct{}
	employees []*employee // by badge
	byBadge   map[string]*employee
	trails    map[string]*trail // by tag
}

// New makes a Staff that has read nothing yet.
func New(opt Options) *Staff {
	return &Staff{opt: opt, started: opt.Now().Boottime}
}

// Run follows the journal until the context ends or the journal fails.
func (s *Staff) Run(ctx context.Context) error {
	for {
		if err := s.evaluateAll(ctx); err != nil {
			return err
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
}

// Reread has the journal read again from the start of the day, because somebody was
// removed from it. It may be called from any goroutine.
func (s *Staff) Reread() { s.stale.Store(true) }

// follow applies the records that became durable, and waits for a while if none did.
func (s *Staff) follow(ctx context.Context) error {
	if s.today == 0 {
		backoff.Sleep(ctx, evaluateEvery)
		return ctx.Err()
	}
	waiting, cancel := context.WithTimeout(ctx, evaluateEvery)
	defer cancel()
	err := s.applyNext(waiting, s.today)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// applyNext applies the next records of today.
func (s *Staff) applyNext(ctx context.Context, today int) error {
	entries, err := s.opt.Journal.Next(ctx, s.pos, page)
	if err != nil {
		return fmt.Errorf("follow journal: %w", err)
	}
	for i := range entries {
		s.apply(&entries[i], today)
		s.pos = entries[i].Pos
	}
	return nil
}

// evaluateAll records the states that have changed.
func (s *Staff) evaluateAll(ctx context.Context) error {
	now, known := s.now()
	if !known {
		s.timeLost = true
		return nil
	}
	if s.stale.Swap(false) || s.timeLost || now.date != s.today || s.rosterChanged() {
		if err := s.rebuild(ctx, now.date); err != nil {
			return err
		}
	}
	if !now.open {
		return nil
	}
	for _, emp := range s.employees {
		body := s.evaluate(emp, now)
		if body == nil {
			continue
		}
		err := s.opt.Journal.Enqueue(ctx, presence.Draft{
			Kind: presence.KindPresence, At: now.reading, Simulated: s.opt.Simulated, Person: body,
		})
		if err != nil {
			return fmt.Errorf("record presence: %w", err)
		}
		emp.setState(body, now.time)
	}
	return nil
}

func (s *Staff) rosterChanged() bool {
	select {
	case <-s.replaced:
		return true
	default:
		return false
	}
}

// moment is the present, as far as it matters here.
type moment struct {
	reading presence.Reading
	time    time.Time
	date    int           // as dateOf
	open    bool          // surely within the working hours
	openFor time.Duration // without a break, up to longestPatience
}

// now is the present, false while the time is not known well enough.
func (s *Staff) now() (moment, bool) {
	r := s.opt.Now()
	t := s.opt.Timing(r)
	date, known := s.dateOf(t)
	if !known || !t.Within(maxDoubt) {
		return moment{}, false
	}
	m := moment{
		reading: r, time: t.Time, date: date,
		open: s.opt.Open(t.Time) && s.opt.Open(t.Time.Add(-t.Error)) && s.opt.Open(t.Time.Add(t.Error)),
	}
	if m.open {
		m.openFor = s.openFor(t.Time.Add(-t.Error))
	}
	return m, true
}

// openFor is for how long the office has been open at an instant, up to
// longestPatience. Offices open at full minutes.
func (s *Staff) openFor(t time.Time) time.Duration {
	minute := t.Truncate(time.Minute)
	if !s.opt.Open(minute) {
		return 0
	}
	since := minute
	for t.Sub(since) < longestPatience && s.opt.Open(since.Add(-time.Minute)) {
		since = since.Add(-time.Minute)
	}
	return t.Sub(since)
}

// dateOf is the day on which something happened, as a number such as 20261123.
// It is false where it may have been one of two days.
func (s *Staff) dateOf(t presence.Timing) (date int, known bool) {
	if t.Time.IsZero() {
		return 0, false
	}
	from, to := earliest(t), latest(t)
	date = s.day(from)
	return date, date == s.day(to)
}

func (s *Staff) day(t time.Time) int {
	year, month, day := t.In(s.opt.Location).Date()
	return (year*100+int(month))*100 + day
}

func earliest(t presence.Timing) time.Time {
	if t.Quality == presence.QualityBounded {
		return t.Min
	}
	return t.Time.Add(-t.Error)
}

func latest(t presence.Timing) time.Time {
	if t.Quality == presence.QualityBounded {
		return t.Max
	}
	return t.Time.Add(t.Error)
}

// rebuild makes the roster's employees and reads today's records, and the last states
// from before. Nothing else is known of employees, so that a new day, a new roster and
// a new process are the same.
func (s *Staff) rebuild(ctx context.Context, today int) error {
	tags, replaced := s.opt.Roster()
	s.today, s.replaced = 0, replaced
	s.employees, s.byBadge, s.trails = nil, make(map[string]*employee), make(map[string]*trail)
	for badge, tag := range tags {
		emp := &employee{badge: badge, tag: tag}
		s.employees = append(s.employees, emp)
		s.byBadge[badge] = emp
		if s.trails[tag] == nil {
			s.trails[tag] = &trail{}
		}
		s.trails[tag].carriers = append(s.trails[tag].carriers, emp)
	}
	slices.SortFunc(s.employees, func(a, b *employee) int { return cmp.Compare(a.badge, b.badge) })

	first, end, err := s.lookBack(today)
	if err != nil {
		return err
	}
	for s.pos = first - 1; s.pos < end; {
		if err := s.applyNext(ctx, today); err != nil {
			return err
		}
	}
	s.today, s.timeLost = today, false
	return nil
}

// lookBack finds the positions of today's first record, or where it will be, and of
// the newest of all. On its way it reads the states that were recorded on the last day
// before today on which any was.
func (s *Staff) lookBack(today int) (first, end uint64, err error) {
	older, lastDay := 0, math.MaxInt
	err = s.opt.Journal.Tail(func(e presence.Entry) bool {
		if end == 0 {
			end, first = e.Pos, e.Pos+1
		}
		date, known := s.dateOf(s.opt.Timing(e.At))
		switch {
		case known && date == today:
			first = e.Pos
			return true
		case !known || date > today:
		case date < lastDay && lastDay != math.MaxInt:
			return false
		case e.Person != nil:
			lastDay = date
			if emp := s.byBadge[e.Person.Badge]; emp != nil && !emp.recordedBefore {
				emp.recordedBefore, emp.stateBefore = true, e.Person.State
			}
		}
		older++
		return older < maxLookBack
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read what was said before: %w", err)
	}
	return max(first, 1), end, nil
}
