package beacon_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/drivers/beacon"
)

// The tests of the files meshwire, meshmessages and meshlist were written from
// Meshtastic's public protobuf definitions (mesh.proto, telemetry.proto, portnums.proto)
// and its firmware (PhoneAPI.cpp, AdminModule.cpp) by somebody who had read neither the
// decoder nor the radio of package meshtastictest. They share no code with either, so
// that a field number that both have wrong shows here.

// wire is one protobuf message as its fields, each with its key, in the order in which
// they are written (protobuf encoding, "Message Structure").
type wire [][]byte

// base128 is a varint: seven bits a byte, the lowest first, in as few bytes as there can
// be. (A protobuf reader would take more of them too; a line without a checksum takes
// them for damage, and no encoder writes them.)
func base128(v uint64) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func (w *wire) put(num, kind int, value []byte) {
	*w = append(*w, append(base128(uint64(num)<<3|uint64(kind)), value...))
}

func (w *wire) varint(num int, v uint64)  { w.put(num, 0, base128(v)) }
func (w *wire) fixed64(num int, v uint64) { w.put(num, 1, littleEndian(v, 8)) }
func (w *wire) fixed32(num int, v uint32) { w.put(num, 5, littleEndian(uint64(v), 4)) }
func (w *wire) float(num int, v float32)  { w.fixed32(num, math.Float32bits(v)) }
func (w *wire) bytes(num int, b []byte)   { w.put(num, 2, append(base128(uint64(len(b))), b...)) }
func (w *wire) message(num int, m wire)   { w.bytes(num, m.encode()) }
func (w *wire) text(num int, s string)    { w.bytes(num, []byte(s)) }
func (w wire) encode() []byte             { return slices.Concat(w...) }

func littleEndian(v uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return b
}

// streamed is a FromRadio message on the serial line: 94 C3, the length with its high
// byte first, the message.
func streamed(fromRadio wire) string {
	b := fromRadio.encode()
	return string(append([]byte{0x94, 0xc3, byte(len(b) >> 8), byte(len(b))}, b...))
}

// inFromRadio puts a message into the variant of FromRadio with this number.
func inFromRadio(num int, m wire) string {
	var f wire
	f.message(num, m)
	return streamed(f)
}

// shuffled writes a message as any encoder may: in any order, with fields that nobody
// knows yet between those that are known.
func (w wire) shuffled(t *rapid.T, firstUnknown, lastUnknown int) wire {
	out := slices.Clone(w)
	for range rapid.IntRange(0, 3).Draw(t, "unknown fields") {
		// Near one another, so that some are there twice, as a repeated field is.
		num := rapid.OneOf(rapid.IntRange(firstUnknown, firstUnknown+2), rapid.IntRange(firstUnknown, lastUnknown)).Draw(t, "number")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			out.varint(num, rapid.Uint64().Draw(t, "varint"))
		case 1:
			out.fixed64(num, rapid.Uint64().Draw(t, "fixed64"))
		case 2: // a text, a message, or packed numbers
			out.bytes(num, rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes"))
		case 3:
			out.fixed32(num, rapid.Uint32().Draw(t, "fixed32"))
		}
	}
	if len(out) == 0 {
		return out
	}
	return rapid.Permutation(out).Draw(t, "order")
}

// The numbers of the definitions that these tests need.
const (
	pbPacket, pbMyInfo, pbNodeInfo, pbComplete, pbRebooted, pbLockdown = 2, 3, 4, 7, 8, 18 // FromRadio

	pbPortText, pbPortPosition, pbPortNodeInfo, pbPortTelemetry = 1, 3, 4, 67

	pbTransportLoRa, pbTransportMQTT = 1, 5

	pbNewPosition, pbNewData, pbNewPacket, pbNewFromRadio = 24, 11, 25, 21 // numbers that nothing has yet

	pbLast = 1<<29 - 1 // the highest number that a field may have
)

// pbPosition draws a Position message with any of its other fields, and the fix that
// it is, without what the packet says.
func pbPosition(t *rapid.T) (wire, beacon.Fix) {
	var p wire
	lat := rapid.Int32Range(-900_000_000, 900_000_000).Draw(t, "latitude_i")
	lon := rapid.Int32Range(-1_800_000_000, 1_800_000_000).Draw(t, "longitude_i")
	if lat == 0 && lon == 0 {
		lon = 1
	}
	p.fixed32(1, uint32(lat))
	p.fixed32(2, uint32(lon))
	fix := beacon.Fix{Lat: float64(lat) / 1e7, Lon: float64(lon) / 1e7}
	optionally := func(name string, put func()) {
		if rapid.Bool().Draw(t, name) {
			put()
		}
	}
	optionally("altitude", func() { p.varint(3, uint64(int64(rapid.Int32Range(-400, 9000).Draw(t, "metres")))) })
	optionally("time", func() { p.fixed32(4, rapid.Uint32().Draw(t, "sent")) })
	optionally("location_source", func() { p.varint(5, uint64(rapid.IntRange(2, 3).Draw(t, "source"))) })
	optionally("altitude_source", func() { p.varint(6, 2) })
	optionally("timestamp", func() {
		at := rapid.Uint32Range(1_600_000_000, 3_400_000_000).Draw(t, "fixed at")
		p.fixed32(7, at)
		fix.Time = time.Unix(int64(at), 0).UTC()
	})
	optionally("altitude_hae", func() { p.varint(9, 17) })
	optionally("DOP", func() { p.varint(11, 250) })
	optionally("ground_speed", func() { p.varint(15, 60) })
	optionally("ground_track", func() { p.varint(16, 35_999) })
	optionally("sats_in_view", func() { p.varint(19, 7) })
	optionally("seq_number", func() { p.varint(22, rapid.Uint64Range(0, math.MaxUint32).Draw(t, "seq")) })
	optionally("precision_bits", func() {
		bits := rapid.IntRange(10, 32).Draw(t, "bits")
		p.varint(23, uint64(bits))
		if bits < 32 {
			// Half a cell of the grid that the coordinates were cut to, in metres.
			fix.Accuracy = math.Exp2(float64(31-bits)) * 1e-7 * 111_320
		}
	})
	return p, fix
}

// pbHeard draws a MeshPacket that came over LoRa just now, and fills in the fix what
// it says of it.
func pbHeard(t *rapid.T, port int, payload []byte, fix *beacon.Fix) wire {
	var data wire
	data.varint(1, uint64(port))
	data.bytes(2, payload)
	if rapid.Bool().Draw(t, "bitfield") {
		data.varint(9, 1)
	}
	var m wire
	from := rapid.Uint32Range(4, math.MaxUint32-1).Draw(t, "from")
	fix.Tag = fmt.Sprintf("mesh:%08x", from)
	m.fixed32(1, from)
	m.fixed32(2, math.MaxUint32)
	m.message(4, data.shuffled(t, pbNewData, pbLast))
	if rapid.Bool().Draw(t, "has id") {
		fix.Packet = rapid.Uint32().Draw(t, "id")
		m.fixed32(6, fix.Packet)
	}
	if rapid.Bool().Draw(t, "rx_time") {
		m.fixed32(7, rapid.Uint32().Draw(t, "received"))
	}
	rssi := rapid.IntRange(-140, 5).Draw(t, "rx_rssi") // 0 too: it has a presence of its own
	fix.RSSI = &rssi
	m.varint(12, uint64(int64(rssi))) // a negative int32 has ten bytes
	snr := float32(rapid.IntRange(-80, 60).Draw(t, "quarters")) / 4
	fix.SNR = pointer(float64(snr))
	if snr != 0 { // what has no presence of its own and is 0 is left out
		m.float(8, snr)
	}
	if rapid.Bool().Draw(t, "hops") {
		m.varint(9, 2)
		m.varint(15, 3)
	}
	if rapid.Bool().Draw(t, "says what is so anyway") {
		m.varint(3, 0)
		m.varint(14, 0)
		m.varint(17, 0)
		m.varint(22, 0)
	}
	if rapid.Bool().Draw(t, "transport_mechanism") {
		m.varint(21, pbTransportLoRa)
	}
	if rapid.Bool().Draw(t, "relays") {
		m.varint(18, 0x17)
		m.varint(19, 0xfc)
	}
	return m
}

// TestMeshtasticAsItsDefinitionsSay: what may come in any order, with fields that are
// missing, unknown or padded, is read as the definitions say.
func TestMeshtasticAsItsDefinitionsSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var in strings.Builder
		var want []beacon.Fix
		for range rapid.IntRange(1, 4).Draw(rt, "packets") {
			position, fix := pbPosition(rt)
			packet := pbHeard(rt, pbPortPosition, position.shuffled(rt, pbNewPosition, pbLast).encode(), &fix)
			var from wire
			from.message(pbPacket, packet.shuffled(rt, pbNewPacket, pbLast))
			if rapid.Bool().Draw(rt, "FromRadio.id") {
				from.varint(1, rapid.Uint64Range(0, math.MaxUint32).Draw(rt, "number"))
			}
			from = from.shuffled(rt, pbNewFromRadio, 200)
			if len(from.encode()) > 512 {
				continue // more than a radio may send
			}
			in.WriteString(streamed(from))
			want = append(want, fix)
		}
		got := decode(t, beacon.Meshtastic, strings.NewReader(in.String()))
		if len(got.Bad) != 0 || len(got.Fixes) != len(want) {
			rt.Fatalf("%d of %d positions, rejects %v, in %x", len(got.Fixes), len(want), got.Bad, in.String())
		}
		for i, fix := range got.Fixes {
			comparePB(rt, want[i], fix)
		}
	})
}

func comparePB(rt *rapid.T, want, got beacon.Fix) {
	// A coordinate has seven decimals; a metre of accuracy has none to speak of.
	if math.Abs(got.Lat-want.Lat) > 1e-9 || math.Abs(got.Lon-want.Lon) > 1e-9 {
		rt.Fatalf("found %v %v, sent %v %v", got.Lat, got.Lon, want.Lat, want.Lon)
	}
	if math.Abs(got.Accuracy-want.Accuracy) > 0.02*want.Accuracy {
		rt.Fatalf("accuracy %v, want about %v", got.Accuracy, want.Accuracy)
	}
	got.Lat, got.Lon, got.Accuracy = want.Lat, want.Lon, want.Accuracy
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("(-sent +found)\n%s", diff)
	}
}
