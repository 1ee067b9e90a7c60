package uplink_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// denial is a broker's ACL for the topic of batches, which somebody changes while the
// connection stands: what is forbidden is acknowledged and thrown away.
type denial struct {
	mu sync.Mutex
	on bool
}

func (d *denial) set(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.on = on
}

func (d *denial) judge(topic string, _ int, _ []brokertest.Message) verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on && topic == uplink.BatchTopic {
		return forget
	}
	return passOn
}

// TestBatchesThatAreForbiddenMeanwhile: over a connection that stands, the gateway notices
// within minutes that the broker throws its batches away, sends events one by one, and
// with receipts once more what was thrown away. It notices as well when somebody mends it.
func TestBatchesThatAreForbiddenMeanwhile(t *testing.T) {
	t.Parallel()
	for name, receipts := range map[string]bool{"with receipts": true, "without receipts": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var acl denial
			configure := func(b *scriptedBroker, _ *memory, o *uplink.Options) {
				o.Batch, o.BatchMax, o.Receipts = true, 256, receipts
				b.judge = acl.judge
			}
			runScripted(t, 100, configure, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, j *memory) {
				ctx, cancel := context.WithCancel(context.Background())
				var city sync.WaitGroup
				defer city.Wait()
				defer cancel()
				if receipts {
					city.Go(func() { confirm(ctx, t, b) })
				}
				<-time.After(15 * time.Second)
				if b.batches < 2 || u.BatchesDenied() {
					t.Fatalf("%d batches came at first", b.batches)
				}
				acl.set(true)
				began := time.Now()
				for !u.BatchesDenied() && time.Since(began) < time.Hour {
					j.addTags(10)
					<-time.After(10 * time.Second)
				}
				found := time.Since(began)
				t.Logf("it was noticed after %v", found)
				if found > 11*time.Minute || receipts && found > 3*time.Minute {
					t.Errorf("it was noticed after %v", found)
				}
				dropped := j.End()
				j.addTags(50)
				<-time.After(5 * time.Minute)
				came := make(map[uint64]bool)
				for _, m := range b.received() {
					came[seqOf(m)] = true
				}
				for seq := uint64(1); seq <= j.End(); seq++ {
					if !came[seq] && (receipts || seq > dropped) {
						t.Fatalf("event %d did not come", seq)
					}
				}
				acl.set(false)
				<-time.After(11 * time.Minute)
				if u.BatchesDenied() {
					t.Error("that it is mended was not noticed")
				}
				before := b.batches
				j.addTags(50)
				<-time.After(time.Minute)
				synctest.Wait()
				if c := j.Cursor(); c != j.End() || b.batches == before {
					t.Errorf("after all the cursor is at %d of %d, and %d batches came", c, j.End(), b.batches-before)
				}
				if n := u.Stats().Reconnects; n != 0 {
					t.Errorf("%d connections were lost", n)
				}
			})
		})
	}
}

// TestBatchesAreTriedAgainAtLittleCost: a gateway that has nothing to say does not try, and
// one that works hard tries every ten minutes.
func TestBatchesAreTriedAgainAtLittleCost(t *testing.T) {
	t.Parallel()
	trials := 0
	configure := func(b *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Batch, o.BatchMax = true, 256
		b.judge = func(topic string, _ int, events []brokertest.Message) verdict {
			if topic == uplink.BatchTopic && len(events) == 0 {
				trials++
			}
			return passOn
		}
	}
	runScripted(t, 0, configure, func(t *testing.T, _ *scriptedBroker, _ *uplink.Uplink, j *memory) {
		<-time.After(5 * time.Hour)
		synctest.Wait()
		if trials != 1 {
			t.Errorf("%d trials within idle hours", trials)
		}
		for range 6 * 60 {
			j.addTags(5)
			<-time.After(10 * time.Second)
		}
		synctest.Wait()
		if trials < 6 || trials > 8 {
			t.Errorf("%d trials within an hour of work", trials-1)
		}
		if c := j.Cursor(); c != j.End() {
			t.Errorf("the cursor is at %d of %d", c, j.End())
		}
	})
}

// TestACLThatForbidsBatchesMeanwhile is the same with a mosquitto that reads its ACL again.
// Some versions close the connection over what is forbidden.
func TestACLThatForbidsBatchesMeanwhile(t *testing.T) {
	t.Parallel()
	const open = "topic readwrite presence/#\n"
	file := acl(t, open)
	b := brokertest.Start(t, "allow_anonymous true", file)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(600)
	o := together(b.Address(), j)
	o.Receipts, o.Limits.Receipt = true, 500*time.Millisecond
	u := uplink.New(o)
	run(t, u)
	confirmAll(t, city, j, 600)
	rules := open + "topic deny " + prefix + uplink.BatchTopic + "\n"
	if err := os.WriteFile(strings.TrimPrefix(file, "acl_file "), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Reload()
	for n := uint64(600); n < 1800; n += 400 {
		j.add(400)
		confirmAll(t, city, j, n+400)
	}
	await(t, "it to show", u.BatchesDenied)
	if documents, events := u.Refused(); len(documents)+len(events) > 0 {
		t.Errorf("refused: %v %v", documents, events)
	}
}
