package beacontest

import (
	"encoding/binary"
	"math"
	"time"
)

// MeshFrame puts the header of Meshtastic's stream API before a message.
func MeshFrame(message []byte) string {
	return string([]byte{0x94, 0xC3, byte(len(message) >> 8), byte(len(message))}) + string(message)
}

// MeshPacket is a packet of the mesh, as a radio hands it over. The zero value of what
// is optional leaves it out.
type MeshPacket struct {
	From, ID uint32
	Port     uint64
	Payload  []byte

	Encrypted bool // the payload is what the radio could not read
	Signature []byte
	RSSI      int
	SNR       float32
	ViaMQTT   bool
}

// Frame is the packet in a message to the program.
func (p MeshPacket) Frame() string {
	data := append(meshVarint(1, p.Port), meshBytes(2, p.Payload)...)
	if p.Signature != nil {
		data = append(data, meshBytes(10, p.Signature)...)
	}
	packet := append(meshFixed(1, p.From), meshFixed(2, math.MaxUint32)...)
	if p.Encrypted {
		packet = append(packet, meshBytes(5, p.Payload)...)
	} else {
		packet = append(packet, meshBytes(4, data)...)
	}
	packet = append(packet, meshFixed(6, p.ID)...)
	if p.SNR != 0 {
		packet = append(packet, meshFixed(8, math.Float32bits(p.SNR))...)
	}
	packet = append(packet, meshVarint(9, 3)...)
	if p.RSSI != 0 {
		packet = append(packet, meshVarint(12, uint64(int64(p.RSSI)))...)
	}
	if p.ViaMQTT {
		packet = append(packet, meshVarint(14, 1)...)
	}
	return MeshFrame(meshBytes(2, packet))
}

// MeshPosition is the payload of a position. A zero time leaves that of the fix out, and
// NaN the coordinate; bits are how fine the grid is, 0: not said.
func MeshPosition(lat, lon float64, fix time.Time, bits uint64) []byte {
	var p []byte
	if !math.IsNaN(lat) {
		p = append(p, meshFixed(1, uint32(int32(math.Round(lat*1e7))))...)
	}
	if !math.IsNaN(lon) {
		p = append(p, meshFixed(2, uint32(int32(math.Round(lon*1e7))))...)
	}
	p = append(p, meshVarint(3, 441)...)
	if !fix.IsZero() {
		p = append(p, meshFixed(7, uint32(fix.Unix()))...)
	}
	if bits != 0 {
		p = append(p, meshVarint(23, bits)...)
	}
	return p
}

// Meshtastic is the report of a tag, with a signal strength in dBm and a ratio in dB.
func Meshtastic(num, id uint32, lat, lon float64, fix time.Time, rssi int, snr float32) string {
	return MeshPacket{From: num, ID: id, Port: 3, Payload: MeshPosition(lat, lon, fix, 32), RSSI: rssi, SNR: snr}.Frame()
}

// MeshUser is the payload of a node's introduction, with its public key.
func MeshUser(id, name string, key []byte) []byte {
	u := append(meshBytes(1, []byte(id)), meshBytes(2, []byte(name))...)
	return append(u, meshBytes(8, key)...)
}

// MeshNode is a node of the radio's list, as it answers the question for it.
func MeshNode(num uint32, user []byte, lastHeard uint32) string {
	n := append(meshVarint(1, uint64(num)), meshBytes(2, user)...)
	return MeshFrame(meshBytes(4, append(n, meshFixed(5, lastHeard)...)))
}

// MeshSelf is the radio itself, as its list begins with it: its own favourite, and at no
// distance from itself.
func MeshSelf(num uint32, user []byte) string {
	n := append(meshVarint(1, uint64(num)), meshBytes(2, user)...)
	return MeshFrame(meshBytes(4, append(n, meshVarint(10, 1)...)))
}

// MeshRegion is the payload of the answer to who asks a radio for its LoRa settings. A
// region of 0, as radios have from the factory, is left out.
func MeshRegion(region uint64) []byte {
	lora := append(meshVarint(1, 1), meshVarint(8, 3)...)
	if region != 0 {
		lora = append(lora, meshVarint(7, region)...)
	}
	return append(meshBytes(6, meshBytes(6, lora)), meshBytes(101, []byte("passkey!"))...)
}

// MeshBattery is the payload of a telemetry with a charge in percent.
func MeshBattery(percent uint64) []byte { return meshBytes(2, meshVarint(1, percent)) }

// MeshComplete ends the answer to the question with this number.
func MeshComplete(nonce uint64) string { return MeshFrame(meshVarint(7, nonce)) }

func meshVarint(field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, field<<3), v)
}

func meshFixed(field uint64, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(nil, field<<3|5), v)
}

func meshBytes(field uint64, v []byte) []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, field<<3|2), uint64(len(v)))
	return append(b, v...)
}
