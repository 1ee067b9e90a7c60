package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/presence"
)

// A record on disk, big endian. Length, stream and number are there so that a
// record can be found and placed without the pages around it.
//
//	 0  1  version, recordVersion
//	 1  2  length of the payload
//	 3  4  attempt: which try of its process wrote it
//	 7  4  CRC-32C over key, version, length, attempt and all that follows
//	11 16  stream
//	27  8  number in the stream
//	35  n  payload: a presence.Draft in CBOR (RFC 8949, core deterministic), with the
//	       record's presence.Chain under one more key, which earlier versions pass over
const (
	recordVersion = 0xB1
	recordHeader  = 35

	// maxPayload is the largest payload. The largest in practice is that of a gap
	// which names many ranges.
	maxPayload = 8 << 10
)

// item is a draft that waits for its place.
type item struct {
	draft   presence.Draft
	payload []byte         // of the draft alone
	done    chan<- outcome // buffered; nil where nobody waits
	came    time.Time      // where nobody waits
	signer  Signer         // of a seal that the writer signs at its place; nil: no seal
}

// size is how long the item's record will be.
func (it item) size() int { return recordHeader + len(it.payload) + chainSize }

// outcome is what became of an item.
type outcome struct {
	pos, seq uint64
	chain    presence.Chain
	err      error
}

var errDamagedRecord = errors.New("record is damaged")

// codec turns drafts into payloads and back.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// newCodec makes a codec. It is safe for concurrent use.
func newCodec() codec {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic("set up CBOR: " + err.Error()) // the options are constants
	}
	// What is read may be anything that a dying disk makes of it. Strings are
	// taken as they are: names come from the radio.
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  8,
		MaxArrayElements: 1024,
		MaxMapPairs:      1024,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		UTF8:             cbor.UTF8DecodeInvalid,
	}.DecMode()
	if err != nil {
		panic("set up CBOR: " + err.Error())
	}
	return codec{enc: enc, dec: dec}
}

// encode checks a draft and brings it into its form on disk.
func (c codec) encode(d presence.Draft) (item, error) {
	if !bodyFits(&d) {
		return item{}, fmt.Errorf("encode draft: kind %d without its body", d.Kind)
	}
	payload, err := c.enc.Marshal(d)
	if err != nil {
		return item{}, fmt.Errorf("encode draft: %w", err)
	}
	if most := maxPayload - chainSize; len(payload) > most {
		return item{}, fmt.Errorf("encode draft: %d bytes, at most %d", len(payload), most)
	}
	return item{draft: d, payload: payload}, nil
}

// bodyFits tells whether exactly the body that the kind names is there.
func bodyFits(d *presence.Draft) bool {
	bodies := 0
	for _, there := range []bool{d.Badge != nil, d.Tag != nil, d.Start != nil, d.Gap != nil, d.Person != nil, d.Seal != nil} {
		if there {
			bodies++
		}
	}
	switch d.Kind {
	case presence.KindBadge:
		return bodies == 1 && d.Badge != nil
	case presence.KindTag:
		return bodies == 1 && d.Tag != nil
	case presence.KindStart:
		return bodies == 1 && d.Start != nil
	case presence.KindGap:
		return bodies == 1 && d.Gap != nil
	case presence.KindPresence:
		return bodies == 1 && d.Person != nil
	case presence.KindSeal:
		return bodies == 1 && d.Seal != nil
	}
	return false
}

// pack appends to dst the record of a payload at its place.
func pack(dst []byte, pos uint64, stream presence.ID, seq uint64, attempt uint32, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, recordVersion)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, attempt)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, stream[:]...)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = append(dst, payload...)
	record := dst[start:]
	binary.BigEndian.PutUint32(record[7:], checksum(posKey(pos), record))
	return dst
}

// checksum is the CRC of a record under its key.
func checksum(key [8]byte, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, key[:])
	sum = crc32.Update(sum, table, record[:7])
	return crc32.Update(sum, table, record[11:])
}

// packed is a record whose checksum holds. Its payload is still bytes.
type packed struct {
	pos     uint64
	stream  presence.ID
	seq     uint64
	attempt uint32
	payload []byte
}

// unpack checks a record as it lies under its key. The result shares value's
// memory.
func unpack(key, value []byte) (packed, error) {
	if len(key) != 8 || len(value) < recordHeader || value[0] != recordVersion {
		return packed{}, errDamagedRecord
	}
	if len(value) != recordHeader+int(binary.BigEndian.Uint16(value[1:])) {
		return packed{}, errDamagedRecord
	}
	if binary.BigEndian.Uint32(value[7:]) != checksum([8]byte(key), value) {
		return packed{}, errDamagedRecord
	}
	return packed{
		pos:     binary.BigEndian.Uint64(key),
		stream:  presence.ID(value[11:27]),
		seq:     binary.BigEndian.Uint64(value[27:]),
		attempt: binary.BigEndian.Uint32(value[3:]),
		payload: value[recordHeader:],
	}, nil
}

// decode reads a record as it lies under its key; the entry keeps none of the
// bytes. A kind that this version does not know is passed on as it is: after a
// rollback, a newer version may have been here before.
func (c codec) decode(key, value []byte, e *presence.Entry) error {
	s, err := unpack(key, value)
	if err != nil {
		return err
	}
	return c.decodePacked(s, e)
}

// decodePacked is decode of a record whose checksum holds.
func (c codec) decodePacked(s packed, e *presence.Entry) error {
	var p chained
	if err := c.dec.Unmarshal(s.payload, &p); err != nil {
		return fmt.Errorf("%w: %w", errDamagedRecord, err)
	}
	*e = presence.Entry{Pos: s.pos, Record: presence.Record{Stream: s.stream, Seq: s.seq, Draft: p.Draft, Chain: p.Chain}}
	return nil
}

// chained is what a payload holds.
type chained struct {
	presence.Draft
	Chain presence.Chain `cbor:"20,keyasint"`
}

// chainKey is the key of a chain in the payload: above those of a presence.Draft, so that
// it follows them in the deterministic order of keys.
const chainKey = 20

// chainSize is what a chain adds to a payload.
const chainSize = 3 + presence.ChainSize

// appendChained appends to dst a payload with its record's chain. The payload is a map of
// fewer than 23 pairs, whose first byte says how many (RFC 8949, 3.1).
func appendChained(dst, payload []byte, chain presence.Chain) []byte {
	if chain.IsZero() {
		return append(dst, payload...)
	}
	dst = append(dst, payload[0]+1)
	dst = append(dst, payload[1:]...)
	dst = append(dst, chainKey, 0x58, presence.ChainSize) // a byte string whose length follows
	dst, _ = chain.AppendBinary(dst)                      // has no error
	return dst
}

// posKey is a position as a key: big endian, so that keys sort as positions.
func posKey(pos uint64) [8]byte {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], pos)
	return key
}
