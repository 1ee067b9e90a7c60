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

const (
	in        = presence.ZoneInside
	out       = presence.ZoneOutside
	uncertain = presence.ZoneUncertain
)

type zones = map[string]presence.Zone

// One day of Ana's, told by what her badge and her tag do.
func TestWhatIsSaid(t *testing.T) {
	for _, tc := range []struct {
		name string
		day  func(*desk)
		want []string
	}{
		{"at work all day", func(d *desk) {
			d.tap(ana)
			d.stay("12:00", zones{anasTag: in})
			d.until("13:00")
			d.stay("18:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"the tag is silent", func(d *desk) {
			d.until("09:00")
			d.tap(ana)
			d.until("11:00")
		}, []string{"mon 09:00 badge_only"}},
		{"the tag is inside and the badge forgotten", func(d *desk) {
			d.stay("12:00", zones{anasTag: in})
		}, nil},
		{"only the tag is there", func(d *desk) {
			d.stay("12:00", zones{anasTag: out})
		}, nil},
		{"shown and left", func(d *desk) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("09:00", zones{anasTag: out})
		}, []string{"mon 08:01 on_site", "mon 08:16 contradiction"}},
		{"shown by a colleague", func(d *desk) {
			d.stay("08:30", zones{anasTag: out})
			d.tap(ana)
			d.stay("12:00", zones{anasTag: out})
		}, []string{"mon 08:36 contradiction"}},
		{"left and came back", func(d *desk) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("09:00", zones{anasTag: out})
			d.stay("10:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "mon 08:16 contradiction", "mon 09:01 on_site"}},
		{"comes by the road and taps at the door", func(d *desk) {
			d.stay("08:30", zones{anasTag: out})
			d.tap(ana)
			d.stay("08:33", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: in})
		}, []string{"mon 08:34 on_site"}},
		{"out for five minutes less a little", func(d *desk) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("08:15", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"one fix in between says otherwise", func(d *desk) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			for _, minute := range []string{"08:14", "08:19", "08:24", "08:29"} {
				d.stay(minute, zones{anasTag: out})
				d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: uncertain})
			}
		}, []string{"mon 08:01 on_site"}},
		{"silent from out there", func(d *desk) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("08:14", zones{anasTag: out})
			d.until("12:00")
		}, []string{"mon 08:01 on_site", "mon 08:19 badge_only"}},
		{"a contradiction ends with a silence", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.until("10:00")
		}, []string{"mon 08:06 contradiction", "mon 09:05 badge_only"}},
		{"a contradiction ends with the badge", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.until("09:03")
			d.expect(ana, "mon 08:06 contradiction")
			d.tap(ana)
			d.until("09:04")
		}, []string{"mon 08:06 contradiction", "mon 09:03 badge_only"}},
		{"a contradiction ends with a doubt", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.stay("10:00", zones{anasTag: uncertain})
		}, []string{"mon 08:06 contradiction", "mon 09:01 badge_only"}},
		{"uncertain from the beginning", func(d *desk) {
			d.stay("09:00", zones{anasTag: uncertain})
			d.tap(ana)
			d.stay("10:00", zones{anasTag: uncertain})
		}, []string{"mon 09:06 badge_only"}},
		{"late from lunch", func(d *desk) {
			d.tap(ana)
			d.stay("11:58", zones{anasTag: in})
			d.tags[anasTag].interval = time.Hour // so that the break is no silence
			d.stay("12:00", zones{anasTag: out})
			d.until("13:00")
			d.stay("13:05", zones{anasTag: out})
			d.stay("14:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"too late from lunch", func(d *desk) {
			d.tap(ana)
			d.stay("12:00", zones{anasTag: in})
			d.until("13:00")
			d.stay("13:30", zones{anasTag: out})
			d.stay("14:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "mon 13:06 contradiction", "mon 13:31 on_site"}},
		{"not heard in the break", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: out})
			d.until("13:01")
			d.stay("13:10", zones{anasTag: out})
		}, []string{"mon 08:06 contradiction"}},
		{"shown again while the tag is elsewhere", func(d *desk) {
			d.tap(ana)
			d.stay("08:04", zones{anasTag: out})
			d.tap(ana)
			d.stay("08:30", zones{anasTag: out})
		}, []string{"mon 08:10 contradiction"}},
		{"a new day", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("tue 07:20")
			d.tap(ana)
			d.stay("tue 09:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "tue 07:31 on_site"}},
		{"absent the next day", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("mon 16:00")
			d.until("wed 09:00")
			d.tap(ana)
			d.until("wed 10:00")
		}, []string{"mon 08:01 on_site", "tue 07:35 off_site", "wed 09:00 badge_only"}},
		{"absent after a long time without power", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("sat 10:00")
			d.restart()
			d.until("sun 23:00")
			d.time = monday.AddDate(0, 0, 7).Add(8 * time.Hour)
			d.until("09:00")
		}, []string{"mon 08:01 on_site", "mon 08:00 off_site"}},
		{"forgot the badge the next day", func(d *desk) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("tue 07:30")
			d.stay("tue 09:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"before the office opens and after it closes", func(d *desk) {
			d.time = d.at("06:00")
			d.tap(ana)
			d.stay("07:29", zones{anasTag: out})
			d.stay("07:31", zones{anasTag: in})
			d.stay("15:59", zones{anasTag: in})
			d.stay("17:00", zones{anasTag: out})
		}, []string{"mon 07:31 on_site"}},
		{"before the office opens, with a tag that is silent", func(d *desk) {
			d.time = d.at("06:00")
			d.tap(ana)
			d.until("10:00")
		}, []string{"mon 07:35 badge_only"}},
		{"on a Sunday", func(d *desk) {
			d.time = d.at("sun 09:00")
			d.tap(ana)
			d.stay("sun 10:00", zones{anasTag: out})
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t, "mon 08:00")
			tc.day(d)
			d.expect(ana, tc.want...)
			d.expect(budi)
		})
	}
}

// Each event names what it rests on, and only a contradiction tells a distance.
func TestNamesWhatItRestsOn(t *testing.T) {
	d := newDesk(t, "mon 08:00")
	first := d.tap(ana)
	d.stay("08:10", zones{anasTag: in})
	inside := d.persons(ana)[0].Person.Events[1]
	again := d.tap(ana)
	d.stay("08:20", zones{anasTag: out})
	d.until("08:30")
	events := d.persons(ana)
	turn := events[1].Person.Events[2]
	for i, want := range []presence.Person{
		{State: presence.OnSite, Events: []presence.EventID{first, inside}},
		{State: presence.Contradiction, Events: []presence.EventID{first, again, turn}},
		{State: presence.BadgeOnly, Events: []presence.EventID{first, again, turn}},
	} {
		got := events[i].Person
		if got.State != want.State || !slices.Equal(got.Events, want.Events) || got.Tag != anasTag {
			t.Errorf("%+v, want %+v", got, want)
		}
		if (got.Distance != nil) != (got.State == presence.Contradiction) {
			t.Errorf("%v tells the distance %v", got.State, got.Distance)
		}
	}
	if e := d.book.entries[turn.Seq-1]; e.Tag == nil || e.Tag.Zone != out {
		t.Errorf("the contradiction rests on %+v", e)
	}
}

// Of a tag that comes and goes all day not much is said.
func TestFlappingIsBounded(t *testing.T) {
	d := newDesk(t, "mon 07:30")
	d.tap(ana)
	for d.time.Before(d.at("16:00")) {
		d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: in})
		d.stay(d.time.Add(6*time.Minute).Format("15:04"), zones{anasTag: uncertain})
	}
	if n := len(d.persons(ana)); n > 3 {
		t.Errorf("%d events: %s", n, d.said(ana))
	}
	d = newDesk(t, "mon 07:30")
	d.tap(ana)
	for d.time.Before(d.at("16:00")) {
		d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: in})
		for n := len(d.persons(ana)); n == len(d.persons(ana)) && d.time.Before(d.at("16:00")); {
			d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: uncertain})
		}
	}
	if n := len(d.persons(ana)); n > 18 {
		t.Errorf("%d events at worst: %s", n, d.said(ana))
	}
}

// A restart forgets nothing and says nothing twice, but what it did not hear
// itself is not held against anybody.
func TestRestart(t *testing.T) {
	d := newDesk(t, "mon 08:00")
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

// The roster decides who is judged by which tag, and may change at any time.
func TestRosterChanges(t *testing.T) {
	d := newDesk(t, "mon 08:00")
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
func TestNothingIsSaidWhileTheTimeIsUnknown(t *testing.T) {
	d := newDesk(t, "mon 09:00")
	right := d.timing
	unknown := func(presence.Reading) presence.Timing { return presence.Timing{Quality: presence.QualityUnsynced} }
	d.timing = unknown
	d.tap(ana)
	yesterday := d.enter(presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Badge: budi}})
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

// A contradiction names only what was after the badge was shown last: that the
// tag was outside before says nothing of the person who then came.
func TestContradictionsNameWhatCameAfterTheTap(t *testing.T) {
	d := newDesk(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:20", zones{anasTag: out}) // outside since before the second tap
	again := d.tap(ana)
	d.stay("09:00", zones{anasTag: out})
	found := 0
	for _, e := range d.persons(ana) {
		if e.Person.State != presence.Contradiction {
			continue
		}
		found++
		taps, sightings := 0, 0
		shown := d.book.entries[e.Person.Events[0].Seq-1].At // the badge event before
		for _, id := range e.Person.Events {
			o := d.book.entries[id.Seq-1]
			if o.Badge != nil {
				taps++
				shown = o.At
				continue
			}
			sightings++
			if passed, _ := o.At.Since(shown); passed < 0 || o.Tag.Zone != out {
				t.Errorf("it names a sighting of %v before the badge was shown last", passed)
			}
		}
		if taps == 0 {
			t.Errorf("it names %d taps and %d sightings", taps, sightings)
		}
	}
	if found == 0 {
		t.Errorf("nothing was said after %v", again)
	}
	// The same with the second tap before anything was said of the first.
	d = newDesk(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:03", zones{anasTag: out})
	last := d.tap(ana)
	d.stay("09:00", zones{anasTag: out})
	events := d.persons(ana)
	if len(events) == 0 || events[len(events)-1].Person.State != presence.Contradiction {
		t.Fatalf("said %+v", events)
	}
	for _, id := range events[len(events)-1].Person.Events[2:] {
		if id.Seq < last.Seq {
			t.Errorf("the contradiction rests on sighting %d, the badge was shown at %d", id.Seq, last.Seq)
		}
	}
	// A sighting that is recorded afterwards is named, one that was only written
	// down later is not.
	d = newDesk(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:02", zones{anasTag: out})
	early := d.now()
	d.time = d.time.Add(time.Second)
	last = d.tap(ana)
	if _, err := d.book.Append(t.Context(), presence.Draft{
		Kind: presence.KindTag, At: early,
		Tag: &presence.Tag{Receiver: "yard", Tag: anasTag, Zone: out, Fix: presence.FixLive},
	}); err != nil {
		t.Fatal(err)
	}
	d.stay("08:04", zones{anasTag: out})
	heartbeat := d.enter(presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: anasTag, Zone: out, Fix: presence.FixLive}})
	d.stay("09:00", zones{anasTag: out})
	events = d.persons(ana)
	if len(events) == 0 || !slices.Equal(events[len(events)-1].Person.Events[1:], []presence.EventID{last, heartbeat}) {
		t.Errorf("said %+v, want it to rest on %v and %v", events, last, heartbeat)
	}
}

// A clock that was set wrong for a while costs nothing that was said of today.
func TestTheDayComesBack(t *testing.T) {
	d := newDesk(t, "mon 08:00")
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
func TestABadgeEventThatWent(t *testing.T) {
	d := newDesk(t, "mon 08:00")
	shown := d.tap(ana)
	d.stay("09:00", zones{anasTag: in})
	i := slices.IndexFunc(d.book.entries, func(e presence.Entry) bool { return e.Badge != nil })
	d.book.entries[i].Draft = presence.Draft{Kind: presence.KindGap, At: d.book.entries[i].At, Gap: &presence.Gap{}}
	d.restart()
	d.stay("09:30", zones{anasTag: out})
	d.expect(ana, "mon 08:01 on_site", "mon 09:06 contradiction")
	if got := d.persons(ana)[1].Person.Events[0]; got != shown {
		t.Errorf("rests on %v", got)
	}
}

// An event that could not be recorded was not said, and is said later.
func TestTheJournalRefuses(t *testing.T) {
	d := newDesk(t, "mon 09:00")
	d.tap(ana)
	d.book.fail = errors.New("full")
	if err := d.look(context.Background()); !errors.Is(err, d.book.fail) {
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
func TestRunLooksWithoutBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "mon 09:00")
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
	d := newDesk(t, "mon 08:00")
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
