package clock

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

// world is a gateway's life against true time: nothing in it is known to the
// scheme but what readings and anchors say.
type world struct {
	rng      *rand.Rand
	maxDrift float64 // of the boot clock between syncs, as a fraction

	truth  int64 // ns since 1970
	boot   presence.ID
	bt     float64 // CLOCK_BOOTTIME
	rate   float64 // of bt against truth, this boot's crystal
	wall   float64 // CLOCK_REALTIME minus CLOCK_BOOTTIME
	synced bool
	ntp    bool          // reachable in this boot
	broker bool          // its clock answers in this boot
	since  time.Duration // since the last discipline
	err    time.Duration // that NTP claimed then
}

// event is a reading, and what only the simulator knows of it.
type event struct {
	at     presence.Reading
	truth  int64
	sent   presence.Timing
	resent int
}

func (w *world) cut() {
	for i := range w.boot {
		w.boot[i] = byte(w.rng.Uint32())
	}
	w.advance(w.between(5*time.Second, 3*time.Hour)) // without power
	w.bt = 0
	w.rate = (w.rng.Float64()*2 - 1) * w.maxDrift
	w.advance(w.between(0, 20*time.Second)) // until the gateway starts
	w.synced = false
	w.ntp, w.broker = w.rng.IntN(3) > 0, w.rng.IntN(2) == 0
	switch w.rng.IntN(3) {
	case 0:
		w.wall = 0 // 1970
	case 1:
		w.wall = float64(w.truth) - float64(w.between(0, 100*time.Hour)) // at its last shutdown
	case 2:
		w.wall = float64(w.truth) + float64(w.between(0, time.Hour)) // a wild RTC
	}
}

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

// advance lets true time pass; every so often the temperature changes.
func (w *world) advance(d time.Duration) {
	w.truth += int64(d)
	rate := w.rate + (w.rng.Float64()*2-1)*w.maxDrift/4
	rate = min(w.maxDrift, max(-w.maxDrift, rate))
	w.bt += float64(d) * (1 + rate)
	w.since += time.Duration(float64(d) * (1 + w.maxDrift))
}

// discipline is what NTP does: the wall clock is right within the error that
// the kernel shows.
func (w *world) discipline() {
	w.err = w.between(100*time.Microsecond, 40*time.Millisecond)
	off := (w.rng.Float64()*2 - 1) * float64(w.err)
	w.wall = float64(w.truth) + off - w.bt
	w.synced, w.since = true, 0
}

// reading shows what the kernel shows: maxerror grows by 500 ppm.
func (w *world) reading() presence.Reading {
	maxError := w.err + w.since/2000
	if w.synced && maxError >= maxSyncError {
		w.synced = false
	}
	r := presence.Reading{Boot: w.boot, Boottime: time.Duration(w.bt), Wall: int64(w.bt + w.wall)}
	if w.synced {
		r.State, r.MaxError = presence.ClockSynced, maxError
	}
	return r
}

// Now implements Source.
func (w *world) Now() presence.Reading { return w.reading() }

// tolerance is the arithmetic of the simulator itself: a float64 holds 1e18
// ns to 256 ns.
const tolerance = 5 * time.Microsecond

// contains tells whether an answer is true.
func contains(t presence.Timing, truth int64) bool {
	if t.Time.IsZero() {
		return true
	}
	off := time.Duration(t.Time.UnixNano() - truth).Abs()
	if off > t.Error+tolerance {
		return false
	}
	return t.Quality != presence.QualityBounded ||
		t.Min.UnixNano() <= truth+int64(tolerance) && truth-int64(tolerance) <= t.Max.UnixNano()
}

// score is what became of all events of many lives.
type score struct {
	lies, widened         int
	anchored, within50ms  int
	quality               map[presence.Quality]int
	resent, lives, events int
	worst                 time.Duration
}

// life lives one life. judge is the scheme, so that a test can break it.
func life(seed uint64, maxDrift float64, judge func(*Clock, presence.Reading) presence.Timing, s *score) {
	w := &world{rng: rand.New(rand.NewPCG(seed, 4)), maxDrift: maxDrift, truth: 1_795_000_000e9}
	disk := &memory{}
	c := New(w)
	c.store = disk
	var events []*event
	ask := func(e *event) {
		t := judge(c, e.at)
		switch {
		case !contains(t, e.truth):
			s.lies++
		case Better(e.sent, t):
			if e.sent.Quality != "" && !e.sent.Time.IsZero() &&
				(t.Error > e.sent.Error || t.Time.Sub(e.sent.Time).Abs() > e.sent.Error) {
				s.widened++
			}
			e.sent = t
			e.resent++
		case e.sent.Quality == "":
			e.sent = t
		}
	}
	for boots := 1 + w.rng.IntN(4); boots > 0; boots-- {
		w.cut()
		// The process starts with what the power cut left on the disk.
		c = New(w)
		if err := c.Attach(disk); err != nil {
			panic(err)
		}
		lateSync := w.between(0, 5*time.Minute)
		if w.rng.IntN(4) == 0 {
			lateSync = w.between(0, 2*time.Hour) // the network was late
		}
		var up time.Duration
		for looks := 3 + w.rng.IntN(20); looks > 0; looks-- {
			d := w.between(time.Second, 15*time.Minute)
			if w.rng.IntN(40) == 0 {
				d = w.between(time.Hour, 12*time.Hour) // the network was gone
			}
			w.advance(d)
			up += d
			switch {
			case w.ntp && up >= lateSync && w.rng.IntN(8) > 0:
				w.discipline()
			case !w.synced && w.rng.IntN(10) == 0:
				w.wall += float64(w.between(-2*time.Hour, 2*time.Hour)) // somebody types date -s
			case w.broker && up >= lateSync && w.rng.IntN(2) == 0:
				half := w.between(5*time.Millisecond, 80*time.Millisecond) // of the best round trip of several
				off := time.Duration((w.rng.Float64()*2 - 1) * float64(half))
				c.AddAnchor(SourceBroker, w.reading(), time.Unix(0, w.truth).Add(off), half)
			}
			if w.rng.IntN(2) == 0 {
				e := &event{at: w.reading(), truth: w.truth}
				events = append(events, e)
				ask(e)
			}
			changed := c.Changed()
			c.look()
			// What is not saved by then is lost in the power cut.
			if w.rng.IntN(4) == 0 {
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
	}
	s.lives++
	for _, e := range events {
		ask(e)
		s.events++
		s.quality[e.sent.Quality]++
		s.resent += e.resent
		if q := e.sent.Quality; q == presence.QualitySynced || q == presence.QualityCorrected {
			s.anchored++
			off := time.Duration(e.sent.Time.UnixNano() - e.truth).Abs()
			s.worst = max(s.worst, off)
			if off <= 50*time.Millisecond {
				s.within50ms++
			}
		}
	}
}

type memory struct{ data []byte }

func (m *memory) LoadClock() ([]byte, error) { return m.data, nil }

func (m *memory) SaveClock(b []byte) error {
	m.data = b
	return nil
}

func timing(c *Clock, r presence.Reading) presence.Timing { return c.Timing(r) }

func lives(t *testing.T, n int, maxDrift float64, judge func(*Clock, presence.Reading) presence.Timing) *score {
	t.Helper()
	s := &score{quality: map[presence.Quality]int{}}
	for seed := range n {
		life(uint64(seed), maxDrift, judge, s)
	}
	t.Logf("%d lives, %d events %v, %d sent again, %d of %d with an anchor within 50 ms, worst %v",
		s.lives, s.events, s.quality, s.resent, s.within50ms, s.anchored, s.worst)
	return s
}

func TestNoEventClaimsMoreThanIsTrue(t *testing.T) {
	s := lives(t, 10_000, 200e-6, timing)
	if s.lies > 0 {
		t.Errorf("%d answers were not true", s.lies)
	}
	if s.widened > 0 {
		t.Errorf("%d answers got worse", s.widened)
	}
	for _, q := range []presence.Quality{
		presence.QualitySynced, presence.QualityCorrected, presence.QualityBounded, presence.QualityUnsynced,
	} {
		if s.quality[q] < 1000 {
			t.Errorf("only %d events %s: the simulator does not try them", s.quality[q], q)
		}
	}
}

func TestMostAnchoredEventsAreRightToFiftyMilliseconds(t *testing.T) {
	s := lives(t, 3_000, 20e-6, timing)
	if s.lies > 0 {
		t.Errorf("%d answers were not true", s.lies)
	}
	if s.within50ms*100 < s.anchored*95 {
		t.Errorf("%d of %d events are within 50 ms, want 95 %%", s.within50ms, s.anchored)
	}
}

func TestSimulatorCatchesTheWallClockOfAnUnsyncedBoot(t *testing.T) {
	s := lives(t, 100, 20e-6, func(c *Clock, r presence.Reading) presence.Timing {
		if r.State == presence.ClockUnsynced {
			r.State, r.MaxError = presence.ClockSynced, time.Second
			return New(nil).Timing(r)
		}
		return c.Timing(r)
	})
	if s.lies == 0 {
		t.Error("a broken scheme went unnoticed")
	}
}

func TestSimulatorCatchesAClaimWithoutDrift(t *testing.T) {
	s := lives(t, 200, 200e-6, func(c *Clock, r presence.Reading) presence.Timing {
		t := c.Timing(r)
		if t.Quality == presence.QualityCorrected {
			t.Error = min(t.Error, 50*time.Millisecond)
		}
		return t
	})
	if s.lies == 0 {
		t.Error("a broken scheme went unnoticed")
	}
}

func TestRunWatchesAndSaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		disk := &counting{}
		c := New(src)
		if err := c.Attach(disk); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		if disk.count() != 1 {
			t.Errorf("%d saves at the start of a boot, want one", disk.count())
		}
		tap := src.Now()
		if got := c.Timing(tap).Quality; got != presence.QualityUnsynced {
			t.Errorf("before any anchor: %v", got)
		}
		time.Sleep(10*time.Minute + 500*time.Millisecond)
		synctest.Wait()
		if n := disk.count(); n < 10 || n > 11 {
			t.Errorf("%d saves in ten minutes unsynced, want one a minute", n)
		}
		changed := c.Changed()
		src.set(func(f *fake) { f.state, f.maxError, f.offset = presence.ClockSynced, 20*time.Millisecond, 0 })
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-changed:
		default:
			t.Error("nobody is told of the first anchor")
		}
		if got := c.Timing(tap); got.Quality != presence.QualityCorrected || !contains(got, src.start.UnixNano()) {
			t.Errorf("%+v", got)
		}
		before := disk.count()
		changed = c.Changed()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := disk.count() - before; n < 5 || n > 6 {
			t.Errorf("%d saves in an hour in sync, want one in ten minutes", n)
		}
		select {
		case <-changed:
			t.Error("a periodic anchor makes everything be looked at again")
		default:
		}
		if h := c.Health(); h.State != "synced" || h.UnsyncedS != 0 || h.ErrorMS == nil || *h.ErrorMS != 20 {
			t.Errorf("%+v", h)
		}
		src.set(func(f *fake) { f.state, f.maxError = presence.ClockUnsynced, 0 })
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if h := c.Health(); h.State != "holdover" || h.Quality != presence.QualityCorrected || h.UnsyncedS < 88 || h.UnsyncedS > 90 {
			t.Errorf("%+v", h)
		}
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("run: %v", err)
		}

		// kill -9: the next process of the same boot knows as much.
		next := New(src)
		if err := next.Attach(disk); err != nil {
			t.Fatal(err)
		}
		if got, want := next.Timing(tap), c.Timing(tap); got != want {
			t.Errorf("after a restart %+v, before %+v", got, want)
		}
	})
}

func TestASaveThatFailedIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		src.state, src.maxError = presence.ClockSynced, time.Millisecond
		disk := &counting{fail: true}
		c := New(src)
		if err := c.Attach(disk); err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); !errors.Is(err, errDisk) {
			t.Fatalf("run: %v", err)
		}
		disk.fail = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("run: %v", err)
		}
		if disk.count() != 1 {
			t.Errorf("%d saves, want the one that failed", disk.count())
		}
	})
}

func TestADamagedPastDoesNotStopTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		c := New(src)
		if err := c.Attach(&counting{data: []byte("not a book")}); err == nil {
			t.Error("a damaged book is taken")
		}
		c.AddAnchor(SourceBroker, src.Now(), src.start, time.Millisecond)
		if got := c.Timing(src.Now()); got.Quality != presence.QualityCorrected || !got.Time.Equal(src.start) {
			t.Errorf("%+v", got)
		}
	})
}
