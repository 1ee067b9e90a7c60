package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/presence"
)

// recordVersion is the first byte of each value: how the rest is read.
const recordVersion = 1

// headerSize is the version byte and the CRC32C over version, key and payload.
const headerSize = 1 + 4

// maxRecord bounds a payload: no record of ours comes near it, and a length
// that damage made up does not get far.
const maxRecord = 64 << 10

var errDamaged = errors.New("damaged record")

// codec reads and writes records. It is made once for each journal; its modes
// are safe for concurrent use.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
	crc *crc32.Table
}

func newCodec() codec {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic("set up CBOR: " + err.Error()) // the options are constants
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 4096, MaxMapPairs: 256,
	}.DecMode()
	if err != nil {
		panic("set up CBOR: " + err.Error())
	}
	return codec{enc: enc, dec: dec, crc: crc32.MakeTable(crc32.Castagnoli)}
}

func key(pos uint64) []byte { return binary.BigEndian.AppendUint64(nil, pos) }

// encode is the value of a record at a position.
func (c codec) encode(k []byte, r *presence.Record) ([]byte, error) {
	payload, err := c.enc.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if len(payload) > maxRecord {
		return nil, fmt.Errorf("encode record: %d bytes, at most %d", len(payload), maxRecord)
	}
	v := make([]byte, headerSize, headerSize+len(payload))
	v[0] = recordVersion
	binary.BigEndian.PutUint32(v[1:], c.sum(k, payload))
	return append(v, payload...), nil
}

// decode reads a value. Its error wraps errDamaged unless the version is one
// that a newer gatewayd wrote.
func (c codec) decode(k, v []byte) (presence.Entry, error) {
	if len(k) != 8 || len(v) <= headerSize || len(v) > headerSize+maxRecord {
		return presence.Entry{}, fmt.Errorf("%w: %d bytes under a key of %d", errDamaged, len(v), len(k))
	}
	e := presence.Entry{Pos: binary.BigEndian.Uint64(k)}
	if v[0] != recordVersion {
		return e, fmt.Errorf("%w: version %d at position %d", errDamaged, v[0], e.Pos)
	}
	if binary.BigEndian.Uint32(v[1:headerSize]) != c.sum(k, v[headerSize:]) {
		return e, fmt.Errorf("%w: checksum at position %d", errDamaged, e.Pos)
	}
	if err := c.dec.Unmarshal(v[headerSize:], &e.Record); err != nil {
		return e, fmt.Errorf("%w: at position %d: %w", errDamaged, e.Pos, err)
	}
	return e, nil
}

func (c codec) sum(k, payload []byte) uint32 {
	sum := crc32.Update(0, c.crc, []byte{recordVersion})
	sum = crc32.Update(sum, c.crc, k)
	return crc32.Update(sum, c.crc, payload)
}
