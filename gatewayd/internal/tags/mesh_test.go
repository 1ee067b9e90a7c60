package tags_test

import (
	"slices"
	"testing"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// TestOnePacketIsOneFix: two receivers hear one packet, seconds apart and without a
// time of the fix; the next one from the same place is another.
func TestOnePacketIsOneFix(t *testing.T) {
	y := open(tuesday, tags.Options{})
	fix := at(0, time.Time{})
	fix.Packet = 7
	if got := y.hear(t, "yard", fix); got != "recorded" {
		t.Errorf("the first was %s", got)
	}
	y.time = y.time.Add(30 * time.Second)
	if got := y.hear(t, "roof", fix); got != "duplicate" {
		t.Errorf("the same packet half a minute later was %s", got)
	}
	fix.Packet = 8
	if got := y.hear(t, "yard", fix); got != "recorded" {
		t.Errorf("the next packet was %s", got)
	}
}

// TestWhatARadioKeptIsNeverLive, whatever time it claims.
func TestWhatARadioKeptIsNeverLive(t *testing.T) {
	y := open(tuesday, tags.Options{})
	for i, claim := range []time.Time{{}, y.time, y.time.Add(-time.Hour)} {
		fix := at(float64(i), claim)
		fix.Replay, fix.Packet = true, uint32(i+1)
		if got := y.hear(t, "yard", fix); got != "recorded" || y.last().Fix != presence.FreshnessReplay {
			t.Errorf("claiming %v it was %s as %s", claim, got, y.last().Fix)
		}
	}
}

func TestLowBatteriesAreNamedUntilTheyAreCharged(t *testing.T) {
	y := open(tuesday, tags.Options{})
	for _, step := range []struct {
		percent int
		low     bool
	}{{50, false}, {15, false}, {14, true}, {19, true}, {20, false}, {15, false}, {0, true}, {101, false}, {14, true}} {
		y.Note(beacon.Note{Tag: theTag, Battery: &step.percent})
		if low := len(y.LowBatteries()) == 1; low != step.low || y.Batteries()[theTag] != step.percent {
			t.Errorf("at %d %% it is low: %v, charges %v", step.percent, low, y.Batteries())
		}
	}
	y.time = y.time.Add(8 * 24 * time.Hour)
	if low, all := y.LowBatteries(), y.Batteries(); len(low)+len(all) != 0 {
		t.Errorf("eight days later: %v %v", low, all)
	}
}

func TestRenamedTagsAreTold(t *testing.T) {
	y := open(tuesday, tags.Options{})
	for range 2 {
		y.Note(beacon.Note{Tag: "mesh:a7c57836", Formerly: "mesh:1c2f13fc"})
	}
	if got := y.Renamed(); !slices.Equal(got, []tags.Renamed{{Formerly: "mesh:1c2f13fc", Now: "mesh:a7c57836"}}) {
		t.Errorf("%v", got)
	}
}

// TestNoKeyIsSaidWhereNothingElseComes: foreign packets are in the air of every town.
func TestNoKeyIsSaidWhereNothingElseComes(t *testing.T) {
	y := open(tuesday, tags.Options{})
	for range 3 {
		y.Reject("yard", beacon.BadKey)
	}
	if got := y.Rejecting(beacon.BadKey); !slices.Equal(got, []string{"yard"}) {
		t.Errorf("%q", got)
	}
	y.hear(t, "yard", at(0, y.time))
	if got := y.Rejecting(beacon.BadKey); len(got) != 0 {
		t.Errorf("although a tag is heard: %q", got)
	}
}

// TestARadioThatSaysWhatIsWrongIsBelievedAtOnce, until it hands a report over, or has not
// said so for an hour.
func TestARadioThatSaysWhatIsWrongIsBelievedAtOnce(t *testing.T) {
	for _, why := range []beacon.Reason{beacon.BadLocked, beacon.BadRegion} {
		y := open(tuesday, tags.Options{})
		y.hear(t, "roof", at(0, y.time))
		y.time = y.time.Add(time.Minute)
		y.Reject("roof", why)
		if got := y.Rejecting(why); !slices.Equal(got, []string{"roof"}) {
			t.Errorf("%s: %q", why, got)
		}
		y.time = y.time.Add(time.Minute)
		y.hear(t, "roof", at(0, y.time))
		if got := y.Rejecting(why); len(got) != 0 {
			t.Errorf("%s, although it hands reports over: %q", why, got)
		}
		y.Reject("yard", why)
		y.time = y.time.Add(time.Hour)
		if got := y.Rejecting(why); len(got) != 0 {
			t.Errorf("%s, an hour later: %q", why, got)
		}
	}
}
