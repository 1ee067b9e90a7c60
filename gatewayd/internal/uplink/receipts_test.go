package uplink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
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

func TestRetainedReceiptIsHonoured(t *testing.T) {
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(20)
	city.Publish(prefix+"receipt", true, receiptFor(stream, 15))
	u := uplink.New(confirming(b.Address(), j))
	run(t, u)
	await(t, "the cursor or a refusal", func() bool { return j.Cursor() == 15 || u.Stats().Refused > 0 })
	// A receipt for what this process has not sent yet is not believed; the
	// next one is.
	city.Publish(prefix+"receipt", true, receiptFor(stream, 20))
	await(t, "the cursor", func() bool {
		if j.Cursor() < 20 {
			city.Publish(prefix+"receipt", true, receiptFor(stream, 20))
		}
		return j.Cursor() == 20
	})
}

func TestEveryReceiptOfAFastCityCounts(t *testing.T) {
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
