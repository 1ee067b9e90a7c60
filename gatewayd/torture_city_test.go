package main_test

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
	"presence/scripts/city"
	"presence/scripts/city/unpack"
)

// tortureCity has every event once, as a database would. Where receipts are
// wanted it confirms what it has.
type tortureCity struct {
	w         *torture
	client    mqtt.Client
	present   bool // connected, or trying to be
	validator *city.Validator
	batches   *unpack.Reader
	seed      maphash.Seed

	mu        sync.Mutex
	closed    bool
	delivered int // different events
	packed    int // came in batches
	again     int
	badges    map[string][]string // event ids by UID
	heard     []uint64            // a bit for each line of a tag
	streams   map[string]*cityStream
}

// cityStream is one stream of the city's events.
type cityStream struct {
	sums     []uint64 // of the event with number 1 and the following; 0: it did not come
	upto     uint64   // all up to here came
	previous *previousEvent
}

// previousEvent is the last event of the stream before, as a start names it.
type previousEvent struct {
	Stream string
	Seq    uint64
	Clean  bool
}

// sum is the check sum of an event, 0 if it did not come.
func (s *cityStream) sum(seq uint64) uint64 {
	if s == nil || seq > uint64(len(s.sums)) {
		return 0
	}
	return s.sums[seq-1]
}

const tortureEvents = "presence/v1/+/+/event/#"

func newTortureCity(w *torture) *tortureCity {
	reader, err := unpack.NewReader()
	if err != nil {
		w.t.Fatal(err)
	}
	c := &tortureCity{
		w: w, validator: validator(w.t), batches: reader, seed: maphash.MakeSeed(),
		badges: make(map[string][]string), streams: make(map[string]*cityStream),
	}
	c.here(true)
	c.awaitSubscribed()
	w.t.Cleanup(func() {
		c.here(false)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closed = true
	})
	return c
}

// here has the city come or go. What the broker acknowledged while it was away
// is in its session where it has one; without, only receipts tell the gateway
// that nobody got it.
func (c *tortureCity) here(present bool) {
	switch {
	case present && !c.present:
		c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(c.w.broker.URL()).SetClientID("city").
			SetCleanSession(c.w.receipts). // without receipts the broker keeps what comes meanwhile
			SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
			SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
			SetDefaultPublishHandler(c.take).
			SetOnConnectHandler(func(client mqtt.Client) { client.Subscribe(tortureEvents, 1, nil) }))
		c.client.Connect()
	case !present && c.present:
		c.client.Disconnect(250)
	}
	c.present = present
}

// awaitSubscribed subscribes until the broker answers: then this connection's
// subscription stands.
func (c *tortureCity) awaitSubscribed() {
	c.w.t.Helper()
	for deadline := time.Now().Add(brokertest.Wait); ; {
		token := c.client.Subscribe(tortureEvents, 1, nil)
		if token.WaitTimeout(time.Second) && token.Error() == nil {
			return
		}
		if time.Now().After(deadline) {
			c.w.t.Fatal("the city cannot subscribe")
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (c *tortureCity) sum(event []byte) uint64 { return maphash.Bytes(c.seed, event) | 1 }

// hasAll tells whether there is as much of each stream as in the journal.
func (c *tortureCity) hasAll(journal []*journalStream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(journal, func(j *journalStream) bool {
		s := c.streams[j.name]
		return s == nil || s.upto < j.first+uint64(len(j.sums))-1
	})
}

type tortureEvent struct {
	event
	Lat, Lon float64
	Previous *previousEvent
}

// take stores an event, or those of a batch.
func (c *tortureCity) take(client mqtt.Client, m mqtt.Message) {
	topics, isBatch := strings.CutSuffix(m.Topic(), "/batch")
	if !isBatch {
		c.takeEvent(client, m.Topic(), m.Payload())
		return
	}
	all, err := c.batches.Events(m.Payload())
	if err != nil {
		c.w.faults.invent("a batch of %d bytes: %v", len(m.Payload()), err)
	}
	c.mu.Lock()
	c.packed += len(all)
	c.mu.Unlock()
	for _, e := range all {
		kind, err := unpack.Kind(e)
		if err != nil {
			c.w.faults.invent("in a batch: %v", err)
		}
		c.takeEvent(client, topics+"/"+kind, e)
	}
}

// takeEvent stores an event, and confirms its stream as far as it is complete.
func (c *tortureCity) takeEvent(client mqtt.Client, topic string, payload []byte) {
	var e tortureEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		c.w.faults.invent("an event says %q: %v", payload, err)
		return
	}
	// Looking at each of many thousand tag events would be most of the work.
	if e.Kind != "tag" || e.Seq%64 == 0 {
		if err := c.validator.Validate(topic, payload); err != nil {
			c.w.faults.invent("%v", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 1 << 24 // in one life of a second
	if c.closed {
		return
	}
	if e.Seq < 1 || e.Seq > most || e.ID != fmt.Sprintf("%s-%d", e.Stream, e.Seq) {
		c.w.faults.invent("event %q has the number %d in stream %q", e.ID, e.Seq, e.Stream)
		return
	}
	s := c.streams[e.Stream]
	if s == nil {
		s = new(cityStream)
		c.streams[e.Stream] = s
	}
	if missing := int(e.Seq) - len(s.sums); missing > 0 {
		s.sums = append(s.sums, make([]uint64, missing)...)
	}
	switch sum := c.sum(payload); s.sums[e.Seq-1] {
	case 0:
		s.sums[e.Seq-1] = sum
		c.w.audit.add(payload)
		c.first(s, e)
	case sum:
		c.again++
	default:
		c.w.faults.invent("two events are called %s; the second says %s", e.ID, payload)
	}
	if c.w.receipts && s.upto > 0 {
		receipts := topic[:strings.Index(topic, "/event/")] + "/receipt"
		client.Publish(receipts, 1, false, fmt.Sprintf(`{"stream":%q,"upto":%d}`, e.Stream, s.upto))
	}
}

// first takes an event that the city did not have yet.
func (c *tortureCity) first(s *cityStream, e tortureEvent) {
	c.delivered++
	// Only a broker that forgets can bring a later one first, but for a tap that comes
	// early while a backlog drains.
	if !c.w.receipts && e.Seq != s.upto+1 && e.Kind != "badge" {
		c.w.faults.lose("event %s came first after %d", e.ID, s.upto)
	}
	for s.sum(s.upto+1) != 0 {
		s.upto++
	}
	switch e.Kind {
	case "badge":
		c.badges[e.Badge] = append(c.badges[e.Badge], e.ID)
	case "tag":
		n := lineNumber(e.Tag, e.Lat, e.Lon)
		if n < 0 || n >= c.w.lines.Load() {
			c.w.faults.invent("event %s is of %s at %f, %f, which was never sent", e.ID, e.Tag, e.Lat, e.Lon)
			return
		}
		for int(n/64) >= len(c.heard) {
			c.heard = append(c.heard, 0)
		}
		if c.heard[n/64]&(1<<(n%64)) != 0 {
			c.w.faults.invent("event %s is the second of %s", e.ID, e.Tag)
		}
		c.heard[n/64] |= 1 << (n % 64)
	case "start":
		s.previous = e.Previous
	case "seal":
	default:
		c.w.faults.lose("a killed gateway names a loss: event %s is a %s", e.ID, e.Kind)
	}
}
