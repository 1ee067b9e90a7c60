package door_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// For any sequence of scans, and whatever comes of each attempt at the card: each visit is
// answered once, after at most three attempts, and is accepted only if the last one of them
// proved who the card is.
func TestAnyVisitIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	c := smart(1)
	outcomes := map[string]answer{
		"proven":   {30 * time.Millisecond, signed(c), nil},
		"forged":   {30 * time.Millisecond, failing(c, "signature"), nil},
		"absent":   {0, failing(c, presence.DetailAbsent), nil},
		"gone":     {20 * time.Millisecond, failing(c, "gone"), card.ErrGone},
		"slow":     {900 * time.Millisecond, failing(c, "too-slow"), card.ErrTooSlow},
		"protocol": {10 * time.Millisecond, failing(c, presence.DetailProtocol), card.ErrProtocol},
		"pending":  {10 * time.Millisecond, failing(c, presence.DetailPending), card.ErrGone},
	}
	kinds := []string{"proven", "forged", "absent", "gone", "slow", "protocol", "pending"}
	rapid.Check(t, func(rt *rapid.T) {
		visits := rapid.SliceOfN(rapid.IntRange(1, 80), 1, 6).Draw(rt, "visits, in scans")
		attempts := rapid.SliceOfN(rapid.SampledFrom(kinds), 18, 18).Draw(rt, "attempts")
		wrong := "" // rapid wants to be told outside of the bubble
		proving(t, func(p *checkpoint) {
			p.required = true
			for _, kind := range attempts {
				p.judge.answers[c.UID] = append(p.judge.answers[c.UID], outcomes[kind])
			}
		}, func(p *checkpoint) {
			time.Sleep(poll / 2)
			asked := 0
			for i, scans := range visits {
				p.chip.lay(c)
				time.Sleep(time.Duration(scans) * poll)
				p.chip.lay()
				time.Sleep(2*time.Second + 5*poll) // for an attempt that has begun, and until the card counts as gone
				got := p.got()
				if len(got) != i+1 {
					wrong = fmt.Sprintf("%d answers to %d visits", len(got), i+1)
					return
				}
				now := p.judge.attempts()
				if now == asked || now > asked+3 {
					wrong = fmt.Sprintf("visit %d: %d attempts", i+1, now-asked)
					return
				}
				last := attempts[min(now, len(attempts))-1]
				if accepted := got[i].Outcome != presence.Refused; accepted != (last == "proven") {
					wrong = fmt.Sprintf("visit %d: %s, %s, after %q", i+1, got[i].Outcome, got[i].Reason, attempts[asked:now])
					return
				}
				if got[i].Took > 2*time.Second+3*poll {
					wrong = fmt.Sprintf("visit %d took %v", i+1, got[i].Took)
					return
				}
				asked = now
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}
