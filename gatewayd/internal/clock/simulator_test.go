package clock

import (
	"os"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
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

// life lives one life.
func life(seed uint64, drift float64, dates scheme, s *score) {
	w := newWorld(seed, drift)
	disk := &memory{}
	var c *Clock
	var events []*event
	ask := func(e *event) {
		t := dates(c, e.at)
		s.answers++
		switch {
		case contains(t, e.truth):
		case w.believed():
			s.excused++
		default:
			s.lies++
		}
		e.deceived = e.deceived || t.Disputed
		if e.sent.Quality == "" {
			e.sent = t
			return
		}
		if t.Withdraws(e.sent) {
			e.sent = t
			return
		}
		if !t.Improves(e.sent) {
			return
		}
		if !e.sent.Time.IsZero() && (t.Error > e.sent.Error || t.Time.Sub(e.sent.Time).Abs()+t.Error > e.sent.Error+tolerance) {
			s.widened++
		}
		e.sent = t
	}
	// A process starts with what is on the disk.
	begin := func() {
		c = New(w)
		if err := c.Attach(disk); err != nil {
			panic(err)
		}
		err := c.Recall(func(fn func(presence.Entry) bool) error {
			for i := len(events) - 1; i >= 0; i-- {
				e := presence.Entry{}
				if e.At = events[i].at; !fn(e) {
					break
				}
			}
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	var known time.Time // to have passed
	look := func(saves bool) {
		changed := c.Changed()
		c.observe()
		if w.synced && !w.lying {
			w.voices[w.boot].right = true
		}
		passed := c.NotBefore()
		if _, told := c.Jump(); passed.Before(known.Add(-time.Minute)) && !told {
			s.fell++
		}
		known = passed
		if saves {
			if err := c.save(); err != nil {
				panic(err)
			}
		}
		select {
		case <-changed:
			for _, e := range events {
				ask(e)
			}
		default:
		}
	}
	for boots := 1 + w.rng.IntN(6); boots > 0; boots-- {
		w.powerCut()
		begin()
		known = c.NotBefore()
		up := w.between(dayBoot, dayBootMost)
		switch w.rng.IntN(6) {
		case 0, 1:
			up = w.between(shortBoot, shortBootMost)
		case 2:
			up = w.between(longBoot, longBootMost)
		}
		for end := w.truth + int64(up); w.truth < end; {
			next := w.truth + int64(w.between(time.Second, lookMost))
			next = min(next, w.nextPoll, w.nextBroker, end)
			w.pass(time.Duration(max(next-w.truth, 1)))
			if w.truth >= w.nextPoll {
				w.ask()
			}
			if w.truth >= w.nextBroker {
				w.brokerAnswers(c)
			}
			if w.one(dateSet) {
				w.setDate()
			}
			if w.one(taps) {
				e := &event{at: w.Now(), truth: w.truth}
				events = append(events, e)
				ask(e)
			}
			look(w.truth < end || w.one(2))
			if w.one(kills) {
				begin()
				known = c.NotBefore()
			}
		}
	}
	s.lives++
	if w.error != 0 {
		s.liars++
	}
	for _, e := range events {
		ask(e)
		s.events++
		q := e.sent.Quality
		switch {
		case !e.deceived:
		case q == presence.QualityCorrected, q == presence.QualitySynced:
			s.healed++
			fallthrough
		default:
			s.deceived++
		}
		if !contains(e.sent, e.truth) {
			if !w.believed() {
				s.lies++
			}
			continue
		}
		s.quality[q]++
		if q != presence.QualitySynced && q != presence.QualityCorrected {
			continue
		}
		s.anchored[q]++
		wrong := time.Duration(e.sent.Time.UnixNano() - e.truth).Abs()
		s.worst = max(s.worst, wrong)
		if wrong <= 50*time.Millisecond {
			s.within50ms[q]++
		}
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

// runs is how many lives are lived: more in `make torture`, and few where the
// race detector slows down what runs in one goroutine anyway.
func runs() int {
	switch {
	case os.Getenv("TORTURE_FOR") != "":
		return 10_000
	case raceDetector, testing.Short():
		return 100
	}
	return 1000
}

func lives(t *testing.T, n int, drift float64, dates scheme) *score {
	t.Helper()
	s := &score{
		quality:  map[presence.Quality]int{},
		anchored: map[presence.Quality]int{}, within50ms: map[presence.Quality]int{},
	}
	for seed := range n {
		life(uint64(seed), drift, dates, s)
	}
	t.Logf("%d lives at %.0f ppm: %d events %v, %d answers, %d not true; %.1f %% of those with an anchor within 50 ms (%v of %v), worst %v; %d lives with a liar, %d events in doubt, %d of them known in the end, %d answers excused",
		s.lives, drift*1e6, s.events, s.quality, s.answers, s.lies, 100*s.share(), s.within50ms, s.anchored, s.worst.Round(time.Millisecond), s.liars, s.deceived, s.healed, s.excused)
	return s
}

func TestNoEventClaimsMoreThanIsTrue(t *testing.T) {
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
