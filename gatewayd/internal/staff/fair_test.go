package staff

import (
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// Each event names what it rests on, and only a contradiction tells a distance.
func TestNamesWhatItRestsOn(t *testing.T) {
	d := newScene(t, "mon 08:00")
	first := d.tap(ana)
	d.stay("08:10", zones{anasTag: in})
	inside := d.presenceEvents(ana)[0].Person.Events[1]
	again := d.tap(ana)
	d.stay("08:20", zones{anasTag: out})
	d.until("08:30")
	events := d.presenceEvents(ana)
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
	d := newScene(t, "mon 07:30")
	d.tap(ana)
	for d.time.Before(d.at("16:00")) {
		d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: in})
		d.stay(d.time.Add(6*time.Minute).Format("15:04"), zones{anasTag: uncertain})
	}
	if n := len(d.presenceEvents(ana)); n > 3 {
		t.Errorf("%d events: %s", n, d.states(ana))
	}
	d = newScene(t, "mon 07:30")
	d.tap(ana)
	for d.time.Before(d.at("16:00")) {
		d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: in})
		for n := len(d.presenceEvents(ana)); n == len(d.presenceEvents(ana)) && d.time.Before(d.at("16:00")); {
			d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: uncertain})
		}
	}
	if n := len(d.presenceEvents(ana)); n > 18 {
		t.Errorf("%d events at worst: %s", n, d.states(ana))
	}
}

// A contradiction names only what was after the badge was shown last: that the
// tag was outside before says nothing of the person who then came.
func TestContradictionsNameWhatCameAfterTheTap(t *testing.T) {
	d := newScene(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:20", zones{anasTag: out}) // outside since before the second tap
	again := d.tap(ana)
	d.stay("09:00", zones{anasTag: out})
	found := 0
	for _, e := range d.presenceEvents(ana) {
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
	d = newScene(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:03", zones{anasTag: out})
	last := d.tap(ana)
	d.stay("09:00", zones{anasTag: out})
	events := d.presenceEvents(ana)
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
	d = newScene(t, "mon 08:00")
	d.tap(ana)
	d.stay("08:02", zones{anasTag: out})
	early := d.now()
	d.time = d.time.Add(time.Second)
	last = d.tap(ana)
	if _, err := d.book.Append(t.Context(), presence.Draft{
		Kind: presence.KindTag, At: early,
		Tag: &presence.Tag{Receiver: "yard", Tag: anasTag, Zone: out, Fix: presence.FreshnessLive},
	}); err != nil {
		t.Fatal(err)
	}
	d.stay("08:04", zones{anasTag: out})
	heartbeat := d.record(presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: anasTag, Zone: out, Fix: presence.FreshnessLive}})
	d.stay("09:00", zones{anasTag: out})
	events = d.presenceEvents(ana)
	if len(events) == 0 || !slices.Equal(events[len(events)-1].Person.Events[1:], []presence.EventID{last, heartbeat}) {
		t.Errorf("said %+v, want it to rest on %v and %v", events, last, heartbeat)
	}
}
