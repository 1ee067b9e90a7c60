package outage_test

import (
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// asleep is a clock that knows the time of no boot but one, which was set in 1970
// plus so many days.
type asleep struct {
	boot presence.ID
	days int
}

func (c asleep) Revise(before presence.Timing, r presence.Reading) presence.Timing {
	if r.Boot != c.boot {
		return before
	}
	return presence.Timing{Quality: presence.QualityCorrected, Time: time.Unix(0, 0).AddDate(0, 0, c.days).Add(r.Boottime), Error: time.Second}
}

// TestAnEndThatNobodyKnowsIsBoundedByTheOrder: an outage begins after the one that is
// noted before it, and is over by the first instant after it that is known. So it
// lasts for no day too many, and is forgotten in the end.
func TestAnEndThatNobodyKnowsIsBoundedByTheOrder(t *testing.T) {
	s := newShelf()
	day := func(d, hours int) time.Time {
		return time.Unix(0, 0).AddDate(0, 0, d).Add(time.Duration(hours) * time.Hour)
	}
	// run lets a process see an outage of half an hour, and says when that was.
	run := func(boot byte, clock asleep, broken bool) []outage.Outage {
		t.Helper()
		at := func(minutes int) presence.Reading {
			return presence.Reading{Boot: presence.ID{boot}, Boottime: time.Duration(minutes) * time.Minute}
		}
		l, err := outage.Open(s, presence.ID{boot}, clock, func(presence.ID) (presence.Reading, bool) { return presence.Reading{}, false })
		if err != nil {
			t.Fatal(err)
		}
		for minute := range 60 {
			var now []alerts.Outage
			if broken && minute < 30 {
				now = outages("reader-door")
			}
			if err := l.Observe(at(minute), now, keep); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(at(60)); err != nil {
			t.Fatal(err)
		}
		s.ride()
		read, err := outage.Read(s, asleep{}, nil)
		if err != nil || len(read) != len(l.All()) {
			t.Fatalf("read %v: %v", read, err)
		}
		return read
	}
	run(1, asleep{presence.ID{1}, 1}, true)
	run(2, asleep{}, true) // nobody ever knows when that was
	if all := run(3, asleep{}, false); !all[1].Ended.Time.IsZero() {
		t.Fatalf("it ended %+v, by what nobody knows yet", all[1].Ended)
	}
	all := run(4, asleep{presence.ID{4}, 3}, false)
	began, ended := all[1].Began, all[1].Ended
	if first, last := began.Min, began.Max; first.Before(day(1, 0).Add(-time.Minute)) || last.After(day(3, 1)) {
		t.Errorf("it began between %v and %v", first, last)
	}
	if first, last := ended.Min, ended.Max; first.Before(day(1, 0).Add(-time.Minute)) || last.After(day(3, 1)) {
		t.Errorf("it ended between %v and %v", first, last)
	}
	if known := all[0].Ended; !known.Time.Equal(day(1, 0).Add(30 * time.Minute)) {
		t.Errorf("the one before it ended %+v", known)
	}
	if all := run(5, asleep{presence.ID{5}, 37}, false); len(all) != 1 {
		t.Errorf("%d outages are kept after 36 and 34 days", len(all))
	}
	if all := run(6, asleep{presence.ID{6}, 39}, false); len(all) != 0 {
		t.Errorf("of an end that nobody knows it is kept for ever: %+v", all)
	}
}
