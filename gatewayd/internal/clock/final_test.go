package clock

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestFinalIsWhatNoLaterAnchorCanImprove(t *testing.T) {
	var b Book
	at := func(boot byte) presence.Reading {
		return presence.Reading{Boot: presence.ID{boot}, Boottime: time.Minute}
	}
	anchor := func(boot byte) {
		a := Anchor{Boottime: 2 * time.Minute, UTC: time.Unix(1_800_000_000+int64(boot)*86400, 0), Source: SourceSystem}
		if !b.Add(presence.ID{boot}, a) {
			t.Fatal("the anchor was not taken")
		}
	}
	check := func(when string, want map[byte]bool) {
		t.Helper()
		for boot, final := range want {
			if got := b.Final(at(boot)); got != final {
				t.Errorf("%s: boot %d is final: %v", when, boot, got)
			}
		}
	}
	b.See(presence.ID{1}, time.Hour)
	anchor(1)
	check("in the first boot", map[byte]bool{1: false, 9: true})
	b.See(presence.ID{2}, time.Hour)
	b.See(presence.ID{3}, time.Hour)
	check("without an anchor since", map[byte]bool{1: true, 2: false, 3: false})
	anchor(3)
	check("while the anchored boot goes on", map[byte]bool{1: true, 2: false, 3: false})
	b.See(presence.ID{4}, time.Hour)
	check("after it", map[byte]bool{1: true, 2: true, 3: true, 4: false})
	trusted := at(4)
	trusted.State = presence.ClockTrusted
	if !b.Final(trusted) {
		t.Error("a trusted reading is not final")
	}
}
