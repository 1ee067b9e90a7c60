package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

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
		if n := disk.count() - before; n < 10 || n > 20 {
			t.Errorf("%d saves in the second hour, want fewer and fewer", n)
		}
		select {
		case <-changed:
			t.Error("a periodic anchor makes everything be looked at again")
		default:
		}
		if h := c.Health(); h.State != "synced" || h.UnsyncedS != 0 || h.ErrorMS == nil || *h.ErrorMS != 20 {
			t.Errorf("%+v", h)
		}
		src.set(func(f *fake) { f.maxError = 3 * time.Second }) // NTP has missed more than a poll
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if h := c.Health(); h.State != "holdover" || h.Quality != presence.QualitySynced || h.UnsyncedS < 88 || h.UnsyncedS > 90 {
			t.Errorf("%+v", h)
		}
		src.set(func(f *fake) { f.maxError = 20 * time.Millisecond })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		src.set(func(f *fake) { f.state, f.maxError = presence.ClockUnsynced, 0 })
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if h := c.Health(); h.State != "holdover" || h.Quality != presence.QualityCorrected || h.UnsyncedS < 88 || h.UnsyncedS > 90 {
			t.Errorf("%+v", h)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
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
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		// A disk that takes nothing for an hour stops no clock, and is not asked
		// every second.
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := disk.asked(); n < 10 || n > 100 {
			t.Errorf("%d tries in an hour", n)
		}
		disk.mend()
		time.Sleep(saveAgain + observeEvery)
		synctest.Wait()
		if disk.count() != 1 {
			t.Errorf("%d saves, want the one that failed", disk.count())
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("run: %v", err)
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

// running runs a clock in a bubble until the test is done with it.
func running(t *testing.T, src Source, store Store) (c *Clock, stop func()) {
	t.Helper()
	c = New(src)
	if err := c.Attach(store); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	synctest.Wait()
	return c, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	}
}

func TestAStepIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		c, stop := running(t, src, &counting{})
		defer stop()
		tap := src.Now()
		changed := c.Changed()
		src.set(func(f *fake) { f.state, f.maxError, f.offset = presence.ClockSynced, 20*time.Millisecond, 0 })
		src.told <- struct{}{}
		synctest.Wait() // no time passes
		select {
		case <-changed:
		default:
			t.Error("it takes a look to notice")
		}
		if got := c.Timing(tap); got.Quality != presence.QualityCorrected {
			t.Errorf("%+v", got)
		}
	})
}

// What a power cut takes with it is how long the boot lasted since the last
// mark: an eighth, and never more than half an hour. An event on the
// disk is a mark as well.
func TestAPowerCutLosesLittle(t *testing.T) {
	for _, tc := range []struct {
		name  string
		up    time.Duration
		event time.Duration // on disk; 0: none
		lost  time.Duration
	}{
		{"a minute", time.Minute, 0, time.Minute},
		{"eight minutes", 8 * time.Minute, 0, time.Minute},
		{"an hour", time.Hour, 0, 8 * time.Minute},
		{"a day", 24 * time.Hour, 0, 30 * time.Minute},
		{"an hour with events", time.Hour, 59 * time.Minute, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &counting{}
				src := newFake()
				src.set(func(f *fake) { f.state = presence.ClockSynced; f.offset = 0 })
				_, stop := running(t, src, disk)
				stop()

				src = newFake()
				src.boot = presence.ID{2}
				_, stop = running(t, src, disk)
				tap := src.Now()
				time.Sleep(tc.up)
				stop()
				const dark = 10 * time.Minute
				time.Sleep(dark)

				src = newFake()
				src.boot = presence.ID{3}
				src.set(func(f *fake) { f.state = presence.ClockSynced; f.offset = 0 })
				c := New(src)
				if err := c.Attach(disk); err != nil {
					t.Fatal(err)
				}
				if tc.event > 0 {
					e := presence.Entry{}
					e.At = presence.Reading{Boot: presence.ID{2}, Boottime: tc.event}
					if err := c.Recall(func(fn func(presence.Entry) bool) error {
						fn(e)
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				c.observe()
				got := c.Timing(tap)
				drifts := tc.up / 1000
				if got.Quality != presence.QualityBounded || got.Max.Sub(got.Min) > dark+tc.lost+drifts {
					t.Errorf("%v uncertain (%s), want the %v without power and %v", got.Max.Sub(got.Min), got.Quality, dark, tc.lost)
				}
			})
		})
	}
}

// Boots that the journal still knows and the book has forgotten have no place
// among those it knows.
func TestRecallLeavesOlderBootsAlone(t *testing.T) {
	c := New(nil)
	utc := instant("2026-11-23T00:30:00Z")
	for k := range maxBoots {
		c.book.Add(boots(100+k), Anchor{UTC: utc.Add(time.Duration(k) * time.Hour), Source: SourceSystem})
	}
	tail := []presence.Reading{
		off(boots(201), time.Hour), off(boots(201), time.Minute), off(boots(200), time.Minute),
		off(boots(100+maxBoots-1), time.Minute), off(boots(1), time.Minute),
	}
	passed := 0
	if err := c.Recall(func(fn func(presence.Entry) bool) error {
		for _, r := range tail {
			e := presence.Entry{}
			e.At = r
			passed++
			if !fn(e) {
				break
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if passed != 4 || c.book.find(boots(1)) >= 0 {
		t.Errorf("%d records read", passed)
	}
	n := len(c.book.boots)
	if c.book.boots[n-2].id != boots(200) || c.book.boots[n-1].id != boots(201) || c.book.boots[n-1].mark != time.Hour {
		t.Error("newer boots are not in their order")
	}
	fault := errors.New("the journal cannot be read")
	if err := c.Recall(func(func(presence.Entry) bool) error { return fault }); !errors.Is(err, fault) {
		t.Error(err)
	}
}

func TestClocksThatDisagreeAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newFake()
		c := New(src)
		src.offset = 106 * time.Second
		c.AddAnchor(SourceBroker, src.Now(), time.Now(), 50*time.Millisecond)
		if d, ok := c.Disagreement(); ok {
			t.Errorf("%v, though the system does not claim to know the time", d)
		}
		src.state = presence.ClockSynced
		if d, ok := c.Disagreement(); !ok || d != 106*time.Second {
			t.Errorf("%v %v, want 106 s", d, ok)
		}
		time.Sleep(2 * time.Hour)
		if d, ok := c.Disagreement(); ok {
			t.Errorf("%v, though the broker has been silent for hours", d)
		}
	})
}
