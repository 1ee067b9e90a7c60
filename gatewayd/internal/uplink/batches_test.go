package uplink_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// together are options with batches.
func together(address string, j uplink.Journal) uplink.Options {
	o := options(address, j)
	o.Window, o.Batch, o.BatchMax = 256, true, 256
	return o
}

// alone counts the events that came one by one.
func alone(messages []brokertest.Message) (n int) {
	for _, m := range messages {
		if m.Batch == 0 {
			n++
		}
	}
	return n
}

// TestEventsThatWaitTravelTogether: they come in order, byte for byte as they would have
// come one by one, and a PUBACK stands for all of a batch.
func TestEventsThatWaitTravelTogether(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	const n = 5000
	both := make(map[bool][]brokertest.Message)
	for _, batches := range []bool{false, true} {
		city := b.Subscribe(prefix + "event/#")
		j := newMemory(n)
		o := together(b.Address(), j)
		o.Batch = batches
		u := uplink.New(o)
		stop := run(t, u)
		both[batches] = city.Await("all events", func(m []brokertest.Message) bool { return len(m) >= n })
		await(t, "the cursor", func() bool { return j.Cursor() == n })
		if s := u.Stats(); s.Published != n || s.Acked != n {
			t.Errorf("batches %v: %d published, %d acknowledged", batches, s.Published, s.Acked)
		}
		if u.BatchesDenied() {
			t.Error("batches count as denied")
		}
		stop()
		count := len(city.Batches()) - 1 // the first has no events
		if batches && (count < n/256 || count > n/100) || !batches && count != -1 {
			t.Errorf("batches %v: %d came", batches, count)
		}
		city.Disconnect()
	}
	for i, m := range both[false] {
		if o := both[true][i]; m.Topic != o.Topic || string(m.Payload) != string(o.Payload) {
			t.Fatalf("event %d on %s is\n%s and in a batch, on %s,\n%s", i, m.Topic, m.Payload, o.Topic, o.Payload)
		}
	}
}

// TestBatchesAndReceipts: a receipt in the middle of a batch counts up to there, and what
// the city lacks comes again.
func TestBatchesAndReceipts(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(700)
	o := together(b.Address(), j)
	o.Receipts, o.Limits.Receipt = true, 300*time.Millisecond
	run(t, uplink.New(o))
	city.Await("all events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 700 })
	city.Publish(prefix+"receipt", false, receiptFor(stream, 100))
	await(t, "the cursor", func() bool { return j.Cursor() == 100 })
	city.Await("event 101 once more", func(m []brokertest.Message) bool {
		return slices.Contains(seqs(m)[700:], 101)
	})
	confirmAll(t, city, j, 700)
}

// TestEventThatIsAloneComesPlainly: a batch of one event does not exist.
func TestEventThatIsAloneComesPlainly(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(0)
	run(t, uplink.New(together(b.Address(), j)))
	for n := range uint64(5) {
		j.add(1)
		await(t, "the event", func() bool { return j.Cursor() == n+1 })
	}
	if got := city.Await("5 events", func(m []brokertest.Message) bool { return len(m) == 5 }); alone(got) != 5 {
		t.Errorf("%d of 5 came alone", alone(got))
	}
}

// TestTagsWaitForCompanyAndTapsDoNot: a tap takes along the tag events that wait, and so
// does a stop.
func TestTagsWaitForCompanyAndTapsDoNot(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(0)
	o := together(b.Address(), j)
	o.BatchWait = time.Hour
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	j.addTags(3)
	<-time.After(200 * time.Millisecond)
	j.addTags(2)
	<-time.After(300 * time.Millisecond)
	if got := city.Messages(); len(got) > 0 {
		t.Fatalf("%d tag events did not wait", len(got))
	}
	j.add(1)
	got := city.Await("the tap and the tag events", func(m []brokertest.Message) bool { return len(m) == 6 })
	if alone(got) > 0 || got[5].Topic != prefix+"event/badge" {
		t.Errorf("%d of 6 came alone, the last on %s", alone(got), got[5].Topic)
	}
	await(t, "the cursor", func() bool { return j.Cursor() == 6 })
	j.addTags(4)
	<-time.After(100 * time.Millisecond)
	u.Drained(t.Context()) // as a stop does
	if c := j.Cursor(); c != 10 {
		t.Errorf("after the stop everything up to %d is delivered, of 10", c)
	}
}

// TestCompanyIsWaitedForNoLonger: than batch_wait.
func TestCompanyIsWaitedForNoLonger(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(0)
	o := together(b.Address(), j)
	o.BatchWait = 400 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	for range 3 {
		j.addTags(1)
		<-time.After(20 * time.Millisecond)
	}
	got := city.Await("the tag events", func(m []brokertest.Message) bool { return len(m) == 3 })
	if alone(got) > 0 {
		t.Errorf("%d of 3 came alone", alone(got))
	}
}

// TestBrokerThatDoesNotLetBatchesThrough: it acknowledges them and throws them away, or
// does not send them back. Events go one by one, none is lost, and it shows.
func TestBrokerThatDoesNotLetBatchesThrough(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]string{
		"not written": "topic readwrite " + prefix + "status\ntopic write " + prefix + "event/badge\n",
		"not read":    "topic readwrite " + prefix + "status\ntopic write " + prefix + "event/+\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, "allow_anonymous true", acl(t, rules))
			j := newMemory(600)
			o := together(b.Address(), j)
			o.Limits.Aside = 300 * time.Millisecond
			u := uplink.New(o)
			run(t, u)
			await(t, "the cursor", func() bool { return j.Cursor() == 600 })
			if !u.BatchesDenied() || u.Unheard() {
				t.Error("it does not show")
			}
			// Somebody mends the broker's ACL.
			b.Stop()
			<-time.After(2 * o.Limits.Aside)
			b.Reconfigure("allow_anonymous true")
			b.Restart()
			await(t, "batches", func() bool { return !u.BatchesDenied() })
			city := b.Subscribe(prefix + "event/#")
			j.add(1000)
			got := city.Await("more events", func(m []brokertest.Message) bool { return len(m) >= 1000 })
			if alone(got) > 20 {
				t.Errorf("%d of 1,000 came alone", alone(got))
			}
		})
	}
}

// TestBrokerThatHangsUpOverTheTopicOfBatches: some close the connection over a topic that
// is forbidden.
func TestBrokerThatHangsUpOverTheTopicOfBatches(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(600)
	u := uplink.New(together(forbidding(t, b.Address(), prefix+uplink.BatchTopic), j))
	run(t, u)
	await(t, "the cursor", func() bool { return j.Cursor() == 600 })
	if !u.BatchesDenied() || len(city.Batches()) > 0 {
		t.Errorf("it does not show, or %d batches came", len(city.Batches()))
	}
	if documents, events := u.Refused(); len(documents)+len(events) > 0 {
		t.Errorf("refused: %v %v", documents, events)
	}
}

// TestBatchesThatAreTooLargeForTheBroker: they become smaller, and everything arrives.
func TestBatchesThatAreTooLargeForTheBroker(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "event/#")
	const n = 3000
	j := newMemory(n)
	u := uplink.New(together(b.Address(), j))
	run(t, u)
	got := city.Await("all events", func(m []brokertest.Message) bool {
		return len(slices.Compact(slices.Sorted(slices.Values(seqs(m))))) == n
	})
	await(t, "the cursor", func() bool { return j.Cursor() == n })
	t.Logf("%d reconnects, %d batches, %d of %d events alone", u.Stats().Reconnects, len(city.Batches()), alone(got), len(got))
	if alone(got) > n*9/10 {
		t.Errorf("%d events came alone", alone(got))
	}
	if _, events := u.Refused(); len(events) > 0 {
		t.Errorf("events are refused: %v", events)
	}
}

// TestEventOverWhichTheBrokerHangsUpWithinABatch: it is found, and held alone.
func TestEventOverWhichTheBrokerHangsUpWithinABatch(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(40)
	var long strings.Builder // does not become small by compression
	for random := rand.New(rand.NewPCG(1, 2)); long.Len() < 3000; {
		fmt.Fprintf(&long, "%016x", random.Uint64())
	}
	j.entries[19].Badge.Reader = long.String()
	o := together(b.Address(), j)
	o.Limits.Hold = time.Hour
	u := uplink.New(o)
	run(t, u)
	await(t, "the event to be held", func() bool { _, events := u.Refused(); return len(events) == 1 })
	if _, events := u.Refused(); events[0].Name != fmt.Sprintf("%s-20", stream) {
		t.Errorf("held: %v", events)
	}
	city.Await("the taps that follow", func(m []brokertest.Message) bool {
		return len(slices.Compact(slices.Sorted(slices.Values(seqs(m))))) == 39
	})
	if c := j.Cursor(); c != 19 {
		t.Errorf("the cursor is at %d", c)
	}
}

// TestResyncTravelsTogether: the city may ask for a month.
func TestResyncTravelsTogether(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	j := newMemory(1000)
	u := uplink.New(together(b.Address(), j))
	run(t, u)
	await(t, "the cursor", func() bool { return j.Cursor() == 1000 })
	city.Publish(prefix+"cmd/resync", false, fmt.Appendf(nil, `{"tx":"1","expires":%q,"args":{"stream":%q,"seq":101}}`,
		time.Now().Add(time.Minute).UTC().Format(time.RFC3339), stream))
	got := seqs(city.Await("900 events again", func(m []brokertest.Message) bool { return len(seqs(m)) == 1900 }))
	if got[1000] != 101 || got[1899] != 1000 {
		t.Errorf("from %d to %d", got[1000], got[1899])
	}
	if n := u.Stats().Published; n != 1900 {
		t.Errorf("%d were published", n)
	}
	if n := len(city.Batches()); n > 60 {
		t.Errorf("%d batches", n)
	}
}

// TestBrokerThatIsKilledUnderBatchesLosesNothing: with receipts, and with a broker that
// forgets at each kill what it acknowledged.
func TestBrokerThatIsKilledUnderBatchesLosesNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(5000)
	o := together(b.Address(), j)
	o.Receipts, o.Limits.Receipt = true, 300*time.Millisecond
	run(t, uplink.New(o))
	for range 4 {
		b.Kill()
		b.Restart()
		confirmAll(t, city, j, j.End())
		j.add(5000)
	}
	confirmAll(t, city, j, j.End())
}
