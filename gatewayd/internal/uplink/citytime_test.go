package uplink

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

// note is a message that came over the line.
type note struct {
	payload  string
	retained bool
}

func (n note) Duplicate() bool   { return false }
func (n note) Qos() byte         { return 0 }
func (n note) Retained() bool    { return n.retained }
func (n note) Topic() string     { return "time/reply" }
func (n note) MessageID() uint16 { return 0 }
func (n note) Payload() []byte   { return []byte(n.payload) }
func (n note) Ack()              {}

// newCityTime asks on the clock of a synctest bubble.
func newCityTime() *cityTime {
	start := time.Now()
	return &cityTime{check: Options{}.checkTime, answers: make(chan answer, 1), now: func() presence.Reading {
		return presence.Reading{Boot: presence.ID{1}, Boottime: time.Since(start)}
	}}
}

func reply(tx string, utc time.Time) note {
	return note{payload: fmt.Sprintf(`{"tx":%q,"utc":%q}`, tx, utc.UTC().Format(time.RFC3339Nano))}
}

func TestTimeIsInTheMiddleOfTheRoundTrip(t *testing.T) {
	for name, tc := range map[string]struct {
		there, back time.Duration
		want        bool
	}{
		"fast":             {10 * time.Millisecond, 10 * time.Millisecond, true},
		"all on one way":   {0, time.Second, true},
		"just fast enough": {time.Second, time.Second, true},
		"too slow":         {time.Second, time.Second + time.Millisecond, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCityTime()
			request, asked := c.ask()
			time.Sleep(tc.there)
			utc := time.Now()
			time.Sleep(tc.back)
			if err := c.receive(reply(request.TX, utc)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, ok := sampleOf(asked, <-c.answers)
			if ok != tc.want {
				t.Fatalf("%s: taken: %v", name, ok)
			}
			if !ok {
				return
			}
			if want := (tc.there+tc.back)/2 + cityError; got.within != want {
				t.Errorf("%s: within %v, want %v", name, got.within, want)
			}
			// What the city said, carried to now by the boot clock.
			said := got.utc.Add(c.now().Boottime - got.at.Boottime)
			if off := time.Until(said).Abs(); off > got.within {
				t.Errorf("%s: off by %v, within %v", name, off, got.within)
			}
		})
	}
}

func TestTimesThatNobodyAskedForAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCityTime()
		utc := time.Now()
		late, _ := c.ask()
		request, _ := c.ask()
		good := reply(request.TX, utc)
		for _, n := range []note{
			{payload: ``},
			{payload: `{`},
			{payload: `{"tx":"` + request.TX + `"}`},
			{payload: `{"utc":"2026-11-23T00:30:00Z"}`},
			{payload: `{"tx":"` + request.TX + `","utc":"now"}`},
			{payload: `{"tx":1,"utc":2}`},
			{payload: strings.Repeat(" ", 2000) + good.payload},
			reply("guess", utc),
			{good.payload, true},
		} {
			if err := c.receive(n); err == nil {
				t.Errorf("%.60q was taken", n.payload)
			}
		}
		if err := c.receive(reply(late.TX, utc)); err != nil || len(c.answers) != 0 {
			t.Errorf("a late one: %v, %d taken", err, len(c.answers))
		}
		for range 3 { // only the first counts
			if err := c.receive(good); err != nil {
				t.Error(err)
			}
		}
		if a := <-c.answers; !a.utc.Equal(utc) || len(c.answers) != 0 {
			t.Errorf("%v, and %d more", a.utc, len(c.answers))
		}
	})
}

// FuzzTimeReply reads anything as a time.
func FuzzTimeReply(f *testing.F) {
	for _, seed := range []string{
		`{"tx":"1","utc":"2026-11-23T00:30:00.123456789Z"}`, `{"tx":"1","utc":"2026-11-23"}`, `{"tx":"","utc":""}`, `null`, `[`,
		`{"tx":"1","utc":"9999-12-31T23:59:59Z"}`, `{"tx":"1","utc":"2026-11-23T07:30:00+07:00","more":[1]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r, err := parseTimeReply(payload); err == nil && (r.TX == "" || r.UTC == "") {
			t.Errorf("%q was taken as %+v", payload, r)
		}
	})
}

// forger finds nothing signed that has no "good" in it.
type forger struct{}

func (forger) Receipt(presence.Receipt) error { return nil }

func (forger) Time(r presence.TimeReply) error {
	if r.Sig != "good" {
		return errors.New("is not signed")
	}
	return nil
}

// TestNobodyElseTellsTheTime: a time that cannot be the city's is refused, and
// does not end the question.
func TestNobodyElseTellsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		o := Options{City: forger{}, CityTime: func() (from, to time.Time) { return now.Add(-time.Hour), now.Add(time.Hour) }}
		c := newCityTime()
		c.check = o.checkTime
		request, _ := c.ask()
		say := func(utc time.Time, sig string) error {
			return c.receive(note{payload: fmt.Sprintf(`{"tx":%q,"utc":%q,"sig":%q}`, request.TX, utc.UTC().Format(time.RFC3339Nano), sig)})
		}
		for name, tc := range map[string]struct {
			utc       time.Time
			sig, want string
		}{
			"unsigned":           {now, "", "not signed"},
			"forged":             {now, "bad", "not signed"},
			"before the build":   {now.Add(-time.Hour - 1), "good", "built"},
			"after the CA's end": {now.Add(time.Hour + 1), "good", "CA"},
		} {
			if err := say(tc.utc, tc.sig); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(c.answers) > 0 {
			t.Error("one of them counts")
		}
		if err := say(now, "good"); err != nil || len(c.answers) != 1 {
			t.Errorf("the city's own: %v", err)
		}
		for tls, want := range map[bool]bool{true: true, false: false} {
			anchor := func(presence.Reading, time.Time, time.Duration) {}
			if got := (Options{TLS: tls, Anchor: anchor}).asksTime(); got != want {
				t.Errorf("with TLS %v: asks %v", tls, got)
			}
			if !(Options{TLS: tls, Anchor: anchor, City: forger{}}).asksTime() {
				t.Errorf("with TLS %v and a key: does not ask", tls)
			}
		}
	})
}
