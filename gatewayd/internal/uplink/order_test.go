package uplink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// The tests of this file each force an order of things that is rare on an idle machine,
// and happens on a busy one.

// TestRetainedReceiptCountsForWhatWasSentBefore: the broker hands over a retained receipt
// when the gateway subscribes, and nothing says when it has handed over all that is
// retained. Events go out meanwhile, and a retained receipt cannot be about those,
// however late the gateway comes to read it.
func TestRetainedReceiptCountsForWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	earlier := presence.ID{7, 7, 7}
	configure := func(_ *scriptedBroker, j *memory, o *uplink.Options) {
		for i := range 6 {
			j.entries[i].Stream = earlier
		}
		j.sent = 2 // and the note of what was sent behind it was lost in a crash
		o.Receipts = true
	}
	runScripted(t, 10, configure, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		if all := b.events(); !slices.Equal(all, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
			t.Fatalf("came: %v", all)
		}
		cursor := func(want uint64, why string) {
			t.Helper()
			if c := j.Cursor(); c != want {
				t.Fatalf("the cursor is at %d, not %d: %s", c, want, why)
			}
		}
		b.send("receipt", true, receiptFor(earlier, 6))
		cursor(2, "only so much is known to have been sent before this connection")
		b.send("receipt", true, receiptFor(stream, 10))
		cursor(2, "nothing of this stream was sent before this connection")
		if r := u.Stats().Refused; r != 2 {
			t.Errorf("%d receipts were refused", r)
		}
		b.send("receipt", false, receiptFor(earlier, 5))
		cursor(5, "a receipt that the city sends now is about what was sent now")
		b.hangUp()
		time.Sleep(time.Second)
		synctest.Wait()
		b.send("receipt", true, receiptFor(earlier, 6))
		cursor(6, "another connection before this one has sent it")
		b.send("receipt", true, receiptFor(stream, 9))
		cursor(9, "and this as well")
	})
}

// TestResyncAtTheStartOfAConnectionIsAnswered: the city sees that the gateway is online,
// and asks for events again before the gateway has begun to send.
func TestResyncAtTheStartOfAConnectionIsAnswered(t *testing.T) {
	t.Parallel()
	configure := func(b *scriptedBroker, j *memory, _ *uplink.Options) {
		j.cursor, j.sent = 20, 20                   // the process before delivered all of them
		j.slow = func() { time.Sleep(time.Second) } // who does not ask the journal goes ahead
		b.silent = true                             // the status is on its way
	}
	runScripted(t, 20, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, _ *memory) {
		time.Sleep(5 * time.Second)
		b.send("cmd/resync", false, fmt.Appendf(nil, `{"tx":"a","expires":%q,"args":{"stream":"%s","seq":11}}`, inAnHour(), stream))
		b.acknowledge()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if all := b.events(); !slices.Equal(all, []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20}) {
			t.Errorf("came again: %v", all)
		}
		if !replied(b.received(), "a", `"events":10`) {
			t.Error("the answer did not come, or tells of other events")
		}
	})
}

// TestNewestDocumentIsNeverTheOneThatIsDropped: the city publishes its rosters faster
// than a slow card takes them.
func TestNewestDocumentIsNeverTheOneThatIsDropped(t *testing.T) {
	t.Parallel()
	roster, hours := inbox{takes: time.Minute}, inbox{}
	configure := func(_ *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Documents = map[string]uplink.Document{"policy/hours": &hours, "roster": &roster}
	}
	runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, _ *memory) {
		for n := range 5 {
			b.send("roster", true, fmt.Append(nil, n))
		}
		b.send("policy/hours", true, []byte("the only one"))
		for n := range 20 {
			b.send("roster", true, fmt.Append(nil, 5+n))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(roster.all, " "); got != "0 18 19 20 21 22 23 24" {
			t.Errorf("of the rosters came %s", got)
		}
		if !slices.Equal(hours.all, []string{"the only one"}) {
			t.Errorf("of the hours came %q", hours.all)
		}
		if r := u.Stats().Refused; r != 17 {
			t.Errorf("%d were refused", r)
		}
	})
}
