package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"presence/scripts/brokertest"
	"presence/scripts/city/unpack"
)

// steadyCity is a city's program that records events, with a session at the broker that
// stays (clean session off, QoS 1). It connects when the test says so and not by itself.
//
// It reads the connection itself: what has arrived at the socket counts, also when the
// broker is dead by then. A client library may drop that when the connection ends.
type steadyCity struct {
	t        testing.TB
	broker   *brokertest.Broker
	receipts bool // it confirms each stream as far as it is complete
	batches  *unpack.Reader
	seed     maphash.Seed
	reading  sync.WaitGroup
	conn     net.Conn // of the latest connection; nil: there was none

	came func(event []byte) // is told of each event that is new; nil: nobody asks

	mu       sync.Mutex
	sums     map[revisionID]uint64 // of what came, without what came again
	whole    map[string]*wholeStream
	packed   int // events that came in batches
	again    int // events that came once more
	frames   int // batches that held events
	problems []string
}

// revisionID names an event as it was published: a city that keeps one of each has every
// event once.
type revisionID struct {
	id  string
	rev int
}

// wholeStream is how far a stream is complete.
type wholeStream struct {
	upto   uint64
	behind map[uint64]bool // numbers that came ahead of others
}

func newSteadyCity(t testing.TB, b *brokertest.Broker, receipts bool) *steadyCity {
	t.Helper()
	reader, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	c := &steadyCity{
		t: t, broker: b, receipts: receipts, batches: reader, seed: maphash.MakeSeed(),
		sums: make(map[revisionID]uint64), whole: make(map[string]*wholeStream),
	}
	t.Cleanup(func() {
		if c.conn != nil {
			c.conn.Close()
		}
		c.reading.Wait()
	})
	return c
}

// connect connects to the broker, and returns when the subscription stands.
func (c *steadyCity) connect() {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.broker.Address())
	if err != nil {
		c.t.Fatalf("the city cannot connect: %v", err)
	}
	c.reading.Wait() // what came over the connection before is counted
	c.conn = conn
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.ClientIdentifier = "MQTT", 4, "recorder"
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{tortureEvents}, []byte{1}
	for _, p := range []packets.ControlPacket{hello, subscribe} {
		if err := p.Write(conn); err != nil {
			c.t.Fatalf("the city cannot subscribe: %v", err)
		}
	}
	subscribed := make(chan struct{})
	c.reading.Go(func() { c.read(conn, subscribed) })
	select {
	case <-subscribed:
	case <-time.After(brokertest.Wait):
		c.t.Fatal("the city cannot subscribe")
	}
}

// read takes what comes over a connection until it ends.
func (c *steadyCity) read(conn net.Conn, subscribed chan<- struct{}) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 256<<10)
	for {
		p, err := packets.ReadPacket(in)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.SubackPacket:
			close(subscribed)
		case *packets.PublishPacket:
			c.take(conn, p)
			if p.Qos > 0 {
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = p.MessageID
				_ = ack.Write(conn) // the broker may be gone; what it has sent is read all the same
			}
		}
	}
}

// take records an event, or those of a batch, and confirms the streams.
func (c *steadyCity) take(conn io.Writer, p *packets.PublishPacket) {
	events := [][]byte{p.Payload}
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix, isBatch := strings.CutSuffix(p.TopicName, "/event/batch")
	if isBatch {
		var err error
		if events, err = c.batches.Events(p.Payload); err != nil {
			c.problem("a batch of %d bytes: %v", len(p.Payload), err)
		}
		c.packed += len(events)
		if len(events) > 0 {
			c.frames++
		}
	}
	prefix, _, _ = strings.Cut(prefix, "/event/")
	streams := make(map[string]bool)
	for _, e := range events {
		streams[c.record(e)] = true
	}
	for stream := range streams {
		if w := c.whole[stream]; c.receipts && w != nil && w.upto > 0 {
			r := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			r.TopicName, r.Payload = prefix+"/receipt", fmt.Appendf(nil, `{"stream":%q,"upto":%d}`, stream, w.upto)
			_ = r.Write(conn) // one that is lost comes again with the next event
		}
	}
}

// record records an event, and returns its stream.
func (c *steadyCity) record(payload []byte) (stream string) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil || e.ID != fmt.Sprintf("%s-%d", e.Stream, e.Seq) {
		c.problem("an event says %q: %v", payload, err)
		return ""
	}
	name, sum := revisionID{e.ID, e.Rev}, maphash.Bytes(c.seed, payload)
	if before, known := c.sums[name]; known {
		c.again++
		if before != sum {
			c.problem("two events are called %s rev %d; the second says %s", e.ID, e.Rev, payload)
		}
		return e.Stream
	}
	c.sums[name] = sum
	if c.came != nil {
		c.came(payload)
	}
	w := c.whole[e.Stream]
	if w == nil {
		w = &wholeStream{behind: make(map[uint64]bool)}
		c.whole[e.Stream] = w
	}
	w.behind[e.Seq] = true
	for w.behind[w.upto+1] {
		w.upto++
		delete(w.behind, w.upto)
	}
	return e.Stream
}

// problem notes what cannot be. The caller holds the mutex.
func (c *steadyCity) problem(format string, args ...any) {
	if len(c.problems) < faultsSaid {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// count is how many different events came.
func (c *steadyCity) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sums)
}
