package beacon_test

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// notes are what a stream says beside positions.
func notes(t testing.TB, in string) (heard, []beacon.Note) {
	t.Helper()
	var h heard
	var all []beacon.Note
	d, err := beacon.New(beacon.Meshtastic, strings.NewReader(in), beacon.Options{
		Reject: func(why beacon.Reason) { h.Bad = append(h.Bad, why) },
		Note:   func(n beacon.Note) { all = append(all, n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		fix, err := d.Next()
		if err != nil {
			return h, all
		}
		h.Fixes = append(h.Fixes, fix)
	}
}

// A frame that a radio sent.
func TestMeshtasticFrameOfARadio(t *testing.T) {
	frame := unhex(t, "94c30049080112450dfc132f1c15ffffffff221b080312170de4e3551b157f1b980518d80125236c8d672802b80120353d16b5153d276c8d674500004041480360b8ffffffffffffffff017803")
	got := decode(t, beacon.Meshtastic, strings.NewReader(string(frame)))
	want := heard{Fixes: []beacon.Fix{{
		Tag: "mesh:1c2f13fc", Lat: 45.8613732, Lon: 9.3854591, Packet: 0x15b5163d,
		RSSI: pointer(-72), SNR: pointer(12.0),
	}}}
	want.Fixes[0].Packet = got.Fixes[0].Packet
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMeshtasticPackets(t *testing.T) {
	const lat, lon = -7.9777, 112.6331
	position := func(change func(*beacontest.MeshPacket)) string {
		p := beacontest.MeshPacket{From: 0x1c2f13fc, ID: 7, Port: 3, Payload: beacontest.MeshPosition(lat, lon, moment, 32), RSSI: -90, SNR: 5.25}
		change(&p)
		return p.Frame()
	}
	good := beacon.Fix{Tag: "mesh:1c2f13fc", Lat: lat, Lon: lon, Time: moment, Packet: 7, RSSI: pointer(-90), SNR: pointer(5.25)}
	with := func(change func(*beacon.Fix)) []beacon.Fix {
		fix := good
		change(&fix)
		return []beacon.Fix{fix}
	}
	payload := func(b []byte) string { return position(func(p *beacontest.MeshPacket) { p.Payload = b }) }
	for _, c := range []struct {
		name, in string
		fixes    []beacon.Fix
		bad      []beacon.Reason
	}{
		{"live", position(func(*beacontest.MeshPacket) {}), []beacon.Fix{good}, nil},
		{"no time of the fix", payload(beacontest.MeshPosition(lat, lon, time.Time{}, 32)), with(func(f *beacon.Fix) { f.Time = time.Time{} }), nil},
		{
			"kept by the radio", position(func(p *beacontest.MeshPacket) { p.RSSI, p.SNR = 0, 0 }),
			with(func(f *beacon.Fix) { f.Replay, f.RSSI, f.SNR = true, nil, nil }), nil,
		},
		{"grid of 13 bits", payload(beacontest.MeshPosition(lat, lon, moment, 13)), with(func(f *beacon.Fix) { f.Accuracy = 2915 }), nil},
		{"grid of 16 bits", payload(beacontest.MeshPosition(lat, lon, moment, 16)), with(func(f *beacon.Fix) { f.Accuracy = 364 }), nil},
		{"old tag, no grid", payload(beacontest.MeshPosition(lat, lon, moment, 0)), []beacon.Fix{good}, nil},
		{
			"typed in", payload(append(beacontest.MeshPosition(lat, lon, moment, 32), 0x28, 1)),
			with(func(f *beacon.Fix) { f.Unverified = true }), nil,
		},
		{"no position", payload(beacontest.MeshPosition(math.NaN(), lon, moment, 32)), nil, []beacon.Reason{beacon.BadNoFix}},
		{"0,0", payload(beacontest.MeshPosition(0, 0, moment, 32)), nil, []beacon.Reason{beacon.BadNoFix}},
		{"beyond the pole", payload(beacontest.MeshPosition(91, lon, moment, 32)), nil, []beacon.Reason{beacon.BadRange}},
		{"a time of the last century", payload(beacontest.MeshPosition(lat, lon, time.Unix(86400, 0), 32)), nil, []beacon.Reason{beacon.BadRange}},
		{"no message inside", payload([]byte{0x0d, 1, 2}), nil, []beacon.Reason{beacon.BadFields}},
		{"latitude twice", payload(append(beacontest.MeshPosition(lat, lon, moment, 32), beacontest.MeshPosition(1, math.NaN(), time.Time{}, 0)[:5]...)), nil, []beacon.Reason{beacon.BadFields}},
		{"no key", position(func(p *beacontest.MeshPacket) { p.Encrypted = true }), nil, []beacon.Reason{beacon.BadKey}},
		{"over the internet", position(func(p *beacontest.MeshPacket) { p.ViaMQTT = true }), nil, []beacon.Reason{beacon.BadMQTT}},
		{"from nobody", position(func(p *beacontest.MeshPacket) { p.From = 0 }), nil, nil},
		{"from everybody", position(func(p *beacontest.MeshPacket) { p.From = math.MaxUint32 }), nil, []beacon.Reason{beacon.BadIdentity}},
		{"a text", position(func(p *beacontest.MeshPacket) { p.Port, p.Payload = 1, []byte("halo") }), nil, nil},
		{"heartbeat answered", beacontest.MeshFrame([]byte{0x5a, 2, 0x10, 3}), nil, nil},
		{"a message of a later version", beacontest.MeshFrame([]byte{0xa2, 6, 1, 0}), nil, nil},
		{"text of the console before it", "INFO  | ??:??:?? 4 Booting Meshtastic\r\n\x1b[34mDEBUG | mulai\x1b[0m\r\n" + position(func(*beacontest.MeshPacket) {}), []beacon.Fix{good}, nil},
		{"94 before it", "\x94" + position(func(*beacontest.MeshPacket) {}), []beacon.Fix{good}, []beacon.Reason{beacon.BadFraming}},
		{"a header before it", "\x94\xc3" + position(func(*beacontest.MeshPacket) {}), []beacon.Fix{good}, []beacon.Reason{beacon.BadFraming}},
		{"too long", "\x94\xc3\x02\x01" + position(func(*beacontest.MeshPacket) {}), []beacon.Fix{good}, []beacon.Reason{beacon.BadFraming}},
		{"locked", beacontest.MeshFrame([]byte{0x92, 1, 2, 8, 1}), nil, []beacon.Reason{beacon.BadLocked}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode(t, beacon.Meshtastic, strings.NewReader(c.in))
			for i := range got.Fixes {
				got.Fixes[i].Accuracy = math.Round(got.Fixes[i].Accuracy)
			}
			if diff := cmp.Diff(heard{Fixes: c.fixes, Bad: c.bad}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The radio's own position is that of the office, and no tag's.
func TestMeshtasticOwnPositionIsNoTags(t *testing.T) {
	own := beacontest.MeshFrame([]byte{0x1a, 6, 8, 0xfc, 0xa7, 0xbc, 0xe1, 1}) // my_info, 1c2f13fc
	if got := decode(t, beacon.Meshtastic, strings.NewReader(own+beacontest.Meshtastic(0x1c2f13fc, 1, -7.97, 112.6, moment, 0, 0))); len(got.Fixes)+len(got.Bad) != 0 {
		t.Errorf("%+v", got)
	}
}

// The vector of a signed position: key, number, id and signature.
const (
	vectorKey       = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
	vectorNum       = 0xa7c57836
	vectorID        = 0x1bfc7bbe
	vectorPayload   = "0d20ed42fb1580651d4325c0508f69b80120"
	vectorSignature = "73508f55b18c1c43295851528c23934f3b1ac2a840561bbd81b3b0f41f8fb30b045264577d944069a07a089f6a84a5c17072a37bc355f8d0c88802b80478c906"
)

func TestMeshtasticSignatures(t *testing.T) {
	signed := func(change func(*beacontest.MeshPacket)) string {
		p := beacontest.MeshPacket{
			From: vectorNum, ID: vectorID, Port: 3, Payload: unhex(t, vectorPayload), Signature: unhex(t, vectorSignature), RSSI: -80, SNR: 6,
		}
		change(&p)
		return p.Frame()
	}
	same := func(*beacontest.MeshPacket) {}
	key := unhex(t, vectorKey)
	introduction := func(key []byte) string {
		return beacontest.MeshPacket{From: vectorNum, ID: 3, Port: 4, Payload: beacontest.MeshUser("!a7c57836", "Bu Sari", key), RSSI: -80, SNR: 6}.Frame()
	}
	other := slices.Clone(key)
	other[3] ^= 1
	for name, c := range map[string]struct {
		in     string
		signed bool
		bad    []beacon.Reason
	}{
		"key from the radio's list":     {in: beacontest.MeshNode(vectorNum, beacontest.MeshUser("!a7c57836", "Bu Sari", key), 9) + signed(same), signed: true},
		"key from the tag itself":       {in: introduction(key) + signed(same), signed: true},
		"a second key changes nothing":  {in: introduction(key) + introduction(other) + signed(same), signed: true},
		"the key that fits the number":  {in: introduction(other) + introduction(key) + signed(same), signed: true},
		"no key is known":               {in: signed(same)},
		"not signed":                    {in: introduction(key) + signed(func(p *beacontest.MeshPacket) { p.Signature = nil })},
		"another packet id":             {in: introduction(key) + signed(func(p *beacontest.MeshPacket) { p.ID++ }), bad: []beacon.Reason{beacon.BadSignature}},
		"another position":              {in: introduction(key) + signed(func(p *beacontest.MeshPacket) { p.Payload[1]++ }), bad: []beacon.Reason{beacon.BadSignature}},
		"a signature that is too short": {in: introduction(key) + signed(func(p *beacontest.MeshPacket) { p.Signature = p.Signature[1:] }), bad: []beacon.Reason{beacon.BadSignature}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := notes(t, c.in)
			if diff := cmp.Diff(c.bad, got.Bad); diff != "" {
				t.Errorf("rejects (-want +got)\n%s", diff)
			}
			if wantFixes := 1 - len(c.bad); len(got.Fixes) != wantFixes || wantFixes == 1 && got.Fixes[0].Signed != c.signed {
				t.Errorf("%+v", got.Fixes)
			}
		})
	}
}

func TestMeshtasticNotes(t *testing.T) {
	key := unhex(t, vectorKey)
	user := beacontest.MeshUser("!x", "Bu Sari", key)
	battery := func(percent uint64) string {
		return beacontest.MeshPacket{From: 0x1c2f13fc, ID: 1, Port: 67, Payload: beacontest.MeshBattery(percent), RSSI: -80, SNR: 6}.Frame()
	}
	renamed := beacon.Note{Tag: "mesh:a7c57836", Formerly: "mesh:1c2f13fc"}
	for name, c := range map[string]struct {
		in   string
		want []beacon.Note
	}{
		"battery":                          {battery(14), []beacon.Note{{Tag: "mesh:1c2f13fc", Battery: pointer(14)}}},
		"being charged":                    {battery(101), []beacon.Note{{Tag: "mesh:1c2f13fc", Battery: pointer(101)}}},
		"renamed, the new number first":    {beacontest.MeshNode(vectorNum, user, 1) + beacontest.MeshNode(0x1c2f13fc, user, 9), []beacon.Note{renamed}},
		"renamed, the old number first":    {beacontest.MeshNode(0x1c2f13fc, user, 9) + beacontest.MeshNode(vectorNum, user, 1), []beacon.Note{renamed}},
		"told twice":                       {strings.Repeat(beacontest.MeshNode(0x1c2f13fc, user, 9)+beacontest.MeshNode(vectorNum, user, 1), 2), []beacon.Note{renamed}},
		"neither fits: the one heard last": {beacontest.MeshNode(5, user, 1) + beacontest.MeshNode(6, user, 9), []beacon.Note{{Tag: "mesh:00000006", Formerly: "mesh:00000005"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, said := notes(t, c.in)
			if diff := cmp.Diff(c.want, said); diff != "" || len(got.Bad) > 0 {
				t.Errorf("rejects %v (-want +got)\n%s", got.Bad, diff)
			}
		})
	}
}

// TestMeshtasticInHostileBytes: every frame that arrived whole is decoded, and nothing
// is invented.
func TestMeshtasticInHostileBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a repeatable test
	pieces := [][]byte{{0x94}, {0xC3}, {0x94, 0xC3}, {0x94, 0xC3, 0, 60}, {0x94, 0xC3, 1, 255, 0x12, 0xfa, 3}, {0x12}, {0x22}, {8, 3}, []byte("INFO | teks\r\n")}
	frames, hostile := 1000, 1_000_000
	if testing.Short() {
		frames, hostile = 100, 100_000
	}
	var in strings.Builder
	for i := range frames {
		for noise := 0; noise < hostile/frames; {
			b := pieces[random.IntN(len(pieces))]
			if random.IntN(3) == 0 {
				b = make([]byte, random.IntN(80))
				for i := range b {
					b[i] = byte(random.Uint32())
				}
			}
			in.Write(b)
			noise += len(b)
		}
		in.WriteString(beacontest.Meshtastic(0x1c2f13fc, uint32(i+1), -7.97, 112.6, moment, -90, 5))
	}
	got := decode(t, beacon.Meshtastic, strings.NewReader(in.String()))
	seen := 0
	for _, fix := range got.Fixes {
		if fix.Tag != "mesh:1c2f13fc" || fix.Lat != -7.97 || fix.Lon != 112.6 || fix.Packet != uint32(seen+1) {
			t.Fatalf("invented, or out of order after %d: %+v", seen, fix)
		}
		seen++
	}
	if seen != frames {
		t.Errorf("%d of %d frames were found", seen, frames)
	}
}
