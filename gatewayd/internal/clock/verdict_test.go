package clock

import (
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestStepsOpenTracks(t *testing.T) {
	for name, tc := range map[string]struct {
		before string
		step   time.Duration
	}{
		"minus one hour":   {"2026-11-23T02:00:00Z", -time.Hour},
		"plus 106 seconds": {"2026-11-23T02:00:00Z", 106 * time.Second},
		"leap second":      {"2028-12-31T23:59:59Z", -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newFake()
				start := instant(tc.before).Add(-time.Hour)
				src.offset = start.Sub(src.start)
				src.state, src.maxError = presence.ClockSynced, 10*time.Millisecond
				c := New(src)
				c.observe()
				time.Sleep(59 * time.Minute)
				c.observe()
				unsynced := src.Now()
				unsynced.State, unsynced.MaxError = presence.ClockUnsynced, 0
				first, tap := c.Timing(unsynced), src.Now()
				firstTap := c.Timing(tap)

				time.Sleep(time.Minute)
				src.set(func(f *fake) { f.offset += tc.step })
				torn := src.Now()
				if got := c.Timing(torn); got.Error < tc.step.Abs()/2 {
					t.Errorf("between the step and the next look: %+v claims too much", got)
				}
				time.Sleep(time.Second)
				changed := c.Changed()
				c.observe()
				select {
				case <-changed:
				default:
					t.Error("the step goes unnoticed")
				}
				// Nobody knows which of the two is right.
				both := func(what string, got presence.Timing, one, other time.Time) {
					t.Helper()
					if other.Before(one) {
						one, other = other, one
					}
					if got.Quality != presence.QualityBounded || got.Min.After(one) || got.Max.Before(other) ||
						got.Max.Sub(got.Min) > tc.step.Abs()+time.Second {
						t.Errorf("%s: %+v, want %v to %v", what, got, one, other)
					}
				}
				both("before the step", c.Timing(unsynced), first.Time, first.Time.Add(tc.step))
				both("tap before the step", c.Timing(tap), firstTap.Time, firstTap.Time.Add(tc.step))
				time.Sleep(10 * time.Second)
				between := src.Now()
				both("after the step", c.Timing(between), between.WallTime(), between.WallTime().Add(-tc.step))
				if j, told := c.Jump(); !told || j.Decided {
					t.Errorf("it goes without a word: %+v, %v", j, told)
				}

				// Until a third reading agrees with one of them.
				src.set(func(f *fake) { f.offset -= tc.step })
				changed = c.Changed()
				c.observe()
				select {
				case <-changed:
				default:
					t.Error("the step back goes unnoticed")
				}
				if got := c.Timing(tap); got.Quality != firstTap.Quality || !got.Time.Equal(firstTap.Time) || got.Error != firstTap.Error {
					t.Errorf("tap before the step: %+v, was %+v", got, firstTap)
				}
				for _, in := range []presence.Reading{torn, between} {
					if got := c.Timing(in); got.Quality != presence.QualityCorrected ||
						got.Time.Sub(in.WallTime().Add(-tc.step)).Abs() > 5*time.Millisecond || got.Error > time.Second {
						t.Errorf("in the wrong stretch: %+v, want %v", got, in.WallTime().Add(-tc.step))
					}
				}
				now := src.Now()
				if got := c.Timing(now); got.Quality != presence.QualitySynced || got.Error != 10*time.Millisecond || !got.Time.Equal(now.WallTime()) {
					t.Errorf("after the step back: %+v", got)
				}
			})
		})
	}
}

// TestASetBackMorningKeepsItsOrder has a clock that is an hour ahead, as nobody
// set it, until NTP sets it back in the middle of the morning.
func TestASetBackMorningKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		src.offset = time.Hour
		c := New(src)
		type tap struct {
			at    presence.Reading
			truth time.Time
		}
		var taps []tap
		for minute := range 60 {
			if minute == 30 {
				src.set(func(f *fake) { f.offset, f.state, f.maxError = 0, presence.ClockSynced, 50*time.Millisecond })
			}
			taps = append(taps, tap{src.Now(), time.Now()})
			c.observe()
			time.Sleep(time.Minute)
		}
		var before time.Time
		for i, tap := range taps {
			got := c.Timing(tap.at)
			if !got.Time.After(before) || got.Time.Sub(tap.truth).Abs() > time.Millisecond || got.Error > time.Second {
				t.Errorf("tap %d: %+v, it was %v", i, got, tap.truth)
			}
			before = got.Time
		}
	})
}

// TestASmearedLeapSecondIsNoStep has servers that spread a leap second over a
// day: that is 12 ppm, which a crystal could be off as well.
func TestASmearedLeapSecondIsNoStep(t *testing.T) {
	var b Book
	utc := instant("2028-12-31T12:00:00Z")
	for i := range 24 * 6 {
		bt := time.Duration(i) * 10 * time.Minute
		b.Add(boots(1), Anchor{Boottime: bt, UTC: utc.Add(bt - bt/86_400), Error: 50 * time.Millisecond, Source: SourceSystem})
	}
	for _, a := range b.boots[0].anchors[1:] {
		if a.opens {
			t.Errorf("a step at %v", a.bt)
		}
	}
	if got := b.Timing(off(boots(1), 12*time.Hour)).Time.Sub(utc.Add(12*time.Hour - 500*time.Millisecond)).Abs(); got > 50*time.Millisecond {
		t.Errorf("%v off in the middle", got)
	}
}

func TestContradictingSourcesBothStand(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	early := off(boots(1), time.Second)
	before := b.Timing(early)
	b.Add(boots(1), Anchor{Boottime: time.Minute, UTC: utc.Add(time.Minute + 106*time.Second), Error: 50 * time.Millisecond, Source: SourceBroker})
	r := off(boots(1), 2*time.Minute)
	r.Wall, r.State, r.MaxError = utc.Add(2*time.Minute).UnixNano(), presence.ClockSynced, time.Millisecond
	for _, r := range []presence.Reading{early, r} {
		if got := b.Timing(r); got.Quality != presence.QualityBounded || got.Error < 53*time.Second || got.Error > 54*time.Second {
			t.Errorf("106 s off, and it claims %+v", got)
		}
	}
	// What a broker says without a proof says nothing of working hours.
	if got := b.Proven(r); got.Quality != presence.QualitySynced || got.Disputed {
		t.Errorf("proven: %+v", got)
	}
	b.Add(boots(1), Anchor{Boottime: 3 * time.Minute, UTC: utc.Add(3 * time.Minute), Error: 50 * time.Millisecond, Source: SourceCity})
	if got := b.Timing(early); !got.Time.Equal(before.Time) || got.Quality != before.Quality || got.Error > before.Error {
		t.Errorf("a third voice says the same: %+v, want %+v", got, before)
	}
	if got := b.Timing(r); got.Quality != presence.QualitySynced || got.Error != time.Millisecond {
		t.Errorf("a third voice says the same: %+v", got)
	}
}

func TestContradictionsEnd(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	for i := range 200 {
		bt := time.Duration(i) * time.Second
		b.Add(boots(1), Anchor{Boottime: bt, UTC: utc.Add(time.Duration(i%2) * time.Hour), Source: SourceSystem})
	}
	if n := len(b.boots[0].anchors); n > maxTracks*2 {
		t.Errorf("%d anchors of a clock gone mad", n)
	}
	if got := b.Timing(off(boots(1), 300*time.Second)).Quality; got != presence.QualityUnsynced {
		t.Errorf("a clock gone mad is believed: %v", got)
	}
}

// lying has a clock that is right, says another time for a while, and comes back.
func lying(t *testing.T, by time.Duration, ask func(stage string, c *Clock, src *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		src.state, src.maxError = presence.ClockSynced, 10*time.Millisecond
		c := New(src)
		for _, s := range []struct {
			stage  string
			offset time.Duration
		}{{"right", 0}, {"wrong", by}, {"right again", 0}} {
			src.set(func(f *fake) { f.offset = s.offset })
			c.observe()
			time.Sleep(time.Minute)
			c.observe()
			ask(s.stage, c, src)
		}
	})
}

func TestAClockThatLiesAndComesBack(t *testing.T) {
	for name, by := range map[string]time.Duration{
		"2036": 10 * 365 * 24 * time.Hour, "a month back": -30 * 24 * time.Hour, "two minutes": 2 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			type tap struct {
				stage string
				at    presence.Reading
				truth time.Time
			}
			var taps []tap
			lying(t, by, func(stage string, c *Clock, src *fake) {
				taps = append(taps, tap{stage, src.Now(), time.Now()})
				for _, tap := range taps {
					got := c.Timing(tap.at)
					if !contains(got, tap.truth.UnixNano()) {
						t.Errorf("%s: the tap of %s is said to be %+v, and was at %v", stage, tap.stage, got, tap.truth)
					}
					bounded := got.Quality == presence.QualityBounded
					if want := stage == "wrong"; bounded != want {
						t.Errorf("%s: the tap of %s is %s", stage, tap.stage, got.Quality)
					}
					if want := presence.QualityCorrected; stage == "right again" && tap.stage == "wrong" && got.Quality != want {
						t.Errorf("in the end a tap in the lie is %s", got.Quality)
					}
				}
				passed := c.NotBefore()
				if d := time.Since(passed); d < 0 || d > 30*time.Second {
					t.Errorf("%s: %v has certainly passed, and it is %v", stage, passed, time.Now())
				}
				if d := time.Since(c.CertTime()); d < 0 || d > 30*time.Second {
					t.Errorf("%s: certificates are checked at %v, and it is %v", stage, c.CertTime(), time.Now())
				}
				if _, told := c.Jump(); told != (stage != "right") {
					t.Errorf("%s: told %v", stage, told)
				}
			})
		})
	}
}

// TestAMonthBackAfterARestart has a machine that wakes to a server that is a month
// slow: the boots before it contradict that.
func TestAMonthBackAfterARestart(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	b.See(boots(1), time.Hour)
	b.See(boots(2), 10*time.Second)
	tap := off(boots(2), 11*time.Second)
	tap.State, tap.MaxError, tap.Wall = presence.ClockSynced, time.Millisecond, utc.Add(-30*24*time.Hour).UnixNano()
	month := func(when string) {
		t.Helper()
		if got := b.Timing(tap); got.Quality != presence.QualityUnsynced || !got.Disputed {
			t.Errorf("%s: %+v", when, got)
		}
		if got := b.NotBefore(tap); got.Before(utc.Add(time.Hour)) {
			t.Errorf("%s: certificates are checked at %v", when, got)
		}
	}
	month("before its first anchor")
	b.Add(boots(2), Anchor{Boottime: 12 * time.Second, UTC: tap.WallTime().Add(time.Second), Error: time.Millisecond, Source: SourceSystem})
	month("after it")
	b.Add(boots(2), Anchor{Boottime: time.Minute, UTC: utc.Add(5*time.Hour + time.Minute), Error: 20 * time.Millisecond, Source: SourceCity})
	if got := b.Timing(tap); got.Quality != presence.QualityCorrected || got.Time.Sub(utc.Add(5*time.Hour+11*time.Second)).Abs() > time.Second {
		t.Errorf("when the city has told the time: %+v", got)
	}
}

// TestALieOfTheNightBefore has a boot that heard nothing but a time years ahead:
// the next boot contradicts it, and a third decides.
func TestALieOfTheNightBefore(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	day := func(n int) time.Time { return utc.Add(time.Duration(n) * 24 * time.Hour) }
	add := func(boot int, at time.Time) {
		b.Add(boots(boot), Anchor{UTC: at, Error: time.Millisecond, Source: SourceSystem})
		b.See(boots(boot), time.Hour)
	}
	add(1, day(0))
	add(2, day(4000))
	in := func(boot int) presence.Reading { return off(boots(boot), time.Minute) }
	told := b.Timing(in(2))
	if told.Quality != presence.QualityCorrected {
		t.Fatalf("nobody contradicts it: %+v", told)
	}
	add(3, day(2))
	if got := b.Timing(in(2)); got.Quality != presence.QualityBounded || got.Min.After(day(2)) || got.Max.Before(day(4000)) || !got.Withdraws(told) {
		t.Errorf("contradicted: %+v", got)
	}
	if got := b.Timing(in(3)).Quality; got != presence.QualityUnsynced {
		t.Errorf("one against one: %v", got)
	}
	add(4, day(3))
	if got := b.Timing(in(2)); got.Quality != presence.QualityBounded || got.Min.Before(day(0)) || got.Max.After(day(2)) {
		t.Errorf("outvoted: %+v", got)
	}
	if got := b.Timing(in(3)); got.Quality != presence.QualityCorrected || got.Time.Sub(day(2)) != time.Minute {
		t.Errorf("one of three: %+v", got)
	}
	if got := b.NotBefore(in(4)); got.After(day(4)) || got.Before(day(3)) {
		t.Errorf("certificates are checked at %v", got)
	}
}
