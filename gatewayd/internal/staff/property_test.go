package staff

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

// witness sees everything that happens and holds what is said against it.
type witness struct {
	*scene
	fixes    map[string][]seenFix // by tag
	restarts []time.Time
	checked  int // entries of the book
}

type seenFix struct {
	at   time.Time
	zone presence.Zone
}

func newWitness(t *rapid.T) *witness {
	return &witness{scene: newScene(t, "mon 07:00"), fixes: make(map[string][]seenFix)}
}

// check checks the presence events that were recorded since it was called last.
func (w *witness) check(t *rapid.T) {
	for ; w.checked < len(w.book.entries); w.checked++ {
		e := w.book.entries[w.checked]
		if e.Person != nil {
			w.checkOne(t, e, w.book.entries[:w.checked])
		}
	}
}

func (w *witness) checkOne(t *rapid.T, e presence.Entry, before []presence.Entry) {
	p, at := e.Person, e.At.WallTime().In(wib)
	what := fmt.Sprintf("%s of %s at %s", p.State, p.Badge, at.Format("Mon 15:04:05"))
	if !week().Open(at) {
		t.Fatalf("%s: the office is closed", what)
	}
	day := dayOf(at)
	var taps []time.Time
	for _, o := range before {
		when := o.At.WallTime().In(wib)
		switch {
		case o.Badge != nil && o.Badge.Badge == p.Badge && dayOf(when) == day:
			taps = append(taps, when)
		case o.Person != nil && o.Person.Badge == p.Badge && dayOf(when) == day && at.Sub(when) < 0:
			t.Fatalf("%s: said before its time", what)
		}
	}
	last := slices.IndexFunc(reversed(before), func(o presence.Entry) bool { return o.Person != nil && o.Person.Badge == p.Badge })
	if last >= 0 {
		o := reversed(before)[last]
		same := o.Person.State == p.State
		if same && (dayOf(o.At.WallTime()) == day || p.State == presence.OffSite) {
			t.Fatalf("%s: said already", what)
		}
	}
	if (p.State == presence.OffSite) != (len(taps) == 0) {
		t.Fatalf("%s: the badge was shown %d times", what, len(taps))
	}
	if p.State == presence.OffSite {
		return
	}
	checkReasons(t, what, p, before, taps)
	w.checkTag(t, what, p, at, taps)
}

// checkReasons checks the events that a presence event names.
func checkReasons(t *rapid.T, what string, p *presence.Person, before []presence.Entry, taps []time.Time) {
	for i, id := range p.Events {
		o := before[id.Seq-1]
		if when := o.At.WallTime(); p.State == presence.Contradiction && o.Tag != nil && (when.Before(taps[len(taps)-1]) || o.Tag.Zone != out) {
			t.Fatalf("%s: rests on %+v, the badge was shown last at %v", what, o, taps[len(taps)-1])
		}
		if i == 0 && (o.Badge == nil || !o.At.WallTime().Equal(taps[0])) || o.Badge == nil && (o.Tag == nil || o.Tag.Tag != p.Tag) {
			t.Fatalf("%s: rests on %+v", what, o)
		}
	}
}

// checkTag checks a state against the fixes of the person's tag.
func (w *witness) checkTag(t *rapid.T, what string, p *presence.Person, at time.Time, taps []time.Time) {
	fixes := w.fixes[p.Tag]
	silent := len(fixes) == 0 || at.Sub(fixes[len(fixes)-1].at) > 2*time.Minute
	switch p.State {
	case presence.OnSite:
		if silent || fixes[len(fixes)-1].zone != in {
			t.Fatalf("%s: the tag is not inside", what)
		}
	case presence.Contradiction:
		first := at
		for i, f := range slices.Backward(fixes) {
			if f.zone != out || i+1 < len(fixes) && fixes[i+1].at.Sub(f.at) > 2*time.Minute || !w.counts(f.at, taps) {
				break
			}
			first = f.at
		}
		if silent || fixes[len(fixes)-1].at.Sub(first) < 5*time.Minute {
			t.Fatalf("%s: outside from %v on only", what, first)
		}
	}
}

// counts tells whether a fix counts against somebody: it came after the badge was
// shown last, the office opened, and the process began.
func (w *witness) counts(fix time.Time, taps []time.Time) bool {
	now := w.time
	for t := fix; t.Before(now); t = t.Add(time.Minute) {
		if !week().Open(t) {
			return false
		}
	}
	return !fix.Before(taps[len(taps)-1]) && (len(w.restarts) == 0 || !fix.Before(w.restarts[len(w.restarts)-1]))
}

func reversed(list []presence.Entry) []presence.Entry {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func dayOf(t time.Time) string { return t.In(wib).Format(time.DateOnly) }

// move is one thing that happens.
type move struct {
	what  string
	who   int
	zone  presence.Zone
	times int // so often, or for so many seconds
}

func drawMove(t *rapid.T) move {
	return move{
		what:  rapid.SampledFrom([]string{"tap", "heard", "heard", "heard", "heard", "silence", "silence", "restart", "long"}).Draw(t, "what"),
		who:   rapid.IntRange(0, 1).Draw(t, "who"),
		zone:  rapid.SampledFrom([]presence.Zone{in, out, out, uncertain}).Draw(t, "zone"),
		times: rapid.IntRange(1, 9).Draw(t, "times"),
	}
}

func (w *witness) play(t *rapid.T, m move) {
	badge, tag := []string{ana, budi}[m.who], []string{anasTag, budisTag}[m.who]
	pass := func(d time.Duration) {
		for end := w.time.Add(d); w.time.Before(end); {
			w.time = w.time.Add(min(20*time.Second, end.Sub(w.time)))
			w.step()
			w.check(t)
		}
	}
	switch m.what {
	case "tap":
		w.tap(badge)
	case "heard":
		for range m.times {
			pass(time.Minute)
			if week().Open(w.time) { // the room of the tags drops all others
				w.fixes[tag] = append(w.fixes[tag], seenFix{w.time, m.zone})
				w.hear(tag, m.zone)
			}
			w.step()
			w.check(t)
		}
	case "silence":
		pass(time.Duration(m.times) * time.Minute)
	case "long":
		pass(time.Duration(m.times) * 10 * time.Minute)
	case "restart":
		w.step()
		w.check(t)
		n := len(w.book.entries)
		w.restart()
		w.restarts = append(w.restarts, w.time)
		w.step()
		if len(w.book.entries) != n {
			t.Fatalf("a restart at %s says %+v", w.time.Format("Mon 15:04:05"), w.book.entries[n].Person)
		}
	}
	w.step()
	w.check(t)
}

// Whatever happens: nobody is accused without 5 minutes of live fixes that all
// count and all say outside, nothing is said twice or in the break, all that is
// said rests on what was recorded, and the same days end with the same words.
func TestNobodyIsAccusedWithoutProof(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		moves := rapid.SliceOfN(rapid.Custom(drawMove), 1, 60).Draw(t, "moves")
		first, second := newWitness(t), newWitness(t)
		for _, m := range moves {
			first.play(t, m)
		}
		for _, m := range moves {
			second.play(t, m)
		}
		if !reflect.DeepEqual(first.book.entries, second.book.entries) {
			t.Fatal("the same days, and other words")
		}
		perDay := make(map[string]int)
		for _, e := range first.book.entries {
			if e.Person != nil {
				key := e.Person.Badge + dayOf(e.At.WallTime())
				if perDay[key]++; perDay[key] > 40 {
					t.Fatalf("more than 40 events of one person on one day")
				}
			}
		}
	})
}
