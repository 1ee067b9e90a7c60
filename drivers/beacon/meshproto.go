package beacon

import (
	"errors"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields and values below are those of Meshtastic's protobuf
// definitions (mesh.proto, telemetry.proto and portnums.proto of firmware 2.8).
const (
	portPosition  = 3
	portNodeInfo  = 4
	portAdmin     = 6
	portTelemetry = 67

	transportMQTT = 5
	sourceManual  = 1
	broadcast     = math.MaxUint32

	// The highest numbers that the definitions give a field, for once.
	lastOfFromRadio  = 20
	lastOfMeshPacket = 24
	lastOfData       = 10
	lastOfPosition   = 23

	// maxVariant is the highest number of a field that a FromRadio may have: far above
	// that of any version, so that noise is seldom taken for the beginning of a frame.
	maxVariant = 200
)

// fromRadio is what matters here of a message of the same name. Its bytes lie in the
// decoder's buffer: they are valid until more is read.
type fromRadio struct {
	packet   meshPacket // with hasPacket
	node     meshNode   // with hasNode
	myNode   uint32
	complete uint32
	rebooted bool
	locked   bool

	hasPacket, hasNode bool
}

// meshPacket is a MeshPacket with its Data.
type meshPacket struct {
	from, id  uint32
	encrypted bool
	viaMQTT   bool
	transport uint64
	hasRSSI   bool // the packet came by radio just now
	rssi      int
	snr       float64

	port      uint64
	payload   []byte
	signature []byte
}

// meshNode is a NodeInfo.
type meshNode struct {
	num       uint32
	key       []byte // of its user, nil where it has none
	lastHeard uint32

	hasHops   bool // how far away it is, is known
	favourite bool
}

// meshPosition is a Position.
type meshPosition struct {
	lat, lon          int32 // in 1e-7 degrees
	hasLat, hasLon    bool
	source, timestamp uint32
	pdop, hdop        uint32 // in hundredths
	gpsMM, precision  uint32
}

// field is one field of a message, with the value that its type has.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	n     uint64 // varint, fixed32
	bytes []byte
}

// eachField calls fn for each field of a message until fn returns false. It is false
// where the bytes are no message. Groups are none of those of this protocol, and a
// number that is longer than it need be is written by no encoder: both are damage.
func eachField(b []byte, fn func(field) bool) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || n != protowire.SizeTag(num) {
			return false
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(b)
			if n != protowire.SizeVarint(f.n) {
				return false
			}
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.n = uint64(v)
		case protowire.Fixed64Type:
			f.n, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			return false
		}
		if n < 0 || !fn(f) {
			return false
		}
		b = b[n:]
	}
	return true
}

// mayBegin reports whether b can be the beginning of a FromRadio of so many bytes, of
// which not all have come. It spares a wait for bytes that never come.
func mayBegin(b []byte, length int) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF)
		}
		if num > maxVariant {
			return false
		}
		b, length = b[n:], length-n
		switch typ {
		case protowire.VarintType:
			_, n = protowire.ConsumeVarint(b)
			if n < 0 {
				return errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF)
			}
		case protowire.BytesType:
			size, m := protowire.ConsumeVarint(b)
			if m < 0 {
				return errors.Is(protowire.ParseError(m), io.ErrUnexpectedEOF)
			}
			n = m + int(min(size, meshMax+1))
		case protowire.Fixed32Type:
			n = 4
		case protowire.Fixed64Type:
			n = 8
		default:
			return false
		}
		if n > length {
			return false
		}
		b, length = b[min(n, len(b)):], length-n
	}
	return true
}

// once keeps a field from being there twice, which is damage too. That goes for the
// fields that the definitions have today, up to the number last: a later one may be a
// repeated field.
type once uint64

func (o *once) first(num, last protowire.Number) bool {
	if num > last {
		return true
	}
	bit := once(1) << num
	was := *o&bit != 0
	*o |= bit
	return !was
}

func parseFromRadio(b []byte) (m fromRadio, ok bool) {
	var seen once
	ok = eachField(b, func(f field) bool {
		if f.num > maxVariant || !seen.first(f.num, lastOfFromRadio) {
			return false
		}
		switch f.num {
		case 2:
			m.hasPacket = true
			return f.typ == protowire.BytesType && m.packet.parse(f.bytes)
		case 3:
			return f.typ == protowire.BytesType && eachField(f.bytes, func(g field) bool {
				if g.num == 1 {
					m.myNode = uint32(g.n)
				}
				return true
			})
		case 4:
			m.hasNode = true
			return f.typ == protowire.BytesType && m.node.parse(f.bytes)
		case 7:
			m.complete = uint32(f.n)
			return f.typ == protowire.VarintType
		case 8:
			m.rebooted = f.n != 0
			return f.typ == protowire.VarintType
		case 18:
			state, whole := parseLockdown(f.bytes)
			m.locked = state.locked()
			return whole && f.typ == protowire.BytesType
		}
		return true
	})
	return m, ok
}

func (p *meshPacket) parse(b []byte) bool {
	var seen once
	return eachField(b, func(f field) bool {
		if !seen.first(f.num, lastOfMeshPacket) {
			return false
		}
		switch f.num {
		case 1:
			p.from = uint32(f.n)
			return f.typ == protowire.Fixed32Type
		case 4:
			return f.typ == protowire.BytesType && p.parseData(f.bytes)
		case 5:
			p.encrypted = true
			return f.typ == protowire.BytesType
		case 6:
			p.id = uint32(f.n)
			return f.typ == protowire.Fixed32Type
		case 8:
			v := float64(math.Float32frombits(uint32(f.n)))
			if math.IsNaN(v) || math.Abs(v) > 200 {
				return false
			}
			p.snr = math.Round(v*100) / 100
			return f.typ == protowire.Fixed32Type
		case 12:
			// A radio hears between its noise floor and its own transmitter.
			p.rssi, p.hasRSSI = int(int32(f.n)), true
			return f.typ == protowire.VarintType && -200 <= p.rssi && p.rssi <= 50
		case 14:
			p.viaMQTT = f.n != 0
			return f.typ == protowire.VarintType
		case 21:
			p.transport = f.n
			return f.typ == protowire.VarintType
		}
		return true
	})
}

func (p *meshPacket) parseData(b []byte) bool {
	var seen once
	return eachField(b, func(f field) bool {
		if !seen.first(f.num, lastOfData) {
			return false
		}
		switch f.num {
		case 1:
			p.port = f.n
			return f.typ == protowire.VarintType
		case 2:
			p.payload = f.bytes
			return f.typ == protowire.BytesType
		case 10:
			p.signature = f.bytes
			return f.typ == protowire.BytesType
		}
		return true
	})
}

func (n *meshNode) parse(b []byte) bool {
	return eachField(b, func(f field) bool {
		switch f.num {
		case 1:
			n.num = uint32(f.n)
			return f.typ == protowire.VarintType
		case 2:
			key, ok := parseUser(f.bytes)
			n.key = key
			return ok && f.typ == protowire.BytesType
		case 5:
			n.lastHeard = uint32(f.n)
			return f.typ == protowire.Fixed32Type
		case 9:
			n.hasHops = true
			return f.typ == protowire.VarintType
		case 10:
			n.favourite = f.n != 0
			return f.typ == protowire.VarintType
		}
		return true
	})
}

// lockdown is the state of a radio whose firmware can be locked (LockdownStatus.State).
type lockdown uint64

const (
	lockdownNeedsProvision lockdown = 1 // it shall be locked, and has no passphrase yet
	lockdownLocked         lockdown = 2
	lockdownUnlockFailed   lockdown = 4
)

// locked reports whether the radio hands nothing over to us. Firmware that can be locked
// says after each question that it is not: 3 is unlocked, 5 that nobody has ever locked
// it.
func (l lockdown) locked() bool {
	return l == lockdownNeedsProvision || l == lockdownLocked || l == lockdownUnlockFailed
}

// parseLockdown returns the state of a LockdownStatus.
func parseLockdown(b []byte) (state lockdown, ok bool) {
	ok = eachField(b, func(f field) bool {
		if f.num == 1 {
			state = lockdown(f.n)
			return f.typ == protowire.VarintType
		}
		return true
	})
	return state, ok
}

// parseUser returns the public key of a User, nil where it has none.
func parseUser(b []byte) (key []byte, ok bool) {
	ok = eachField(b, func(f field) bool {
		if f.num == 8 && len(f.bytes) == keySize {
			key = f.bytes
		}
		return true
	})
	return key, ok
}

// parseBattery returns the charge of a Telemetry in percent, if it has one. A tag that
// is being charged says more than 100.
func parseBattery(b []byte) (percent int, found bool) {
	ok := eachField(b, func(f field) bool {
		if f.num != 2 {
			return true
		}
		return eachField(f.bytes, func(g field) bool {
			if g.num == 1 && g.typ == protowire.VarintType {
				percent, found = int(min(g.n, 101)), true
			}
			return true
		})
	})
	return percent, ok && found
}

func parsePosition(b []byte) (p meshPosition, ok bool) {
	var seen once
	ok = eachField(b, func(f field) bool {
		if !seen.first(f.num, lastOfPosition) {
			return false
		}
		fixed, want := int32(f.n), protowire.VarintType
		switch f.num {
		case 1:
			p.lat, p.hasLat, want = fixed, true, protowire.Fixed32Type
		case 2:
			p.lon, p.hasLon, want = fixed, true, protowire.Fixed32Type
		case 4:
			want = protowire.Fixed32Type // when it was sent
		case 5:
			p.source = uint32(f.n)
		case 7:
			p.timestamp, want = uint32(f.n), protowire.Fixed32Type
		case 11:
			p.pdop = uint32(f.n)
		case 12:
			p.hdop = uint32(f.n)
		case 14:
			p.gpsMM = uint32(f.n)
		case 23:
			p.precision = uint32(f.n)
		default:
			return true
		}
		return f.typ == want
	})
	return p, ok
}
