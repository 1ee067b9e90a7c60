package tags_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/tags"
)

// TestACallForHelpIsNamedUntilItIsOver: the tag is named, the change is recorded
// although the tag lies still and its fix tells nothing new, and both ends once.
func TestACallForHelpIsNamedUntilItIsOver(t *testing.T) {
	y := office(t, tags.Options{})
	report := func(status int) string {
		y.time = y.time.Add(5 * time.Second)
		y.Note(beacon.Note{Tag: theTag, Emergency: status == 99})
		fix := at(0, y.time)
		fix.Status = &status
		return y.hear(t, "yard", fix)
	}
	for i, step := range []struct {
		status      int
		want        string
		emergencies []string
	}{
		{80, "recorded", nil},
		{80, "thinned", nil},
		{99, "recorded", []string{theTag}},
		{99, "thinned", []string{theTag}},
		{80, "recorded", nil},
		{80, "thinned", nil},
		{99, "recorded", []string{theTag}},
	} {
		if got := report(step.status); got != step.want {
			t.Errorf("step %d: status %d was %s", i, step.status, got)
		}
		if got := y.Emergencies(); !slices.Equal(got, step.emergencies) {
			t.Errorf("step %d: %q call for help", i, got)
		}
	}
	if status := y.last().Status; status == nil || *status != 99 {
		t.Errorf("recorded with the status %v", status)
	}
	y.time = y.time.Add(11 * time.Hour)
	if got := y.Emergencies(); len(got) != 1 {
		t.Errorf("after 11 hours of silence %q call for help", got)
	}
	y.time = y.time.Add(2 * time.Hour)
	if got := y.Emergencies(); len(got) != 0 {
		t.Errorf("after 13 hours of silence %q call for help", got)
	}
}

// Whoever sends with many ids fills no memory, and hides no call that stands.
func TestCallsForHelpAreBounded(t *testing.T) {
	y := office(t, tags.Options{})
	y.Note(beacon.Note{Tag: theTag, Emergency: true})
	for i := range 1000 {
		y.Note(beacon.Note{Tag: fmt.Sprintf("kenwood:100-%d", i), Emergency: true})
	}
	if got := y.Emergencies(); len(got) != 32 || !slices.Contains(got, theTag) {
		t.Errorf("%d call for help: %q", len(got), got)
	}
}

func TestWhatSomebodyCanMendIsSaidOfItsReceiver(t *testing.T) {
	y := office(t, tags.Options{})
	reject := func(why beacon.Reason) {
		y.time = y.time.Add(10 * time.Minute)
		y.Reject("yard", why)
	}
	for range 2 {
		reject(beacon.BadPayload)
	}
	for range 5 {
		reject(beacon.BadChecksum)
	}
	if got := y.Rejecting(beacon.BadPayload); len(got) != 0 {
		t.Errorf("after two of them: %q", got)
	}
	for range 2 {
		reject(beacon.BadPayload)
	}
	if got := y.Rejecting(beacon.BadPayload); len(got) != 0 {
		t.Errorf("after four in ninety minutes: %q", got)
	}
	reject(beacon.BadPayload)
	if got := y.Rejecting(beacon.BadPayload); !slices.Equal(got, []string{"yard"}) {
		t.Errorf("after three in twenty minutes: %q", got)
	}
	y.time = y.time.Add(time.Hour)
	if got := y.Rejecting(beacon.BadPayload); len(got) != 0 {
		t.Errorf("an hour later: %q", got)
	}
	if n := y.counts()["payload"]; n != 5 {
		t.Errorf("%d are counted", n)
	}
}
