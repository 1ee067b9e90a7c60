package lightgateway_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// wait is how long what must come may take, on a busy machine.
const wait = 30 * time.Second

// scriptedBroker speaks just enough MQTT 3.1.1 for one gateway at a time, writes down what
// the gateway sends, and does what a test tells it: withhold PUBACKs, hang up, publish.
type scriptedBroker struct {
	t        *testing.T
	listener net.Listener

	mu       sync.Mutex
	conn     net.Conn
	heard    []heard
	withhold bool     // PUBACKs of events
	held     []uint16 // ids of what was withheld
	changed  chan struct{}
}

// heard is a packet from the gateway: "CONNECT", "SUBSCRIBE", "PUBLISH", "PUBACK",
// "PINGREQ", "UNSUBSCRIBE", "DISCONNECT" or "HUNG UP".
type heard struct {
	packet  string
	about   string // of CONNECT and SUBSCRIBE, the details
	topic   string // of PUBLISH, behind the prefix
	qos     byte
	retain  bool
	payload []byte
}

func (h heard) isEvent() bool { return h.packet == "PUBLISH" && strings.HasPrefix(h.topic, "event/") }

func newScriptedBroker(t *testing.T) *scriptedBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &scriptedBroker{t: t, listener: l, changed: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conn = conn
			b.mu.Unlock()
			serving.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		b.hangUp()
		serving.Wait()
	})
	return b
}

func (b *scriptedBroker) address() string { return b.listener.Addr().String() }

func (b *scriptedBroker) note(h heard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, h)
	close(b.changed)
	b.changed = make(chan struct{})
}

// serve answers a connection until it ends.
func (b *scriptedBroker) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		head, err := in.ReadByte()
		var length uint64
		if err == nil {
			length, err = binary.ReadUvarint(in)
		}
		body := make([]byte, length)
		if err == nil {
			_, err = io.ReadFull(in, body)
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				b.note(heard{packet: "HUNG UP"})
			}
			return
		}
		b.answer(conn, head, body)
	}
}

// text takes a string with its length off the front of a packet.
func text(body []byte) (s string, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(body))
	return string(body[2:n]), body[n:]
}

func behind(topic string) string {
	parts := strings.SplitN(topic, "/", 5)
	return parts[len(parts)-1]
}

func (b *scriptedBroker) answer(conn net.Conn, head byte, body []byte) {
	reply := func(packet ...byte) { _, _ = conn.Write(packet) }
	switch head >> 4 {
	case 1:
		protocol, rest := text(body)
		level, flags, keepAlive := rest[0], rest[1], binary.BigEndian.Uint16(rest[2:])
		_, rest = text(rest[4:]) // the client id
		topic, rest := text(rest)
		will, _ := text(rest)
		b.note(heard{packet: "CONNECT", about: fmt.Sprintf("%s %d, flags %08b, keep alive %d s, will on %s", protocol, level, flags, keepAlive, behind(topic)), payload: []byte(will)})
		reply(0x20, 2, 0, 0)
	case 8:
		suback := []byte{0x90, 2, body[0], body[1]}
		for rest := body[2:]; len(rest) > 0; {
			var topic string
			topic, rest = text(rest)
			b.note(heard{packet: "SUBSCRIBE", about: fmt.Sprintf("%s at %d", behind(topic), rest[0])})
			suback, rest = append(suback, rest[0]), rest[1:]
			suback[1]++
		}
		reply(suback...)
	case 3:
		b.publication(conn, head, body)
	case 4:
		b.note(heard{packet: "PUBACK"})
	case 10:
		b.note(heard{packet: "UNSUBSCRIBE"})
		reply(0xB0, 2, body[0], body[1])
	case 12:
		b.note(heard{packet: "PINGREQ"})
		reply(0xD0, 0)
	case 14:
		b.note(heard{packet: "DISCONNECT"})
	}
}

func (b *scriptedBroker) publication(conn net.Conn, head byte, body []byte) {
	topic, rest := text(body)
	h := heard{packet: "PUBLISH", topic: behind(topic), qos: head >> 1 & 3, retain: head&1 != 0}
	var id uint16
	if h.qos > 0 {
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	h.payload = rest
	b.note(h)
	if h.topic == "event/batch" && len(rest) < 32 { // passed back, as the gateway has subscribed
		_, _ = conn.Write(append([]byte{0x30, byte(2 + len(topic) + len(rest)), 0, byte(len(topic))}, topic+string(rest)...))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case id == 0:
	case b.withhold && h.isEvent():
		b.held = append(b.held, id)
	default:
		_, _ = conn.Write([]byte{0x40, 2, byte(id >> 8), byte(id)})
	}
}

// hold withholds PUBACKs of events from now on, or sends those that were withheld.
func (b *scriptedBroker) hold(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withhold = on
	if on {
		return
	}
	for _, id := range b.held {
		_, _ = b.conn.Write([]byte{0x40, 2, byte(id >> 8), byte(id)})
	}
	b.held = nil
}

// hangUp ends the connection, if there is one.
func (b *scriptedBroker) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close()
	}
	b.held = nil
}

// send publishes to the gateway at QoS 1, so that its PUBACK tells that it has the message.
// A real broker sends at QoS 0 what was subscribed to at QoS 0.
func (b *scriptedBroker) send(topic, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	body = append(body, 0, 7) // a packet id
	body = append(body, payload...)
	packet := binary.AppendUvarint([]byte{0x32}, uint64(len(body)))
	_, _ = b.conn.Write(append(packet, body...))
}

// since is what came from a place on.
func (b *scriptedBroker) since(place int) []heard {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]heard(nil), b.heard[place:]...)
}

// now is the place behind what came so far.
func (b *scriptedBroker) now() int { return len(b.since(0)) }

// await waits until enough has come from a place on, and returns that.
func (b *scriptedBroker) await(place int, what string, enough func([]heard) bool) []heard {
	b.t.Helper()
	deadline := time.After(wait)
	for {
		b.mu.Lock()
		all, changed := b.heard[place:len(b.heard):len(b.heard)], b.changed
		b.mu.Unlock()
		if enough(all) {
			return all
		}
		select {
		case <-changed:
		case <-deadline:
			b.t.Fatalf("waited in vain for %s; %d packets came", what, len(all))
		}
	}
}
