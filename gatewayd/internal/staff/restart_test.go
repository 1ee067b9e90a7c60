package staff

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

// A restart forgets nothing and says nothing twice, but what it did not hear
// itself is not held against anybody.
func TestRestart(t *testing.T) {
	d := newScene(t, "mon 08:00")
	d.tap(ana)
	d.tap(budi)
	d.stay("08:10", zones{anasTag: in})
	d.restart()
	d.stay("08:13", zones{anasTag: out})
	d.restart() // in the middle of the 5 minutes
	d.stay("08:18", zones{anasTag: out})
	d.expect(ana, "mon 08:01 on_site")
	d.stay("09:00", zones{anasTag: out})
	d.restart()
	d.stay("09:03", zones{anasTag: out})
	d.restart()
	d.stay("09:30", zones{anasTag: in})
	d.time = d.at("tue 07:00")
	d.restart()
	d.until("tue 09:00")
	d.expect(ana, "mon 08:01 on_site", "mon 08:19 contradiction", "mon 09:04 on_site", "tue 07:35 off_site")
	d.expect(budi, "mon 08:01 badge_only", "tue 07:35 off_site")
}

// The roster decides which tag is whose, and may change at any time.
func TestRosterChanges(t *testing.T) {
	d := newScene(t, "mon 08:00")
	change := func(roster map[string]string) {
		d.roster = roster
		close(d.replaced)
		d.replaced = make(chan struct{})
	}
	const spare, newTag = "h:c", "mesh:0000000c"
	d.tap(ana)
	d.tap(spare)
	d.stay("08:10", zones{anasTag: out, newTag: in})
	d.expect(ana, "mon 08:06 contradiction")
	change(map[string]string{ana: newTag}) // she had left the old one at home
	d.stay("08:20", zones{anasTag: out, newTag: in})
	d.expect(ana, "mon 08:06 contradiction", "mon 08:11 on_site")
	change(map[string]string{budi: budisTag, spare: newTag}) // and a card for a guest
	d.stay("08:30", zones{anasTag: out, newTag: in})
	d.expect(ana, "mon 08:06 contradiction", "mon 08:11 on_site")
	d.expect(spare, "mon 08:21 on_site")
	d.expect(budi)
}

// While nobody knows the time nothing is said; when it is known, what was
// recorded before counts for the day on which it was.
func TestNothingIsRecordedWhileTheTimeIsUnknown(t *testing.T) {
	d := newScene(t, "mon 09:00")
	right := d.timing
	unknown := func(presence.Reading) presence.Timing { return presence.Timing{Quality: presence.QualityUnsynced} }
	d.timing = unknown
	d.tap(ana)
	yesterday := d.record(presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Badge: budi}})
	d.step()
	d.expect(ana)

	// Budi's showing may have been on Sunday or on Monday.
	of := func(r presence.Reading) presence.Timing {
		if r == d.book.entries[yesterday.Seq-1].At {
			at := r.WallTime()
			return presence.Timing{Quality: presence.QualityBounded, Time: at.Add(-5 * time.Hour), Error: 5 * time.Hour, Min: at.Add(-10 * time.Hour), Max: at}
		}
		return right(r)
	}
	d.book.entries[yesterday.Seq-1].At.Boottime++
	d.timing = of
	d.until("09:20")
	d.expect(ana, "mon 09:00 badge_only")
	d.expect(budi)

	d.timing = unknown
	d.tap(budi)
	d.until("10:00")
	d.expect(budi)
	d.timing = func(r presence.Reading) presence.Timing {
		t := right(r)
		t.Error = 11 * time.Minute // nobody knows whether it is the break
		return t
	}
	d.until("10:10")
	d.expect(budi)
	d.timing = of
	d.until("10:20")
	d.expect(ana, "mon 09:00 badge_only")
	d.expect(budi, "mon 10:10 badge_only")
}

// A clock that was set wrong for a while costs nothing that was said of today.
func TestTheDayComesBack(t *testing.T) {
	d := newScene(t, "mon 08:00")
	d.tap(ana)
	d.stay("09:00", zones{anasTag: in})
	right := d.timing
	d.timing = func(r presence.Reading) presence.Timing {
		t := right(r)
		t.Time = t.Time.AddDate(0, 0, 1)
		return t
	}
	d.step()
	d.timing = right
	d.stay("10:00", zones{anasTag: in})
	d.expect(ana, "mon 08:01 on_site")
}

// What the journal lost to make room was not nothing: an event of today that
// rests on a badge still tells that it was shown.
func TestABadgeEventThatWasDropped(t *testing.T) {
	d := newScene(t, "mon 08:00")
	shown := d.tap(ana)
	d.stay("09:00", zones{anasTag: in})
	i := slices.IndexFunc(d.book.entries, func(e presence.Entry) bool { return e.Badge != nil })
	d.book.entries[i].Draft = presence.Draft{Kind: presence.KindGap, At: d.book.entries[i].At, Gap: &presence.Gap{}}
	d.restart()
	d.stay("09:30", zones{anasTag: out})
	d.expect(ana, "mon 08:01 on_site", "mon 09:06 contradiction")
	if got := d.presenceEvents(ana)[1].Person.Events[0]; got != shown {
		t.Errorf("rests on %v", got)
	}
}

// An event that could not be recorded was not said, and is said later.
func TestTheJournalRefuses(t *testing.T) {
	d := newScene(t, "mon 09:00")
	d.tap(ana)
	d.book.fail = errors.New("full")
	if err := d.evaluateAll(context.Background()); !errors.Is(err, d.book.fail) {
		t.Errorf("%v", err)
	}
	d.expect(ana)
	d.book.fail = nil
	d.until("09:05")
	d.expect(ana, "mon 09:00 badge_only")
}

// quiet is a journal in which nothing ever happens.
type quiet struct{ book }

func (q *quiet) Next(ctx context.Context, _ uint64, _ int) ([]presence.Entry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Run looks again although nothing is recorded: a silence is no record either.
func TestRunEvaluatesWhereNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScene(t, "mon 09:00")
		d.time = time.Now()
		day := d.time.UTC()
		d.open = func(time.Time) bool { return true }
		d.timing = func(r presence.Reading) presence.Timing {
			return presence.Timing{Quality: presence.QualityTrusted, Time: day.Add(12*time.Hour + r.Boottime)}
		}
		start := time.Now()
		asked := 0
		d.opt.Now = func() presence.Reading { return presence.Reading{Boottime: time.Since(start)} }
		d.opt.Where = func(string) (presence.Whereabouts, bool) { asked++; return presence.Whereabouts{}, false }
		d.opt.Journal = &quiet{}
		d.opt.Location = time.UTC
		d.started = 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		if err := d.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if asked != 2*11 {
			t.Errorf("asked %d times within 10 s for two people", asked)
		}
	})
}

// Of who was removed from the journal nothing is remembered either.
func TestReread(t *testing.T) {
	d := newScene(t, "mon 08:00")
	d.tap(ana)
	d.tap(budi)
	d.stay("09:00", zones{anasTag: in, budisTag: in})
	for i, e := range d.book.entries {
		if e.Badge != nil && e.Badge.Badge == ana || e.Tag != nil && e.Tag.Tag == anasTag || e.Person != nil && e.Person.Badge == ana {
			d.book.entries[i].Draft = presence.Draft{Kind: presence.KindGap, At: e.At, Gap: &presence.Gap{}}
		}
	}
	d.Reread()
	d.stay("10:00", zones{anasTag: out, budisTag: out})
	d.expect(ana)
	d.expect(budi, "mon 08:01 on_site", "mon 09:06 contradiction")
}
