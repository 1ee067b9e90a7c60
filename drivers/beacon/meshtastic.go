package beacon

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// NewMeshtastic decodes the stream API of a Meshtastic radio that is connected by USB
// or serial port: frames of the bytes 94 C3, a length of two bytes and so many bytes
// of a FromRadio message (protobuf), without a checksum. The sender's node number names
// the tag: "mesh:1c2f13fc".
//
// What becomes a Fix is a Position that another node sent by radio and that this radio
// could decrypt. Its time is the one at which the tag's GPS took it ("timestamp"), not
// the one at which it was sent; many tags leave it out. Fix.Replay is set for what the
// radio had kept and tells again after a start: it came without a signal strength. A
// grid that is coarser than the GPS ("precision_bits") goes into Fix.Accuracy.
//
// A packet that the radio cannot decrypt is BadKey, one that reached it over the
// internet is BadMQTT: anybody can put those there. A radio that is set up for no region
// hears nothing; that it says so is BadRegion, once for each time that it is asked.
//
// A radio does not speak unless it is spoken to: the decoder is a Talker too.
func NewMeshtastic(r io.Reader, opt Options) Decoder {
	m := &meshtastic{r: r, opt: opt.complete(), nodes: make(map[uint32]node), again: make(chan struct{}, 1), listed: make(chan struct{}, 1)}
	return m
}

const (
	meshStart1 = 0x94
	meshStart2 = 0xC3
	meshHeader = 4

	// meshMax is the longest message of the stream API (MAX_TO_FROM_RADIO_SIZE).
	meshMax = 512
)

type meshtastic struct {
	r   io.Reader
	opt Options

	buf      [bufferSize]byte
	from, to int // buf[from:to] is unread
	err      error

	garbage bool // the bytes before buf[from] are noise, which is counted already
	text    int  // printable characters in the line before buf[from], noise apart

	// What the messages tell.
	nodes   map[uint32]node // guarded by nothing: only Next uses it
	listing bool            // a list of nodes has begun, and not ended
	reboot  bool            // frames came, so that text means that the radio started anew

	// For Talk.
	self     atomic.Uint32 // the node number of the radio itself, 0 until it is known
	again    chan struct{} // ask for the list of nodes again
	listed   chan struct{} // the list has come to its end
	complete atomic.Bool   // it was answered
	packets  atomic.Int64  // of the mesh, so far
	talking  sync.Mutex    // Talk runs once at a time
}

// Next is Decoder's.
func (m *meshtastic) Next() (Fix, error) {
	for {
		message, err := m.message()
		if err != nil {
			return Fix{}, err
		}
		if fix, ok := m.take(message); ok {
			return fix, nil
		}
	}
}

// message returns the next message that is whole. What stands before it is dropped:
// text of the console, and noise, which is counted once for each stretch.
func (m *meshtastic) message() (fromRadio, error) {
	for {
		b := m.buf[m.from:m.to]
		size, message, state := readFrame(b)
		switch state {
		case frameWhole:
			m.from += size
			m.garbage, m.text, m.reboot = false, 0, true
			return message, nil
		case frameNone:
			m.skip(b[0])
			continue
		case framePart:
		}
		if !m.fill() {
			// Nothing more comes: what is there is no frame.
			if m.from == m.to {
				return fromRadio{}, m.err
			}
			m.skip(m.buf[m.from])
		}
	}
}

// skip drops one byte that begins no frame.
func (m *meshtastic) skip(c byte) {
	m.from++
	switch {
	case c >= ' ' && c <= '~', c == '\t', c == 0x1b: // ANSI colours
		if m.text++; m.text == maxLine+1 && !m.garbage {
			m.opt.Reject(BadLength)
			m.garbage = true
		}
		return
	case c == '\r', c == '\n':
		if m.text >= consoleLine && m.text <= maxLine {
			m.garbage = false
			if m.reboot {
				m.listing = false
				m.askAgain()
			}
		}
		m.text = 0
		return
	}
	m.text = 0
	if !m.garbage {
		m.opt.Reject(BadFraming)
		m.garbage = true
	}
}

// consoleLine is how many printable characters a line has to have to be text of the
// console, which only a radio that has just started prints.
const consoleLine = 12

// fill waits for more bytes.
func (m *meshtastic) fill() bool {
	if m.from > 0 {
		m.to = copy(m.buf[:], m.buf[m.from:m.to])
		m.from = 0
	}
	for range maxEmptyReads {
		if m.err != nil {
			return false
		}
		n, err := m.r.Read(m.buf[m.to:])
		m.to += n
		m.err = err
		if n > 0 {
			return true
		}
	}
	if m.err == nil {
		m.err = io.ErrNoProgress
	}
	return false
}

// frameState says what stands at the head of a buffer.
type frameState int

const (
	framePart  frameState = iota // perhaps a frame, of which more has to come
	frameNone                    // its first byte begins no frame
	frameWhole                   // a frame
)

// readFrame looks for a frame at the head of b. There is no checksum: a frame is one
// whose message is a message down to its innermost field. One that is not may be cut
// short and hold the beginning of the next, so that only its first byte is dropped.
func readFrame(b []byte) (size int, message fromRadio, state frameState) {
	for i, want := range []byte{meshStart1, meshStart2} {
		if len(b) == i {
			return 0, fromRadio{}, framePart
		}
		if b[i] != want {
			return 0, fromRadio{}, frameNone
		}
	}
	if len(b) < meshHeader {
		return 0, fromRadio{}, framePart
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length == 0 || length > meshMax {
		return 0, fromRadio{}, frameNone
	}
	body := b[meshHeader:]
	if len(body) < length {
		if !mayBegin(body, length) {
			return 0, fromRadio{}, frameNone
		}
		return 0, fromRadio{}, framePart
	}
	message, ok := parseFromRadio(body[:length])
	if !ok {
		return 0, fromRadio{}, frameNone
	}
	return meshHeader + length, message, frameWhole
}

// take makes a Fix of a message, if it is one of a tag's position.
func (m *meshtastic) take(message fromRadio) (Fix, bool) {
	switch {
	case message.rebooted:
		m.listing = false
		m.askAgain()
	case message.myNode != 0:
		m.self.Store(message.myNode)
	case message.complete != 0:
		m.listing = false
		if message.complete == wantNonce {
			m.complete.Store(true)
			wake(m.listed)
		}
	case message.locked:
		m.opt.Reject(BadLocked)
	case message.hasNode:
		m.takeNode(message.node)
	case message.hasPacket:
		m.packets.Add(1)
		return m.takePacket(&message.packet)
	}
	return Fix{}, false
}

// takeNode takes a node of the radio's list. The first of a list is the radio itself, as
// its own favourite and at no distance: the answer to wantNonce says it nowhere else.
func (m *meshtastic) takeNode(n meshNode) {
	if !m.listing && n.favourite && !n.hasHops {
		m.self.Store(n.num)
	}
	m.listing = true
	m.enrol(n.num, n.key, n.lastHeard)
}

func (m *meshtastic) takePacket(p *meshPacket) (Fix, bool) {
	if p.from == 0 {
		return Fix{}, false // from the program on the radio's other port
	}
	if p.from == m.self.Load() && !p.hasRSSI {
		// What the radio says itself: no radio hears its own packets.
		if p.port == portAdmin {
			m.takeSettings(p.payload)
		}
		return Fix{}, false
	}
	if p.encrypted {
		m.opt.Reject(BadKey)
		return Fix{}, false
	}
	if p.viaMQTT || p.transport == transportMQTT {
		if p.port == portPosition {
			m.opt.Reject(BadMQTT)
		}
		return Fix{}, false
	}
	signed, bad := m.verify(p)
	if bad != "" {
		m.opt.Reject(bad)
		return Fix{}, false
	}
	switch p.port {
	case portNodeInfo:
		if key, ok := parseUser(p.payload); ok {
			m.enrol(p.from, key, math.MaxUint32)
		}
	case portTelemetry:
		if percent, ok := parseBattery(p.payload); ok {
			m.opt.Note(Note{Tag: meshTag(p.from), Battery: &percent})
		}
	case portPosition:
		fix, bad := decodePosition(p)
		if bad != "" {
			m.opt.Reject(bad)
			return Fix{}, false
		}
		fix.Signed = signed
		return fix, true
	}
	return Fix{}, false
}

// meshTag names a tag by its node number.
func meshTag(num uint32) string { return fmt.Sprintf("mesh:%08x", num) }

// decodePosition makes a Fix of a packet that holds a position.
func decodePosition(p *meshPacket) (Fix, Reason) {
	pos, ok := parsePosition(p.payload)
	switch {
	case !ok:
		return Fix{}, BadFields
	case !pos.hasLat || !pos.hasLon || pos.lat == 0 && pos.lon == 0:
		return Fix{}, BadNoFix
	case p.from == broadcast:
		return Fix{}, BadIdentity
	}
	fix := Fix{
		Tag: meshTag(p.from), Lat: float64(pos.lat) / 1e7, Lon: float64(pos.lon) / 1e7,
		Accuracy:   pos.accuracy(),
		Unverified: pos.source == sourceManual, // typed in, not measured
		Packet:     p.id,
		Replay:     !p.hasRSSI,
	}
	if p.hasRSSI {
		fix.RSSI, fix.SNR = new(int), new(float64)
		*fix.RSSI, *fix.SNR = p.rssi, p.snr
	}
	if math.Abs(fix.Lat) > 90 || math.Abs(fix.Lon) > 180 {
		return Fix{}, BadRange
	}
	if pos.timestamp != 0 {
		at := time.Unix(int64(pos.timestamp), 0).UTC()
		if at.Before(oldest) {
			at, fix.Rollover = at.Add(weeks1024), true
		}
		if at.Before(oldest) || at.Year() >= 2080 {
			return Fix{}, BadRange
		}
		fix.Time = at
	}
	return fix, ""
}

// gridMetres is how far a position on a grid of so many bits may be off, in metres:
// half a cell to the north or south.
func gridMetres(bits uint32) float64 {
	if bits == 0 || bits >= 32 {
		return 0 // an old tag, which does not say, or one that sends all bits
	}
	return math.Ldexp(metresPerDegree*1e-7/2, 32-int(bits))
}

// accuracy is the radius in metres that a position claims, 0 where it claims none.
func (p meshPosition) accuracy() float64 {
	var gps float64
	if dop := max(p.hdop, p.pdop); p.gpsMM > 0 && dop > 0 {
		gps = float64(p.gpsMM) / 1000 * float64(dop) / 100
	}
	return max(gps, gridMetres(p.precision))
}
