package outage_test

import (
	"errors"
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
	saves int
	fails error
}

func (s *shelf) Load(name string) ([]byte, error) { return s.data[name], nil }

func (s *shelf) Save(name string, data []byte) error {
	if s.fails != nil {
		return s.fails
	}
	s.saves++
	s.data[name] = data
	return nil
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
		all = append(all, o)
	}
	return all
}

func look(t *testing.T, l *outage.Log, at int, broken ...string) {
	t.Helper()
	if err := l.Look(second(at), outages(broken...), keep); err != nil {
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
		s = append(s, line)
	}
	return strings.Join(s, ", ")
}

func TestOutagesAreNotedFromTheirBeginning(t *testing.T) {
	s := &shelf{data: map[string][]byte{}}
	l, err := outage.Open(s, presence.Reading{})
	if err != nil {
		t.Fatal(err)
	}
	look(t, l, 10, "reader-door")
	look(t, l, 12) // too brief to be worth a line
	look(t, l, 20, "reader-door")
	look(t, l, 26, "reader-door", "clock-unknown")
	look(t, l, 60, "clock-unknown")
	look(t, l, 61, "clock-unknown")
	if got, want := lines(l.All()), "reader-door 20s-1m0s, clock-unknown 26s"; got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
	if s.saves != 2 {
		t.Errorf("%d saves for 2 changes", s.saves)
	}
}

func TestWhatWasBrokenEndsWithTheProcess(t *testing.T) {
	s := &shelf{data: map[string][]byte{}}
	l, err := outage.Open(s, presence.Reading{})
	if err != nil {
		t.Fatal(err)
	}
	look(t, l, 1, "reader-door")
	look(t, l, 10, "reader-door")
	l, err = outage.Open(s, second(30))
	if err != nil {
		t.Fatal(err)
	}
	look(t, l, 100, "reader-door")
	look(t, l, 110, "reader-door")
	if got, want := lines(l.All()), "reader-door 1s-30s, reader-door 1m40s"; got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
	saved, err := outage.Read(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(saved); got != lines(l.All()) {
		t.Errorf("saved %q", got)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	s := &shelf{data: map[string][]byte{}}
	l, err := outage.Open(s, presence.Reading{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1200 {
		look(t, l, n*100, "reader-door")
		look(t, l, n*100+10, "reader-door")
		look(t, l, n*100+50)
	}
	all := l.All()
	if len(all) != 1000 || all[999].From != second(1199*100) {
		t.Errorf("%d outages, the newest %+v", len(all), all[len(all)-1])
	}
	look(t, l, int(40*24*time.Hour/time.Second), "x")
	look(t, l, int(40*24*time.Hour/time.Second)+10, "x")
	if got := l.All(); len(got) != 1 {
		t.Errorf("%d outages outlived their time", len(got)-1)
	}
}

func TestALogThatCannotBeReadOrSavedIsSaid(t *testing.T) {
	for name, data := range map[string]string{"garbage": "\xff\xff", "another version": "\x82\x03\x80"} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{data: map[string][]byte{outage.Name: []byte(data)}}
			l, err := outage.Open(s, presence.Reading{})
			if err == nil || l == nil {
				t.Fatalf("log %v, error %v", l, err)
			}
			s.fails = errors.New("no room")
			look(t, l, 1, "x")
			if err := l.Look(second(10), outages("x"), keep); err == nil {
				t.Error("nobody said that it was not saved")
			}
			s.fails = nil
			look(t, l, 11, "x")
			if saved, err := outage.Read(s); err != nil || len(saved) != 1 {
				t.Errorf("saved afterwards: %v, %v", saved, err)
			}
		})
	}
}

// A gateway that is upgraded goes on with the log of its first version.
func TestTheFirstVersionIsRead(t *testing.T) {
	type first struct {
		What string           `cbor:"1,keyasint"`
		From presence.Reading `cbor:"2,keyasint"`
	}
	data, err := cbor.Marshal([]any{1, []first{
		{"reader-door", second(1)}, {"receiver-noisy-yard", second(2)}, {"clock-unknown", second(3)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := outage.Read(&shelf{data: map[string][]byte{outage.Name: data}})
	if err != nil {
		t.Fatal(err)
	}
	want := []alerts.Outage{
		{Failure: alerts.ReaderBroken, Name: "door"}, {Failure: alerts.ReceiverLost, Name: "noisy-yard"}, {Failure: alerts.ClockUnknown},
	}
	for i, o := range all {
		if o.What != want[i] || o.From != second(i+1) {
			t.Errorf("read %+v, want %+v", o, want[i])
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d outages, want %d", len(all), len(want))
	}
}
