package uplink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// confirming is an uplink that waits for receipts.
func confirming(address string, j uplink.Journal) uplink.Options {
	o := options(address, j)
	o.Receipts = true
	return o
}

func receiptFor(of presence.ID, upto any) []byte {
	return fmt.Appendf(nil, `{"stream":"%s","upto":%v}`, of, upto)
}

func TestOnlyReceiptsMoveTheCursor(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(10)
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	city.Await("10 events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 10 })
	await(t, "10 PUBACKs", func() bool { return u.Stats().Acked >= 10 })
	if c := j.Cursor(); c != 0 {
		t.Fatalf("PUBACKs moved the cursor to %d", c)
	}
	city.Publish(prefix+"receipt", false, receiptFor(stream, 4))
	await(t, "the cursor at 4", func() bool { return j.Cursor() == 4 })
	for i, wrong := range [][]byte{
		receiptFor(presence.ID{7}, 8), receiptFor(stream, 11), receiptFor(stream, 0), receiptFor(stream, `"9"`),
		receiptFor(stream, -1), []byte(`{"upto":8}`), []byte(`{`), []byte(``), []byte(`[]`), append(receiptFor(stream, 8), '8'),
	} {
		city.Publish(prefix+"receipt", false, wrong)
		await(t, fmt.Sprintf("the refusal of %q", wrong), func() bool { return u.Stats().Refused == int64(i+1) })
	}
	if c := j.Cursor(); c != 4 {
		t.Fatalf("wrong receipts moved the cursor to %d", c)
	}
	city.Publish(prefix+"receipt", false, receiptFor(stream, 2)) // old, and harmless
	city.Publish(prefix+"receipt", false, receiptFor(stream, 10))
	await(t, "the cursor at 10", func() bool { return j.Cursor() == 10 })
	if s := u.Stats(); s.ReceivedReceipt != 10 {
		t.Errorf("%d events count as received", s.ReceivedReceipt)
	}
}

func TestWhatIsNotReceivedComesAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(20)
	o := confirming(b.Address(), j)
	o.Limits.Receipt = 200 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	got := city.Await("all three times", func(m []brokertest.Message) bool { return len(seqs(m)) >= 60 })
	if n := distinct(t, seqs(got)); n != 20 {
		t.Errorf("%d different events", n)
	}
	if r := u.Stats().Reconnects; r != 0 {
		t.Errorf("%d reconnects for it", r)
	}
	city.Publish(prefix+"receipt", false, receiptFor(stream, 20))
	await(t, "the cursor", func() bool { return j.Cursor() == 20 })
}

// TestAbsentCityIsNotFlooded: while nobody confirms anything, hardly anything
// goes again, and a city that comes back and has nothing gets a long backlog at
// full speed.
func TestAbsentCityIsNotFlooded(t *testing.T) {
	t.Parallel()
	const patience = 200 * time.Millisecond
	n, ahead := 6_000, 2_000
	if long() {
		n, ahead = 100_000, 10_000
	}
	b := brokertest.Start(t)
	seen := b.Subscribe(prefix + "event/#")
	j := newMemory(n)
	o := confirming(b.Address(), j)
	o.Window, o.Limits.Receipt, o.Limits.Unreceipted = 256, patience, ahead
	u := uplink.New(o)
	started := time.Now()
	run(t, u)
	seen.Await("as much as may be sent ahead", func(m []brokertest.Message) bool { return len(m) >= ahead })
	<-time.After(10 * patience)
	messages := seen.Messages()
	published := make(map[uint64]int)
	for _, seq := range seqs(messages) {
		published[seq]++
	}
	allowed := 3 // within 13 times the patience
	for past := 13 * patience; past < time.Since(started); past = 2*past + 3*patience {
		allowed++ // on a machine that is slow
	}
	for seq, times := range published {
		if times > allowed {
			t.Fatalf("event %d was published %d times in %v", seq, times, time.Since(started))
		}
	}
	if again := len(messages) - len(published); again == 0 || again > 32*allowed {
		t.Errorf("%d events went again", again)
	}

	city, next := b.Subscribe(prefix+"event/#"), uint64(1)
	have := make(map[uint64]bool)
	looked, confirmed := 0, uint64(0)
	began := time.Now()
	city.AwaitFor(2*brokertest.Wait, "everything", func(m []brokertest.Message) bool {
		for _, seq := range seqs(m[looked:]) {
			have[seq] = true
		}
		looked = len(m)
		for have[next] {
			next++
		}
		if next-1 > confirmed {
			confirmed = next - 1
			city.Publish(prefix+"receipt", false, receiptFor(stream, confirmed))
		}
		return confirmed == uint64(n)
	})
	t.Logf("a backlog of %d in %v", n, time.Since(began))
	await(t, "the cursor", func() bool { return j.Cursor() == uint64(n) })
	// What goes again while the backlog comes grows with how long that takes: a machine
	// that is slow lets the patience run out more often.
	took := time.Since(began)
	if twice, slow := looked-n, int(took/(time.Duration(n)*time.Millisecond)); twice > (1+slow)*n/5 {
		t.Errorf("%d of %d events came twice within %v", twice, n, took)
	}
}

// TestReceiptForWhatWasNeverSentIsNotBelieved: taps that were recorded without a
// line, a process that is started anew, and a receipt for all of them that
// somebody left at the broker.
func TestReceiptForWhatWasNeverSentIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	earlier := presence.ID{7, 7, 7}
	j := newMemory(10)
	for i := range 6 {
		j.entries[i].Stream = earlier
	}
	j.sent = 2 // and the note of what was sent behind it was lost in a crash
	city.Publish(prefix+"receipt", true, receiptFor(earlier, 6))
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	got := city.Await("the events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 8 })
	if all := seqs(got); all[0] != 3 || all[7] != 10 {
		t.Errorf("came: %v", all)
	}
	await(t, "the PUBACKs", func() bool { return u.Stats().Acked >= 8 })
	if c := j.Cursor(); c != 2 {
		t.Errorf("the cursor is at %d", c)
	}
	city.Publish(prefix+"receipt", true, receiptFor(earlier, 6)) // they were received again
	await(t, "the cursor", func() bool { return j.Cursor() == 6 })
}

// TestReceiptAndResyncOfWhatIsGone: events that were forgotten, or whose time was
// over, have no record any more, and their numbers count all the same.
func TestReceiptAndResyncOfWhatIsGone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	j := newMemory(20)
	j.gone = map[uint64]bool{1: true, 2: true, 8: true, 15: true}
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	city.Await("the events", func(m []brokertest.Message) bool { return len(seqs(m)) == 16 })
	for _, upto := range []uint64{2, 8, 15} {
		city.Publish(prefix+"receipt", false, receiptFor(stream, upto))
		await(t, fmt.Sprintf("the cursor at %d", upto), func() bool { return j.Cursor() == upto })
	}
	for tx, seq := range map[string]int{"pruned": 2, "forgotten": 8} {
		before := len(seqs(city.Messages()))
		city.Publish(prefix+"cmd/resync", false, fmt.Appendf(nil, `{"tx":%q,"expires":%q,"args":{"stream":"%s","seq":%d}}`,
			tx, time.Now().Add(time.Minute).UTC().Format(time.RFC3339), stream, seq))
		first := uint64(max(seq+1, 3))
		got := city.Await("the resync", func(m []brokertest.Message) bool {
			return replied(m, tx, `"ok":true`) && len(seqs(m)) > before && seqs(m)[len(seqs(m))-1] == 20
		})
		if again := seqs(got)[before:]; again[0] != first {
			t.Errorf("%s: %v came again", tx, again)
		}
	}
}

// TestRetainedReceiptIsHonoured: the city confirms what a process sent while the gateway
// is off, and the next process learns of it at its first connection.
func TestRetainedReceiptIsHonoured(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	earlier := presence.ID{7, 7, 7}
	j := newMemory(20)
	for i := range j.entries {
		j.entries[i].Stream = earlier
	}
	stop := run(t, uplink.New(confirming(b.Address(), j)))
	city.Await("20 events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 20 })
	stop()
	city.Publish(prefix+"receipt", true, receiptFor(earlier, 15))
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	await(t, "the cursor", func() bool { return j.Cursor() == 15 })
	city.Publish(prefix+"receipt", true, receiptFor(earlier, 20))
	await(t, "the rest", func() bool { return j.Cursor() == 20 })
	if r := u.Stats().Refused; r != 0 {
		t.Errorf("%d receipts were refused", r)
	}
}

func TestEveryReceiptOfAFastCityCounts(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(500)
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	city.Await("500 events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 500 })
	for n := range 500 {
		city.Publish(prefix+"receipt", false, receiptFor(stream, n+1))
	}
	await(t, "the cursor", func() bool { return j.Cursor() == 500 })
	if r := u.Stats().Refused; r != 0 {
		t.Errorf("%d receipts were refused", r)
	}
}

func TestResyncReplaysWithoutMovingTheCursor(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	j := newMemory(30)
	u := uplink.New(options(b.Address(), j))
	run(t, u)
	await(t, "the first delivery", func() bool { return j.Cursor() == 30 })
	ask := func(tx, args string) {
		city.Publish(prefix+"cmd/resync", false, fmt.Appendf(nil,
			`{"tx":%q,"expires":%q,"args":%s}`, tx, time.Now().Add(time.Minute).UTC().Format(time.RFC3339), args))
	}
	ask("a", fmt.Sprintf(`{"stream":"%s","seq":21}`, stream))
	got := city.Await("events 21 to 30 again", func(m []brokertest.Message) bool {
		return len(seqs(m)) >= 40 && replied(m, "a", `"ok":true`)
	})
	again := seqs(got)[30:]
	for i, n := range again {
		if n != uint64(21+i) {
			t.Fatalf("came again: %v", again)
		}
	}
	if c := j.Cursor(); c != 30 {
		t.Errorf("the cursor is at %d", c)
	}
	j.add(1)
	await(t, "what is new", func() bool { return j.Cursor() == 31 })
	for tx, args := range map[string]string{
		"unknown": fmt.Sprintf(`{"stream":"%s","seq":1}`, presence.ID{5}), "future": fmt.Sprintf(`{"stream":"%s","seq":99}`, stream),
		"nothing": `{}`, "extra": fmt.Sprintf(`{"stream":"%s","seq":1,"all":true}`, stream),
	} {
		ask(tx, args)
		city.Await("the refusal of "+tx, func(m []brokertest.Message) bool { return replied(m, tx, `"ok":false`) })
	}
}

// replied reports whether a command was answered with a text.
func replied(messages []brokertest.Message, tx, text string) bool {
	for _, m := range messages {
		if strings.Contains(m.Topic, "/reply/") && strings.Contains(string(m.Payload), fmt.Sprintf(`"tx":%q`, tx)) {
			return strings.Contains(string(m.Payload), text)
		}
	}
	return false
}
