package clock

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func boots(n int) presence.ID { return presence.ID{byte(n), byte(n >> 8), 1} }

func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func off(id presence.ID, bt time.Duration) presence.Reading {
	return presence.Reading{Boot: id, Boottime: bt, Wall: int64(bt)}
}

func TestBookStaysSmallAndKeepsWhatMatters(t *testing.T) {
	var b Book
	utc := instant("2026-01-01T00:00:00Z")
	for d := range 8 * 24 * 6 { // eight days, with a gap in the last, every ten minutes
		bt := time.Duration(d) * 10 * time.Minute
		if bt > 150*time.Hour && bt < 160*time.Hour {
			continue // nobody disciplines it
		}
		b.Add(boots(1), Anchor{Boottime: bt, UTC: utc.Add(bt), Error: 20 * time.Millisecond, Source: SourceSystem})
	}
	if n := len(b.boots[0].anchors); n != maxAnchors {
		t.Errorf("%d anchors", n)
	}
	if e := b.Timing(off(boots(1), 150*time.Hour+5*time.Minute)).Error; e > 200*time.Millisecond {
		t.Errorf("at the edge of the gap the error is %v: the anchor there is gone", e)
	}
	// A brownout: the gateway starts a hundred times before there is time.
	for k := 2; k < 102; k++ {
		b.See(boots(k), time.Duration(k)*time.Second)
	}
	b.Add(boots(102), Anchor{UTC: utc.Add(9 * 24 * time.Hour), Error: time.Second, Source: SourceSystem})
	if len(b.boots) != maxBoots || len(b.boots[0].anchors) != maxOldAnchors {
		t.Errorf("%d boots, %d anchors of the first", len(b.boots), len(b.boots[0].anchors))
	}
	if got := b.Timing(off(boots(101), time.Second)); got.Quality != presence.QualityBounded {
		t.Errorf("the last instant known is forgotten: %+v", got)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(data))
	if len(data) > 4<<10 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestAFullBookFits(t *testing.T) {
	var b Book
	utc := instant("2026-01-01T00:00:00Z")
	for k := range 40 {
		for i := range 100 {
			bt := time.Duration(i) * 11 * time.Minute
			b.Add(boots(k), Anchor{Boottime: bt, UTC: utc.Add(time.Duration(k)*24*time.Hour + bt), Error: 20123456, Source: SourceSystem})
		}
	}
	data, err := b.Encode()
	if err != nil || len(data) > maxBook/2 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	t.Logf("%d bytes", len(data))
	again, err := DecodeBook(data)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 40 {
		for _, bt := range []time.Duration{0, time.Hour, 30 * time.Hour} {
			if got, want := again.Timing(off(boots(k), bt)), b.Timing(off(boots(k), bt)); got != want {
				t.Errorf("boot %d at %v: %+v, want %+v", k, bt, got, want)
			}
		}
	}
}

func TestWhatMakesNoSenseIsNoAnchor(t *testing.T) {
	utc := instant("2026-11-23T00:30:00Z")
	for name, a := range map[string]Anchor{
		"before the boot": {Boottime: -1, UTC: utc},
		"before 1970":     {UTC: time.Unix(-1, 0)},
		"year 9999":       {UTC: instant("9999-01-01T00:00:00Z")},
		"negative error":  {UTC: utc, Error: -1},
		"error of a week": {UTC: utc, Error: 168 * time.Hour},
		"eternal boot":    {Boottime: 1 << 62, UTC: utc},
		"long name":       {UTC: utc, Source: "a name that is far too long"},
	} {
		var b Book
		if b.Add(boots(1), a) || b.Timing(off(boots(1), 0)).Quality != presence.QualityUnsynced {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestTheOldestBootIsForgottenFirst: that some old boot never learned the time is no
// reason to forget one of yesterday that did not either, however short it was.
func TestTheOldestBootIsForgottenFirst(t *testing.T) {
	var b Book
	began := time.Unix(1_795_000_000, 0)
	id := func(n int) presence.ID { return presence.ID{byte(n), 1} }
	for n := range 100 {
		b.See(id(n), 10*time.Hour-time.Duration(n)*time.Minute)
		if n%3 != 1 {
			b.Add(id(n), Anchor{Boottime: time.Hour, UTC: began.AddDate(0, 0, n).Add(time.Hour), Error: time.Second, Source: SourceSystem})
		}
		// The last boot may still learn more; those of the last three weeks are known.
		for k := max(0, n-20); k < n-1; k++ {
			at := presence.Reading{Boot: id(k), Boottime: 2 * time.Hour}
			got := b.Timing(at)
			if k > 1 && got.Time.IsZero() {
				t.Fatalf("after boot %d nothing is known of boot %d", n, k)
			}
			if truth := began.AddDate(0, 0, k).Add(2 * time.Hour); !got.Time.IsZero() && got.Time.Sub(truth).Abs() > got.Error {
				t.Fatalf("boot %d: %v ± %v, was %v", k, got.Time, got.Error, truth)
			}
		}
	}
}
