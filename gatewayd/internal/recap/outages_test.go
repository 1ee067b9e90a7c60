package recap_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
)

func TestOutagesOfTheDay(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-22 06:00:00"), true)
	d.tap(at(1, "2026-11-22 16:00:00"), "h:aa")
	d.start(at(2, "2026-11-23 07:10:00"), false) // a power cut in the night
	d.tap(at(2, "2026-11-23 08:00:00"), "h:aa")
	d.start(at(2, "2026-11-23 08:00:05"), false) // it crashed
	d.start(at(2, "2026-11-23 09:00:00"), true)  // it was stopped
	d.tap(at(2, "2026-11-24 07:00:00"), "h:aa")
	d.start(at(3, "2026-11-24 08:00:00"), false) // not of this day
	end := at(2, "2026-11-23 10:30:00")
	other := at(2, "2026-11-22 11:30:00")
	s := d.sheet(readings{}, func(c *recap.Collector) {
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(2, "2026-11-23 10:00:00"), To: &end, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(2, "2026-11-22 10:00:00"), To: &other, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.JournalNoRoom}, From: at(2, "2026-11-23 15:00:00"), Times: 1})
	})
	var got []string
	for _, o := range s.Outages {
		got = append(got, o.What.Code()+" "+o.From.Time.In(wib).Format("02 15:04"))
	}
	want := "power-off 22 16:00, crashed 23 08:00, stopped 23 08:00, reader-door 23 10:00, journal-full 23 15:00"
	if strings.Join(got, ", ") != want {
		t.Errorf("outages %q, want %q", got, want)
	}
}

// TestADayThatHasNotBegunHasNoFailures: what goes on now, or has no end that is
// known, goes on until now and no further, as far as now is known.
func TestADayThatHasNotBegunHasNoFailures(t *testing.T) {
	about := func(clock string, give time.Duration) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: at(1, clock).WallTime(), Error: give}
	}
	for name, tc := range map[string]struct {
		now    presence.Timing
		events string // the newest event
		want   bool
	}{
		"the day before":                 {about("2026-11-22 12:00:00", time.Second), "2026-11-22 11:00:00", false},
		"years before":                   {about("2024-01-01 00:00:00", time.Second), "2023-12-31 07:00:00", false},
		"perhaps the day":                {about("2026-11-22 23:00:00", 2*time.Hour), "2026-11-22 11:00:00", true},
		"the day itself":                 {about("2026-11-23 00:00:01", 0), "2026-11-22 11:00:00", true},
		"years later":                    {about("2030-01-01 00:00:00", 0), "2026-11-22 11:00:00", true},
		"nobody knows":                   {presence.Timing{Quality: presence.QualityUnsynced}, "2026-11-22 11:00:00", true},
		"the events say that it is over": {about("2026-11-22 12:00:00", time.Second), "2026-11-23 11:00:00", true},
	} {
		t.Run(name, func(t *testing.T) {
			began, asleep := at(1, "2023-12-31 06:00:00"), nowhen(7)
			var d diary
			d.start(began, true)
			d.tap(at(1, tc.events), "h:aa")
			d.tap(asleep, "h:bb")
			d.add(asleep, presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Reason: presence.GapWriteFailed}})
			s := d.sheet(readings{}, func(c *recap.Collector) {
				c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReceiverLost, Name: "yard"}, From: began, Times: 1})
				c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: began, To: &asleep, Times: 1})
				c.Now(tc.now)
			})
			if got := [3]int{len(s.Outages), len(s.Gaps), len(s.Uncertain)}; tc.want && got != [3]int{2, 1, 1} || !tc.want && got != [3]int{} {
				t.Errorf("outages, gaps and uncertain taps: %v", got)
			}
		})
	}
}

// TestABriefRestartIsNoFailure: a new configuration starts the program anew, which
// is over before anybody stands at the door. All else that ends it is worth a line.
func TestABriefRestartIsNoFailure(t *testing.T) {
	up := func(boot byte, after time.Duration) presence.Reading {
		began := at(boot, "2026-11-23 06:00:00")
		began.Boottime = time.Hour + after
		began.Wall += int64(after)
		return began
	}
	moved := up(1, time.Hour+time.Second)
	moved.Wall += int64(time.Hour)
	asleep := func(r presence.Reading) presence.Reading {
		r.State = presence.ClockUnsynced
		return r
	}
	for name, tc := range map[string]struct {
		alive, start presence.Reading
		clean        bool
		want         string
	}{
		"a reload":                   {up(1, time.Hour), up(1, time.Hour+200*time.Millisecond), true, ""},
		"just under five seconds":    {up(1, time.Hour), up(1, time.Hour+4999*time.Millisecond), true, ""},
		"five seconds":               {up(1, time.Hour), up(1, time.Hour+5*time.Second), true, "stopped"},
		"a crash":                    {up(1, time.Hour), up(1, time.Hour+200*time.Millisecond), false, "crashed"},
		"another boot":               {up(1, time.Hour), up(2, time.Hour+200*time.Millisecond), true, "stopped"},
		"the sheet's times say so":   {up(1, time.Hour), moved, true, "stopped"},
		"the stop's time is unknown": {asleep(up(1, time.Hour)), up(1, time.Hour+time.Second), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			d.start(up(1, 0), true)
			d.start(tc.start, tc.clean)
			d.entries[1].Start.Alive = &tc.alive
			s := d.sheet(readings{})
			var got string
			for _, o := range s.Outages {
				got += o.What.Code()
			}
			if got != tc.want {
				t.Errorf("outages %q, want %q", got, tc.want)
			}
		})
	}
}

// TestWhatTheClockForgotLastsForNoDayTooMany: a clock knows its last boots only. What
// was read in another is dated by what the city was told of that boot's entries, or
// at least by the order.
func TestWhatTheClockForgotLastsForNoDayTooMany(t *testing.T) {
	const forgotten, never = 7, 8
	on := func(day int, clock string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04:05", fmt.Sprintf("2026-11-%02d %s", day, clock), wib)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	// In that boot nobody set the clock, and what its entries were is known from
	// when it still was.
	in := func(boot byte, hours float64) presence.Reading {
		return presence.Reading{Boot: presence.ID{boot}, Boottime: time.Duration(hours * float64(time.Hour))}
	}
	synced := func(day int, clock string) presence.Reading {
		return at(1, on(day, clock).Format("2006-01-02 15:04:05"))
	}
	alive, first, last := in(forgotten, 9), in(forgotten, 2), in(forgotten, 3)
	var d diary
	told := make(map[uint64]presence.Timing)
	add := func(r presence.Reading, t presence.Timing, add func()) {
		add()
		told[uint64(len(d.entries))] = t
	}
	corrected := func(at time.Time) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: at, Error: time.Second}
	}
	unknown := presence.Timing{Quality: presence.QualityUnsynced}
	plain := func(day int, clock string, do func(presence.Reading)) {
		r := synced(day, clock)
		add(r, presence.Raw(r), func() { do(r) })
	}
	plain(20, "07:00:00", func(r presence.Reading) { d.start(r, true) })
	add(in(forgotten, 1), corrected(on(21, "08:00:00")), func() { d.start(in(forgotten, 1), true) })
	// A power cut, after which the next start names when the process was last alive.
	plain(23, "07:00:00", func(r presence.Reading) {
		d.start(r, false)
		d.entries[len(d.entries)-1].Start.Alive = &alive
		d.entries[len(d.entries)-1].Start.Previous.Clean = false
	})
	plain(23, "07:00:01", func(r presence.Reading) {
		d.add(r, presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Reason: presence.GapWriteFailed, First: &first, Last: &last}})
	})
	// A start of which nobody knows when it was, and one after it.
	add(in(never, 0), unknown, func() { d.start(in(never, 0), false) })
	plain(24, "07:00:00", func(r presence.Reading) { d.start(r, false) })
	plain(27, "07:00:00", func(r presence.Reading) { d.tap(r, "h:aa") })

	end := in(forgotten, 10)
	lines := make(map[int]string)
	for n := 18; n < 28; n++ {
		c := recap.New(origin, on(n, "12:00:00"), readings{})
		for _, e := range d.entries {
			c.Entry(e, told[e.Pos])
		}
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: in(forgotten, 3), To: &end, Times: 1})
		c.Now(corrected(on(27, "12:00:00")))
		lines[n] = failures(c.Sheet())
	}
	off := "power-off 21-15~21-16 to 23-06~23-07"
	restart := "power-off 23-07~23-07 to 23-07~24-07"
	want := map[int]string{
		20: "stopped 20-06~20-07 to 21-07~21-08",
		21: "stopped 20-06~20-07 to 21-07~21-08, reader-door 21-09~21-10 to 21-16~21-17, " + off + ", gap 21-09 21-10",
		22: off,
		23: off + ", " + restart + ", power-off 23-07~24-07 to 24-06~24-07",
		24: restart + ", power-off 23-07~24-07 to 24-06~24-07",
	}
	for n := 18; n < 28; n++ {
		if lines[n] != want[n] {
			t.Errorf("the sheet of day %d has %q, want %q", n, lines[n], want[n])
		}
	}
}

// failures are the outages of a sheet with the bounds of their ends, and its gaps, to
// the hour.
func failures(s recap.Sheet) string {
	const hour = "02-15"
	bounds := func(t presence.Timing) string {
		from, to, _ := t.Bounds()
		return from.In(wib).Format(hour) + "~" + to.In(wib).Format(hour)
	}
	var all []string
	for _, o := range s.Outages {
		all = append(all, o.What.Code()+" "+bounds(o.From)+" to "+bounds(o.To))
	}
	for _, g := range s.Gaps {
		all = append(all, "gap "+g.First.Time.In(wib).Format(hour)+" "+g.Last.Time.In(wib).Format(hour))
	}
	return strings.Join(all, ", ")
}
