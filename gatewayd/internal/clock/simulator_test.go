package clock

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

// The simulated world. It is harsher than an office: where a thing is rare, it
// happens here often, and where it has a range, the whole range is used. It was
// fixed before anything was measured in it; who changes it to get a better
// figure is fooling himself.
const (
	// crystalShare is the part of the drift that belongs to the crystal and
	// never changes; every crystal is that far off, in one direction or the
	// other. The rest follows the temperature over the day.
	crystalShare = 0.85

	// Boots: a brownout that hardly lets the gateway start, a day in an office,
	// or days on end. Between them the power is gone for seconds or a night.
	shortBoot, shortBootMost = 10 * time.Second, 3 * time.Minute
	dayBoot, dayBootMost     = time.Hour, 12 * time.Hour
	longBoot, longBootMost   = 24 * time.Hour, 72 * time.Hour
	cut, cutMost             = 5 * time.Second, 3 * time.Hour
	night, nightMost         = 10 * time.Hour, 15 * time.Hour

	// start is how long after the kernel the gateway looks first.
	start, startMost = 5 * time.Second, 30 * time.Second

	// NTP is blocked in one boot of blocked. Else it answers soon, or late; and
	// after one poll in outages it is gone for hours, so that now and then the
	// kernel gives up (8.9 h).
	blocked                = 3
	soon, soonMost         = 10 * time.Second, time.Minute
	late, lateMost         = time.Minute, 2 * time.Hour
	outages                = 40
	outage, outageMost     = time.Hour, 12 * time.Hour
	firstPoll, longestPoll = 32 * time.Second, 2048 * time.Second // systemd-timesyncd's

	// A line takes base in each direction, one value for each boot and each
	// direction, and what it queues on top; one packet in congested meets a jam.
	// That no packet of NTP takes longer than worst is what lineError rests on.
	base, baseMost = 2 * time.Millisecond, 25 * time.Millisecond
	queue          = 8 * time.Millisecond // on average, exponential
	congested      = 20
	worst          = 100 * time.Millisecond

	// The broker answers in every other boot. Each direction of a mobile line may
	// take brokerWorst; of brokerSamples the one with the shortest round trip is
	// kept, each brokerEvery.
	brokerEvery   = 10 * time.Minute
	brokerSamples = 3
	brokerWorst   = 900 * time.Millisecond

	// NTP steps what it finds to be more than this off, and slews the rest
	// (systemd-timesyncd, NTP_MAX_ADJUST).
	ntpStep = 400 * time.Millisecond

	// Somebody types date -s after one look in dateSet.
	dateSet, dateSetBy = 200, 2 * time.Hour

	// The NTP server lies in one life of liars, with the same error all its life:
	// as often as not years ahead (a GPS week, a wrong century) or a month back,
	// else by minutes or hours. In a boot it does so for a while, after it told the
	// truth there; in one of such lives of early it lies from the first poll on.
	liars, early       = 2, 5
	lie, lieMost       = time.Minute, 12 * time.Hour
	smallLie, smallest = 6 * time.Hour, 2 * time.Minute
	farAhead, farBack  = 10 * 365 * 24 * time.Hour, -30 * 24 * time.Hour

	// A look is taken at least so often. The gateway takes one every second.
	lookMost = 15 * time.Minute

	// The process is killed after one look in kills, and of the last look
	// before a power cut nothing is saved in every other boot.
	kills = 100

	// One look in taps is followed by an event.
	taps = 5
)

// world is one gateway's life against true time: nothing in it is known to the
// scheme but what readings and anchors say.
type world struct {
	rng     *rand.Rand
	drift   float64 // of the crystal at the worst, as a fraction
	crystal float64
	phase   float64 // of the day's temperature

	truth int64 // ns since 1970
	boot  presence.ID
	bt    float64 // the crystal's ns since the boot
	wall  float64 // CLOCK_REALTIME minus truth
	there [2]time.Duration

	// The kernel.
	synced   bool
	freq     float64 // what NTP adds to the crystal's rate
	pending  float64 // the offset that is still to be slewed
	constant float64 // of the slewing, in ns
	maxError float64 // 500 ppm since the last poll
	poll     time.Duration
	nextPoll int64 // truth; NTP asks then

	nextBroker int64

	// The NTP server's lies.
	error    time.Duration // 0: it is honest
	early    bool
	lieFrom  int64 // truth
	lieUntil int64
	lying    bool // at the last poll
	voices   map[presence.ID]*heard
}

// heard is what the gateway was told in a boot.
type heard struct{ right, wrong bool }

// event is a reading, and what only the simulator knows of it.
type event struct {
	at    presence.Reading
	truth int64
	sent  presence.Timing

	deceived bool // clocks contradicted each other over it
}

const never = math.MaxInt64

func newWorld(seed uint64, drift float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 4)), drift: drift, truth: 1_795_000_000e9}
	w.crystal = crystalShare * drift
	if w.one(2) {
		w.crystal = -w.crystal
	}
	w.phase = w.rng.Float64() * 2 * math.Pi
	w.voices = map[presence.ID]*heard{}
	if w.one(liars) {
		switch w.rng.IntN(4) {
		case 0:
			w.error = farAhead
		case 1:
			w.error = farBack
		case 2:
			w.error = w.between(smallest, smallLie)
		case 3:
			w.error = -w.between(smallest, smallLie)
		}
		w.early = w.one(early)
	}
	return w
}

func (w *world) one(in int) bool { return w.rng.IntN(in) == 0 }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

// off is a length of time either way.
func (w *world) off(most time.Duration) float64 { return (w.rng.Float64()*2 - 1) * float64(most) }

// powerCut ends the boot and starts the next, up to where the gateway starts.
func (w *world) powerCut() {
	before := float64(w.truth) + w.wall
	gone := w.between(cut, cutMost)
	if w.one(2) {
		gone = w.between(night, nightMost)
	}
	w.truth += int64(gone)
	for i := range w.boot {
		w.boot[i] = byte(w.rng.Uint32())
	}
	w.bt, w.freq, w.pending, w.synced = 0, 0, 0, false
	switch w.rng.IntN(4) {
	case 0:
		w.wall = -float64(w.truth) // 1970
	case 1:
		w.wall = before - float64(w.truth) // its last shutdown
	case 2:
		w.wall = w.off(time.Hour) // a wild RTC
	case 3:
		w.wall = w.off(ntpStep) // a good RTC: NTP will slew
	}
	w.there = [2]time.Duration{w.between(base, baseMost), w.between(base, baseMost)}
	w.poll, w.nextPoll, w.nextBroker = firstPoll, never, never
	w.voices[w.boot] = &heard{}
	w.lieFrom, w.lieUntil, w.lying = never, never, false
	if w.error != 0 && w.one(2) {
		w.lieFrom = w.truth + int64(w.between(lie, lieMost))
		if w.early && w.one(2) {
			w.lieFrom = 0
		}
		w.lieUntil = max(w.lieFrom, w.truth) + int64(w.between(lie, lieMost))
	}
	switch {
	case w.one(blocked):
	case w.one(3):
		w.nextPoll = w.truth + int64(w.between(late, lateMost))
	default:
		w.nextPoll = w.truth + int64(w.between(soon, soonMost))
	}
	if w.one(2) {
		w.nextBroker = w.truth + int64(w.between(soon, brokerEvery))
	}
	w.pass(w.between(start, startMost))
}

// pass lets true time pass.
func (w *world) pass(d time.Duration) {
	const step = 30 * time.Minute // the temperature is the same for so long
	for ; d > 0; d -= min(d, step) {
		part := float64(min(d, step))
		day := math.Sin(2*math.Pi*float64(w.truth%int64(24*time.Hour))/float64(24*time.Hour) + w.phase)
		crystal := part * (1 + w.crystal + (1-crystalShare)*w.drift*day)
		slewed := 0.0
		if w.pending != 0 {
			slewed = w.pending * (1 - math.Exp(-part/w.constant))
			w.pending -= slewed
		}
		w.truth += int64(part)
		w.bt += crystal
		w.wall += crystal*(1+w.freq) - part + slewed
		if w.maxError += part * 500e-6; w.maxError >= float64(maxSyncError) {
			w.synced = false
		}
	}
}

// packet is how long one packet takes in a direction.
func (w *world) packet(way int, limit time.Duration) time.Duration {
	d := w.there[way] + time.Duration(w.rng.ExpFloat64()*float64(queue))
	if w.one(congested) {
		d = w.between(0, limit)
	}
	return min(d, limit)
}

// ask is one poll of systemd-timesyncd, and what the kernel makes of it
// (ntp_update_offset, with twice its gain).
func (w *world) ask() {
	offset := -w.wall + float64(w.packet(0, worst)-w.packet(1, worst))/2
	// Whoever lies later has told the truth before, and it was heard.
	w.lying = w.truth >= w.lieFrom && w.truth < w.lieUntil && (w.lieFrom == 0 || w.voices[w.boot].right)
	if w.lying {
		offset += float64(w.error)
		w.voices[w.boot].wrong = true
	}
	w.synced, w.maxError = true, 0
	if math.Abs(offset) >= float64(ntpStep) {
		w.wall += offset
		w.pending = 0
	} else {
		w.pending = offset
		w.constant = float64(w.poll) / 4
		w.freq = max(-500e-6, min(500e-6, w.freq+offset/float64(w.poll)))
	}
	w.poll = min(2*w.poll, longestPoll)
	w.nextPoll = w.truth + int64(w.poll)
	if w.one(outages) {
		w.nextPoll = w.truth + int64(w.between(outage, outageMost))
	}
}

// brokerAnswers gives the clock an anchor from the city's clock.
func (w *world) brokerAnswers(c *Clock) {
	w.nextBroker = w.truth + int64(brokerEvery)
	best, wrong := time.Duration(math.MaxInt64), time.Duration(0)
	for range brokerSamples {
		there, back := w.packet(0, brokerWorst), w.packet(1, brokerWorst)
		if there+back < best {
			best, wrong = there+back, (there-back)/2
		}
	}
	w.voices[w.boot].right = true
	c.AddAnchor(SourceBroker, w.Now(), time.Unix(0, w.truth).Add(wrong), best/2)
}

// setDate is date -s: the kernel forgets that it was disciplined (ntp_clear).
func (w *world) setDate() {
	w.wall += w.off(dateSetBy)
	w.pending, w.synced = 0, false
}

// Now implements Source.
func (w *world) Now() presence.Reading {
	r := presence.Reading{Boot: w.boot, Boottime: time.Duration(w.bt), Wall: w.truth + int64(w.wall)}
	t := unix.Timex{Maxerror: math.MaxInt32}
	if w.synced {
		t = unix.Timex{Status: unix.STA_NANO}
		set(&t.Maxerror, w.maxError/1e3)
		set(&t.Offset, w.pending)
	}
	r.State, r.MaxError = judge(&t)
	return r
}

// set sets a number of a Timex, whose size hangs on the machine.
func set[T int32 | int64](to *T, f float64) { *to = T(f) }

// Steps implements Source: the simulator looks by itself.
func (w *world) Steps(context.Context, func()) error { return nil }

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
func life(seed uint64, drift float64, judge scheme, s *score) {
	w := newWorld(seed, drift)
	disk := &memory{}
	var c *Clock
	var events []*event
	ask := func(e *event) {
		t := judge(c, e.at)
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
		c.look()
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

func lives(t *testing.T, n int, drift float64, judge scheme) *score {
	t.Helper()
	s := &score{
		quality:  map[presence.Quality]int{},
		anchored: map[presence.Quality]int{}, within50ms: map[presence.Quality]int{},
	}
	for seed := range n {
		life(uint64(seed), drift, judge, s)
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
