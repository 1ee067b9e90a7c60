package uplink_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// over hangs up over an event, in a batch or alone.
func over(seq uint64) func(string, int, []brokertest.Message) verdict {
	return func(_ string, _ int, events []brokertest.Message) verdict {
		if slices.ContainsFunc(events, func(m brokertest.Message) bool { return seqOf(m) == seq }) {
			return hangUp
		}
		return passOn
	}
}

// seqOf is the number of an event, 0 of another message.
func seqOf(m brokertest.Message) uint64 {
	var e struct{ Seq uint64 }
	if json.Unmarshal(m.Payload, &e) != nil {
		return 0
	}
	return e.Seq
}

// TestAnEventOverWhichTheBrokerHangsUpIsFoundBesideAResync: on a slow line events with
// other positions are on their way behind it each time that the broker hangs up. Those are
// not taken for it, and go on.
func TestAnEventOverWhichTheBrokerHangsUpIsFoundBesideAResync(t *testing.T) {
	t.Parallel()
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprintf("batches=%t", batches), func(t *testing.T) {
			t.Parallel()
			const before = 200
			configure := func(o *uplink.Options) {
				o.Batch, o.BatchMax, o.Limits.Hold = batches, 256, 24*time.Hour
			}
			runSlow(t, before, configure, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
				for j.Cursor() < before {
					<-time.After(time.Second)
				}
				b.mu.Lock()
				b.judge, b.messages = over(before+1), nil
				b.mu.Unlock()
				b.send("cmd/resync", false, fmt.Appendf(nil, `{"tx":"a","expires":%q,"args":{"stream":"%s","seq":1}}`, inAnHour(), stream))
				j.record(1, func() presence.Draft { // what is as large as this is not repeated while it is held
					return presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: strings.Repeat("x", 200), Tag: "kenwood:100-1001"}}
				})
				j.addTags(2)
				<-time.After(20 * time.Minute)
				if _, events := u.Refused(); len(events) != 1 || events[0].Name != fmt.Sprintf("%s-%d", stream, before+1) {
					t.Errorf("held: %v, after %d connections", events, line.dialled.Load())
				}
				if upto := inTurn(b.received()); upto != before {
					t.Errorf("of the resync came what is up to %d", upto)
				}
			})
		})
	}
}

// TestATapOverWhichTheBrokerHangsUpDoesNotSlowTheBacklog: it was sent ahead of thousands
// of events that are innocent, and those do not go one by one for it.
func TestATapOverWhichTheBrokerHangsUpDoesNotSlowTheBacklog(t *testing.T) {
	t.Parallel()
	const backlog = 2000
	var broker *scriptedBroker
	runSlow(t, backlog, func(o *uplink.Options) { o.Limits.Hold = 24 * time.Hour }, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		broker = b
		<-time.After(10 * time.Second)
		broker.mu.Lock()
		broker.judge = over(backlog + 1)
		broker.mu.Unlock()
		j.add(1)
		began := time.Now()
		for j.Cursor() < backlog && time.Since(began) < 3*time.Hour {
			<-time.After(time.Second)
		}
		// The line carries two events a second. One by one they would take two round trips
		// each.
		took := time.Since(began)
		t.Logf("the backlog took %v over %d connections", took.Round(time.Second), line.dialled.Load())
		if took > backlog*time.Second*3/4 {
			t.Errorf("the backlog took %v", took)
		}
		<-time.After(5 * time.Minute)
		if _, events := u.Refused(); len(events) != 1 || events[0].Name != fmt.Sprintf("%s-%d", stream, backlog+1) {
			t.Errorf("held: %v", events)
		}
	})
}

// TestNothingBeforeAHeldEventIsLeftOut: an event is held, and the line breaks before the
// city has confirmed what is before that one. All of it comes again, and once the broker
// takes the event that is held, so do those behind it, in order.
func TestNothingBeforeAHeldEventIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprintf("batches=%t", batches), func(t *testing.T) {
			t.Parallel()
			const held, all = 130, 300
			configure := func(b *scriptedBroker, j *memory, o *uplink.Options) {
				j.addTags(held - 1)
				j.add(1)
				j.addTags(all - held)
				b.judge = over(held)
				o.Batch, o.BatchMax, o.Window, o.Receipts = batches, 256, 256, true
			}
			runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, j *memory) {
				time.Sleep(30 * time.Second)
				if _, events := u.Refused(); len(events) != 1 || events[0].Name != fmt.Sprintf("%s-%d", stream, held) {
					t.Fatalf("held: %v", events)
				}
				b.send("receipt", false, receiptFor(stream, 1)) // the city is there
				b.mu.Lock()
				b.messages = b.messages[:0] // the others have not come there
				b.mu.Unlock()
				b.hangUp()
				time.Sleep(10 * time.Second)
				if upto := inTurn(b.received()); upto != held-1 {
					t.Errorf("up to %d came again", upto)
				}
				b.mu.Lock()
				b.judge = nil
				b.mu.Unlock()
				time.Sleep(2 * time.Hour)
				if upto := inTurn(b.received()); upto != all {
					t.Errorf("after all up to %d came", upto)
				}
				b.send("receipt", false, receiptFor(stream, all))
				if c := j.Cursor(); c != all {
					t.Errorf("the cursor is at %d", c)
				}
			})
		})
	}
}

// inTurn is the number up to which events came in order, from the second on.
func inTurn(messages []brokertest.Message) (upto uint64) {
	upto = 1
	for _, m := range messages {
		if seqOf(m) == upto+1 {
			upto++
		}
	}
	return upto
}
