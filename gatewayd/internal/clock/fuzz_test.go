package clock

import (
	"bytes"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func FuzzDecodeBook(f *testing.F) {
	var b Book
	f.Add([]byte{})
	add := func() {
		data, err := b.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add()
	utc := instant("2026-11-23T00:30:00Z")
	b.Add(boots(1), Anchor{Boottime: time.Hour, UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	add()
	b.Add(boots(1), Anchor{Boottime: 2 * time.Hour, UTC: utc, Error: time.Millisecond, Source: SourceSystem})
	b.Add(boots(1), Anchor{Boottime: 3 * time.Hour, UTC: utc, Error: time.Second, Source: SourceBroker})
	b.See(boots(2), time.Hour)
	b.Add(boots(3), Anchor{Boottime: maxBoottime, UTC: utc, Error: maxError, Source: ""})
	add()
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBook(data)
		if err != nil {
			return
		}
		first, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBook(first)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x comes back as %x (%v)", first, second, err)
		}
		for _, o := range b.boots {
			for _, bt := range []time.Duration{0, o.mark, maxBoottime, -1, 1<<63 - 1} {
				for _, state := range []presence.ClockState{presence.ClockUnsynced, presence.ClockSynced} {
					got := b.Timing(presence.Reading{Boot: o.id, Boottime: bt, Wall: 1 << 62, State: state, MaxError: 1 << 62})
					if got.Error < 0 || got.Quality == presence.QualityBounded && got.Min.After(got.Max) {
						t.Fatalf("%+v", got)
					}
				}
			}
			b.NotBefore(off(o.id, o.mark))
		}
	})
}

// FuzzBook does what it is told with a book: boots, anchors right and wrong,
// questions. What was answered once never gets wider nor moves outside, as long
// as nothing had to be thinned and nothing contradicts it, and a book that was written and read again gives
// the same answers.
func FuzzBook(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type answer struct {
			at presence.Reading
			s  span
		}
		var b Book
		var given []answer
		boot, bt, anchors := 1, time.Duration(0), 0
		utc := instant("2026-11-23T00:30:00Z").UnixNano()
		for i := 0; i+2 < len(ops) && i < 300; i += 3 {
			op, x, y := ops[i], time.Duration(ops[i+1]), time.Duration(int8(ops[i+2]))
			switch op % 4 {
			case 0: // another boot
				boot, bt, anchors = boot+1, 0, 0
				utc += int64(x * time.Hour)
				b.See(boots(boot), x*time.Second)
			case 1: // time passes
				bt += x * x * time.Second
			case 2: // an anchor, off by as much as it claims or more
				if anchors++; anchors > maxOldAnchors {
					continue
				}
				bt++ // what was asked before was asked of an instant before
				e := x * x * time.Millisecond
				source := []string{SourceSystem, SourceBroker}[op/4%2]
				b.Add(boots(boot), Anchor{Boottime: bt, UTC: time.Unix(0, utc+int64(bt)+int64(y*e/100)), Error: e, Source: source})
			case 3: // an event
				r := off(boots(boot), max(0, bt-x*time.Minute))
				if k := b.find(r.Boot); k >= 0 {
					if s, _, ok := b.at(b.verdict(), k, r.Boottime, 0); ok {
						given = append(given, answer{r, s})
					}
				}
			}
			for _, g := range given {
				k := b.find(g.at.Boot)
				if k < 0 {
					continue // forgotten
				}
				s, _, ok := b.at(b.verdict(), k, g.at.Boottime, 0)
				doubt := b.verdict()[k].disputed
				if ok && (s.From > s.To || !doubt && (s.From < g.s.From || s.To > g.s.To)) {
					t.Fatalf("at %v: %v, was %v", g.at.Boottime, s, g.s)
				}
				if got := b.Timing(g.at); ok && got.Error < half(s) && got.Quality != presence.QualityUnsynced {
					t.Fatalf("at %v: %v claims more than %v", g.at.Boottime, got, s)
				}
			}
		}
		data, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBook(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range given {
			if got, want := again.Timing(g.at), b.Timing(g.at); got != want {
				t.Fatalf("read again %+v, was %+v", got, want)
			}
		}
	})
}
