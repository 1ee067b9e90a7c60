package uplink

import (
	"testing"
	"time"
)

// TestARefusedEventIsNamed also where the first connection was lost over it while it
// happened to be the only one that was not acknowledged: then it has no name yet.
func TestARefusedEventIsNamed(t *testing.T) {
	u := &Uplink{suspects: newSuspects(time.Hour, time.Hour)}
	for _, name := range []string{"", "stream-100"} {
		if !u.suspects.hungUp(nil, []sent{{pos: 100, size: 2000, name: name}}, 0, time.Now()) {
			t.Error("nothing was learnt")
		}
	}
	_, events := u.Refused()
	if len(events) != 1 || events[0] != (Refusal{Name: "stream-100", Size: 2000}) {
		t.Errorf("refused: %+v", events)
	}
}
