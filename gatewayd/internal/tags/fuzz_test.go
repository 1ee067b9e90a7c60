package tags_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// FuzzFixes hears whatever a radio can bring, in any order, with restarts in
// between. Each fix is 12 bytes: pause, position, age of the claimed time,
// accuracy, and what else happens. It runs twice, and must come out the same.
func FuzzFixes(f *testing.F) {
	step := func(pause, north, age uint16, accuracy uint16, more uint32) []byte {
		var b []byte
		for _, v := range []uint16{pause, north, age, accuracy} {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return binary.BigEndian.AppendUint32(b, more)
	}
	var day []byte
	for i := range uint16(40) {
		day = append(day, step(30, i*37%100, 0, 0, 0)...)
	}
	f.Add(day)
	f.Add(append(day, step(30, 5000, 0, 0, 0)...))
	f.Add(append(append(step(0, 0, 0, 0, 0), step(10, 60000, 0, 0, 0)...), step(10, 60000, 500, 65535, 7)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		y, twin := office(t, tags.Options{}), office(t, tags.Options{})
		for range 100 {
			if len(data) < 12 {
				break
			}
			pause, north := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
			age, accuracy := int16(binary.BigEndian.Uint16(data[4:])), binary.BigEndian.Uint16(data[6:])
			more := binary.BigEndian.Uint32(data[8:])
			data = data[12:]
			for _, o := range []*yard{y, twin} {
				o.time = o.time.Add(time.Duration(pause) * time.Second)
				if more&1 != 0 {
					o.boot[1]++
				}
				if more&3 != 0 {
					o.restart()
				}
				fix := at(float64(north)*2-100, o.time.Add(-time.Duration(age)*time.Second))
				fix.Accuracy = float64(accuracy)
				if more&4 != 0 {
					fix.Time = time.Time{}
				}
				fix.Unverified = more&8 != 0
				if more&16 != 0 {
					fix.Lon = -fix.Lon
				}
				o.state = presence.ClockState(more >> 5 & 3 % 3)
				o.hear(t, "yard", fix)
			}
			w, ok := y.Where(theTag)
			other, alike := twin.Where(theTag)
			if ok != alike || !cmp.Equal(w, other) {
				t.Fatalf("the same fixes give %+v and %+v", w, other)
			}
			if ok && (w.Zone == presence.ZoneNone || w.For < 0 || w.Age < 0 || w.Distance != nil && !(*w.Distance >= 0 && *w.Distance < 2.1e7)) {
				t.Fatalf("%+v", w)
			}
			if c := y.Check(theTag, y.now()); c == nil || c.State == presence.TagFar && (w.Silent || w.Zone != out) {
				t.Fatalf("%+v of %+v", c, w)
			}
		}
		for _, d := range y.drafts {
			if d.Tag.Zone == presence.ZoneNone || math.IsNaN(*d.Tag.Lat) {
				t.Fatalf("recorded %+v", d.Tag)
			}
		}
	})
}
