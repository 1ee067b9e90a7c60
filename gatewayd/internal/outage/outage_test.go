package outage_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// shelf is a store in memory that counts.
type shelf struct {
	data  map[string][]byte
	rides map[string][]byte // to be written with what is written next
	saves int
	bytes int
	fails error
}

func newShelf() *shelf {
	return &shelf{data: make(map[string][]byte), rides: make(map[string][]byte)}
}

func (s *shelf) LoadAll(prefix string) (map[string][]byte, error) {
	found := make(map[string][]byte)
	for name, text := range s.data {
		if strings.HasPrefix(name, prefix) {
			found[name] = text
		}
	}
	return found, nil
}

func (s *shelf) SaveAll(texts map[string][]byte) error {
	if s.fails != nil {
		return s.fails
	}
	s.saves++
	s.ride()
	s.put(texts)
	return nil
}

func (s *shelf) SaveLater(texts map[string][]byte) error {
	if s.fails != nil {
		return s.fails
	}
	maps.Copy(s.rides, texts)
	return nil
}

// ride is some other commit.
func (s *shelf) ride() {
	s.put(s.rides)
	clear(s.rides)
}

func (s *shelf) put(texts map[string][]byte) {
	for name, text := range texts {
		s.bytes += len(text)
		if text == nil {
			delete(s.data, name)
		} else {
			s.data[name] = text
		}
	}
}

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

func TestALogThatCannotBeReadOrSavedIsSaid(t *testing.T) {
	s := newShelf()
	s.data[outage.Prefix+"/0000000000000001"] = []byte("\xff\xff")
	s.data[outage.Prefix] = []byte("\x82\x03\x80") // another version
	l, err := outage.Open(s, presence.ID{1}, raw{}, func(presence.ID) (presence.Reading, bool) { return presence.Reading{}, false })
	if err == nil || l == nil {
		t.Fatalf("log %v, error %v", l, err)
	}
	s.fails = errors.New("no room")
	observe(t, l, 1, "x")
	if err := l.Observe(second(10), outages("x"), keep); err == nil {
		t.Error("nobody said that it was not saved")
	}
	s.fails = nil
	observe(t, l, 11, "x")
	if saved, _ := outage.Read(s, raw{}, nil); len(saved) != 1 {
		t.Errorf("saved afterwards: %v", saved)
	}
}

// A gateway that is upgraded goes on with the log of the first versions.
func TestTheFirstVersionsAreRead(t *testing.T) {
	type firstForm struct {
		What string            `cbor:"1,keyasint"`
		From presence.Reading  `cbor:"2,keyasint"`
		To   *presence.Reading `cbor:"3,keyasint,omitempty"`
	}
	type secondForm struct {
		What alerts.Outage    `cbor:"1,keyasint"`
		From presence.Reading `cbor:"2,keyasint"`
	}
	end := second(2)
	for name, tc := range map[string]struct {
		old  any
		want string
	}{
		"the first": {[]any{1, []firstForm{
			{"reader-door", second(1), &end}, {"receiver-noisy-yard", second(2), nil}, {"clock-unknown", second(3), nil},
		}}, "reader-door 1s-2s, receiver-noisy-yard 2s-30s, clock-unknown 3s-30s"},
		"the second": {[]any{2, []secondForm{
			{alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, second(1)},
		}}, "reader-door 1s-30s"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := cbor.Marshal(tc.old)
			if err != nil {
				t.Fatal(err)
			}
			s := newShelf()
			s.data[outage.Prefix] = data
			l := open(t, s, 1, 30)
			if got := lines(l.All()); got != tc.want {
				t.Errorf("read %q, want %q", got, tc.want)
			}
			observe(t, l, 100)
			s.ride()
			if got := saved(t, s, nil); got != tc.want || s.data[outage.Prefix] != nil {
				t.Errorf("saved %q, want %q", got, tc.want)
			}
		})
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

func (asleep) Changed() <-chan struct{} { return nil }

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
