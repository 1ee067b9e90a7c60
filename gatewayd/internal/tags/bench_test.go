package tags_test

import (
	"fmt"
	"testing"
	"time"

	"presence/gatewayd/internal/tags"
)

// What a fix costs of 60 tags that are in the office all day.
func BenchmarkReceive(b *testing.B) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		b.Fatal(err)
	}
	outline, err := tags.ParseGeoJSON([]byte(`{"type":"Polygon","coordinates":[` + square + `,` + court + `]}`))
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]*tags.Fence{"circle": fence, "outline": outline} {
		b.Run(name, func(b *testing.B) {
			y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute, Fence: f})
			fix := at(0, tuesday)
			names := make([]string, 60)
			for i := range names {
				names[i] = fmt.Sprintf("kenwood:100-%d", 1000+i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				y.time = y.time.Add(500 * time.Millisecond)
				fix.Tag, fix.Time, fix.Lat = names[i%60], y.time, officeLat+float64(i%7)*metre
				if err := y.Receive(b.Context(), "yard", fix); err != nil {
					b.Fatal(err)
				}
				y.drafts = y.drafts[:0]
			}
		})
	}
}

// What a tap pays for being told where the tag is.
func BenchmarkCheck(b *testing.B) {
	y := office(b, tags.Options{Open: national()})
	y.walk(b, 30*time.Second, 0, 3000, 3000)
	now := y.now()
	b.ReportAllocs()
	for b.Loop() {
		if c := y.Check(theTag, now); c == nil {
			b.Fatal("nothing")
		}
	}
}
