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
		for n := 0; n < 100 && len(data) >= 12; n++ {
			step := data[:12]
			data = data[12:]
			y.play(t, step)
			twin.play(t, step)
			y.checkWhere(t, twin)
		}
		for _, d := range y.drafts {
			if d.Tag.Zone == presence.ZoneNone || math.IsNaN(*d.Tag.Lat) {
				t.Fatalf("recorded %+v", d.Tag)
			}
		}
	})
}

// checkWhere wants the tag to be somewhere that is possible, and at the same place for
// a twin that heard the same.
func (y *yard) checkWhere(t *testing.T, twin *yard) {
	t.Helper()
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

// play hears one fix as FuzzFixes encodes it.
func (y *yard) play(t *testing.T, step []byte) {
	pause, north := binary.BigEndian.Uint16(step), binary.BigEndian.Uint16(step[2:])
	age, accuracy := int16(binary.BigEndian.Uint16(step[4:])), binary.BigEndian.Uint16(step[6:])
	more := binary.BigEndian.Uint32(step[8:])
	y.time = y.time.Add(time.Duration(pause) * time.Second)
	if more&1 != 0 {
		y.boot[1]++
	}
	if more&3 != 0 {
		y.restart()
	}
	fix := at(float64(north)*2-100, y.time.Add(-time.Duration(age)*time.Second))
	fix.Accuracy = float64(accuracy)
	if more&4 != 0 {
		fix.Time = time.Time{}
	}
	fix.Unverified = more&8 != 0
	if more&16 != 0 {
		fix.Lon = -fix.Lon
	}
	y.state = presence.ClockState(more >> 5 & 3 % 3)
	y.hear(t, "yard", fix)
}
