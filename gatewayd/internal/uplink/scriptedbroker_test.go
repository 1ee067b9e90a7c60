package uplink_test

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/city/unpack"
)

// scriptedBroker is a broker in a synctest bubble: it sends what the test tells it to,
// exactly when the test tells it to. It lets everybody in, grants every subscription and
// acknowledges what is published. It is for what depends on the order in which things
// happen, which a real broker leaves to chance.
type scriptedBroker struct {
	t *testing.T

	mu       sync.Mutex
	conn     net.Conn             // the latest connection
	messages []brokertest.Message // what is in batches, as if it had come one by one
	batches  int                  // how many came
	silent   bool                 // it does not acknowledge what is published
	// judge, if set, says what becomes of a publication. It gets what is in a batch as if it
	// had come one by one.
	judge   func(topic string, size int, events []brokertest.Message) verdict
	unacked []uint16        // ids of what it did not acknowledge yet, of the latest connection
	packets []string        // kinds of the latest connection's packets
	filters map[string]byte // to which the gateway subscribed, and at which QoS
}

// verdict is what a broker does with a publication.
type verdict int

const (
	passOn   verdict = iota
	forget           // it acknowledges it, and nobody gets it
	withhold         // it acknowledges it at the next acknowledge
	hangUp           // it closes the connection over it
)

// dial is for uplink.Options.
func (b *scriptedBroker) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	b.mu.Lock()
	b.conn, b.packets, b.unacked = far, nil, nil
	b.mu.Unlock()
	go b.serve(far)
	return near, nil
}

func (b *scriptedBroker) serve(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		p, err := packets.ReadPacket(in)
		if err != nil {
			return
		}
		answers, stays := b.answer(p)
		for _, answer := range answers {
			if answer.Write(conn) != nil {
				return
			}
		}
		if !stays {
			return
		}
	}
}

// answer is what the broker says to a packet, and whether it stays on the line.
func (b *scriptedBroker) answer(p packets.ControlPacket) (answers []packets.ControlPacket, stays bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, _, _ := strings.Cut(p.String(), ":")
	b.packets = append(b.packets, kind)
	switch p := p.(type) {
	case *packets.DisconnectPacket:
		return nil, false
	case *packets.ConnectPacket:
		answers = append(answers, packets.NewControlPacket(packets.Connack))
	case *packets.PingreqPacket:
		answers = append(answers, packets.NewControlPacket(packets.Pingresp))
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = p.MessageID, p.Qoss
		if b.filters == nil {
			b.filters = make(map[string]byte)
		}
		for i, filter := range p.Topics {
			b.filters[filter] = p.Qoss[i]
		}
		answers = append(answers, ack)
	case *packets.UnsubscribePacket:
		ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
		ack.MessageID = p.MessageID
		answers = append(answers, ack)
	case *packets.PublishPacket:
		return b.take(p)
	}
	return answers, true
}

// take is answer for a publication. The caller holds the mutex.
func (b *scriptedBroker) take(p *packets.PublishPacket) (answers []packets.ControlPacket, stays bool) {
	all := []brokertest.Message{{Topic: p.TopicName, Payload: bytes.Clone(p.Payload), Retained: p.Retain}}
	isBatch := strings.HasSuffix(p.TopicName, uplink.BatchTopic)
	if isBatch {
		all = b.unpack(p)
	}
	judgement := passOn
	if b.judge != nil {
		judgement = b.judge(strings.TrimPrefix(p.TopicName, prefix), len(p.Payload), all)
	}
	switch {
	case judgement == hangUp:
		return nil, false
	case judgement != forget:
		b.messages = append(b.messages, all...)
		if isBatch && len(all) == 0 { // the gateway tries whether batches get through
			echo := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			echo.TopicName, echo.Payload = p.TopicName, p.Payload
			answers = append(answers, echo)
		}
	}
	switch {
	case p.Qos == 0:
	case b.silent || judgement == withhold:
		b.unacked = append(b.unacked, p.MessageID)
	default:
		answers = append(answers, puback(p.MessageID))
	}
	return answers, true
}

// unpack returns the events of a batch as if they had come one by one.
func (b *scriptedBroker) unpack(p *packets.PublishPacket) (all []brokertest.Message) {
	reader, err := unpack.NewReader()
	if err != nil {
		b.t.Error(err)
		return nil
	}
	events, err := reader.Events(p.Payload)
	if err != nil {
		b.t.Errorf("a batch of %d bytes: %v", len(p.Payload), err)
	}
	b.batches++
	for _, e := range events {
		kind, err := unpack.Kind(e)
		if err != nil {
			b.t.Errorf("in a batch: %v", err)
		}
		all = append(all, brokertest.Message{Topic: prefix + "event/" + kind, Payload: e, Batch: b.batches})
	}
	return all
}

func puback(id uint16) packets.ControlPacket {
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = id
	return ack
}

// acknowledge acknowledges what is published from now on, and what was published before,
// and waits until all that it leads to has been done.
func (b *scriptedBroker) acknowledge() {
	b.t.Helper()
	b.mu.Lock()
	conn, late := b.conn, b.unacked
	b.silent, b.unacked = false, nil
	b.mu.Unlock()
	for _, id := range late {
		if err := puback(id).Write(conn); err != nil {
			b.t.Fatalf("acknowledge: %v", err)
		}
	}
	synctest.Wait()
}

// send sends a message to the gateway, and waits until all that it leads to has been
// done.
func (b *scriptedBroker) send(topic string, retained bool, payload []byte) {
	b.t.Helper()
	b.mu.Lock()
	conn := b.conn
	b.mu.Unlock()
	if _, err := conn.Write(publication(0, retained, prefix+topic, 0, payload)); err != nil {
		b.t.Fatalf("send %s: %v", topic, err)
	}
	synctest.Wait()
}

// hangUp ends the connection, and waits until the gateway has noticed.
func (b *scriptedBroker) hangUp() {
	b.mu.Lock()
	conn := b.conn
	b.mu.Unlock()
	_ = conn.Close() // it may be closed already
	synctest.Wait()
}

// received are all messages that came. They are not copied, as tests ask for them many
// times while they wait: what follows is appended behind them.
func (b *scriptedBroker) received() []brokertest.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clip(b.messages)
}

// subscribed are the filters to which the gateway subscribed, and their QoS.
func (b *scriptedBroker) subscribed() map[string]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.filters)
}

// kinds are the kinds of all packets of the latest connection.
func (b *scriptedBroker) kinds() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.packets)
}

// events are the sequence numbers of all events that came.
func (b *scriptedBroker) events() []uint64 { return seqs(b.received()) }

// runScripted runs an uplink over a journal of so many events, with a broker of its own in
// a synctest bubble, until the test function ends. What the uplink does at its start has
// been done when that begins.
func runScripted(t *testing.T, events int, configure func(*scriptedBroker, *memory, *uplink.Options), test func(*testing.T, *scriptedBroker, *uplink.Uplink, *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &scriptedBroker{t: t}
		j := newMemory(events) // a channel of a bubble is made in it
		o := options("broker:1883", j)
		o.Dial = b.dial
		configure(b, j, &o)
		u := uplink.New(o)
		stop := run(t, u)
		synctest.Wait()
		test(t, b, u, j)
		stop()
	})
}
