package clock

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

func boots(n int) presence.ID { return presence.ID{byte(n), byte(n >> 8), 1} }

func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func off(id presence.ID, bt time.Duration) presence.Reading {
	return presence.Reading{Boot: id, Boottime: bt, Wall: int64(bt)}
}

func TestErrorGrowsWithTheDistanceFromTheAnchor(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{Boottime: 2 * time.Hour, UTC: utc, Error: 10 * time.Millisecond, Source: SourceSystem})
	for _, d := range []time.Duration{0, time.Second, time.Minute, -time.Hour, 10 * time.Hour} {
		got := b.Timing(off(boots(1), 2*time.Hour+d))
		want := 10*time.Millisecond + d.Abs()*250/1e6
		if got.Quality != presence.QualityCorrected || !got.Time.Equal(utc.Add(d)) ||
			got.Error < want || got.Error > want+2 {
			t.Errorf("%v: %+v, want an error of %v", d, got, want)
		}
	}
	if got := b.Timing(off(boots(2), 0)).Quality; got != presence.QualityUnsynced {
		t.Errorf("a boot that nobody knows: %v", got)
	}
}

func TestBetweenTwoAnchorsTimeIsInterpolated(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	// The boot clock loses 200 ppm: 2.88 s in four hours.
	b.Add(boots(1), Anchor{UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	half := off(boots(1), 2*time.Hour)
	before := b.Timing(half)
	b.Add(boots(1), Anchor{Boottime: 4 * time.Hour, UTC: utc.Add(4*time.Hour + 2880*time.Millisecond), Error: time.Millisecond, Source: SourceSystem})
	after := b.Timing(half)
	truth := utc.Add(2*time.Hour + 1440*time.Millisecond)
	if d := after.Time.Sub(truth).Abs(); d > time.Millisecond {
		t.Errorf("%v off in the middle", d)
	}
	if !after.Improves(before) || before.Improves(after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestRateIsLearned has a crystal that is 20 ppm slow: 72 ms in an hour.
func TestRateIsLearned(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	at := func(bt time.Duration) time.Time { return utc.Add(bt + bt*20/1_000_000) }
	anchor := func(boot int, bt time.Duration) {
		b.Add(boots(boot), Anchor{Boottime: bt, UTC: at(bt).Add(time.Duration(boot-1) * 48 * time.Hour), Error: 50 * time.Millisecond, Source: SourceSystem})
	}
	wrong := func(boot int, bt time.Duration) time.Duration {
		got := b.Timing(off(boots(boot), bt))
		truth := at(bt).Add(time.Duration(boot-1) * 48 * time.Hour)
		if d := got.Time.Sub(truth).Abs(); d > got.Error {
			t.Errorf("boot %d, %v: off by %v, and it claims %v", boot, bt, d, got.Error)
		}
		return got.Time.Sub(truth).Abs()
	}
	anchor(1, 0)
	if d := wrong(1, 10*time.Hour); d < 700*time.Millisecond {
		t.Errorf("off by %v before anything is learned", d)
	}
	anchor(1, 24*time.Hour)
	if d := wrong(1, 34*time.Hour); d > 10*time.Millisecond {
		t.Errorf("the same boot, ten hours on: off by %v", d)
	}
	anchor(2, 6*time.Hour)
	if d := wrong(2, 0); d > 10*time.Millisecond {
		t.Errorf("the next boot, six hours before its only anchor: off by %v", d)
	}
	b.rate = 0
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBook(data)
	if err != nil {
		t.Fatal(err)
	}
	b = *again
	if d := wrong(2, 0); d > 10*time.Millisecond {
		t.Errorf("after a restart: off by %v", d)
	}
}

// TestBoundsFollowTheDesign has a boot that lasted an hour somewhere in a
// night of ten hours: nine hours remain unknown.
func TestBoundsFollowTheDesign(t *testing.T) {
	var b Book
	evening, morning := instant("2026-11-22T13:00:00Z"), instant("2026-11-22T23:00:00Z")
	b.Add(boots(1), Anchor{Boottime: time.Hour, UTC: evening, Source: SourceSystem})
	b.See(boots(2), 20*time.Minute)
	b.See(boots(3), 40*time.Minute)
	tap := off(boots(3), 10*time.Minute)
	if got := b.Timing(tap).Quality; got != presence.QualityUnsynced {
		t.Errorf("without a later anchor: %v", got)
	}
	b.Add(boots(4), Anchor{UTC: morning, Source: SourceSystem})
	got := b.Timing(tap)
	const near = 2 * time.Second // of drift
	lo, hi := evening.Add(30*time.Minute), morning.Add(-30*time.Minute)
	if got.Quality != presence.QualityBounded || got.Min.Sub(lo).Abs() > near || got.Max.Sub(hi).Abs() > near {
		t.Errorf("%+v, want %v to %v", got, lo, hi)
	}
	if s := 2 * got.Error; (s-9*time.Hour).Abs() > near || !got.Time.Equal(got.Min.Add(got.Max.Sub(got.Min)/2)) {
		t.Errorf("slack %v, time %v", s, got.Time)
	}
	if got.Min.After(lo) || got.Max.Before(hi) {
		t.Error("claims more than is known")
	}
}

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
				c.look()
				time.Sleep(59 * time.Minute)
				c.look()
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
				c.look()
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
				c.look()
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
			c.look()
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

func TestYearsEndIsAnInstantLikeOthers(t *testing.T) {
	var b Book
	b.Add(boots(1), Anchor{Boottime: time.Hour, UTC: instant("2026-12-31T17:00:30Z"), Error: time.Millisecond, Source: SourceSystem})
	got := b.Timing(off(boots(1), time.Hour-time.Minute))
	malang := time.FixedZone("WIB", 7*3600)
	if s := got.Time.In(malang).Format(presence.TimeLayout); s != "2026-12-31T23:59:30.000+07:00" {
		t.Error(s)
	}
	got = b.Timing(off(boots(1), time.Hour))
	if s := got.Time.In(malang).Format(presence.TimeLayout); s != "2027-01-01T00:00:30.000+07:00" {
		t.Error(s)
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

func TestStaleDisciplineIsMendedByAnchors(t *testing.T) {
	var b Book
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{Boottime: 8 * time.Hour, UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	r := off(boots(1), 8*time.Hour-time.Minute)
	r.Wall, r.State, r.MaxError = utc.Add(-time.Minute-3*time.Second).UnixNano(), presence.ClockSynced, 14*time.Second
	got := b.Timing(r)
	if got.Quality != presence.QualitySynced || got.Error > 20*time.Millisecond || !got.Time.Equal(utc.Add(-time.Minute)) {
		t.Errorf("%+v", got)
	}
	if !got.Improves(presence.Raw(r)) {
		t.Error("not worth sending again")
	}
}

// TestAnotherAnchorNeverWidens draws anchors in the order in which they come,
// right or wrong, and looks at raw answers, without Timing.Improves to hide behind.
// Only where clocks contradict each other may less be known than before.
func TestAnotherAnchorNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		utc := instant("2026-11-23T00:30:00Z").UnixNano()
		var bt time.Duration
		type answer struct {
			at presence.Reading
			s  span
		}
		var given []answer
		n := rapid.IntRange(2, 30).Draw(t, "anchors")
		var shift int64
		for range n {
			bt += time.Duration(rapid.Int64Range(1, int64(3*time.Hour)).Draw(t, "pause"))
			if rapid.IntRange(0, 9).Draw(t, "step") == 0 {
				shift += rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "by")
			}
			e := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "error"))
			wrong := rapid.Int64Range(-int64(2*e), int64(2*e)).Draw(t, "wrong")
			source := rapid.SampledFrom([]string{SourceSystem, SourceBroker}).Draw(t, "source")
			b.Add(boots(1), Anchor{Boottime: bt, UTC: time.Unix(0, utc+int64(bt)+shift+wrong), Error: e, Source: source})
			for _, g := range given {
				s, _, ok := b.at(b.verdict(), 0, g.at.Boottime, 0)
				if !ok || !b.verdict().disputed() && (s.From < g.s.From || s.To > g.s.To) {
					t.Fatalf("at %v: %v, was %v", g.at.Boottime, s, g.s)
				}
			}
			// Events of the past, and of up to now: later ones are asked later.
			r := off(boots(1), time.Duration(rapid.Int64Range(0, int64(bt)).Draw(t, "event")))
			if s, _, ok := b.at(b.verdict(), 0, r.Boottime, 0); ok {
				if s.From > s.To {
					t.Fatalf("at %v: nothing is left of %v", r.Boottime, s)
				}
				given = append(given, answer{r, s})
			}
		}
	})
}

func TestBookStaysSmallAndKeepsWhatMatters(t *testing.T) {
	var b Book
	utc := instant("2026-01-01T00:00:00Z")
	for d := range 8 * 24 * 6 { // eight days, with a gap in the last, every ten minutes
		bt := time.Duration(d) * 10 * time.Minute
		if bt > 150*time.Hour && bt < 160*time.Hour {
			continue // nobody disciplines it
		}
		b.Add(boots(1), Anchor{Boottime: bt, UTC: utc.Add(bt), Error: 20 * time.Millisecond, Source: SourceSystem})
	}
	if n := len(b.boots[0].anchors); n != maxAnchors {
		t.Errorf("%d anchors", n)
	}
	if e := b.Timing(off(boots(1), 150*time.Hour+5*time.Minute)).Error; e > 200*time.Millisecond {
		t.Errorf("at the edge of the gap the error is %v: the anchor there is gone", e)
	}
	// A brownout: the gateway starts a hundred times before there is time.
	for k := 2; k < 102; k++ {
		b.See(boots(k), time.Duration(k)*time.Second)
	}
	b.Add(boots(102), Anchor{UTC: utc.Add(9 * 24 * time.Hour), Error: time.Second, Source: SourceSystem})
	if len(b.boots) != maxBoots || len(b.boots[0].anchors) != maxOldAnchors {
		t.Errorf("%d boots, %d anchors of the first", len(b.boots), len(b.boots[0].anchors))
	}
	if got := b.Timing(off(boots(101), time.Second)); got.Quality != presence.QualityBounded {
		t.Errorf("the last instant known is forgotten: %+v", got)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(data))
	if len(data) > 4<<10 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestAFullBookFits(t *testing.T) {
	var b Book
	utc := instant("2026-01-01T00:00:00Z")
	for k := range 40 {
		for i := range 100 {
			bt := time.Duration(i) * 11 * time.Minute
			b.Add(boots(k), Anchor{Boottime: bt, UTC: utc.Add(time.Duration(k)*24*time.Hour + bt), Error: 20123456, Source: SourceSystem})
		}
	}
	data, err := b.Encode()
	if err != nil || len(data) > maxBook/2 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	t.Logf("%d bytes", len(data))
	again, err := DecodeBook(data)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 40 {
		for _, bt := range []time.Duration{0, time.Hour, 30 * time.Hour} {
			if got, want := again.Timing(off(boots(k), bt)), b.Timing(off(boots(k), bt)); got != want {
				t.Errorf("boot %d at %v: %+v, want %+v", k, bt, got, want)
			}
		}
	}
}

func TestWhatMakesNoSenseIsNoAnchor(t *testing.T) {
	utc := instant("2026-11-23T00:30:00Z")
	for name, a := range map[string]Anchor{
		"before the boot": {Boottime: -1, UTC: utc},
		"before 1970":     {UTC: time.Unix(-1, 0)},
		"year 9999":       {UTC: instant("9999-01-01T00:00:00Z")},
		"negative error":  {UTC: utc, Error: -1},
		"error of a week": {UTC: utc, Error: 168 * time.Hour},
		"eternal boot":    {Boottime: 1 << 62, UTC: utc},
		"long name":       {UTC: utc, Source: "a name that is far too long"},
	} {
		var b Book
		if b.Add(boots(1), a) || b.Timing(off(boots(1), 0)).Quality != presence.QualityUnsynced {
			t.Errorf("%s: taken", name)
		}
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

func TestNotBefore(t *testing.T) {
	var b Book
	if !b.NotBefore(off(boots(9), time.Hour)).IsZero() {
		t.Error("an empty book knows a time")
	}
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{UTC: utc, Source: SourceSystem})
	b.See(boots(1), time.Hour)
	got := b.NotBefore(off(boots(2), time.Minute))
	want := utc.Add(time.Hour)
	if got.After(want.Add(time.Minute)) || got.Before(want.Add(-time.Minute)) {
		t.Errorf("%v, want about %v", got, want)
	}
}

func TestKernelStateIsNeverTooGood(t *testing.T) {
	for name, tc := range map[string]struct {
		t     unix.Timex
		state presence.ClockState
		err   time.Duration
	}{
		"just polled":   {unix.Timex{Maxerror: 0}, presence.ClockSynced, 50 * time.Millisecond},
		"an hour ago":   {unix.Timex{Maxerror: 1_800_000}, presence.ClockSynced, 2750 * time.Millisecond},
		"slewing":       {unix.Timex{Maxerror: 20_000, Offset: -300_000}, presence.ClockSynced, 380 * time.Millisecond},
		"slewing, nano": {unix.Timex{Maxerror: 20_000, Offset: 300_000, Status: unix.STA_NANO}, presence.ClockSynced, 80300 * time.Microsecond},
		"holdover ends": {unix.Timex{Maxerror: 15_999_999}, presence.ClockSynced, 50*time.Millisecond + 23_999_998_500},
		"never":         {unix.Timex{Maxerror: 16_000_000}, presence.ClockUnsynced, 0},
	} {
		if state, e := judge(&tc.t); state != tc.state || e != tc.err {
			t.Errorf("%s: %v %v", name, state, e)
		}
	}
}

func FuzzDecodeBook(f *testing.F) {
	var b Book
	f.Add([]byte{})
	add := func() {
		data, err := b.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add()
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{Boottime: time.Hour, UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	add()
	b.Add(boots(1), Anchor{Boottime: 2 * time.Hour, UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	b.Add(boots(1), Anchor{Boottime: 3 * time.Hour, UTC: utc, Error: time.Second, Source: SourceBroker})
	b.See(boots(2), time.Hour)
	b.Add(boots(3), Anchor{Boottime: maxBoottime, UTC: utc, Error: maxError, Source: ""})
	add()
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBook(data)
		if err != nil {
			return
		}
		first, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBook(first)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x comes back as %x (%v)", first, second, err)
		}
		for _, o := range b.boots {
			for _, bt := range []time.Duration{0, o.mark, maxBoottime, -1, 1<<63 - 1} {
				for _, state := range []presence.ClockState{presence.ClockUnsynced, presence.ClockSynced} {
					got := b.Timing(presence.Reading{Boot: o.id, Boottime: bt, Wall: 1 << 62, State: state, MaxError: 1 << 62})
					if got.Error < 0 || got.Quality == presence.QualityBounded && got.Min.After(got.Max) {
						t.Fatalf("%+v", got)
					}
				}
			}
			b.NotBefore(off(o.id, o.mark))
		}
	})
}

// FuzzBook does what it is told with a book: boots, anchors right and wrong,
// questions. What was answered once never gets wider nor moves outside, as long
// as nothing had to be thinned and nothing contradicts it, and a book that was written and read again gives
// the same answers.
func FuzzBook(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type answer struct {
			at presence.Reading
			s  span
		}
		var b Book
		var given []answer
		boot, bt, anchors := 1, time.Duration(0), 0
		utc := instant("2026-11-23T00:30:00Z").UnixNano()
		for i := 0; i+2 < len(ops) && i < 300; i += 3 {
			op, x, y := ops[i], time.Duration(ops[i+1]), time.Duration(int8(ops[i+2]))
			switch op % 4 {
			case 0: // another boot
				boot, bt, anchors = boot+1, 0, 0
				utc += int64(x * time.Hour)
				b.See(boots(boot), x*time.Second)
			case 1: // time passes
				bt += x * x * time.Second
			case 2: // an anchor, off by as much as it claims or more
				if anchors++; anchors > maxOldAnchors {
					continue
				}
				bt++ // what was asked before was asked of an instant before
				e := x * x * time.Millisecond
				source := []string{SourceSystem, SourceBroker}[op/4%2]
				b.Add(boots(boot), Anchor{Boottime: bt, UTC: time.Unix(0, utc+int64(bt)+int64(y*e/100)), Error: e, Source: source})
			case 3: // an event
				r := off(boots(boot), max(0, bt-x*time.Minute))
				if k := b.find(r.Boot); k >= 0 {
					if s, _, ok := b.at(b.verdict(), k, r.Boottime, 0); ok {
						given = append(given, answer{r, s})
					}
				}
			}
			for _, g := range given {
				k := b.find(g.at.Boot)
				if k < 0 {
					continue // forgotten
				}
				s, _, ok := b.at(b.verdict(), k, g.at.Boottime, 0)
				doubt := b.verdict()[k].disputed
				if ok && (s.From > s.To || !doubt && (s.From < g.s.From || s.To > g.s.To)) {
					t.Fatalf("at %v: %v, was %v", g.at.Boottime, s, g.s)
				}
				if got := b.Timing(g.at); ok && got.Error < half(s) && got.Quality != presence.QualityUnsynced {
					t.Fatalf("at %v: %v claims more than %v", g.at.Boottime, got, s)
				}
			}
		}
		data, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBook(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range given {
			if got, want := again.Timing(g.at), b.Timing(g.at); got != want {
				t.Fatalf("read again %+v, was %+v", got, want)
			}
		}
	})
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
			c.look()
			time.Sleep(time.Minute)
			c.look()
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
					t.Errorf("%s: certificates are judged at %v, and it is %v", stage, c.CertTime(), time.Now())
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
			t.Errorf("%s: certificates are judged at %v", when, got)
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
		t.Errorf("certificates are judged at %v", got)
	}
}

// TestTheOldestBootIsForgottenFirst: that some old boot never learned the time is no
// reason to forget one of yesterday that did not either, however short it was.
func TestTheOldestBootIsForgottenFirst(t *testing.T) {
	var b Book
	began := time.Unix(1_795_000_000, 0)
	id := func(n int) presence.ID { return presence.ID{byte(n), 1} }
	for n := range 100 {
		b.See(id(n), 10*time.Hour-time.Duration(n)*time.Minute)
		if n%3 != 1 {
			b.Add(id(n), Anchor{Boottime: time.Hour, UTC: began.AddDate(0, 0, n).Add(time.Hour), Error: time.Second, Source: SourceSystem})
		}
		// The last boot may still learn more; those of the last three weeks are known.
		for k := max(0, n-20); k < n-1; k++ {
			at := presence.Reading{Boot: id(k), Boottime: 2 * time.Hour}
			got := b.Timing(at)
			if k > 1 && got.Time.IsZero() {
				t.Fatalf("after boot %d nothing is known of boot %d", n, k)
			}
			if truth := began.AddDate(0, 0, k).Add(2 * time.Hour); !got.Time.IsZero() && got.Time.Sub(truth).Abs() > got.Error {
				t.Fatalf("boot %d: %v ± %v, was %v", k, got.Time, got.Error, truth)
			}
		}
	}
}
