package tags_test

import (
	"context"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

const theTag = "kenwood:U00001"

// office is a yard with a fence of 100 m and the usual thinning.
func office(t interface{ Fatal(...any) }, opt tags.Options) *yard {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	opt.Fence = fence
	opt.MinInterval, opt.MinMove, opt.Heartbeat = 30*time.Second, 25, 10*time.Minute
	return open(tuesday, opt)
}

// walk hears a live fix every so often, at so many metres north.
func (y *yard) walk(t interface{ Fatal(...any) }, every time.Duration, north ...float64) {
	for _, n := range north {
		y.time = y.time.Add(every)
		y.hear(t, "yard", at(n, y.time))
	}
}

// One fix alone moves a settled tag only where it is too far off for an error.
func TestTwoFixesMoveATag(t *testing.T) {
	for _, tc := range []struct {
		name  string
		north []float64
		want  presence.Zone
	}{
		{"in the office", []float64{0}, in},
		{"at home", []float64{3000}, out},
		{"at the fence", []float64{110}, uncertain},
		{"just beyond it, and nobody knows how good its fixes are", []float64{150}, uncertain},
		{"there for a while", []float64{150, 150, 150, 150, 150, 150, 150, 150, 150, 150, 150, 150}, out},
		{"one stray fix", []float64{0, 0, 0, 400}, in},
		{"two in a row", []float64{0, 0, 0, 400, 400}, out},
		{"half a kilometre off", []float64{0, 0, 0, 700}, out},
		{"back again", []float64{0, 0, 0, 700, 0, 0}, in},
		{"walking out", []float64{0, 0, 0, 40, 80, 120, 160, 200, 240, 280}, out},
		{"astray now and then", []float64{0, 0, 0, 400, 0, 0, 0, 400, 0, 0, 400}, in},
	} {
		y := office(t, tags.Options{})
		y.walk(t, 30*time.Second, tc.north...)
		w, ok := y.Where(theTag)
		if !ok || w.Zone != tc.want || w.Silent || w.Age != 0 {
			t.Errorf("%s: %+v, want %v", tc.name, w, tc.want)
		}
	}
}

// A tap asks where a tag is and waits for no disk.
func TestWhereWaitsForNothing(t *testing.T) {
	y := office(t, tags.Options{})
	y.walk(t, 30*time.Second, 0, 0)
	y.block = make(chan struct{})
	blocked := make(chan struct{})
	y.blocked = func() { close(blocked) }
	heard := make(chan error)
	fix := at(700, y.time.Add(30*time.Second))
	y.time = y.time.Add(30 * time.Second)
	go func() { heard <- y.Receive(context.Background(), "yard", fix) }()
	<-blocked
	if w, ok := y.Where(theTag); !ok || w.Zone != out {
		t.Errorf("%+v", w)
	}
	if c := y.Check(theTag, y.now()); c == nil || c.State != presence.TagFar {
		t.Errorf("%+v", c)
	}
	close(y.block)
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
}
