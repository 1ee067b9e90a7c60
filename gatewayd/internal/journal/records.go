package journal

import (
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"

	bolt "go.etcd.io/bbolt"
)

// packedRecord is a record in its form on disk.
type packedRecord struct {
	key   [8]byte
	value []byte
	chain presence.Chain // of a record that is new
}

// maxArena is how many bytes of memory are kept for the records of the next commit.
const maxArena = 256 << 10

// pack brings items into their form on disk, from a position on, and puts each behind the
// one before it in the chain. It returns the link of the last. A seal that cannot be
// signed is left out.
func (w *writer) pack(items []item, pos uint64) (last presence.Link, err error) {
	need := 0
	for _, it := range items {
		need += it.size()
	}
	if cap(w.arena) < need || cap(w.arena) > maxArena {
		w.arena = make([]byte, 0, need)
	}
	w.arena, w.records = w.arena[:0], w.records[:0]
	last = w.link
	for _, it := range items {
		seq := pos - w.j.first + 1
		if it.signer != nil {
			if it, err = w.signed(it, seq, last); err != nil {
				w.j.opt.Log.Error("the journal is not sealed", "error", err)
				w.postponeSeal(sealAgain)
				continue
			}
		}
		r := presence.Record{Stream: w.j.stream, Seq: seq, Draft: it.draft}
		chain, err := w.chain(&r, last)
		if err != nil {
			return last, err
		}
		last = chain.Link
		start := len(w.arena)
		w.payload = appendChained(w.payload[:0], it.payload, chain)
		w.arena = pack(w.arena, pos, r.Stream, r.Seq, w.attempt, w.payload)
		w.records = append(w.records, packedRecord{posKey(pos), w.arena[start:len(w.arena):len(w.arena)], chain})
		pos++
	}
	return last, nil
}

// chain puts a record behind one with a link.
func (w *writer) chain(r *presence.Record, before presence.Link) (presence.Chain, error) {
	if w.j.opt.unchained {
		return presence.Chain{}, nil
	}
	return w.j.opt.Origin.Chain(r, before)
}

// maxTail is how many bytes of a bucket bbolt keeps inside the page of its parent.
const maxTail = boltfile.PageSize / 4

// putRecords writes the packed records. They go into the tail where they fit. Where
// they do not, the tail is emptied into the tree of events, and they follow it there.
func (w *writer) putRecords(tx *bolt.Tx) (tailBytes int, err error) {
	tail := tx.Bucket([]byte(bucketTail))
	tailBytes = w.tailBytes
	if tailBytes < 0 {
		tailBytes = sizeOf(tail)
	}
	if len(w.records) == 0 {
		return tailBytes, nil
	}
	need := 0
	for _, r := range w.records {
		need += elementSize(r.key[:], r.value)
	}
	if tailBytes+need <= maxTail {
		for _, r := range w.records {
			if err := tail.Put(r.key[:], r.value); err != nil {
				return 0, err
			}
		}
		return tailBytes + need, nil
	}
	if err := moveTail(tail, tx.Bucket([]byte(bucketEvents))); err != nil {
		return 0, err
	}
	return boltfile.PageHeaderSize, putEvents(tx, w.records)
}

// putEvents puts records into the tree, behind those that are there.
func putEvents(tx *bolt.Tx, records []packedRecord) error {
	events := tx.Bucket([]byte(bucketEvents))
	events.FillPercent = 1 // keys only ever come at the end
	for _, r := range records {
		if err := events.Put(r.key[:], r.value); err != nil {
			return err
		}
	}
	return nil
}

// moveTail empties the tail into the tree.
func moveTail(tail, events *bolt.Bucket) error {
	var moved []packedRecord
	err := tail.ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return boltfile.Damagedf("a key of %d bytes in the tail", len(k))
		}
		moved = append(moved, packedRecord{key: [8]byte(k), value: append([]byte(nil), v...)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range moved {
		if err := tail.Delete(r.key[:]); err != nil {
			return err
		}
		if err := events.Put(r.key[:], r.value); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is how large a small bucket is on its page.
func sizeOf(b *bolt.Bucket) int {
	size := boltfile.PageHeaderSize
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		size += elementSize(k, v)
	}
	return size
}

func elementSize(key, value []byte) int { return boltfile.LeafElementSize + len(key) + len(value) }
