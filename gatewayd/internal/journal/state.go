package journal

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"go.etcd.io/bbolt"

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

// span is a run of positions, both ends included.
type span struct{ from, to uint64 }

// noEnd is above all positions and numbers.
const noEnd = 1 << 62

// numbersOf are the numbers that a range names, false where it makes no sense.
func numbersOf(r presence.Range) (span, bool) {
	if r.Open() {
		return span{r.From, noEnd}, r.From > 0 && r.From < noEnd
	}
	return span{r.From, r.To}, r.From <= r.To && r.To < noEnd
}

// spans are positions where no record is: in order, neither overlapping nor
// touching. There are few: salvage and a full disk make them.
type spans []span

// add puts the positions in. As with append, s must not be used any more.
func (s spans) add(n span) spans {
	// The first that ends at or after the place where n could touch it.
	i, _ := slices.BinarySearchFunc(s, n.from, func(h span, from uint64) int {
		if h.to+1 < from {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && s[j].from <= n.to+1 {
		n.from = min(n.from, s[j].from)
		n.to = max(n.to, s[j].to)
		j++
	}
	return slices.Replace(s, i, j, n)
}

// union is s and o in a list of its own.
func (s spans) union(o spans) spans {
	if len(o) == 0 {
		return s
	}
	all := slices.Concat(s, o)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	union := make(spans, 0, len(all))
	for _, h := range all {
		union = union.add(h)
	}
	return union
}

// count tells how many of the positions from..to are in.
func (s spans) count(from, to uint64) uint64 {
	var n uint64
	for _, h := range s {
		if a, b := max(h.from, from), min(h.to, to); a <= b {
			n += b - a + 1
		}
	}
	return n
}

// outside are the runs of from..to that are not in.
func (s spans) outside(from, to uint64) spans {
	var out spans
	for _, h := range s {
		if h.to < from {
			continue
		}
		if h.from > to {
			break
		}
		if h.from > from {
			out = append(out, span{from, h.from - 1})
		}
		from = h.to + 1
	}
	if from <= to {
		out = append(out, span{from, to})
	}
	return out
}

// has tells whether exactly this run is one of them.
func (s spans) has(h span) bool {
	i, found := slices.BinarySearchFunc(s, h.from, func(h span, from uint64) int { return cmp.Compare(h.from, from) })
	return found && s[i] == h
}

// below drops everything under pos.
func (s spans) below(pos uint64) spans {
	for len(s) > 0 && s[0].to < pos {
		s = s[1:]
	}
	return s
}

// putHoles makes the bucket hold exactly these.
func putHoles(b *bbolt.Bucket, old, holes spans) error {
	for _, h := range old {
		if !holes.has(h) {
			key := posKey(h.from)
			if err := b.Delete(key[:]); err != nil {
				return err
			}
		}
	}
	for _, h := range holes {
		if !old.has(h) {
			key, value := posKey(h.from), posKey(h.to)
			if err := b.Put(key[:], value[:]); err != nil {
				return err
			}
		}
	}
	return nil
}
