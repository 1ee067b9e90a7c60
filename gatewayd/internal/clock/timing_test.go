package clock

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

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
