package outage_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

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
