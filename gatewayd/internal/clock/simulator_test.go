package clock

import (
	"os"
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

// tolerance is the arithmetic of the simulator itself.
const tolerance = 5 * time.Microsecond

// contains tells whether an answer is true.
func contains(t presence.Timing, truth int64) bool {
	if t.Time.IsZero() {
		return true
	}
	if time.Duration(t.Time.UnixNano()-truth).Abs() > t.Error+tolerance {
		return false
	}
	return t.Quality != presence.QualityBounded ||
		t.Min.UnixNano() <= truth+int64(tolerance) && truth-int64(tolerance) <= t.Max.UnixNano()
}

// score is what became of all events of many lives.
type score struct {
	lives, events, answers int
	lies, widened          int
	fell                   int // how often less time was known to have passed, without a word
	excused                int // answers that rest on a lie that nobody contradicted
	liars, deceived        int // lives, and events that a lie made doubtful
	healed                 int // of those, known in the end
	quality                map[presence.Quality]int
	anchored, within50ms   map[presence.Quality]int
	worst                  time.Duration
}

func (s *score) share() float64 {
	var all, good int
	for q, n := range s.anchored {
		all, good = all+n, good+s.within50ms[q]
	}
	return float64(good) / float64(max(all, 1))
}

// scheme says what is known of a reading: the clock, or what a test breaks.
type scheme func(*Clock, presence.Reading) presence.Timing

func honest(c *Clock, r presence.Reading) presence.Timing { return c.Timing(r) }

// life is one life of a gateway.
type life struct {
	*world
	*score
	dates  scheme
	disk   memory
	clock  *Clock // of the present process
	events []*event
	known  time.Time // to have passed
}

// live lives one life.
func live(seed uint64, drift float64, dates scheme, s *score) {
	l := &life{world: newWorld(seed, drift), score: s, dates: dates}
	for boots := 1 + l.rng.IntN(6); boots > 0; boots-- {
		l.liveBoot()
	}
	l.lives++
	if l.error != 0 {
		l.liars++
	}
	for _, e := range l.events {
		l.askFor(e)
		l.count(e)
	}
}

// liveBoot lives from one power cut to the next.
func (l *life) liveBoot() {
	l.powerCut()
	l.begin()
	up := l.between(dayBoot, dayBootMost)
	switch l.rng.IntN(6) {
	case 0, 1:
		up = l.between(shortBoot, shortBootMost)
	case 2:
		up = l.between(longBoot, longBootMost)
	}
	for end := l.truth + int64(up); l.truth < end; {
		next := l.truth + int64(l.between(time.Second, lookMost))
		next = min(next, l.nextPoll, l.nextBroker, end)
		l.pass(time.Duration(max(next-l.truth, 1)))
		if l.truth >= l.nextPoll {
			l.ask()
		}
		if l.truth >= l.nextBroker {
			l.brokerAnswers(l.clock)
		}
		if l.one(dateSet) {
			l.setDate()
		}
		if l.one(taps) {
			e := &event{at: l.world.Now(), truth: l.truth}
			l.events = append(l.events, e)
			l.askFor(e)
		}
		l.observe(l.truth < end || l.one(2))
		if l.one(kills) {
			l.begin()
		}
	}
}

// begin starts a process, with what is on the disk.
func (l *life) begin() {
	l.clock = New(l.world)
	if err := l.clock.Attach(&l.disk); err != nil {
		panic(err)
	}
	err := l.clock.Recall(func(fn func(presence.Entry) bool) error {
		for _, e := range slices.Backward(l.events) {
			entry := presence.Entry{}
			if entry.At = e.at; !fn(entry) {
				break
			}
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	l.known = l.clock.NotBefore()
}

// observe lets the clock look at the time, and perhaps save what it knows.
func (l *life) observe(saves bool) {
	changed := l.clock.Changed()
	l.clock.observe()
	if l.synced && !l.lying {
		l.voices[l.boot].right = true
	}
	passed := l.clock.NotBefore()
	if _, told := l.clock.Jump(); passed.Before(l.known.Add(-time.Minute)) && !told {
		l.fell++
	}
	l.known = passed
	if saves {
		if err := l.clock.save(); err != nil {
			panic(err)
		}
	}
	select {
	case <-changed:
		for _, e := range l.events {
			l.askFor(e)
		}
	default:
	}
}

// askFor asks when an event was, and sends that where it is worth sending.
func (l *life) askFor(e *event) {
	t := l.dates(l.clock, e.at)
	l.answers++
	switch {
	case contains(t, e.truth):
	case l.believed():
		l.excused++
	default:
		l.lies++
	}
	e.deceived = e.deceived || t.Disputed
	switch {
	case e.sent.Quality == "", t.Withdraws(e.sent):
		e.sent = t
	case t.Improves(e.sent):
		if !e.sent.Time.IsZero() && (t.Error > e.sent.Error || t.Time.Sub(e.sent.Time).Abs()+t.Error > e.sent.Error+tolerance) {
			l.widened++
		}
		e.sent = t
	}
}

// count notes what became of an event.
func (l *life) count(e *event) {
	l.score.events++
	q := e.sent.Quality
	anchored := q == presence.QualityCorrected || q == presence.QualitySynced
	if e.deceived {
		l.deceived++
		if anchored {
			l.healed++
		}
	}
	if !contains(e.sent, e.truth) {
		if !l.believed() {
			l.lies++
		}
		return
	}
	l.quality[q]++
	if !anchored {
		return
	}
	l.anchored[q]++
	wrong := time.Duration(e.sent.Time.UnixNano() - e.truth).Abs()
	l.worst = max(l.worst, wrong)
	if wrong <= 50*time.Millisecond {
		l.within50ms[q]++
	}
}

// believed tells whether the gateway was told nothing but a lie in some boot: a
// scheme cannot know better then, and two such lies that agree outvote one truth.
func (w *world) believed() bool {
	for _, h := range w.voices {
		if h.wrong && !h.right {
			return true
		}
	}
	return false
}

// memory is a disk.
type memory struct{ data []byte }

func (m *memory) Load(string) ([]byte, error) { return m.data, nil }

func (m *memory) Save(_ string, b []byte) error {
	m.data = b
	return nil
}

// runs is how many lives are lived: more in `make torture`.
func runs() int {
	switch {
	case os.Getenv("TORTURE_FOR") != "":
		return 10_000
	case testing.Short():
		return 50
	}
	return 200
}

func lives(t *testing.T, n int, drift float64, dates scheme) *score {
	t.Helper()
	s := &score{
		quality:  map[presence.Quality]int{},
		anchored: map[presence.Quality]int{}, within50ms: map[presence.Quality]int{},
	}
	for seed := range n {
		live(uint64(seed), drift, dates, s)
	}
	t.Logf("%d lives at %.0f ppm: %d events %v, %d answers, %d not true; %.1f %% of those with an anchor within 50 ms (%v of %v), worst %v; %d lives with a liar, %d events in doubt, %d of them known in the end, %d answers excused",
		s.lives, drift*1e6, s.events, s.quality, s.answers, s.lies, 100*s.share(), s.within50ms, s.anchored, s.worst.Round(time.Millisecond), s.liars, s.deceived, s.healed, s.excused)
	return s
}

func TestNoEventClaimsMoreThanIsTrue(t *testing.T) {
	skiptest.Computation(t)
	n := runs()
	s := lives(t, n, 200e-6, honest)
	if s.lies > 0 {
		t.Errorf("%d answers were not true", s.lies)
	}
	if s.widened > 0 {
		t.Errorf("%d answers got worse", s.widened)
	}
	if s.fell > 0 {
		t.Errorf("%d times less was known to have passed, and nobody was told", s.fell)
	}
	if s.healed < s.deceived/2 {
		t.Errorf("of %d events in doubt %d are known in the end", s.deceived, s.healed)
	}
	for _, q := range []presence.Quality{
		presence.QualitySynced, presence.QualityCorrected, presence.QualityBounded, presence.QualityUnsynced,
	} {
		if s.quality[q] < n/2 {
			t.Errorf("only %d events %s: the simulator does not try them", s.quality[q], q)
		}
	}
}

func TestMostAnchoredEventsAreRightToFiftyMilliseconds(t *testing.T) {
	skiptest.Computation(t)
	s := lives(t, runs(), 20e-6, honest)
	if s.lies > 0 {
		t.Errorf("%d answers were not true", s.lies)
	}
	if s.share() < 0.95 {
		t.Errorf("%.1f %% of the events are within 50 ms, want 95 %%", 100*s.share())
	}
}

// Each of these schemes is broken in one point, and the simulator must notice.
func TestSimulatorCatchesBrokenSchemes(t *testing.T) {
	skiptest.Computation(t)
	claim := func(r presence.Reading, within time.Duration) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: r.WallTime(), Error: within}
	}
	for name, broken := range map[string]func() scheme{
		"the wall clock of an unsynced boot": func() scheme {
			return func(c *Clock, r presence.Reading) presence.Timing {
				if r.State == presence.ClockUnsynced {
					return claim(r, time.Second)
				}
				return c.Timing(r)
			}
		},
		"an error without drift": func() scheme {
			return func(c *Clock, r presence.Reading) presence.Timing {
				t := c.Timing(r)
				k := c.book.find(r.Boot)
				if t.Quality != presence.QualityCorrected || k < 0 {
					return t
				}
				for _, a := range c.book.boots[k].anchors {
					t.Error = min(t.Error, a.err)
				}
				return t
			}
		},
		"a step that goes unnoticed": func() scheme {
			var disciplined presence.Reading
			return func(c *Clock, r presence.Reading) presence.Timing {
				if r.State == presence.ClockSynced {
					disciplined = r
				}
				if d, ok := r.Since(disciplined); r.State == presence.ClockUnsynced && ok && r.Boot == disciplined.Boot && d > 0 {
					return claim(r, disciplined.MaxError+maxSyncError+d/presence.MaxDrift)
				}
				return c.Timing(r)
			}
		},
		"anchors of another boot": func() scheme {
			return func(c *Clock, r presence.Reading) presence.Timing {
				if k := c.book.find(r.Boot); k > 0 && r.State == presence.ClockUnsynced {
					r.Boot = c.book.boots[k-1].id
				}
				return c.Timing(r)
			}
		},
		"bounds that count the time without power as nothing": func() scheme {
			return func(c *Clock, r presence.Reading) presence.Timing {
				t := c.Timing(r)
				if t.Quality == presence.QualityBounded {
					t.Time, t.Max, t.Error = t.Min, t.Min.Add(time.Minute), time.Minute
				}
				return t
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if s := lives(t, 20, 200e-6, broken()); s.lies == 0 {
				t.Error("it went unnoticed")
			}
		})
	}
}
