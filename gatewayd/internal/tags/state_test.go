package tags_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// What the journal refused was not recorded: it hides neither its own copy nor
// the next fix from there.
func TestRefusedRecordHidesNothing(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute, Fence: fence})
	expect := func(what, receiver string, fix beacon.Fix, want string) {
		t.Helper()
		if got := y.hear(t, receiver, fix); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	full := errors.New("no space left on device")
	y.refuse = full
	expect("the first", "yard", at(0, y.time), "nothing")
	y.refuse = nil
	expect("its copy", "roof", at(0, y.time), "recorded")

	y.time = y.time.Add(20 * time.Second)
	y.refuse = full
	expect("the way out", "yard", at(700, y.time), "nothing")
	y.refuse = nil
	y.time = y.time.Add(time.Second)
	expect("still outside", "yard", at(701, y.time), "recorded")

	old := at(0, y.time.Add(-time.Hour))
	y.refuse = full
	expect("an old position", "yard", old, "nothing")
	y.refuse = nil
	expect("its copy", "roof", old, "recorded")
	expect("another copy", "roof", old, "duplicate")
}

// Two receivers read the clock before one of them waits for the other.
func TestFixesInTheWrongOrderAreAllRecorded(t *testing.T) {
	y := open(tuesday, tags.Options{})
	y.hear(t, "yard", at(0, time.Time{}))
	y.time = y.time.Add(-time.Millisecond)
	if got := y.hear(t, "roof", at(10, time.Time{})); got != "recorded" {
		t.Error(got)
	}
	if got := y.hear(t, "yard", at(0, time.Time{})); got != "duplicate" {
		t.Errorf("the same place a millisecond before: %s", got)
	}
}

// The ten seconds begin with the fix that was recorded, wherever it falls, and
// do not slide.
func TestEchoLastsTenSeconds(t *testing.T) {
	for offset := range 10 {
		y := open(tuesday.Add(time.Duration(offset)*time.Second), tags.Options{})
		for i, want := range []string{"recorded", "duplicate", "duplicate", "recorded", "duplicate"} {
			if got := y.hear(t, "yard", at(0, time.Time{})); got != want {
				t.Errorf("begun at second %d, %d s later: %s, want %s", offset, 4*i, got, want)
			}
			y.time = y.time.Add(4 * time.Second)
		}
	}
}

// An old position says where a tag was. Where it is now is news all the same,
// and is not measured by it.
func TestReplayIsNeverTheLatestState(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("known %v, restart %v", known, restart), func(t *testing.T) {
				y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: time.Hour, Fence: fence})
				hear := func(what string, north float64, ago time.Duration, want string) {
					t.Helper()
					y.time = y.time.Add(time.Second)
					if restart {
						y.restart()
					}
					if got := y.hear(t, "yard", at(north, y.time.Add(-ago))); got != want {
						t.Errorf("%s: %s, want %s", what, got, want)
					}
				}
				if known {
					hear("at first", 0, 0, "recorded")
					y.time = y.time.Add(20 * time.Minute)
					hear("an old position elsewhere, newer than the last present one", 200, 10*time.Minute, "recorded")
					hear("still there", 0, 0, "thinned")
					return
				}
				hear("an old position", 0, 20*time.Minute, "recorded")
				hear("the first present one, from there", 0, 0, "recorded")
				hear("an old position elsewhere", 200, 10*time.Minute, "recorded")
				hear("still there", 0, 0, "thinned")
			})
		}
	}
}

// Stored positions are thinned alike whether the present one comes first, comes
// last or never comes.
func TestStoredPositionsInAnyOrder(t *testing.T) {
	for _, order := range []string{"rising", "falling"} {
		y := open(tuesday, tags.Options{MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute})
		start := y.time.Add(-time.Hour).Truncate(30 * time.Second)
		for range 2 {
			for i := range 60 {
				if order == "falling" {
					i = 59 - i
				}
				y.hear(t, "yard", at(float64(100*i), start.Add(time.Duration(i)*10*time.Second)))
			}
		}
		if len(y.drafts) != 20 || y.counts()["duplicate"] != 60 {
			t.Errorf("%s: %d recorded of ten minutes, %v", order, len(y.drafts), y.counts())
		}
		if got := y.hear(t, "yard", at(0, y.time)); got != "recorded" || y.last().Fix != presence.FreshnessLive {
			t.Errorf("%s: then the present one: %s", order, got)
		}
	}
}

// Old positions of more tags than fixes are remembered are still one each.
func TestOldPositionsOfManyTagsAreOneSightingEach(t *testing.T) {
	y := open(tuesday, tags.Options{})
	const many = 12_000
	for range 2 {
		for i := range many {
			fix := at(0, tuesday.Add(-time.Hour))
			fix.Tag = fmt.Sprintf("reyax:%d", i)
			y.hear(t, "yard", fix)
		}
	}
	if n := len(y.drafts); n != many {
		t.Errorf("%d records of %d positions", n, many)
	}
}

// Noise that fills the memory does not push out the tags that are there.
func TestNoiseForgetsTheOldestTags(t *testing.T) {
	y := open(tuesday, tags.Options{Heartbeat: time.Hour, MinInterval: time.Second, MinMove: 25})
	name := func(i int) beacon.Fix {
		fix := at(0, time.Time{})
		fix.Tag = fmt.Sprintf("waypoint:%d", i)
		return fix
	}
	const all = 40_000
	for i := range all {
		y.time = y.time.Add(time.Millisecond)
		y.hear(t, "yard", name(i))
		y.drafts = y.drafts[:0]
	}
	y.time = y.time.Add(time.Minute)
	forgotten := 0
	for i := all - 1000; i < all; i++ {
		if y.hear(t, "yard", name(i)) == "recorded" {
			forgotten++
		}
	}
	if forgotten > 50 {
		t.Errorf("%d of the latest 1,000 tags are forgotten", forgotten)
	}
}
