package uplink_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// silentBroker speaks MQTT 3.1.1 just far enough: it accepts, grants
// subscriptions, acknowledges retained publications, and swallows events.
type silentBroker struct {
	address string
	granted byte // the code of its SUBACKs

	mu          sync.Mutex
	connections int
}

func newSilentBroker(t *testing.T) *silentBroker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &silentBroker{address: l.Addr().String(), granted: 1}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.connections++
			b.mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				b.serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return b
}

func (b *silentBroker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connections
}

func (b *silentBroker) serve(c net.Conn) {
	for {
		var head [1]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		length, shift := 0, 0
		for {
			var digit [1]byte
			if _, err := io.ReadFull(c, digit[:]); err != nil {
				return
			}
			length |= int(digit[0]&0x7F) << shift
			shift += 7
			if digit[0]&0x80 == 0 {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		var reply []byte
		switch head[0] >> 4 {
		case 1: // CONNECT
			reply = []byte{0x20, 2, 0, 0}
		case 3: // PUBLISH
			n := int(body[0])<<8 | int(body[1])
			if topic := string(body[2 : 2+n]); !strings.Contains(topic, "/event/") {
				reply = []byte{0x40, 2, body[2+n], body[3+n]}
			}
		case 8: // SUBSCRIBE: the four filters of a gateway
			reply = []byte{0x90, 6, body[0], body[1], b.granted, b.granted, b.granted, b.granted}
		case 12: // PINGREQ
			reply = []byte{0xD0, 0}
		case 14: // DISCONNECT
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}
