package outage_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// raw is a clock that knows of readings what they say themselves.
type raw struct{}

func (raw) Revise(before presence.Timing, r presence.Reading) presence.Timing {
	return presence.Revise(before, presence.Raw(r))
}

func (raw) Changed() <-chan struct{} { return nil }

// open opens the log of a process that follows one which was alive last at a
// second; 0: nobody knows.
func open(t *testing.T, s *shelf, stream byte, alive int) *outage.Log {
	t.Helper()
	l, err := outage.Open(s, presence.ID{stream}, raw{}, func(before presence.ID) (presence.Reading, bool) {
		if before != (presence.ID{stream - 1}) && before != (presence.ID{}) {
			t.Errorf("asked for the end of %v", before)
		}
		return second(alive), alive > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func second(n int) presence.Reading {
	return presence.Reading{Boot: presence.ID{1}, Boottime: time.Duration(n) * time.Second}
}

const keep = 35 * 24 * time.Hour

// outages are those with these codes.
func outages(codes ...string) []alerts.Outage {
	var all []alerts.Outage
	for _, code := range codes {
		o := alerts.Outage{Failure: alerts.Failure(code)}
		if name, ok := strings.CutPrefix(code, "reader-"); ok {
			o = alerts.Outage{Failure: alerts.ReaderBroken, Name: name}
		}
		if name, ok := strings.CutPrefix(code, "receiver-"); ok {
			o = alerts.Outage{Failure: alerts.ReceiverLost, Name: name}
		}
		all = append(all, o)
	}
	return all
}

func observe(t *testing.T, l *outage.Log, at int, broken ...string) {
	t.Helper()
	if err := l.Observe(second(at), outages(broken...), keep); err != nil {
		t.Fatal(err)
	}
}

func lines(all []outage.Outage) string {
	var s []string
	for _, o := range all {
		line := o.What.Code() + " " + o.From.Boottime.String()
		if o.To != nil {
			line += "-" + o.To.Boottime.String()
		}
		if o.Times > 1 {
			line += fmt.Sprintf(" %d times, %v", o.Times, o.Down)
		}
		s = append(s, line)
	}
	return strings.Join(s, ", ")
}

func saved(t *testing.T, s *shelf, alive *presence.Reading) string {
	t.Helper()
	all, err := outage.Read(s, raw{}, alive)
	if err != nil {
		t.Fatal(err)
	}
	return lines(all)
}

func TestOutagesAreNotedFromTheirBeginning(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	observe(t, l, 10, "reader-door")
	observe(t, l, 12) // too brief to be worth a line
	observe(t, l, 20, "reader-door")
	observe(t, l, 26, "reader-door", "clock-unknown")
	observe(t, l, 60, "clock-unknown")
	observe(t, l, 61, "clock-unknown")
	want := "reader-door 20s-1m0s, clock-unknown 26s"
	if got := lines(l.All()); got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
	if got := saved(t, s, nil); got != want {
		t.Errorf("saved %q, want %q", got, want)
	}
	if s.saves != 2 {
		t.Errorf("%d saves for 2 changes", s.saves)
	}
}

// A reader that is opened again is no outage, however it is looked at.
func TestBriefOutagesAreNotNoted(t *testing.T) {
	for lasts := range 8 {
		l := open(t, newShelf(), 1, 0)
		for s := range lasts {
			observe(t, l, 10+s, "reader-door")
		}
		observe(t, l, 10+lasts)
		observe(t, l, 30)
		// Seen for the last time at lasts-1 seconds, it had lasted so long.
		if noted := len(l.All()) > 0; noted != (lasts-1 >= 5) {
			t.Errorf("%d s are noted: %v", lasts, noted)
		}
	}
}

func TestWhatWasBrokenEndsWithTheProcess(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	observe(t, l, 1, "reader-door")
	observe(t, l, 10, "reader-door")
	l = open(t, s, 2, 30)
	observe(t, l, 100, "reader-door")
	observe(t, l, 110, "reader-door")
	want := "reader-door 1s-30s, reader-door 1m40s"
	if got := lines(l.All()); got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
	if got := saved(t, s, nil); got != want {
		t.Errorf("saved %q", got)
	}
	// Of a gateway that does not run now, nothing goes on.
	alive := second(200)
	if got, want := saved(t, s, &alive), "reader-door 1s-30s, reader-door 1m40s-3m20s"; got != want {
		t.Errorf("of a gateway that is off: %q, want %q", got, want)
	}
}

// The end of one process stays what it was, however many follow.
func TestEndsDoNotMove(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	observe(t, l, 1, "reader-door")
	observe(t, l, 10, "reader-door")
	if err := l.Close(second(40)); err != nil {
		t.Fatal(err)
	}
	s.ride()
	const want = "reader-door 1s-40s"
	for n := byte(2); n < 6; n++ {
		l := open(t, s, n, 100*int(n))
		observe(t, l, 100*int(n)+1)
		if got := lines(l.All()); got != want {
			t.Errorf("to process %d it was %q", n, got)
		}
	}
	// Where the disk is full, nobody can note the end; the next knows it all the
	// same.
	s = newShelf()
	l = open(t, s, 1, 0)
	observe(t, l, 1, "reader-door")
	observe(t, l, 10, "reader-door")
	s.fails = errors.New("no room")
	open(t, s, 2, 50)
	s.fails = nil
	third, err := outage.Open(s, presence.ID{3}, raw{}, func(stream presence.ID) (presence.Reading, bool) {
		if stream == (presence.ID{1}) {
			return second(50), true
		}
		return second(500), true
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(third.All()), "reader-door 1s-50s"; got != want {
		t.Errorf("after a process that could not save: %q, want %q", got, want)
	}
	// What is known of its end is never before what was seen of it.
	l = open(t, s, 2, 5)
	if got, want := lines(l.All()), "reader-door 1s-10s"; got != want {
		t.Errorf("with a sign of life from before: %q, want %q", got, want)
	}
}

// What fails over and over is one line, and costs next to nothing, all day long.
func TestFlappingIsOneOutage(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	const day = 24 * 3600
	failures := 0
	for at := range day {
		if at%600 == 599 {
			s.ride() // the heartbeat
		}
		switch at % 12 {
		case 0:
			failures++
			fallthrough
		case 1, 2, 3, 4, 5:
			observe(t, l, at, "reader-door", "receiver-yard")
		default:
			observe(t, l, at)
		}
	}
	all := l.All()
	if len(all) > 20 {
		t.Fatalf("%d outages", len(all))
	}
	for _, what := range outages("reader-door", "receiver-yard") {
		times, down := 0, time.Duration(0)
		for _, o := range all {
			if o.What == what {
				times += o.Times
				down += o.Down
			}
		}
		if times != failures || down != time.Duration(failures)*6*time.Second {
			t.Errorf("%s failed %d times for %v, noted %d for %v", what.Code(), failures, time.Duration(failures)*6*time.Second, times, down)
		}
	}
	if s.saves > 48 || s.bytes > 30_000 {
		t.Errorf("%d writes, %d bytes of notes", s.saves, s.bytes)
	}
	// It calms down: the next is one of its own.
	observe(t, l, day+1200, "reader-door")
	observe(t, l, day+1210, "reader-door")
	if got := l.All(); len(got) != len(all)+1 || got[len(got)-1].Times != 1 {
		t.Errorf("after a rest: %s", lines(got[len(got)-1:]))
	}
}

func TestTheLogIsBounded(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	for n := range 1200 {
		observe(t, l, n*2000, "reader-door")
		observe(t, l, n*2000+10, "reader-door")
		observe(t, l, n*2000+50)
	}
	all := l.All()
	if len(all) != 1000 || all[999].From != second(1199*2000) {
		t.Errorf("%d outages, the newest %+v", len(all), all[len(all)-1])
	}
	observe(t, l, int(80*24*time.Hour/time.Second), "x")
	observe(t, l, int(80*24*time.Hour/time.Second)+10, "x")
	if got := l.All(); len(got) != 1 {
		t.Errorf("%d outages outlived their time", len(got)-1)
	}
	s.ride()
	if len(s.data) != 1 {
		t.Errorf("%d notes are on disk", len(s.data))
	}
}

// Of what flaps, the store may know an old state when the process is cut off:
// nobody takes it to have lasted until then.
func TestOldNewsAreNotTakenToLast(t *testing.T) {
	s := newShelf()
	l := open(t, s, 1, 0)
	for n := range 8 {
		observe(t, l, n*20, "reader-door")
		observe(t, l, n*20+6, "reader-door") // the sixth is saved as one that goes on
		s.ride()
		observe(t, l, n*20+10)
	}
	l = open(t, s, 2, 3000)
	all := l.All()
	if got, want := lines(all[len(all)-1:]), "reader-door 1m20s-1m46s 2 times, 16s"; got != want {
		t.Errorf("after a cut: %q, want %q", got, want)
	}
	// And as many single outages as cannot all be saved at once.
	s = newShelf()
	l = open(t, s, 1, 0)
	for n := range 10 {
		observe(t, l, n*1000, "reader-door")
		observe(t, l, n*1000+6, "reader-door")
		s.ride()
		observe(t, l, n*1000+10)
	}
	for _, o := range open(t, s, 2, 50_000).All() {
		if lasted := o.To.Boottime - o.From.Boottime; lasted > 10*time.Second {
			t.Errorf("%s lasted 10 s, noted are %v", lines([]outage.Outage{o}), lasted)
		}
	}
}

func (asleep) Changed() <-chan struct{} { return nil }
