package clock

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"

	"golang.org/x/sys/unix"
)

func TestKernelStateIsNeverTooGood(t *testing.T) {
	for name, tc := range map[string]struct {
		t     unix.Timex
		state presence.ClockState
		err   time.Duration
	}{
		"just polled":   {unix.Timex{Maxerror: 0}, presence.ClockSynced, 50 * time.Millisecond},
		"an hour ago":   {unix.Timex{Maxerror: 1_800_000}, presence.ClockSynced, 2750 * time.Millisecond},
		"slewing":       {unix.Timex{Maxerror: 20_000, Offset: -300_000}, presence.ClockSynced, 380 * time.Millisecond},
		"slewing, nano": {unix.Timex{Maxerror: 20_000, Offset: 300_000, Status: unix.STA_NANO}, presence.ClockSynced, 80300 * time.Microsecond},
		"holdover ends": {unix.Timex{Maxerror: 15_999_999}, presence.ClockSynced, 50*time.Millisecond + 23_999_998_500},
		"never":         {unix.Timex{Maxerror: 16_000_000}, presence.ClockUnsynced, 0},
	} {
		if state, e := kernelState(&tc.t); state != tc.state || e != tc.err {
			t.Errorf("%s: %v %v", name, state, e)
		}
	}
}
