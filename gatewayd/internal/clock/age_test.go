package clock

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestAgesAreNotGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second, hour = time.Second, time.Hour
		f := newFake()
		c := New(f)
		if err := c.Attach(&counting{}); err != nil {
			t.Fatal(err)
		}
		tell := func() {
			f.set(func(f *fake) { f.offset, f.state, f.maxError = 0, presence.ClockSynced, second })
			c.observe()
		}
		reboot := func() {
			f.set(func(f *fake) {
				f.boot[0]++
				f.start, f.offset, f.state = time.Now(), -72*hour, presence.ClockUnsynced
			})
			c.observe()
		}
		expect := func(what string, r presence.Reading, least, most time.Duration) {
			t.Helper()
			const drift = 30 * second // of ten hours
			gotLeast, gotMost := c.Age(r)
			if (gotLeast-least).Abs() > drift || gotLeast > least || most != math.MaxInt64 && (gotMost-most).Abs() > drift || gotMost < most {
				t.Errorf("%s: %v to %v, want %v to %v", what, gotLeast, gotMost, least, most)
			}
		}
		unsynced := f.Now()
		time.Sleep(hour)
		expect("same boot", unsynced, hour, hour)
		reboot()
		lost := f.Now()
		time.Sleep(hour)
		expect("a boot that nobody knows the time of", unsynced, 0, math.MaxInt64)

		reboot()
		before := f.Now()
		time.Sleep(hour)
		tell()
		synced := f.Now()
		lie := synced
		lie.Boot[15]++
		lie.Wall += int64(1000 * hour)
		expect("from the future", lie, 0, math.MaxInt64)
		time.Sleep(hour)
		reboot()
		time.Sleep(hour)
		expect("synced, while the time is not known", synced, hour, math.MaxInt64)
		tell()
		expect("synced", synced, 2*hour, 2*hour)
		expect("before its boot knew the time", before, 3*hour, 3*hour)
		expect("nothing known before", lost, 0, math.MaxInt64)

		reboot()
		dark := f.Now()
		time.Sleep(10 * hour)
		reboot()
		time.Sleep(hour)
		tell()
		expect("between two boots that knew the time", dark, hour, 11*hour)
	})
}
