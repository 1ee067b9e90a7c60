package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"presence/gatewayd/internal/interval"
	"presence/gatewayd/internal/presence"
)

// The buckets of the file and the keys of meta.
const (
	bucketEvents    = "events"
	bucketTail      = "tail"
	bucketStreams   = "streams"
	bucketHoles     = "holes"
	bucketMeta      = "meta"
	bucketNotes     = "notes" // not in files of the first gateways
	bucketRevisions = "said"  // nor this

	keyState = "state"
	keyGaps  = "gaps" // of a journal that was damaged, until the next start records them
	keyLost  = "lost" // losses that no gap names yet
)

// state is what every commit may change beside the events.
type state struct {
	// Cursor is the position up to which everything is delivered.
	Cursor uint64 `cbor:"1,keyasint"`
	// Starts counts the streams. Number 3 was used by the first gateways.
	Starts int `cbor:"2,keyasint"`
	// Boots counts the kernel's boots, UncleanBoots those in which the last
	// stream was not ended on purpose: a power cut, as a rule.
	Boots        int `cbor:"4,keyasint"`
	UncleanBoots int `cbor:"5,keyasint"`
	// Boot is the boot of the last start.
	Boot presence.ID `cbor:"6,keyasint"`
	// Oldest is the position of the oldest record: what was below is gone on
	// purpose, or named in a gap.
	Oldest uint64 `cbor:"7,keyasint,omitempty"`
	// FinalUpto is the position up to which every event's latest revision is final.
	FinalUpto uint64 `cbor:"8,keyasint,omitempty"`
	// Sent is the newest position that is known to have been sent to the city,
	// Unanswered the one up to which the broker has everything although the city
	// did not answer when some of it went again; 0 where it did.
	Sent       uint64 `cbor:"9,keyasint,omitempty"`
	Unanswered uint64 `cbor:"10,keyasint,omitempty"`
	// Alive is the reading of the commit that wrote this: the process ran then.
	// Zero where only the first versions wrote.
	Alive presence.Reading `cbor:"11,keyasint"`
	// Yielded is when events that waited for delivery last went for want of room;
	// nil: none ever did.
	Yielded *presence.Reading `cbor:"12,keyasint,omitempty"`
	// SealKey is the key of the newest seal; nil: there is none.
	SealKey *presence.KeyID `cbor:"13,keyasint,omitempty"`
	// GoneUpto is when the newest stream began of which no record is left because its time
	// was over, in milliseconds since 1970 (see presence.ID.Began); 0 where none is gone.
	GoneUpto int64 `cbor:"14,keyasint,omitempty"`
}

// streamInfo says where a stream lies.
type streamInfo struct {
	First uint64 `cbor:"1,keyasint"` // position of its number 1
	Clean bool   `cbor:"2,keyasint"`
}

// putChecked stores a small value with a CRC over key and value before it.
func (c codec) putChecked(b *bbolt.Bucket, key []byte, v any) error {
	payload, err := c.enc.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %q: %w", key, err)
	}
	value := binary.BigEndian.AppendUint32(nil, smallChecksum(key, payload))
	return b.Put(key, append(value, payload...))
}

// readChecked reads what putChecked stored.
func (c codec) readChecked(key, value []byte, v any) error {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != smallChecksum(key, value[4:]) {
		return fmt.Errorf("read %q: %w", key, errDamagedRecord)
	}
	if err := c.dec.Unmarshal(value[4:], v); err != nil {
		return fmt.Errorf("read %q: %w: %w", key, errDamagedRecord, err)
	}
	return nil
}

func smallChecksum(key, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, payload)
}

// span is a run of positions or of numbers, both ends included.
type span = interval.Interval[uint64]

// spans are positions where no record is, or numbers of a stream. There are few:
// salvage and a full disk make them.
type spans = interval.Set[uint64]

// noEnd is above all positions and numbers.
const noEnd = 1 << 62

// numbersOf are the numbers that a range names, false where it makes no sense.
func numbersOf(r presence.Range) (span, bool) {
	if r.Open() {
		return span{From: r.From, To: noEnd}, r.From > 0 && r.From < noEnd
	}
	return span{From: r.From, To: r.To}, r.From <= r.To && r.To < noEnd
}

// putHoles makes the bucket hold exactly these.
func putHoles(b *bbolt.Bucket, old, holes spans) error {
	for _, h := range old {
		if !holes.HasInterval(h) {
			key := posKey(h.From)
			if err := b.Delete(key[:]); err != nil {
				return err
			}
		}
	}
	for _, h := range holes {
		if !old.HasInterval(h) {
			key, value := posKey(h.From), posKey(h.To)
			if err := b.Put(key[:], value[:]); err != nil {
				return err
			}
		}
	}
	return nil
}
