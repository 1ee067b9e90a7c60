package lightgateway

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of packets (MQTT 3.1.1, 2.2.1), in the upper half of the first byte.
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typeSubscribe  = 8
	typeSuback     = 9
	typeUnsub      = 10
	typePingreq    = 12
	typeDisconnect = 14
)

// maxPacket is the most bytes of a packet that is taken from a broker: more than any
// message that a city sends to a gateway.
const maxPacket = 1 << 20

// appendString appends a string with its length before it (MQTT 3.1.1, 1.5.3).
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// appendHeader appends the fixed header of a packet of which so many bytes follow.
func appendHeader(dst []byte, kind, flags byte, length int) []byte {
	// MQTT's remaining length is a varint, low bits first (MQTT 3.1.1, 2.2.3).
	return binary.AppendUvarint(append(dst, kind<<4|flags), uint64(length))
}

// connectPacket opens a clean session with a retained will at QoS 1.
func connectPacket(client, willTopic string, will []byte, keepAliveS uint16) []byte {
	const (
		protocolLevel = 4
		cleanSession  = 1 << 1
		withWill      = 1 << 2
		willQoS1      = 1 << 3
		willRetain    = 1 << 5
	)
	body := appendString(nil, "MQTT")
	body = append(body, protocolLevel, cleanSession|withWill|willQoS1|willRetain)
	body = binary.BigEndian.AppendUint16(body, keepAliveS)
	body = appendString(body, client)
	body = appendString(body, willTopic)
	body = appendString(body, will)
	return append(appendHeader(nil, typeConnect, 0, len(body)), body...)
}

// filter is a topic filter with the QoS that is asked for.
type filter struct {
	topic string
	qos   byte
}

func appendSubscribe(dst []byte, id uint16, filters []filter) []byte {
	length := 2
	for _, f := range filters {
		length += 2 + len(f.topic) + 1
	}
	dst = appendHeader(dst, typeSubscribe, 2, length)
	dst = binary.BigEndian.AppendUint16(dst, id)
	for _, f := range filters {
		dst = append(appendString(dst, f.topic), f.qos)
	}
	return dst
}

func appendUnsubscribe(dst []byte, id uint16, topic string) []byte {
	dst = appendHeader(dst, typeUnsub, 2, 2+2+len(topic))
	return appendString(binary.BigEndian.AppendUint16(dst, id), topic)
}

// appendPublish appends a PUBLISH at QoS 1, or at QoS 0 with the id 0.
func appendPublish[T string | []byte](dst []byte, id uint16, retain bool, topic T, payload []byte) []byte {
	length := 2 + len(topic) + len(payload)
	var flags byte
	if id != 0 {
		flags, length = 1<<1, length+2
	}
	if retain {
		flags |= 1
	}
	dst = appendString(appendHeader(dst, typePublish, flags, length), topic)
	if id != 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	return append(dst, payload...)
}

func appendPuback(dst []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(appendHeader(dst, typePuback, 0, 2), id)
}

func appendEmpty(dst []byte, kind byte) []byte { return append(dst, kind<<4, 0) }

// packet is a packet from the broker. What it holds is valid until the next is read.
type packet struct {
	kind  byte
	flags byte
	body  []byte
}

var errTooLarge = fmt.Errorf("a packet of more than %d bytes", maxPacket)

// readPacket reads the next packet. Room is memory that it may use for the body.
func readPacket(in *bufio.Reader, room []byte) (packet, []byte, error) {
	head, err := in.ReadByte()
	if err != nil {
		return packet{}, room, err
	}
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return packet{}, room, err
	}
	if length > maxPacket {
		return packet{}, room, errTooLarge
	}
	if uint64(cap(room)) < length {
		room = make([]byte, length)
	}
	room = room[:length]
	_, err = io.ReadFull(in, room)
	return packet{kind: head >> 4, flags: head & 0xF, body: room}, room, err
}

var errShort = errors.New("a packet that ends too early")

// id is the packet id at the beginning of PUBACK and SUBACK.
func (p packet) id() (uint16, error) {
	if len(p.body) < 2 {
		return 0, errShort
	}
	return binary.BigEndian.Uint16(p.body), nil
}

// message is a PUBLISH from the broker.
type message struct {
	topic    []byte
	payload  []byte
	id       uint16 // 0 at QoS 0
	retained bool
}

// message reads a PUBLISH.
func (p packet) message() (message, error) {
	if len(p.body) < 2 {
		return message{}, errShort
	}
	n := 2 + int(binary.BigEndian.Uint16(p.body))
	if len(p.body) < n {
		return message{}, errShort
	}
	m := message{topic: p.body[2:n], payload: p.body[n:], retained: p.flags&1 != 0}
	if p.flags&6 != 0 {
		if len(m.payload) < 2 {
			return message{}, errShort
		}
		m.id, m.payload = binary.BigEndian.Uint16(m.payload), m.payload[2:]
	}
	return m, nil
}
