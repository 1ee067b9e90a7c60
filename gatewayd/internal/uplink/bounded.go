package uplink

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

// maxPacket bounds a packet from the broker in bytes: paho allocates what a
// packet declares as its length. The largest that a gateway reads is a roster:
// a few thousand people at a hundred bytes.
const maxPacket = 512 << 10

// The kinds of packets that a gateway gets (MQTT 3.1.1, 2.2.1). It publishes and
// subscribes at QoS 0 and 1 only; paho would keep what belongs to QoS 2 until the
// broker goes on with it, which it need not.
const (
	connack  = 2
	publish  = 3
	puback   = 4
	suback   = 9
	unsuback = 11
	pingresp = 13
)

// lengthOf returns how many bytes a packet of a kind must have behind its header, false
// for a kind that a gateway never gets. A SUBACK has two bytes of packet id and one code
// for each filter of the SUBSCRIBE; paho writes beyond the end of a slice, and panics,
// if there are more codes than filters.
func (b *bounded) lengthOf(kind byte) (length int, known bool) {
	switch kind {
	case connack, puback, unsuback:
		return 2, true
	case suback:
		return 2 + int(b.filters.Load()), true
	case pingresp:
		return 0, true
	}
	return 0, false
}

var (
	errTooLarge = fmt.Errorf("the broker sent a packet of more than %d bytes", maxPacket)
	errLength   = errors.New("the broker sent a packet without an end")
	errPacket   = errors.New("the broker sent a packet that it must not send here")
	// ErrWebServer is what a web server is taken for that answers where a broker should.
	ErrWebServer = errors.New("a web server answers there and no broker: for MQTT over WebSocket the broker's address begins with wss://")
	errQoS       = errors.New("a message at QoS 2, at which nobody subscribed")
)

// bounded follows the packets that come over a connection (MQTT 3.1.1, 2.2: a
// byte of type and flags, the remaining length in 7-bit groups, the rest) and
// ends it before one is read that paho would not survive, or would keep. A message
// that is too large, or comes at QoS 2, is passed over: it may be retained, and
// would end every connection.
//
// It reads ahead: paho asks for a packet's header byte by byte.
type bounded struct {
	net.Conn
	ahead   *bufio.Reader
	filters *atomic.Int64                 // how many the latest SUBSCRIBE has; there is one at a time
	passed  func(topic string, why error) // called for each message that was passed over
	rest    int                           // bytes of the packet still to come
}

func newBounded(c net.Conn, filters *atomic.Int64, passed func(topic string, why error)) *bounded {
	return &bounded{Conn: c, ahead: bufio.NewReaderSize(c, 4<<10), filters: filters, passed: passed}
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	for b.rest == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n, err := b.ahead.Read(p[:min(len(p), b.rest)])
	b.rest -= n
	return n, err
}

// next reads the header of the next packet, and skips the packet if it is one to pass
// over.
func (b *bounded) next() error {
	length, n := 0, 1 // the remaining length, and the bytes of the header so far
	for {
		if n == 5 {
			return errLength
		}
		n++
		head, err := b.ahead.Peek(n)
		if err != nil {
			return err
		}
		length |= int(head[n-1]&0x7F) << (7 * (n - 2))
		if head[n-1]&0x80 == 0 {
			break
		}
	}
	head, err := b.ahead.Peek(1)
	if err != nil {
		return err
	}
	kind, flags := head[0]>>4, head[0]&0xF
	if kind != publish {
		// With flags set, paho would keep the message that the packet acknowledges.
		if want, known := b.lengthOf(kind); !known || flags != 0 || length != want {
			if begin, _ := b.ahead.Peek(min(5, b.ahead.Buffered())); string(begin) == "HTTP/" {
				return ErrWebServer
			}
			return errPacket
		}
		b.rest = n + length
		return nil
	}
	var why error
	switch qos := flags >> 1 & 3; {
	case length > maxPacket:
		why = errTooLarge
	case qos > 1:
		why = errQoS
	default:
		b.rest = n + length
		return nil
	}
	topic := b.topic(n, length)
	_, err = b.ahead.Discard(n + length)
	b.passed(topic, why)
	return err
}

// longestName is how many bytes of the topic are read of a message that is passed over.
const longestName = 1 << 10

// topic returns the topic of the next PUBLISH packet, whose header has n bytes and which
// has length bytes behind that (MQTT 3.1.1, 3.3.2.1: two bytes for the topic's length,
// then the topic). It is cut short where the line breaks.
func (b *bounded) topic(n, length int) string {
	if length < 2 {
		return ""
	}
	head, err := b.ahead.Peek(n + 2)
	if err != nil {
		return ""
	}
	size := int(head[n])<<8 | int(head[n+1])
	head, _ = b.ahead.Peek(n + 2 + min(size, length-2, longestName)) // less if the line breaks
	return string(head[min(n+2, len(head)):])
}
