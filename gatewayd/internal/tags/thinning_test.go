package tags_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
	"presence/scripts/skiptest"
)

func TestThinning(t *testing.T) {
	const s = time.Second
	type step struct {
		after time.Duration
		north float64 // metres from the office
		want  string
	}
	for _, tc := range []struct {
		name  string
		opt   tags.Options
		steps []step
	}{
		{
			"moving and still",
			tags.Options{MinInterval: 30 * s, MinMove: 25, Heartbeat: 600 * s},
			[]step{
				{0, 0, "recorded"},
				{29 * s, 500, "thinned"}, // too soon
				{1 * s, 24, "thinned"},   // too near
				{1 * s, 26, "recorded"},
				{500 * s, 26, "thinned"},
				{99 * s, 30, "thinned"},
				{1 * s, 26, "recorded"}, // heartbeat
				{30 * s, 52, "recorded"},
			},
		},
		{
			"everything",
			tags.Options{Heartbeat: 600 * s},
			[]step{{0, 0, "recorded"}, {s, 0, "recorded"}, {s, 0, "recorded"}, {s, 1, "recorded"}},
		},
		{
			"no heartbeat",
			tags.Options{MinInterval: 30 * s, MinMove: 25},
			[]step{{0, 0, "recorded"}, {10 * 3600 * s, 1, "thinned"}, {s, 26, "recorded"}},
		},
		{
			"any distance",
			tags.Options{MinInterval: 30 * s, Heartbeat: 600 * s},
			[]step{{0, 0, "recorded"}, {29 * s, 5, "thinned"}, {s, 0, "recorded"}},
		},
	} {
		for _, restart := range []bool{false, true} {
			for _, timed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, restart %v, timed %v", tc.name, restart, timed), func(t *testing.T) {
					y := open(tuesday, tc.opt)
					for i, s := range tc.steps {
						y.time = y.time.Add(s.after)
						if restart {
							y.restart()
						}
						fix := at(s.north, time.Time{})
						if timed {
							fix.Time = y.time
						}
						want := s.want
						if !timed && tc.name == "everything" && i > 0 && s.north == 0 {
							want = "duplicate" // within moments
						}
						if got := y.hear(t, "yard", fix); got != want {
							t.Fatalf("step %d: %s, want %s", i, got, want)
						}
					}
				})
			}
		}
	}
}

// The interval lasts through a reboot, as far as the clocks are known.
func TestThinningOutlivesAReboot(t *testing.T) {
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	y.hear(t, "yard", at(0, y.time))
	y.boot = presence.ID{2}
	y.time = y.time.Add(20 * time.Second)
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "thinned" {
		t.Errorf("after 20 s: %s", got)
	}
	y.time = y.time.Add(10 * time.Second)
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "recorded" {
		t.Errorf("after 30 s: %s", got)
	}
	y.boot = presence.ID{3}
	y.state = presence.ClockUnsynced
	y.restart()
	if got := y.hear(t, "yard", at(100, y.time)); got != "duplicate" {
		t.Errorf("the same fix when nobody knows how long ago it was: %s", got)
	}
	if got := y.hear(t, "yard", at(200, time.Time{})); got != "recorded" {
		t.Errorf("another one: %s", got)
	}
}

// However fast fixes come, a zone change is recorded at once, also by a process
// that has just started.
func TestThinningNeverSuppressesAZoneChange(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		y := open(tuesday, tags.Options{
			MinInterval: time.Hour, MinMove: 10_000, Heartbeat: 12 * time.Hour, Fence: fence,
			Coordinates: rapid.SampledFrom([]tags.Coordinates{tags.Full, tags.Coarse, tags.None}).Draw(t, "coordinates"),
		})
		recorded, conflict := presence.ZoneNone, false
		for i := range rapid.IntRange(1, 40).Draw(t, "fixes") {
			y.time = y.time.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "pause")) * time.Second)
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				y.restart()
			}
			if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
				// A late position says nothing of where the tag is.
				y.hear(t, "roof", at(rapid.Float64Range(0, 200).Draw(t, "north"), y.time.Add(-time.Hour)))
			}
			got := y.hear(t, "yard", at(rapid.Float64Range(0, 700).Draw(t, "north"), y.time))
			if got == "recorded" {
				last := y.last()
				if last.Zone == recorded && last.Conflict == conflict { // a contradiction is worth an event as well
					t.Fatalf("fix %d: recorded, though it is %v as before", i, last.Zone)
				}
				recorded, conflict = last.Zone, last.Conflict
			}
			w, _ := y.Where("kenwood:U00001")
			if w.Zone != recorded && !(recorded == presence.ZoneOutside && w.Zone == presence.ZoneUncertain) {
				t.Fatalf("fix %d: it is %v, recorded is %v: %s", i, w.Zone, recorded, got)
			}
		}
	})
}

func TestRememberReadsABoundedTail(t *testing.T) {
	y := open(tuesday, tags.Options{Heartbeat: 10 * time.Minute})
	entry := func(age time.Duration) presence.Entry {
		r := y.now()
		r.Boottime -= age
		return presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindBadge, At: r, Badge: &presence.Badge{}}}}
	}
	if !y.Remember(entry(11*time.Hour)) || y.Remember(entry(13*time.Hour)) {
		t.Error("want records of 12 hours")
	}
	for n := 0; y.Remember(entry(0)); n++ {
		if n > 100_000 {
			t.Fatal("reads a whole journal")
		}
	}
}

// A hundred thousand names in one run, as a night of noise can bring.
func TestMemoryIsBounded(t *testing.T) {
	skiptest.Computation(t)
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	for i := range 150_000 {
		fix := at(float64(i%100), y.time)
		fix.Tag = fmt.Sprintf("kenwood:%d-%d", i/1000, i%1000)
		y.time = y.time.Add(time.Millisecond)
		if err := y.Receive(t.Context(), "yard", fix); err != nil {
			t.Fatal(err)
		}
		y.drafts = y.drafts[:0]
		if i == 100_000 {
			if used := heap() - before; used > 12 {
				t.Errorf("%.1f MiB for 100,000 tags", used)
			} else {
				t.Logf("%.1f MiB for 100,000 tags", used)
			}
		}
	}
	if used := heap() - before; used > 14 {
		t.Errorf("%.1f MiB for 150,000 tags", used)
	}
	runtime.KeepAlive(y)
}
