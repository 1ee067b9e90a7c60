package beacon_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
)

// pbAt is a Position, a Data and a MeshPacket around it, of which a test changes one.
func pbAt(lat, lon int32) wire {
	var p wire
	p.fixed32(1, uint32(lat))
	p.fixed32(2, uint32(lon))
	return p
}

func pbFrom(from uint32, port int, payload wire) wire {
	var data, m wire
	data.varint(1, uint64(port))
	data.message(2, payload)
	m.fixed32(1, from)
	m.fixed32(2, math.MaxUint32)
	m.message(4, data)
	m.fixed32(6, 77)
	m.varint(12, math.MaxUint64-89) // -90 dBm
	return m
}

// with is the message with one more field.
func (w wire) with(put func(*wire)) wire {
	out := slices.Clone(w)
	put(&out)
	return out
}

// TestMeshtasticRejectsByReason: each packet that is no position of somebody is counted
// once, under the reason that a person looks for.
func TestMeshtasticRejectsByReason(t *testing.T) {
	const lat, lon = -79_777_000, 1_126_331_000
	good := pbFrom(0x1c2f13fc, pbPortPosition, pbAt(lat, lon))
	encrypted := wire{}
	encrypted.fixed32(1, 0x1c2f13fc)
	encrypted.fixed32(2, math.MaxUint32)
	encrypted.varint(3, 8) // the channel's hash
	encrypted.bytes(5, []byte("sixteen byte or so"))
	encrypted.fixed32(6, 9)
	for _, c := range []struct {
		name string
		in   wire
		want []beacon.Reason
	}{
		{"encrypted", encrypted, []beacon.Reason{beacon.BadKey}},
		{"over MQTT", good.with(func(w *wire) { w.varint(14, 1) }), []beacon.Reason{beacon.BadMQTT}},
		{"by the transport MQTT", good.with(func(w *wire) { w.varint(21, pbTransportMQTT) }), []beacon.Reason{beacon.BadMQTT}},
		{"from the program on the radio's other port", pbFrom(0, pbPortPosition, pbAt(lat, lon)), nil},
		{"everybody", pbFrom(math.MaxUint32, pbPortPosition, pbAt(lat, lon)), []beacon.Reason{beacon.BadIdentity}},
		{"no position", pbFrom(5, pbPortPosition, nil), []beacon.Reason{beacon.BadNoFix}},
		{"only the time", pbFrom(5, pbPortPosition, wire{}.with(func(w *wire) { w.fixed32(4, 1_800_000_000) })), []beacon.Reason{beacon.BadNoFix}},
		{"0,0", pbFrom(5, pbPortPosition, pbAt(0, 0)), []beacon.Reason{beacon.BadNoFix}},
		{"beyond the pole", pbFrom(5, pbPortPosition, pbAt(900_000_001, 1)), []beacon.Reason{beacon.BadRange}},
		{"beyond the date line", pbFrom(5, pbPortPosition, pbAt(1, -1_800_000_001)), []beacon.Reason{beacon.BadRange}},
		{"a text", pbFrom(5, pbPortText, wire{[]byte("halo")}), nil},
		{"no payload", wire{}.with(func(w *wire) { w.fixed32(1, 5) }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode(t, beacon.Meshtastic, strings.NewReader(inFromRadio(pbPacket, c.in)))
			if diff := cmp.Diff(heard{Bad: c.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestMeshtasticOnTheEquator: 0 is a latitude, and Indonesia lies on both sides of it.
func TestMeshtasticOnTheEquator(t *testing.T) {
	got := decode(t, beacon.Meshtastic, strings.NewReader(inFromRadio(pbPacket, pbFrom(5, pbPortPosition, pbAt(0, 1_093_000_000)))))
	if len(got.Fixes) != 1 || got.Fixes[0].Lat != 0 || got.Fixes[0].Lon != 109.3 {
		t.Errorf("%+v", got)
	}
}

// TestMeshtasticSkipsWhatIsNotForIt: every other variant of FromRadio, those of today
// and those to come, is passed over in silence, and what comes after it is read.
func TestMeshtasticSkipsWhatIsNotForIt(t *testing.T) {
	after := inFromRadio(pbPacket, pbFrom(5, pbPortPosition, pbAt(-79_777_000, 1_126_331_000)))
	for num := range 40 {
		if num == 0 || num == 1 || num == pbPacket || num == pbLockdown {
			continue
		}
		var f wire
		switch num {
		case pbComplete:
			f.varint(num, 69421)
		case pbRebooted:
			f.varint(num, 1)
		default:
			f.message(num, wire{}.with(func(w *wire) { w.varint(1, 6); w.varint(3, 7) }))
		}
		got := decode(t, beacon.Meshtastic, strings.NewReader(streamed(f)+after))
		if len(got.Bad) != 0 || len(got.Fixes) != 1 {
			t.Errorf("variant %d: %+v", num, got)
		}
	}
}

// TestMeshtasticLockdownStates: firmware that can be locked says in each answer that it
// is unlocked (3) or was never locked (5), and hands everything over.
func TestMeshtasticLockdownStates(t *testing.T) {
	for state, locked := range map[uint64]bool{1: true, 2: true, 3: false, 4: true, 5: false} {
		in := inFromRadio(pbLockdown, wire{}.with(func(w *wire) { w.varint(1, state); w.text(2, "needs_auth") }))
		got := decode(t, beacon.Meshtastic, strings.NewReader(in))
		if slices.Contains(got.Bad, beacon.BadLocked) != locked {
			t.Errorf("state %d: %v", state, got.Bad)
		}
	}
}

// TestMeshtasticTruncated: a frame that came whole around a message that did not is
// refused once, wherever the message was cut, and does not take its successor along.
func TestMeshtasticTruncated(t *testing.T) {
	whole := pbFrom(0x1c2f13fc, pbPortPosition, pbAt(-79_777_000, 1_126_331_000)).encode()
	after := inFromRadio(pbPacket, pbFrom(5, pbPortPosition, pbAt(-79_777_000, 1_126_331_000)))
	for cut := range whole {
		var f wire
		f.bytes(pbPacket, whole[:cut])
		got := decode(t, beacon.Meshtastic, strings.NewReader(streamed(f)+after))
		if len(got.Fixes) == 0 || got.Fixes[len(got.Fixes)-1].Tag != "mesh:00000005" {
			t.Errorf("cut at %d: %+v", cut, got)
		}
		if len(got.Fixes) == 2 && got.Fixes[0].Tag != "mesh:1c2f13fc" {
			t.Errorf("cut at %d: %+v", cut, got)
		}
	}
}

// TestMeshtasticBattery: DeviceMetrics.battery_level, and of Telemetry's other variants
// nothing, though their first fields are numbers too.
func TestMeshtasticBattery(t *testing.T) {
	metrics := func(level uint64) wire {
		return wire{}.with(func(w *wire) { w.varint(1, level); w.float(2, 3.7); w.varint(5, 3600) })
	}
	telemetry := func(num int, m wire) string {
		return inFromRadio(pbPacket, pbFrom(0xa1, pbPortTelemetry, wire{}.with(func(w *wire) {
			w.fixed32(1, 1_800_000_000)
			w.message(num, m)
		})))
	}
	for _, level := range []int{0, 14, 100, 101} {
		want := []beacon.Note{{Tag: "mesh:000000a1", Battery: &level}}
		if diff := cmp.Diff(want, said(t, telemetry(2, metrics(uint64(level))))); diff != "" {
			t.Errorf("%d %%: (-want +got)\n%s", level, diff)
		}
	}
	for num := 3; num <= 11; num++ {
		if got := said(t, telemetry(num, metrics(3))); len(got) != 0 {
			t.Errorf("variant %d: %+v", num, got)
		}
	}
	if got := said(t, telemetry(2, wire{}.with(func(w *wire) { w.float(2, 3.7) }))); len(got) != 0 {
		t.Errorf("without a level: %+v", got)
	}
}

// TestMeshtasticKeyUnderAnotherNumber: the key is the tag, its number may change; it is
// told by the radio's list of nodes (FromRadio.node_info) and on air (port 4).
func TestMeshtasticKeyUnderAnotherNumber(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i + 1)
	}
	user := func(id string) wire {
		return wire{}.with(func(w *wire) {
			w.text(1, id)
			w.text(2, "Tas Budi")
			w.text(3, "TB")
			w.varint(5, 71)
			w.varint(7, 5)
			w.bytes(8, key)
		})
	}
	listed := func(num uint32) string {
		return inFromRadio(pbNodeInfo, wire{}.with(func(w *wire) {
			w.varint(1, uint64(num))
			w.message(2, user(fmt.Sprintf("!%08x", num)))
			w.float(4, 6.25)
			w.fixed32(5, 1_800_000_000)
		}))
	}
	aired := func(num uint32) string {
		return inFromRadio(pbPacket, pbFrom(num, pbPortNodeInfo, user(fmt.Sprintf("!%08x", num))))
	}
	want := []beacon.Note{{Tag: "mesh:000000b2", Formerly: "mesh:000000a1"}}
	for name, in := range map[string]string{
		"listed, then aired": listed(0xa1) + aired(0xb2),
		"aired twice":        aired(0xa1) + aired(0xb2),
	} {
		if diff := cmp.Diff(want, said(t, in)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	if got := said(t, listed(0xa1)+aired(0xa1)); len(got) != 0 {
		t.Errorf("unchanged: %+v", got)
	}
}

// TestMeshtasticSignature: the signature that was computed for this key with another
// program, over sender, packet, port and payload; each of them counts.
func TestMeshtasticSignature(t *testing.T) {
	key := unhex(t, vectorKey)
	payload := unhex(t, vectorPayload)
	signature := unhex(t, vectorSignature)
	const from, id = vectorNum, vectorID
	stream := func(from, id uint32, payload, signature []byte) string {
		node := wire{}.with(func(w *wire) {
			w.varint(1, uint64(from))
			w.message(2, wire{}.with(func(w *wire) { w.bytes(8, key) }))
		})
		var data, m wire
		data.varint(1, pbPortPosition)
		data.bytes(2, payload)
		data.bytes(10, signature)
		m.fixed32(1, from)
		m.message(4, data)
		m.fixed32(6, id)
		m.varint(12, math.MaxUint64-89) // -90 dBm
		return inFromRadio(pbNodeInfo, node) + inFromRadio(pbPacket, m)
	}
	got := decode(t, beacon.Meshtastic, strings.NewReader(stream(from, id, payload, signature)))
	if len(got.Bad) != 0 || len(got.Fixes) != 1 || !got.Fixes[0].Signed {
		t.Errorf("as it was signed: %+v", got)
	}
	flip := func(b []byte, i int) []byte {
		out := slices.Clone(b)
		out[i] ^= 1
		return out
	}
	for name, in := range map[string]string{
		"another sender":    stream(from+1, id, payload, signature),
		"another packet":    stream(from, id+1, payload, signature),
		"another place":     stream(from, id, flip(payload, 1), signature),
		"another signature": stream(from, id, payload, flip(signature, 63)),
		"half of it":        stream(from, id, payload, signature[:32]),
	} {
		got := decode(t, beacon.Meshtastic, strings.NewReader(in))
		if diff := cmp.Diff(heard{Bad: []beacon.Reason{beacon.BadSignature}}, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// said is what a stream says of tags beside their positions, where it says nothing else.
func said(t *testing.T, in string) []beacon.Note {
	t.Helper()
	h, all := notes(t, in)
	if len(h.Bad)+len(h.Fixes) != 0 {
		t.Errorf("%+v", h)
	}
	return all
}
