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
//	35  n  payload: a presence.Draft in CBOR (RFC 8949, core deterministic)
const (
	recordVersion = 0xB1
	recordHeader  = 35

	// maxPayload is the largest draft that is taken. The largest in practice is
	// a gap that names many ranges.
	maxPayload = 8 << 10
)

// item is a draft that waits for its place.
type item struct {
	kind    presence.Kind
	at      presence.Reading
	payload []byte
	done    chan<- outcome // buffered; nil where nobody waits
	came    time.Time      // where nobody waits
}

// outcome is what became of an item.
type outcome struct {
	pos, seq uint64
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
	if len(payload) > maxPayload {
		return item{}, fmt.Errorf("encode draft: %d bytes, at most %d", len(payload), maxPayload)
	}
	return item{kind: d.Kind, at: d.At, payload: payload}, nil
}

// bodyFits tells whether exactly the body that the kind names is there.
func bodyFits(d *presence.Draft) bool {
	bodies := 0
	for _, there := range []bool{d.Badge != nil, d.Tag != nil, d.Start != nil, d.Gap != nil, d.Person != nil} {
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
	}
	return false
}

// seal appends to dst the record of a payload at its place.
func seal(dst []byte, pos uint64, stream presence.ID, seq uint64, attempt uint32, payload []byte) []byte {
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

// sealed is a record whose checksum holds. Its payload is still bytes.
type sealed struct {
	pos     uint64
	stream  presence.ID
	seq     uint64
	attempt uint32
	payload []byte
}

// unseal checks a record as it lies under its key. The result shares value's
// memory.
func unseal(key, value []byte) (sealed, error) {
	if len(key) != 8 || len(value) < recordHeader || value[0] != recordVersion {
		return sealed{}, errDamagedRecord
	}
	if len(value) != recordHeader+int(binary.BigEndian.Uint16(value[1:])) {
		return sealed{}, errDamagedRecord
	}
	if binary.BigEndian.Uint32(value[7:]) != checksum([8]byte(key), value) {
		return sealed{}, errDamagedRecord
	}
	return sealed{
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
	s, err := unseal(key, value)
	if err != nil {
		return err
	}
	*e = presence.Entry{Pos: s.pos, Record: presence.Record{Stream: s.stream, Seq: s.seq}}
	if err := c.dec.Unmarshal(s.payload, &e.Draft); err != nil {
		return fmt.Errorf("%w: %w", errDamagedRecord, err)
	}
	return nil
}

// posKey is a position as a key: big endian, so that keys sort as positions.
func posKey(pos uint64) [8]byte {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], pos)
	return key
}
