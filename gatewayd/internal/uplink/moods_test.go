package uplink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// moods is a broker that treats publications now like this, now like that, and notes what
// it has acknowledged.
type moods struct {
	t        *testing.T
	batchMax int
	receipts bool

	mu        sync.Mutex
	rand      *rand.Rand
	largest   int             // it hangs up over more bytes than that; 0: over none
	over      map[uint64]bool // events over which it hangs up
	denies    bool            // batches: it acknowledges them and drops them
	throwsOut bool            // it hangs up over batches
	hangsUp   int             // of a thousand publications, over so many it hangs up
	forgets   int             // of a thousand, so many it acknowledges and drops
	payloads  map[string]string
	taken     map[uint64]bool // events that it acknowledged
	turn      uint64          // up to which those are all
	city      map[uint64]bool // events that it passed on
	upto      uint64          // up to which that are all
	inBatches int
}

// judge is for scriptedBroker.
func (m *moods) judge(topic string, size int, events []brokertest.Message) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !strings.HasPrefix(topic, "event/") {
		return passOn
	}
	isBatch := topic == uplink.BatchTopic
	m.check(isBatch, size, events)
	switch {
	case m.largest > 0 && size > m.largest, m.rand.IntN(1000) < m.hangsUp, isBatch && m.throwsOut:
		return hangUp
	case slices.ContainsFunc(events, func(e brokertest.Message) bool { return m.over[seqOf(e)] }):
		return hangUp
	}
	dropped := isBatch && m.denies || m.rand.IntN(1000) < m.forgets
	for _, e := range events {
		m.take(e, dropped)
	}
	if dropped {
		return forget
	}
	return passOn
}

// check looks at the form of a publication.
func (m *moods) check(isBatch bool, size int, events []brokertest.Message) {
	if !isBatch {
		return
	}
	m.inBatches += len(events)
	if size > 48<<10 || len(events) == 1 || len(events) > m.batchMax {
		m.t.Errorf("a batch of %d events and %d bytes", len(events), size)
	}
}

// take notes an event that the broker acknowledges.
func (m *moods) take(e brokertest.Message, dropped bool) {
	var a arrival
	if err := json.Unmarshal(e.Payload, &a); err != nil {
		m.t.Errorf("an event says %q: %v", e.Payload, err)
		return
	}
	if !strings.HasSuffix(e.Topic, "/event/"+a.Kind) {
		m.t.Errorf("%s came as %s", a.ID, e.Topic)
	}
	name := fmt.Sprintf("%s/%d", a.ID, a.Rev)
	if before, known := m.payloads[name]; known && before != string(e.Payload) {
		m.t.Errorf("%s is %s and %s", name, before, e.Payload)
	}
	m.payloads[name] = string(e.Payload)
	if !dropped {
		m.city[a.Seq] = true
	}
	if a.Seq > m.turn+1 && a.Kind != "badge" && a.Kind != "presence" && a.Kind != "start" {
		m.t.Errorf("%s came first after %d", a.ID, m.turn)
	}
	m.taken[a.Seq] = true
	for m.taken[m.turn+1] {
		m.turn++
	}
}

// change puts the broker into another mood.
func (m *moods) change(end uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rand
	m.largest = []int{0, 0, 0, 700, 1500, 8000}[r.IntN(6)]
	m.denies, m.throwsOut = r.IntN(6) == 0, r.IntN(6) == 0
	if !m.receipts {
		m.denies = false // then what is dropped is lost: see BrokerThatDoesNotLetBatchesThrough
	}
	m.hangsUp = []int{0, 0, 5, 100}[r.IntN(4)]
	m.forgets = 0
	if m.receipts {
		m.forgets = []int{0, 0, 5, 300}[r.IntN(4)]
	}
	m.over = make(map[uint64]bool)
	if end > 0 && r.IntN(3) == 0 {
		m.over[max(1, end-min(end-1, uint64(r.IntN(100))))] = true
	}
}

// calm has the broker take everything.
func (m *moods) calm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.largest, m.over, m.denies, m.throwsOut, m.hangsUp, m.forgets = 0, nil, false, false, 0, 0
}

// complete is up to where everything was acknowledged or, with receipts, passed on.
func (m *moods) complete() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.receipts {
		return m.turn
	}
	for m.city[m.upto+1] {
		m.upto++
	}
	return m.upto
}

// confirm is a city that sends a receipt every few seconds if something has come, until the
// context ends. One may be lost with the line.
func (m *moods) confirm(ctx context.Context, b *scriptedBroker) {
	for came := 0; ; {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return
		}
		b.mu.Lock()
		conn, count := b.conn, len(b.messages)
		b.mu.Unlock()
		if upto := m.complete(); count > came && upto > 0 {
			_, _ = conn.Write(publication(0, false, prefix+"receipt", 0, receiptFor(stream, upto)))
		}
		came = count
	}
}

// TestNothingIsLostWhateverTheBrokerDoes has brokers in changing moods, lines that break,
// resyncs, a city with receipts and without, and batches or none. The cursor never leaves
// behind what was not acknowledged, or confirmed, everything arrives in order, and once
// the broker is calm the gateway gets through with all of it.
func TestNothingIsLostWhateverTheBrokerDoes(t *testing.T) {
	t.Parallel()
	lives := 24
	if long() {
		lives = 500
	}
	for seed := range lives {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			moodyLife(t, rand.New(rand.NewPCG(uint64(seed), 16)))
		})
	}
}

func moodyLife(t *testing.T, r *rand.Rand) {
	m := &moods{
		t: t, rand: rand.New(rand.NewPCG(r.Uint64(), 1)), batchMax: []int{2, 7, 256}[r.IntN(3)], receipts: r.IntN(2) == 0,
		payloads: make(map[string]string), city: make(map[uint64]bool), taken: make(map[uint64]bool),
	}
	slow := r.IntN(3) == 0
	line := &slowLine{rate: 100_000, oneWay: 50 * time.Millisecond}
	configure := func(b *scriptedBroker, _ *memory, o *uplink.Options) {
		b.judge = m.judge
		o.Batch, o.BatchMax, o.Window, o.Receipts = r.IntN(5) > 0, m.batchMax, []int{1, 4, 256}[r.IntN(3)], m.receipts
		o.BatchWait = []time.Duration{0, 2 * time.Second}[r.IntN(2)]
		if slow {
			o.Dial = line.before(b.dial)
		}
	}
	runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		t.Cleanup(line.open.Wait)
		ctx, cancel := context.WithCancel(context.Background())
		var city sync.WaitGroup
		defer city.Wait()
		defer cancel()
		if m.receipts {
			city.Go(func() { m.confirm(ctx, b) })
		}
		// After a failure the test function returns and does not use Fatal: the line ends
		// only then.
		behind := func() bool {
			c := j.Cursor() // what the broker has taken is asked after it: it may only be more
			if c > m.complete() {
				t.Errorf("the cursor is at %d, and complete is what is up to %d", c, m.complete())
			}
			return !t.Failed()
		}
		for range 25 {
			moodyStep(r, m, b, j)
			<-time.After(time.Duration(r.IntN(90_000)) * time.Millisecond)
			if !behind() {
				return
			}
		}
		m.calm()
		for began := time.Now(); j.Cursor() < j.End(); <-time.After(10 * time.Second) {
			if !behind() {
				return
			}
			if time.Since(began) > 24*time.Hour {
				t.Errorf("the cursor is at %d of %d after a day; %+v", j.Cursor(), j.End(), u.Stats())
				return
			}
		}
		if behind() && len(m.payloads) != int(j.End()) {
			t.Errorf("%d events came, of %d", len(m.payloads), j.End())
		}
	})
}

// moodyStep has something happen.
func moodyStep(r *rand.Rand, m *moods, b *scriptedBroker, j *memory) {
	switch r.IntN(8) {
	case 0, 1:
		j.addTags(1 + r.IntN(300))
	case 2:
		j.addTags(r.IntN(5))
		j.add(1)
		j.addTags(r.IntN(5))
	case 3:
		j.addPresence()
	case 4:
		j.record(1, func() presence.Draft {
			gap := &presence.Gap{Reason: presence.GapForgotten, Kinds: map[string]int{"badge": 5}}
			for i := range r.IntN(800) {
				gap.Ranges = append(gap.Ranges, presence.Range{Stream: presence.ID{5}, From: uint64(3*i + 1), To: uint64(3*i + 1)})
			}
			return presence.Draft{Kind: presence.KindGap, Gap: gap}
		})
	case 5:
		if end := j.End(); end > 0 {
			command := fmt.Appendf(nil, `{"tx":"%d","expires":%q,"args":{"stream":"%s","seq":%d}}`, r.Uint64(), inAnHour(), stream, 1+r.Uint64N(end))
			b.mu.Lock()
			conn := b.conn
			b.mu.Unlock()
			_, _ = conn.Write(publication(0, false, prefix+"cmd/resync", 0, command)) // the line may be gone
		}
	case 6:
		b.hangUp()
	case 7:
		m.change(j.End())
	}
}
