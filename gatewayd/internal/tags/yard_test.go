package tags_test

import (
	"context"
	"log/slog"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// wib is the office's time zone.
var wib = time.FixedZone("WIB", 7*60*60)

// tuesday is a moment in working hours.
var tuesday = time.Date(2026, 11, 24, 9, 0, 0, 0, wib)

const (
	officeLat = -7.9778
	officeLon = 112.6340

	// A metre north, in degrees.
	metre = 1.0 / 111_195
)

// yard is tags with a journal in memory and a clock that a test moves.
type yard struct {
	*tags.Tags
	opt    tags.Options
	time   time.Time // what it really is
	boot   presence.ID
	state  presence.ClockState
	within time.Duration // the clock is right
	drafts []presence.Draft
	refuse error

	block   chan struct{} // until it is closed, the journal takes nothing
	blocked func()        // is told when it begins to wait
}

// open makes a yard at a moment; everything is recorded unless opt says less.
func open(at time.Time, opt tags.Options) *yard {
	y := &yard{opt: opt, time: at, boot: presence.ID{1}, state: presence.ClockSynced}
	y.opt.Always = func() bool { return opt.Open == nil }
	if opt.Coordinates == "" {
		y.opt.Coordinates = tags.Full
	}
	y.opt.Now, y.opt.Timing, y.opt.Journal, y.opt.Log = y.now, y.timing, y, slog.New(slog.DiscardHandler)
	y.Tags = tags.New(y.opt, "yard", "roof")
	return y
}

func (y *yard) now() presence.Reading {
	r := presence.Reading{Boot: y.boot, Boottime: y.time.Sub(tuesday) + 100*time.Hour, State: y.state}
	if y.state != presence.ClockUnsynced {
		r.Wall = y.time.UnixNano()
	}
	return r
}

// timing knows everything of this boot as soon as the clock is synced.
func (y *yard) timing(r presence.Reading) presence.Timing {
	passed, ok := y.now().Since(r)
	if y.state == presence.ClockUnsynced || !ok {
		return presence.Timing{Quality: presence.QualityUnsynced}
	}
	return presence.Timing{Quality: presence.QualityCorrected, Time: y.time.Add(-passed), Error: y.within}
}

func (y *yard) Enqueue(_ context.Context, d presence.Draft) error {
	if y.block != nil {
		y.blocked()
		<-y.block
	}
	if y.refuse != nil {
		return y.refuse
	}
	y.drafts = append(y.drafts, d)
	return nil
}

// restart is another process that reads the journal's tail.
func (y *yard) restart() {
	y.Tags = tags.New(y.opt, "yard", "roof")
	for i := len(y.drafts) - 1; i >= 0; i-- {
		e := presence.Entry{Pos: uint64(i + 1), Record: presence.Record{Draft: y.drafts[i]}}
		if !y.Remember(e) {
			break
		}
	}
}

// hear receives a fix and tells what became of it.
func (y *yard) hear(t interface{ Fatal(...any) }, receiver string, fix beacon.Fix) string {
	before, drafts := y.counts(), len(y.drafts)
	if err := y.Receive(context.Background(), receiver, fix); err != nil {
		t.Fatal(err)
	}
	after := y.counts()
	for _, what := range []string{"duplicate", "thinned", "hours"} {
		if after[what] > before[what] {
			return what
		}
	}
	switch len(y.drafts) - drafts {
	case 0:
		return "nothing"
	case 1:
		return "recorded"
	}
	return "several"
}

func (y *yard) counts() map[string]int64 {
	c := map[string]int64{}
	for _, h := range y.Health() {
		c["duplicate"] += h.Duplicates
		c["thinned"] += h.Thinned
		c["hours"] += h.OutsideHours
		for why, n := range h.Bad {
			c[why] += n
		}
	}
	return c
}

func (y *yard) last() *presence.Tag { return y.drafts[len(y.drafts)-1].Tag }

func at(north float64, when time.Time) beacon.Fix {
	return beacon.Fix{Tag: "kenwood:U00001", Lat: officeLat + north*metre, Lon: officeLon, Time: when}
}

// ofDay is a fix with a time of day only.
func ofDay(when time.Time) beacon.Fix {
	f := at(0, time.Time{})
	u := when.UTC()
	f.Time = time.Date(1, 1, 1, u.Hour(), u.Minute(), u.Second(), 0, time.UTC)
	f.TimeOfDay = true
	return f
}

const theTag = "kenwood:U00001"

// office is a yard with a fence of 100 m and the usual thinning.
func office(t interface{ Fatal(...any) }, opt tags.Options) *yard {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	opt.Fence = fence
	opt.MinInterval, opt.MinMove, opt.Heartbeat = 30*time.Second, 25, 10*time.Minute
	return open(tuesday, opt)
}

// walk hears a live fix every so often, at so many metres north.
func (y *yard) walk(t interface{ Fatal(...any) }, every time.Duration, north ...float64) {
	for _, n := range north {
		y.time = y.time.Add(every)
		y.hear(t, "yard", at(n, y.time))
	}
}
